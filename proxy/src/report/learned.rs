//! Which operations the profile is told of, and how they ended.

use weir_policy::decide::Mode;
use weir_policy::op::{Operation, Protocol};

use super::conn::ConnReport;
use super::local;
use super::metrics::LearnedResult;
use super::reason::Kind;
use super::{Outcome, Reason, Status, Transaction, Verdict};
use crate::learn::Learned;

impl ConnReport {
    /// Where an operation with this outcome will count, if it will.
    pub(super) fn learn(
        &self,
        protocol: Protocol,
        operation: Option<&Operation<'_>>,
        outcome: &Outcome,
    ) -> Learned {
        let Some(learning) = self.reporter().learning() else { return Learned::default() };
        let Some((operation, outside)) = operation.zip(is_outside(self.mode(), outcome)) else {
            return Learned::default();
        };
        local::with(|local| {
            local.learned.learn(learning, self.place(), protocol, operation, outside)
        })
    }
}

/// Whether the operation is a candidate, of the policy's outside; none where it is nothing to
/// learn from. Learning takes all that the policy decides on, the rest of the time what it does
/// not allow.
fn is_outside(mode: Mode, outcome: &Outcome) -> Option<bool> {
    let refused = matches!(outcome.verdict, Verdict::WouldRefuse | Verdict::Refused);
    match (mode, outcome.reason) {
        (Mode::Learn, Reason::Policy(_)) if outcome.verdict != Verdict::Refused => Some(false),
        (_, Reason::Policy(_)) if refused => Some(true),
        (Mode::Learn, Reason::Entry | Reason::Ungoverned | Reason::Unread(_)) if !refused => {
            Some(false)
        }
        _ => None,
    }
}

/// What is known by now of how the operation ended; `over`: no more will be.
pub(super) fn result(transaction: &Transaction, over: bool) -> Option<LearnedResult> {
    // Its answer, or its body, may have shown something since it began.
    let kind = transaction.reason.kind();
    if !matches!(kind, Kind::Entry | Kind::Ungoverned | Kind::Policy | Kind::Unread) {
        return None;
    }
    if transaction.learned.is_outside() {
        return Some(LearnedResult::Outside);
    }
    let accepted = match (transaction.protocol, transaction.status) {
        (Protocol::Http, Status::Http(code)) => Some(code < 400),
        (Protocol::Grpc, Status::Grpc(code)) => Some(code == 0),
        (Protocol::Redis, Status::Ok) => Some(true),
        (Protocol::Redis, Status::Error(_)) => Some(false),
        (Protocol::Tls | Protocol::Opaque, _) if transaction.bytes_out > 0 => Some(true),
        _ => over.then_some(false),
    };
    accepted.map(|yes| if yes { LearnedResult::Accepted } else { LearnedResult::Rejected })
}

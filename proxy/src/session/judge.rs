//! What policy and inspectors say of an operation.

use weir_policy::decide::{Decision, Violation};
use weir_policy::op::{HttpOp, Operation};

use super::Cx;
use crate::inspect::Inspector;
use crate::report::{Outcome, Reason, Verdict};

/// The only protocol that an entry can permit to switch to.
const WEBSOCKET: &[u8] = b"websocket";

/// Whether this is what an entry can permit to switch to.
pub(super) fn is_websocket(token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(WEBSOCKET)
}

/// `version "-" trace-id "-" parent-id "-" flags` in lower-case hex (W3C Trace Context §3.2).
pub(super) fn is_traceparent(value: &[u8]) -> bool {
    let dashes = [2, 35, 52];
    value.len() == 55
        && value.iter().enumerate().all(|(at, byte)| match byte {
            b'-' => dashes.contains(&at),
            b'0'..=b'9' | b'a'..=b'f' => !dashes.contains(&at),
            _ => false,
        })
}

/// A verdict against, as far as verdicts have an effect.
pub(super) fn refused(reason: Reason, judge: bool) -> Outcome {
    let verdict = if judge { Verdict::Refused } else { Verdict::WouldRefuse };
    Outcome { verdict, reason, entry: None }
}

/// The verdict on an operation: the policy's, and then, of what that allows, the connection's
/// inspectors'.
pub(super) fn judge(operation: &Operation<'_>, cx: &mut Cx<'_>) -> Outcome {
    let inspectors = std::mem::take(&mut cx.inspectors);
    let outcome = judge_with(operation, inspectors, cx);
    cx.inspectors = inspectors;
    outcome
}

/// The same with inspectors that are not the connection's.
pub(super) fn judge_with(
    operation: &Operation<'_>,
    inspectors: &mut [Box<dyn Inspector>],
    cx: &Cx<'_>,
) -> Outcome {
    let decision = cx.policy.decide(&cx.admission.rules, cx.endpoint, operation);
    let (reason, entry) = match decision {
        Decision::Violation(violation, entry) => {
            return Outcome { entry, ..refused(Reason::Policy(violation), cx.judge) };
        }
        Decision::Allowed(entry) if asks_for_other_than_websocket(operation) => {
            let reason = Reason::Policy(Violation::UpgradeNotPermitted);
            return Outcome { entry: Some(entry), ..refused(reason, cx.judge) };
        }
        Decision::Allowed(entry) => (Reason::Entry, Some(entry)),
        Decision::Ungoverned => (Reason::Ungoverned, None),
    };
    for inspector in inspectors {
        if let Err(name) = inspector.operation(operation) {
            return Outcome { entry, ..refused(Reason::Inspector(name), cx.judge) };
        }
    }
    Outcome { verdict: Verdict::Allowed, reason, entry }
}

fn asks_for_other_than_websocket(operation: &Operation<'_>) -> bool {
    matches!(operation, Operation::Http(HttpOp { upgrade: Some(token), .. }) if !is_websocket(token))
}

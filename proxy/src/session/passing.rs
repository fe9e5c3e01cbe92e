//! Connections that are decided once, as connections, and pass unread from then on: opaque
//! ports, TLS, and what no parser here reads.

use bytes::Bytes;
use weir_policy::decide::{AdmissionVerdict, Decision, Refusal};
use weir_policy::op::{Operation, Protocol, TlsOp};

use super::{Action, Actions, Cx, Leg};
use crate::report::{Detail, Outcome, Reason, Transaction, Verdict};

/// A fatal `access_denied` alert (RFC 8446 §6.2), in a record of the oldest version, which every
/// client reads.
const ACCESS_DENIED: &[u8] = &[0x15, 0x03, 0x01, 0x00, 0x02, 0x02, 49];

/// What is known of a connection that is not read.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// The rule wants nothing read.
    Opaque,
    /// TLS that is not terminated, with its server name.
    Tls(Option<Box<[u8]>>),
    /// A protocol that is known and has no parser here: its label.
    Unsupported(&'static str),
    /// No protocol that is known: why not.
    Unknown(&'static str),
    /// Another protocol than the rule requires: its label.
    Wrong(&'static str),
    /// A known protocol's beginning that its parser refuses: the reason's label.
    Malformed(&'static str),
    /// What began came too slowly to be known.
    Slow,
}

/// A connection that was decided as such, and the record of it while it lives.
#[derive(Debug)]
pub(super) struct Passing {
    kind: Kind,
    transaction: Option<Transaction>,
}

impl Passing {
    /// A connection of this kind, not yet decided.
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, transaction: None }
    }

    /// Decides, reports, and lets the connection pass or ends it.
    pub(super) fn decide(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        let operation = self.operation();
        let outcome = self.outcome(&operation, cx);
        let protocol = match self.kind {
            Kind::Tls(_) => Protocol::Tls,
            _ => Protocol::Opaque,
        };
        let detail = Detail::default();
        // What could not be read is no operation.
        let read = !matches!(self.kind, Kind::Malformed(_) | Kind::Slow);
        let operation = read.then_some(&operation);
        let mut transaction = cx.report.begin(cx.now, protocol, operation, &detail, outcome);
        // What it was decided by belongs to it.
        [transaction.bytes_in, transaction.bytes_out] = cx.totals;
        if outcome.verdict == Verdict::Refused {
            cx.report.end(cx.now, transaction);
            self.refuse(cx, out);
        } else {
            cx.report.started(&transaction);
            self.transaction = Some(transaction);
            out.push(Action::Opaque);
        }
    }

    /// Whether the policy in force, which may have changed, lets the connection live.
    pub(super) fn stands(&self, cx: &Cx<'_>) -> bool {
        self.outcome(&self.operation(), cx).verdict != Verdict::Refused
    }

    /// The connection has ended; `complete`: in order.
    pub(super) fn closed(&mut self, complete: bool, cx: &mut Cx<'_>) {
        if let Some(mut transaction) = self.transaction.take() {
            transaction.complete = complete;
            cx.report.end(cx.now, transaction);
        }
    }

    fn operation(&self) -> Operation<'_> {
        match &self.kind {
            Kind::Tls(sni) => Operation::Tls(TlsOp { sni: sni.as_deref() }),
            _ => Operation::Connection,
        }
    }

    /// What the policy and its unread settings say together.
    fn outcome(&self, operation: &Operation<'_>, cx: &Cx<'_>) -> Outcome {
        let refused = if cx.judge { Verdict::Refused } else { Verdict::WouldRefuse };
        let outcome = |verdict, reason, entry| Outcome { verdict, reason, entry };
        let unread = cx.admission.unread;
        let governed = cx.admission.verdict == AdmissionVerdict::Governed;
        let (label, refuse) = match self.kind {
            Kind::Malformed(label) if governed => {
                return outcome(refused, Reason::Malformed(label), None);
            }
            Kind::Wrong(label) if governed => {
                return outcome(refused, Reason::Protocol(label), None);
            }
            // A clock alone never makes a connection unread where it is judged.
            Kind::Slow => return outcome(refused, Reason::Timeout("slow_head"), None),
            Kind::Malformed(label) | Kind::Wrong(label) => (label, false),
            Kind::Opaque => ("opaque", false),
            Kind::Tls(_) => ("encrypted", unread.refuse_encrypted),
            Kind::Unsupported(label) => (label, unread.refuse_unsupported),
            Kind::Unknown(label) => (label, unread.refuse_unknown),
        };
        // A rule that names the protocol asks for no more than was judged: it is not unread.
        let judged = cx.admission.protocol.is_some();
        match cx.policy.decide(&cx.admission.rules, cx.endpoint, operation) {
            Decision::Violation(violation, entry) => {
                outcome(refused, Reason::Policy(violation), entry)
            }
            Decision::Allowed(entry) if judged => {
                outcome(Verdict::Allowed, Reason::Entry, Some(entry))
            }
            Decision::Allowed(entry) if refuse => {
                outcome(refused, Reason::Unread(label), Some(entry))
            }
            Decision::Allowed(entry) => {
                outcome(Verdict::Unread, Reason::Unread(label), Some(entry))
            }
            Decision::Ungoverned => outcome(Verdict::Unread, Reason::Unread(label), None),
        }
    }

    /// Ends the connection, in the protocol's own words where it has any.
    fn refuse(&self, cx: &Cx<'_>, out: &mut Actions) {
        out.push(Action::Reset(Leg::Server));
        if cx.admission.refusal.unwrap_or_default() != Refusal::Reset
            && matches!(self.kind, Kind::Tls(_))
        {
            out.push(Action::Inject(Leg::Client, Bytes::from_static(ACCESS_DENIED)));
            out.push(Action::Close);
        } else {
            out.push(Action::Reset(Leg::Client));
        }
    }
}

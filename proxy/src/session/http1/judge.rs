//! What policy and inspectors say of a request, and inspectors of content.

use weir_parsers::http1::RequestHead;
use weir_policy::decide::{Decision, Violation};
use weir_policy::op::{HttpOp, Operation};

use super::Cx;
use crate::report::{Detail, Outcome, Reason, Verdict};

/// The only protocol that an entry can permit to switch to.
const WEBSOCKET: &[u8] = b"websocket";

/// The request as an operation.
pub(super) fn operation<'a>(head: &RequestHead<'a>) -> HttpOp<'a> {
    HttpOp {
        method: head.method,
        authority: head.authority,
        path: head.path(),
        upgrade: upgrade(head),
        override_header: head.override_header,
    }
}

/// The token to judge: of several, one that no entry can permit.
fn upgrade<'a>(head: &RequestHead<'a>) -> Option<&'a [u8]> {
    let mut tokens = head.upgrade_tokens();
    let first = tokens.next()?;
    if !is_websocket(first) {
        return Some(first);
    }
    match tokens.find(|token| !is_websocket(token)) {
        Some(other) => Some(other),
        None => Some(first),
    }
}

fn is_websocket(token: &[u8]) -> bool {
    token.eq_ignore_ascii_case(WEBSOCKET)
}

/// What the log should know of the request besides.
pub(super) fn detail<'a>(head: &RequestHead<'a>) -> Detail<'a> {
    let traceparent = head.traceparent.filter(|value| is_traceparent(value));
    Detail { query: head.target.query(), traceparent, user: None }
}

/// `version "-" trace-id "-" parent-id "-" flags` in lower-case hex (W3C Trace Context §3.2).
fn is_traceparent(value: &[u8]) -> bool {
    let dashes = [2, 35, 52];
    value.len() == 55
        && value.iter().enumerate().all(|(at, byte)| match byte {
            b'-' => dashes.contains(&at),
            b'0'..=b'9' | b'a'..=b'f' => !dashes.contains(&at),
            _ => false,
        })
}

/// The verdict on an operation: the policy's, and then, of what that allows, the inspectors'.
pub(super) fn judge(operation: &Operation<'_>, cx: &mut Cx<'_>) -> Outcome {
    let decision = cx.policy.decide(&cx.admission.rules, cx.endpoint, operation);
    let refused = if cx.judge { Verdict::Refused } else { Verdict::WouldRefuse };
    let (reason, entry) = match decision {
        Decision::Violation(violation, entry) => {
            return Outcome { verdict: refused, reason: Reason::Policy(violation), entry };
        }
        Decision::Allowed(entry) if asks_for_other_than_websocket(operation) => {
            let reason = Reason::Policy(Violation::UpgradeNotPermitted);
            return Outcome { verdict: refused, reason, entry: Some(entry) };
        }
        Decision::Allowed(entry) => (Reason::Entry, Some(entry)),
        Decision::Ungoverned => (Reason::Ungoverned, None),
    };
    for inspector in &mut *cx.inspectors {
        if let Err(name) = inspector.operation(operation) {
            return Outcome { verdict: refused, reason: Reason::Inspector(name), entry };
        }
    }
    Outcome { verdict: Verdict::Allowed, reason, entry }
}

fn asks_for_other_than_websocket(operation: &Operation<'_>) -> bool {
    matches!(operation, Operation::Http(HttpOp { upgrade: Some(token), .. }) if !is_websocket(token))
}

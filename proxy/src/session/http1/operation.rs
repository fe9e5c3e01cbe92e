//! A request as an operation.

use weir_parsers::http1::RequestHead;
use weir_policy::op::HttpOp;

use crate::report::Detail;
use crate::session::judge::{is_traceparent, is_websocket};

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

/// What the log should know of the request besides.
pub(super) fn detail<'a>(head: &RequestHead<'a>) -> Detail<'a> {
    let traceparent = head.traceparent.filter(|value| is_traceparent(value));
    Detail { query: head.target.query(), traceparent, user: None }
}

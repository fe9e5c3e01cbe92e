//! A request as an operation, and the verdict on it.

use weir_parsers::grpc;
use weir_parsers::http2::RequestHead;
use weir_policy::decide::Violation;
use weir_policy::op::{GrpcOp, HttpOp, Operation, Protocol};

use super::Cx;
use crate::inspect::Inspector;
use crate::report::{Detail, Outcome, Reason};
use crate::session::judge::{is_traceparent, judge_with, refused};

/// What a request asks for.
pub(super) struct Asked<'a> {
    pub(super) operation: Operation<'a>,
    /// How it speaks gRPC, if it does.
    pub(super) kind: Option<grpc::Kind>,
    /// Why it is not what the rule requires, if so.
    wrong: Option<Reason>,
}

impl<'a> Asked<'a> {
    /// A rule's protocol is a requirement; without one the content type tells calls from other
    /// requests.
    pub(super) fn of(head: &RequestHead<'a>, cx: &Cx<'_>) -> Self {
        let kind = head.content_type.and_then(grpc::content_type);
        let kind = kind.filter(|_| head.method == b"POST");
        let overrides = head.override_header.is_some();
        let call = kind.filter(|_| head.query.is_none()).and_then(|_| grpc::method(head.path));
        let required = cx.admission.protocol;
        match call {
            // No entry of a call can name such a field, and a server may heed it.
            Some((service, method))
                if required == Some(Protocol::Grpc) || required.is_none() && !overrides =>
            {
                let authority = head.authority;
                let operation = Operation::Grpc(GrpcOp { service, method, authority });
                let wrong = overrides.then_some(Reason::Policy(Violation::OverrideHeader));
                Self { operation, kind, wrong }
            }
            _ => {
                let wrong = match (required, kind) {
                    (Some(Protocol::Grpc), Some(_)) => Some(Reason::Malformed("grpc_path")),
                    (Some(Protocol::Grpc), None) => Some(Reason::Protocol("http")),
                    _ => None,
                };
                Self { operation: Operation::Http(http(head)), kind, wrong }
            }
        }
    }

    /// What is spoken, for the record.
    pub(super) fn protocol(&self) -> Protocol {
        match self.operation {
            Operation::Grpc(_) => Protocol::Grpc,
            _ => Protocol::Http,
        }
    }

    pub(super) fn outcome(&self, inspectors: &mut [Box<dyn Inspector>], cx: &Cx<'_>) -> Outcome {
        match self.wrong {
            Some(reason) => refused(reason, cx.judge),
            None => judge_with(&self.operation, inspectors, cx),
        }
    }
}

/// A WebSocket is the same operation here as in HTTP/1.1, where it begins with GET (RFC 8441 §5).
fn http<'a>(head: &RequestHead<'a>) -> HttpOp<'a> {
    HttpOp {
        method: if head.protocol.is_some() { b"GET" } else { head.method },
        authority: head.authority,
        path: head.path,
        upgrade: head.protocol,
        override_header: head.override_header,
    }
}

/// What the log should know of the request besides.
pub(super) fn detail<'a>(head: &RequestHead<'a>) -> Detail<'a> {
    let traceparent = head.traceparent.filter(|value| is_traceparent(value));
    Detail { query: head.query, traceparent, user: None }
}

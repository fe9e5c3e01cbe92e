//! Header blocks of the server: answers and their trailers.

use weir_parsers::grpc;
use weir_parsers::http2::{self, ErrorCode};

use super::blocks::Block;
use super::ending::unreadable;
use super::fate::Bad;
use super::stream::{Gone, Known, Stream};
use super::{Actions, Cursor, Cx, Http2, Leg};
use crate::report::{Reason, Status, Verdict};

impl Http2 {
    /// A block has come from the server.
    pub(super) fn response_block(
        &mut self,
        block: &Block<'_>,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let id = block.stream;
        if block.promised.is_some() {
            // Where it is judged, the client's SETTINGS said that it takes none.
            let reason = Reason::Malformed("push_promise");
            return self.unexpected(block, reason, cur, cx, out);
        }
        match self.streams.get(id) {
            Known::Live(stream) => {
                let read = if stream.answered {
                    read_trailers(stream, block, cx)
                } else {
                    read_head(stream, block, cx)
                };
                self.read_block(Leg::Server, read, block, cur, cx, out)
            }
            Known::Gone(Gone::Refused, _) | Known::Idle => {
                self.unexpected(block, Reason::Malformed("response_unexpected"), cur, cx, out)
            }
            Known::Gone(..) | Known::Closed => self.late_block(Leg::Server, block, cur, cx, out),
        }
    }

    /// A block that belongs to no request of the client's.
    fn unexpected(
        &mut self,
        block: &Block<'_>,
        reason: Reason,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if cx.judge {
            return self.broken(Leg::Server, reason, ErrorCode::ProtocolError, cx, out);
        }
        let transaction = unreadable(reason, cx);
        cx.report.end(cx.now, transaction);
        cur.forward(block.frames, out);
        true
    }
}

/// The head of an answer, interim or final.
fn read_head(stream: &mut Stream, block: &Block<'_>, cx: &mut Cx<'_>) -> Result<(), Bad> {
    check(stream, block, cx)?;
    let head = http2::response(block.fields, block.metadata).map_err(malformed)?;
    if head.status / 100 == 1 {
        return match block.end_stream {
            true => Err((Reason::Malformed("interim_last"), ErrorCode::ProtocolError)),
            false => Ok(()),
        };
    }
    stream.answered = true;
    let transaction = &mut stream.transaction;
    transaction.first_byte = Some(cx.now);
    transaction.status = Status::Http(head.status);
    if stream.connects && head.status / 100 == 2 {
        if transaction.verdict == Verdict::Allowed {
            transaction.verdict = Verdict::Unread;
            transaction.reason = Reason::Unread("tunnel");
        }
        cx.report.started(transaction);
    }
    // An answer of another kind, as proxies and gateways give, has no messages.
    let calls = head.content_type.and_then(grpc::content_type).is_some();
    stream.unfollowed[Leg::Server as usize] = !calls;
    if stream.kind.is_some()
        && let Some(code) = head.grpc_status
    {
        stream.transaction.status = Status::Grpc(code);
    }
    Ok(())
}

fn read_trailers(stream: &mut Stream, block: &Block<'_>, cx: &Cx<'_>) -> Result<(), Bad> {
    check(stream, block, cx)?;
    if !block.end_stream {
        return Err((Reason::Malformed("trailers_not_last"), ErrorCode::ProtocolError));
    }
    let trailers = http2::response_trailers(block.fields, block.metadata).map_err(malformed)?;
    if stream.kind.is_some()
        && let Some(code) = trailers.grpc_status
    {
        stream.transaction.status = Status::Grpc(code);
    }
    Ok(())
}

fn check(stream: &Stream, block: &Block<'_>, cx: &Cx<'_>) -> Result<(), Bad> {
    if stream.ended[Leg::Server as usize] {
        return Err((Reason::Malformed("headers_after_end"), ErrorCode::StreamClosed));
    }
    if block.is_too_long(cx) {
        return Err((Reason::Limit("head_bytes"), ErrorCode::EnhanceYourCalm));
    }
    Ok(())
}

fn malformed(reason: http2::Reason) -> Bad {
    (Reason::Malformed(reason.label()), ErrorCode::ProtocolError)
}

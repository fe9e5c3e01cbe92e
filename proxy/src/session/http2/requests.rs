//! Header blocks of the client: requests and their trailers.

use weir_parsers::grpc::{self, Messages};
use weir_parsers::http2::{self, ErrorCode, RequestHead};
use weir_policy::decide::Refusal;

use super::answer::{self, Answer};
use super::blocks::Block;
use super::ending::unreadable;
use super::fate::Bad;
use super::judge::{Asked, detail};
use super::stream::{Gone, Known, Stream};
use super::{Actions, Cursor, Cx, Http2, Leg, Phase};
use crate::report::{Reason, Transaction, Verdict};

impl Http2 {
    /// A block has come from the client.
    pub(super) fn request_block(
        &mut self,
        block: &Block<'_>,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let id = block.stream;
        match self.streams.get(id) {
            Known::Live(stream) => {
                let read = check_trailers(stream, block, cx);
                self.read_block(Leg::Client, read, block, cur, cx, out)
            }
            Known::Gone(..) => self.late_block(Leg::Client, block, cur, cx, out),
            Known::Idle if id % 2 == 1 => self.request(block, cur, cx, out),
            Known::Closed if id % 2 == 1 && is_trailers(block) => {
                // Of one that the server may have reset so long ago that it is forgotten.
                self.late_block(Leg::Client, block, cur, cx, out)
            }
            Known::Closed | Known::Idle => {
                let (reason, code) = match id % 2 {
                    1 => (Reason::Malformed("stream_reused"), ErrorCode::StreamClosed),
                    _ => (Reason::Malformed("stream_id"), ErrorCode::ProtocolError),
                };
                if cx.judge {
                    return self.broken(Leg::Client, reason, code, cx, out);
                }
                let transaction = unreadable(reason, cx);
                cx.report.end(cx.now, transaction);
                self.pass(Leg::Client, block, cur, cx, out);
                true
            }
        }
    }

    /// A stream begins.
    fn request(
        &mut self,
        block: &Block<'_>,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let id = block.stream;
        self.streams.opened(id);
        if self.phase == Phase::Closing {
            // GOAWAY told the client that it is left to another connection.
            self.streams.leave(id, Gone::Refused);
            self.keep_back(Leg::Client, block, cur, cx, out);
            if self.goodbye.is_none() {
                cx.report.limit_reached("http2_refusals");
            }
            return !self.says_little(Leg::Client, cx, out);
        }
        if block.is_too_long(cx) {
            let reason = Reason::Limit("head_bytes");
            return self.unread_request(block, reason, Err(Answer::Http(431)), cur, cx, out);
        }
        let head = match http2::request(block.fields, block.metadata) {
            Ok(head) => head,
            Err(reason) => {
                let (reason, code) = (Reason::Malformed(reason.label()), reason.code());
                return self.unread_request(block, reason, Ok(code), cur, cx, out);
            }
        };
        if head.content_length.is_some_and(|length| length > 0) && block.end_stream {
            let reason = Reason::Malformed("content_length_mismatch");
            let code = ErrorCode::ProtocolError;
            return self.unread_request(block, reason, Ok(code), cur, cx, out);
        }
        if self.streams.len() >= cx.limits.http2_streams {
            let reason = Reason::Limit("http2_streams");
            let code = ErrorCode::RefusedStream;
            return self.unread_request(block, reason, Ok(code), cur, cx, out);
        }
        self.judged(&head, block, cur, cx, out)
    }

    /// A request that can be read has come.
    fn judged(
        &mut self,
        head: &RequestHead<'_>,
        block: &Block<'_>,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let asked = Asked::of(head, cx);
        let mut inspectors: Box<[_]> = cx.inspectors.iter().map(|one| one.fresh()).collect();
        let outcome = asked.outcome(&mut inspectors, cx);
        let (operation, protocol) = (Some(&asked.operation), asked.protocol());
        let mut transaction = cx.report.begin(cx.now, protocol, operation, &detail(head), outcome);
        if outcome.verdict == Verdict::Refused {
            transaction.bytes_in = block.len;
            let answer = Answer::refusal(asked.kind);
            return self.refuse(block, transaction, Err(answer), cur, cx, out);
        }
        let followed = asked.kind.is_some_and(|kind| kind != grpc::Kind::WebText);
        transaction.is_stream = true;
        let stream = Stream {
            transaction,
            ended: [false; 2],
            answered: false,
            connects: head.method == b"CONNECT",
            left: head.content_length,
            kind: asked.kind,
            messages: followed.then(|| [Messages::new(), Messages::new()]),
            web_trailers: Vec::new(),
            unfollowed: [false; 2],
            inspectors,
        };
        self.streams.begin(block.stream, stream);
        self.pass(Leg::Client, block, cur, cx, out);
        if block.end_stream {
            self.side_ended(Leg::Client, block.stream, cx);
        }
        if block.stream > self.last
            && let Some(stream) = self.streams.leave(block.stream, Gone::Reset)
        {
            // It has crossed with a GOAWAY of the server (RFC 9113 §6.8).
            cx.report.end(cx.now, stream.into_transaction());
        }
        true
    }

    /// A request that cannot be taken as it is: answered, or reset with this code.
    fn unread_request(
        &mut self,
        block: &Block<'_>,
        reason: Reason,
        answer: Result<ErrorCode, Answer>,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if let Reason::Limit(name) = reason {
            cx.report.limit_reached(name);
        }
        let mut transaction = unreadable(reason, cx);
        transaction.bytes_in = block.len;
        if cx.judge {
            return self.refuse(block, transaction, answer, cur, cx, out);
        }
        cx.report.end(cx.now, transaction);
        // What follows of it passes as it comes.
        self.unfollowed = true;
        self.streams.leave(block.stream, Gone::Reset);
        cur.forward(block.frames, out);
        true
    }

    /// The server never hears of this request.
    fn refuse(
        &mut self,
        block: &Block<'_>,
        mut transaction: Transaction,
        answer: Result<ErrorCode, Answer>,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let id = block.stream;
        self.streams.leave(id, Gone::Refused);
        // It may be asked again (RFC 9113 §8.7): the policy has nothing against it.
        let postponed = answer == Ok(ErrorCode::RefusedStream);
        let resets = cx.admission.refusal == Some(Refusal::Reset) && !postponed;
        if cur.is_part_gone() || resets {
            // Some of it has passed while the connection was only observed, or the policy asks for
            // no more.
            cx.report.end(cx.now, transaction);
            self.reset(cx, out);
            return false;
        }
        self.keep_back(Leg::Client, block, cur, cx, out);
        match answer {
            Err(answer) => {
                self.answer(id, answer, &mut transaction, cx, out);
            }
            Ok(code) => {
                transaction.complete = true;
                self.send(Leg::Client, answer::rst_stream(id, code), out);
            }
        }
        cx.report.end(cx.now, transaction);
        if postponed {
            return !self.says_little(Leg::Client, cx, out);
        }
        self.refused(cx, out);
        self.is_open()
    }
}

/// Whether a block can be the trailers of some message, and nothing else.
pub(super) fn is_trailers(block: &Block<'_>) -> bool {
    block.end_stream && http2::trailers(block.fields, block.metadata).is_ok()
}

/// Trailers end their request, and have no pseudo-header fields (RFC 9113 §8.1).
fn check_trailers(stream: &Stream, block: &Block<'_>, cx: &Cx<'_>) -> Result<(), Bad> {
    let malformed = |label| Err((Reason::Malformed(label), ErrorCode::ProtocolError));
    if stream.ended[Leg::Client as usize] {
        return Err((Reason::Malformed("headers_after_end"), ErrorCode::StreamClosed));
    }
    if block.is_too_long(cx) {
        return Err((Reason::Limit("head_bytes"), ErrorCode::EnhanceYourCalm));
    }
    if !block.end_stream {
        return malformed("trailers_not_last");
    }
    if stream.left.is_some_and(|left| left > 0) {
        return malformed("content_length_mismatch");
    }
    match http2::trailers(block.fields, block.metadata) {
        Ok(_) => Ok(()),
        Err(reason) => malformed(reason.label()),
    }
}

//! The server's leg.

use weir_parsers::http1::{self, HeadKind, HeadScan, RequestKind, ResponseHead, upgrade_tokens};

use super::answer::with_close;
use super::body::{self, Piece};
use super::requests::malformed;
use super::{Action, Actions, Cursor, Cx, Http1, Leg, Own, Pending, Phase, Requests, Responses};
use crate::inspect::{self, Part};
use crate::report::{Reason, Status, Verdict};

/// A response that no request waits for.
const UNSOLICITED: &str = "unsolicited_response";
/// A 101 for a protocol that the request did not offer.
const NOT_OFFERED: &str = "upgrade_not_offered";

impl Http1 {
    /// Reads what the server has sent.
    pub(super) fn server(&mut self, cur: &mut Cursor<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        while self.reads_server() && self.response_step(cur, cx, out) {}
        if cur.eof && self.reads_server() {
            self.server_ended(cur, cx, out);
        }
    }

    pub(super) fn reads_server(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Finishing)
    }

    /// Reads one more piece. Answers whether there may be another.
    fn response_step(&mut self, cur: &mut Cursor<'_>, cx: &mut Cx<'_>, out: &mut Actions) -> bool {
        let Responses::Head(scan) = &mut self.responses else {
            return self.response_body(cur, cx, out);
        };
        if cur.is_at_end() {
            return false;
        }
        let Some(kind) = self.pending.front().filter(|p| !p.answered).map(|p| p.kind) else {
            return self.bad_response(502, Reason::Malformed(UNSOLICITED), cur, cx, out);
        };
        match scan.find(cur.rest(), HeadKind::Response, cx.limits.head_bytes) {
            Ok(None) => {
                self.head_waits(Leg::Server, cx, out);
                false
            }
            Ok(Some(len)) => {
                *scan = HeadScan::default();
                self.head_done(Leg::Server, cx, out);
                match http1::response(&cur.rest()[..len], kind) {
                    Ok(head) => self.response_head(&head, len, cur, cx, out),
                    Err(reason) => self.bad_response(502, malformed(reason), cur, cx, out),
                }
            }
            Err(reason) => {
                self.head_done(Leg::Server, cx, out);
                self.bad_response(502, malformed(reason), cur, cx, out)
            }
        }
    }

    fn response_head(
        &mut self,
        head: &ResponseHead<'_>,
        len: usize,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let alone = self.pending.len() == 1;
        let Some(pending) = self.pending.front_mut() else { return false };
        if head.status == 101 && !is_offered(pending, head) {
            return self.bad_response(502, Reason::Malformed(NOT_OFFERED), cur, cx, out);
        }
        pending.transaction.bytes_out += len as u64;
        if head.status / 100 == 1 && head.status != 101 {
            cur.forward(len, out);
            return true;
        }
        pending.begun = true;
        pending.transaction.status = Status::Http(head.status);
        if head.status == 101 {
            return self.switch("upgraded", len, cur, cx, out);
        }
        if pending.kind == RequestKind::Connect && head.status / 100 == 2 {
            return self.switch("tunnel", len, cur, cx, out);
        }
        self.last = cx.goodbye && cx.judge && alone;
        if self.last && head.keep_alive && !cur.is_part_gone() {
            out.push(Action::Inject(Leg::Client, with_close(&cur.rest()[..len])));
            cur.discard(len, out);
        } else {
            cur.forward(len, out);
        }
        self.responses = Responses::Body(head.body.into());
        true
    }

    fn response_body(&mut self, cur: &mut Cursor<'_>, cx: &mut Cx<'_>, out: &mut Actions) -> bool {
        let Responses::Body(body) = &mut self.responses else { return false };
        let (len, found) = match body::next(body, cur.rest(), Part::Response, cx) {
            Ok(Piece::Partial) => return false,
            Ok(Piece::End) => return self.response_passed(cx, out),
            Ok(Piece::Bytes { len, found }) => (len, found),
            Err(reason) => return self.bad_response(502, malformed(reason), cur, cx, out),
        };
        if let Some((at, name)) = found {
            let reason = Reason::Inspector(name);
            if cx.judge {
                self.count_out(at);
                cur.forward(at, out);
                return self.bad_response(502, reason, cur, cx, out);
            }
            if let Some(pending) = self.pending.front_mut() {
                pending.condemn(false, reason);
            }
        }
        self.count_out(len);
        cur.forward(len, out);
        true
    }

    fn count_out(&mut self, len: usize) {
        if let Some(pending) = self.pending.front_mut() {
            pending.transaction.bytes_out += len as u64;
        }
    }

    /// A final response has passed to its end.
    fn response_passed(&mut self, cx: &mut Cx<'_>, out: &mut Actions) -> bool {
        inspect::end(cx.inspectors, Part::Response);
        self.responses = Responses::Head(HeadScan::default());
        if let Some(pending) = self.pending.front_mut() {
            pending.answered = true;
            if pending.sent {
                self.pop_answered(cx);
            }
        }
        if self.last {
            self.phase = Phase::Over;
            out.push(Action::Close);
            return false;
        }
        if matches!(self.requests, Requests::Switching) && self.pending.is_empty() {
            // The request that might have switched was the last one.
            self.requests = Requests::Head(HeadScan::default());
            self.blocked = true;
        }
        self.answer_own(cx, out);
        if self.blocked && self.phase == Phase::Open {
            out.push(Action::Resume(Leg::Client));
        }
        true
    }

    /// The oldest request and its answer are through.
    pub(super) fn pop_answered(&mut self, cx: &mut Cx<'_>) {
        /// Room in the queue that is kept for the next pipeline.
        const KEPT: usize = 16;
        if let Some(mut pending) = self.pending.pop_front() {
            pending.transaction.complete = true;
            cx.report.end(cx.now, pending.transaction);
        }
        if self.pending.is_empty() && self.pending.capacity() > KEPT {
            self.pending.shrink_to(KEPT);
        }
    }

    /// The server takes up the offer: from here on it is not HTTP any more.
    fn switch(
        &mut self,
        label: &'static str,
        len: usize,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        cur.forward(len, out);
        if let Some(Pending { mut transaction, switch, .. }) = self.pending.pop_front() {
            self.switched = switch;
            if transaction.verdict == Verdict::Allowed {
                transaction.verdict = Verdict::Unread;
                transaction.reason = Reason::Unread(label);
            }
            cx.report.started(&transaction);
            self.tunnel = Some(transaction);
        }
        self.phase = Phase::Opaque;
        out.push(Action::Opaque);
        false
    }

    /// The response cannot be read, or must not pass any further.
    fn bad_response(
        &mut self,
        status: u16,
        reason: Reason,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if !cx.judge {
            self.give_up(reason, cx, out);
            return false;
        }
        let part_gone = cur.is_part_gone();
        let bytes = [0, cur.rest().len() as u64];
        cur.discard_rest(out);
        self.end_response(status, reason, part_gone, bytes, cx, out);
        false
    }

    /// Ends the connection because of the server: in the protocol's words if the client waits
    /// for an answer of which it has seen nothing.
    fn end_response(
        &mut self,
        status: u16,
        reason: Reason,
        part_gone: bool,
        bytes: [u64; 2],
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) {
        self.phase = Phase::Over;
        let Some(mut pending) = self.pending.pop_front() else {
            self.report_unreadable(reason, bytes, cx);
            return out.push(Action::Close);
        };
        if pending.answered {
            // What came belongs to no request.
            self.report_unreadable(reason, bytes, cx);
            cx.report.end(cx.now, pending.transaction);
            return out.push(Action::Close);
        }
        pending.condemn(true, reason);
        if pending.begun || part_gone {
            out.push(Action::Reset(Leg::Client));
        } else {
            let head_only = pending.kind == RequestKind::Head;
            let own = Own { status, close: true, head_only };
            self.inject(Some(own), &mut pending.transaction, cx, out);
        }
        cx.report.end(cx.now, pending.transaction);
        out.push(Action::Close);
    }

    /// The server sends nothing more.
    fn server_ended(&mut self, cur: &mut Cursor<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        match &self.responses {
            Responses::Head(_) if !cur.is_at_end() => {
                self.head_done(Leg::Server, cx, out);
                self.bad_response(502, malformed(http1::Reason::Truncated), cur, cx, out);
            }
            Responses::Body(body) if body.eof().is_ok() => {
                self.response_passed(cx, out);
            }
            // Truncated: the end passes on, and the framing tells the client what it means.
            // What is held back of a chunk line or a trailer section cannot become whole.
            Responses::Body(_) if cx.judge => cur.discard_rest(out),
            Responses::Body(_) => cur.forward(cur.rest().len(), out),
            Responses::Head(_) => {}
        }
        if self.phase == Phase::Finishing {
            // Nobody is left to answer what stands before Weir's own answer.
            self.phase = Phase::Over;
            out.push(Action::Close);
        }
    }

    /// A response's head has not become complete in time.
    pub(super) fn slow_response(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        let reason = Reason::Timeout("slow_head");
        if cx.judge {
            self.end_response(504, reason, false, [0; 2], cx, out);
        } else {
            self.report_unreadable(reason, [0; 2], cx);
        }
    }
}

/// Whether the server switches to something that the request offered.
fn is_offered(pending: &Pending, head: &ResponseHead<'_>) -> bool {
    let offered = pending.switch.as_ref().and_then(|switch| switch.offered.as_ref());
    let (Some(offered), Some(chosen)) = (offered, head.upgrade) else { return false };
    let mut chosen = upgrade_tokens(chosen);
    let offers = |token: &[u8]| upgrade_tokens(offered).any(|o| o.eq_ignore_ascii_case(token));
    chosen.next().is_some_and(offers) && chosen.all(offers)
}

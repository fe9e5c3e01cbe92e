//! The client's leg.

use std::collections::VecDeque;

use weir_parsers::http1::{
    self, BodyLength, BodyPart, HeadKind, HeadScan, RequestHead, RequestKind, Version,
};
use weir_policy::decide::Refusal;
use weir_policy::op::{Operation, Protocol};

use super::answer::status_of;
use super::body::{self, Piece};
use super::operation::{detail, operation};
use super::pending::Switch;
use super::{
    Action, Actions, Cursor, Cx, Http1, Leg, Own, Pending, Phase, Requests, begin_unreadable,
};
use crate::inspect::{self, Part};
use crate::report::{Reason, Transaction, Verdict};
use crate::session::judge::judge;

impl Http1 {
    /// Reads what the client has sent.
    pub(super) fn client(&mut self, cur: &mut Cursor<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        if !cx.judge && matches!(self.requests, Requests::Discard(..)) {
            // The mode has changed within a refused request: its rest has passed already.
            return self.reset(out);
        }
        let waited = std::mem::take(&mut self.blocked);
        while self.phase == Phase::Open && self.request_step(cur, cx, out) {}
        if self.blocked && !waited && self.pending.len() >= cx.limits.pipeline_depth {
            cx.report.limit_reached("pipeline_depth");
        }
        if cur.eof && self.phase == Phase::Open {
            self.client_ended(cur, cx, out);
        }
    }

    /// Reads one more piece. Answers whether there may be another.
    fn request_step(&mut self, cur: &mut Cursor<'_>, cx: &mut Cx<'_>, out: &mut Actions) -> bool {
        match &mut self.requests {
            Requests::Switching => false,
            Requests::Head(_) if cur.is_at_end() => false,
            Requests::Head(_) if must_wait(&self.pending, cx) => {
                self.blocked = true;
                false
            }
            Requests::Head(scan) => {
                match scan.find(cur.rest(), HeadKind::Request, cx.limits.head_bytes) {
                    Ok(None) => {
                        self.head_waits(Leg::Client, cx, out);
                        false
                    }
                    Ok(Some(len)) => {
                        *scan = HeadScan::default();
                        self.head_done(Leg::Client, cx, out);
                        self.request_head(len, cur, cx, out)
                    }
                    Err(reason) => {
                        self.head_done(Leg::Client, cx, out);
                        self.bad_request(reason, cur, cx, out)
                    }
                }
            }
            Requests::Body(_) => self.request_body(cur, cx, out),
            Requests::Discard(..) => self.discard_body(cur, cx, out),
        }
    }

    fn request_head(
        &mut self,
        len: usize,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let head = match http1::request(&cur.rest()[..len]) {
            Ok(head) => head,
            Err(reason) => return self.bad_request(reason, cur, cx, out),
        };
        let operation = operation(&head);
        let switch = Switch::of(&head, &operation);
        let operation = Operation::Http(operation);
        let outcome = judge(&operation, cx);
        let mut transaction =
            cx.report.begin(cx.now, Protocol::Http, Some(&operation), &detail(&head), outcome);
        transaction.bytes_in = len as u64;
        if outcome.verdict == Verdict::Refused {
            return self.refuse(&head, len, transaction, cur, cx, out);
        }
        cur.forward(len, out);
        let kind = RequestKind::of(head.method);
        self.pending.push_back(Pending { switch, ..Pending::passed(transaction, kind) });
        self.requests = Requests::Body(head.body.into());
        true
    }

    fn request_body(&mut self, cur: &mut Cursor<'_>, cx: &mut Cx<'_>, out: &mut Actions) -> bool {
        let Requests::Body(body) = &mut self.requests else { return false };
        let (len, found) = match body::next(body, cur.rest(), Part::Request, cx) {
            Ok(Piece::Partial) => return false,
            Ok(Piece::End) => return self.request_sent(cx),
            Ok(Piece::Bytes { len, found }) => (len, found),
            Err(reason) => return self.bad_request_body(reason, cur, cx, out),
        };
        if let Some((at, name)) = found {
            let reason = Reason::Inspector(name);
            if cx.judge {
                self.count_in(at);
                cur.forward(at, out);
                return self.cut_request(403, reason, cur, cx, out);
            }
            if let Some(pending) = self.pending.back_mut() {
                pending.condemn(false, reason);
            }
        }
        self.count_in(len);
        cur.forward(len, out);
        true
    }

    /// A request has passed to its end.
    fn request_sent(&mut self, cx: &mut Cx<'_>) -> bool {
        inspect::end(cx.inspectors, Part::Request);
        self.requests = Requests::Head(HeadScan::default());
        let Some(pending) = self.pending.back_mut() else { return true };
        pending.sent = true;
        if pending.answered {
            // The answer came early; nothing stands behind this request.
            self.pop_answered(cx);
        } else if pending.may_switch() {
            self.requests = Requests::Switching;
        }
        true
    }

    fn count_in(&mut self, len: usize) {
        if let Some(pending) = self.pending.back_mut() {
            pending.transaction.bytes_in += len as u64;
        }
    }

    /// A request that is outside the policy, whole head at hand.
    fn refuse(
        &mut self,
        head: &RequestHead<'_>,
        len: usize,
        transaction: Transaction,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let room = cx.limits.judging_bytes;
        let keep = cx.admission.refusal.unwrap_or_default() == Refusal::Answer
            && head.keep_alive
            && head.version == Version::Http11
            && !head.expect_continue
            && !matches!(head.body, BodyLength::Length(length) if length > room as u64);
        let own = Own { status: 403, close: !keep, head_only: head.method == b"HEAD" };
        let pending = Pending::refused(transaction, own);
        if !keep || cur.is_part_gone() {
            return self.end_with(pending, cur, cx, out);
        }
        cur.discard(len, out);
        self.pending.push_back(pending);
        self.requests = Requests::Discard(head.body.into(), room);
        self.answer_own(cx, out);
        true
    }

    /// Throws the body of a refused request away, as long as it stays within bounds: those, and
    /// not how the bytes came, decide whether the connection goes on.
    fn discard_body(&mut self, cur: &mut Cursor<'_>, cx: &mut Cx<'_>, out: &mut Actions) -> bool {
        let Requests::Discard(body, room) = &mut self.requests else { return false };
        let taken = match body.next(cur.rest(), cx.limits.head_bytes) {
            Ok(BodyPart::Partial) => return false,
            Ok(BodyPart::End) => {
                self.requests = Requests::Head(HeadScan::default());
                return true;
            }
            Ok(BodyPart::Data(len) | BodyPart::Framing(len) | BodyPart::Trailers { len, .. })
                if len <= *room =>
            {
                *room -= len;
                Some(len)
            }
            Ok(_) | Err(_) => None,
        };
        if let Some(len) = taken {
            cur.discard(len, out);
            return true;
        }
        if let Some(Pending { own: Some(own), .. }) = self.pending.back_mut() {
            own.close = true;
        }
        self.finish(cx, out);
        false
    }

    /// A head that cannot be read.
    fn bad_request(
        &mut self,
        reason: http1::Reason,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if !cx.judge {
            self.give_up(malformed(reason), cx, out);
            return false;
        }
        let mut transaction = begin_unreadable(malformed(reason), cx);
        transaction.bytes_in = cur.rest().len() as u64;
        let own = Own { status: status_of(reason), close: true, head_only: false };
        self.end_with(Pending::refused(transaction, own), cur, cx, out)
    }

    /// Nothing more passes towards the server; this is the connection's last answer.
    fn end_with(
        &mut self,
        pending: Pending,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let own = pending.own;
        let part_gone = cur.is_part_gone();
        self.pending.push_back(pending);
        if part_gone {
            let status = own.map_or(403, |own| own.status);
            return self.cut(status, cur, cx, out);
        }
        cur.discard_rest(out);
        if cx.admission.refusal.unwrap_or_default() == Refusal::Reset {
            self.end_back(cx);
            self.reset(out);
        } else {
            self.finish(cx, out);
        }
        false
    }

    /// The framing of a body of which the beginning has passed.
    fn bad_request_body(
        &mut self,
        reason: http1::Reason,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if !cx.judge {
            self.give_up(malformed(reason), cx, out);
            return false;
        }
        self.cut_request(status_of(reason), malformed(reason), cur, cx, out)
    }

    /// The request under way turned out to be inadmissible after some of it had passed.
    fn cut_request(
        &mut self,
        status: u16,
        reason: Reason,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if let Some(pending) = self.pending.back_mut() {
            pending.condemn(true, reason);
        }
        self.cut(status, cur, cx, out)
    }

    /// Takes the server's leg away from the last request of the queue, so that it cannot act on
    /// what it has of it, and tells the client if nothing else stands in between.
    fn cut(
        &mut self,
        status: u16,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        cur.discard_rest(out);
        out.push(Action::Reset(Leg::Server));
        self.phase = Phase::Over;
        let alone = self.pending.len() == 1 && self.pending.iter().all(|p| !p.begun);
        if alone && cx.admission.refusal.unwrap_or_default() != Refusal::Reset {
            if let Some(mut pending) = self.pending.pop_back() {
                let head_only = pending.kind == RequestKind::Head;
                let own = pending.own.unwrap_or(Own { status, close: true, head_only });
                let own = Own { close: true, ..own };
                self.inject(Some(own), &mut pending.transaction, cx, out);
                cx.report.end(cx.now, pending.transaction);
            }
            out.push(Action::Close);
        } else {
            self.end_back(cx);
            out.push(Action::Reset(Leg::Client));
        }
        false
    }

    fn end_back(&mut self, cx: &mut Cx<'_>) {
        if let Some(pending) = self.pending.pop_back() {
            cx.report.end(cx.now, pending.transaction);
        }
    }

    /// The client sends nothing more. What it has left unfinished does not pass.
    fn client_ended(&mut self, cur: &mut Cursor<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        if cur.is_at_end() || self.blocked || matches!(self.requests, Requests::Switching) {
            return;
        }
        if matches!(self.requests, Requests::Head(_)) {
            self.head_done(Leg::Client, cx, out);
            let bytes = [cur.rest().len() as u64, 0];
            self.report_unreadable(malformed(http1::Reason::Truncated), bytes, cx);
            self.requests = Requests::Head(HeadScan::default());
        }
        if cx.judge {
            cur.discard_rest(out);
        } else {
            cur.forward(cur.rest().len(), out);
        }
    }

    /// A request's head has not become complete in time.
    pub(super) fn slow_request(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        let transaction = begin_unreadable(Reason::Timeout("slow_head"), cx);
        if !cx.judge {
            return cx.report.end(cx.now, transaction);
        }
        let own = Own { status: 408, close: true, head_only: false };
        self.pending.push_back(Pending::refused(transaction, own));
        if cx.admission.refusal.unwrap_or_default() == Refusal::Reset {
            self.end_back(cx);
            self.reset(out);
        } else {
            self.finish(cx, out);
        }
    }
}

/// Whether the next request is held: the queue is full, or the connection is to end with the
/// answers that are still to come.
fn must_wait(pending: &VecDeque<Pending>, cx: &Cx<'_>) -> bool {
    pending.len() >= cx.limits.pipeline_depth || cx.judge && cx.goodbye && !pending.is_empty()
}

pub(super) fn malformed(reason: http1::Reason) -> Reason {
    match reason {
        http1::Reason::HeadTooLong | http1::Reason::TrailersTooLong => Reason::Limit("head_bytes"),
        reason => Reason::Malformed(reason.label()),
    }
}

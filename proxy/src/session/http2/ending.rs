//! How streams and connections end: in order, cut, refused, or with an error of the connection.

use weir_parsers::http2::ErrorCode;
use weir_policy::decide::Refusal;
use weir_policy::op::Protocol;

use super::content::part;
use super::control::ANY_STREAM;
use super::fate::Bad;
use super::rate::Rate;
use super::stream::Gone;
use super::{Action, Actions, Cursor, Cx, GOODBYE, Http2, Leg, Phase, answer};
use crate::inspect;
use crate::report::{Detail, Reason, Transaction};
use crate::session::judge::refused;

impl Http2 {
    /// END_STREAM has come from a leg.
    pub(super) fn side_ended(&mut self, leg: Leg, id: u32, cx: &mut Cx<'_>) {
        let Some(stream) = self.streams.live(id) else { return };
        stream.ended[leg as usize] = true;
        inspect::end(&mut stream.inspectors, part(leg));
        if !stream.is_over() {
            return;
        }
        if let Some(stream) = self.streams.finish(id) {
            let mut transaction = stream.into_transaction();
            transaction.complete = true;
            cx.report.end(cx.now, transaction);
        }
    }

    /// What has passed of a stream was inadmissible in the end, for something that a leg sent: it
    /// is reset on both sides.
    pub(super) fn cut(
        &mut self,
        leg: Leg,
        id: u32,
        (reason, code): Bad,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) {
        let Some(stream) = self.streams.live(id) else { return };
        stream.condemn(cx.judge, reason);
        if !cx.judge {
            return;
        }
        if let Some(stream) = self.streams.leave(id, Gone::Cut) {
            cx.report.end(cx.now, stream.into_transaction());
        }
        self.send(Leg::Server, answer::rst_stream(id, ErrorCode::Cancel), out);
        self.send(Leg::Client, answer::rst_stream(id, code), out);
        if leg == Leg::Client {
            // Or a client could have the server begin and give up requests without end.
            self.refused(cx, out);
        }
    }

    /// Content that an inspector does not let pass, in a frame that is its side's last or not. A
    /// client that has no answer yet is told.
    pub(super) fn cut_by_threat(
        &mut self,
        leg: Leg,
        id: u32,
        last: bool,
        reason: Reason,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) {
        let Some(stream) = self.streams.live(id) else { return };
        if stream.answered {
            return self.cut(leg, id, (reason, ErrorCode::Cancel), cx, out);
        }
        stream.condemn(true, reason);
        let ended = stream.ended[Leg::Client as usize] || (last && leg == Leg::Client);
        let kind = stream.kind;
        let Some(stream) = self.streams.leave(id, Gone::Cut) else { return };
        let mut transaction = stream.into_transaction();
        self.send(Leg::Server, answer::rst_stream(id, ErrorCode::Cancel), out);
        self.answer(id, answer::Answer::refusal(kind), &mut transaction, cx, out);
        if !ended {
            self.send(Leg::Client, answer::rst_stream(id, ErrorCode::NoError), out);
        }
        cx.report.end(cx.now, transaction);
        self.refused(cx, out);
    }

    /// Answers a stream in the server's place.
    pub(super) fn answer(
        &mut self,
        id: u32,
        answer: answer::Answer,
        transaction: &mut Transaction,
        cx: &Cx<'_>,
        out: &mut Actions,
    ) {
        transaction.complete = true;
        let fields = answer.fields(transaction.seq, cx.report);
        let mut frames = Vec::with_capacity(160);
        let block = self.direction(Leg::Server).encode_own(&fields);
        answer::block(id, true, None, &block, &mut frames);
        self.send(Leg::Client, frames, out);
    }

    /// One more request was refused on this connection: how it goes on is the policy's to say.
    pub(super) fn refused(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        let many = self.refusals.exceeds(cx.limits.http2_refusals, cx.now);
        if many && self.phase == Phase::Open {
            cx.report.limit_reached("http2_refusals");
        }
        match cx.admission.refusal {
            Some(Refusal::Close) => self.close(ErrorCode::NoError, out),
            _ if many => self.close(ErrorCode::EnhanceYourCalm, out),
            _ => {}
        }
    }

    /// No further stream is taken; the connection ends with the last of those under way.
    fn close(&mut self, code: ErrorCode, out: &mut Actions) {
        if self.phase == Phase::Open {
            self.last = self.last.min(self.streams.highest());
            self.send(Leg::Client, answer::go_away(self.last, code), out);
            self.phase = Phase::Closing;
        }
    }

    /// An error that ends the connection (RFC 9113 §5.4.1). Observing, the session has lost its
    /// way: the rest passes unread. Answers false: nothing more is read.
    pub(super) fn broken(
        &mut self,
        leg: Leg,
        reason: Reason,
        code: ErrorCode,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if let Reason::Limit(name) = reason {
            cx.report.limit_reached(name);
        }
        let transaction = unreadable(reason, cx);
        if !cx.judge {
            cx.report.started(&transaction);
            self.unread = Some(transaction);
            self.phase = Phase::Opaque;
            out.push(Action::Opaque);
            return false;
        }
        cx.report.end(cx.now, transaction);
        self.end_streams(cx);
        self.phase = Phase::Over;
        if cx.admission.refusal == Some(Refusal::Reset) || !self.direction(Leg::Server).settled {
            // Before its own SETTINGS a server says nothing (RFC 9113 §3.4).
            out.push(Action::Reset(Leg::Server));
            out.push(Action::Reset(Leg::Client));
            return false;
        }
        let code = match leg {
            Leg::Client => code,
            Leg::Server => ErrorCode::InternalError,
        };
        let last = self.streams.highest().min(self.last);
        if self.direction(Leg::Server).takes_own() {
            out.push(Action::Inject(Leg::Client, answer::go_away(last, code).into()));
        }
        out.push(Action::Reset(Leg::Server));
        out.push(Action::Close);
        false
    }

    /// A frame of a stream that nobody has opened (RFC 9113 §5.1).
    pub(super) fn idle(&mut self, leg: Leg, cx: &mut Cx<'_>, out: &mut Actions) -> bool {
        let reason = Reason::Malformed("stream_idle");
        self.broken(leg, reason, ErrorCode::ProtocolError, cx, out)
    }

    /// Drops the connection without a word.
    pub(super) fn reset(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        self.end_streams(cx);
        self.phase = Phase::Over;
        out.push(Action::Reset(Leg::Client));
        out.push(Action::Reset(Leg::Server));
    }

    /// What is under way is reported as it stands.
    pub(super) fn end_streams(&mut self, cx: &mut Cx<'_>) {
        for stream in self.streams.take_live() {
            cx.report.end(cx.now, stream.into_transaction());
        }
    }

    /// A limit on how often something may come was reached. Answers whether that ends the
    /// connection.
    pub(super) fn flooded(
        &mut self,
        leg: Leg,
        limit: &'static str,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if !cx.judge {
            cx.report.limit_reached(limit);
            return false;
        }
        self.broken(leg, Reason::Limit(limit), ErrorCode::EnhanceYourCalm, cx, out);
        true
    }

    /// What may be answered by a PING came (as estimators of bandwidth do): more are expected.
    pub(super) fn clear_pings(&mut self) {
        self.directions.iter_mut().for_each(|direction| direction.rates.pings = Rate::default());
    }

    /// A frame came that says little. Answers whether that ends the connection.
    pub(super) fn says_little(&mut self, leg: Leg, cx: &mut Cx<'_>, out: &mut Actions) -> bool {
        let most = cx.limits.http2_empty_frames;
        self.direction(leg).rates.empty.exceeds(most, cx.now)
            && self.flooded(leg, "http2_empty_frames", cx, out)
    }

    /// Something that has begun has not become whole in time.
    pub(super) fn slow(&mut self, leg: Leg, cx: &mut Cx<'_>, out: &mut Actions) {
        let reason = Reason::Timeout("slow_head");
        self.direction(leg).told = true;
        if cx.judge {
            self.broken(leg, reason, ErrorCode::EnhanceYourCalm, cx, out);
        } else {
            let transaction = unreadable(reason, cx);
            cx.report.end(cx.now, transaction);
        }
    }

    /// A leg has ended. What it has left unfinished does not pass.
    pub(super) fn leg_ended(
        &mut self,
        leg: Leg,
        cur: &mut Cursor<'_>,
        cx: &Cx<'_>,
        out: &mut Actions,
    ) {
        self.direction(leg).came();
        match cx.judge {
            true => cur.discard_rest(out),
            false => cur.forward(cur.rest().len(), out),
        }
    }

    /// Says goodbye while Weir is about to stop, in two steps (RFC 9113 §6.8), or closes what is
    /// at rest.
    pub(super) fn farewell(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        if self.is_open() && cx.goodbye {
            let begun = self.directions.iter().all(|direction| direction.settled);
            let between = self.directions.iter().all(super::Direction::is_between);
            let followed = !self.unfollowed && !self.directions.iter().any(|d| d.unread);
            let said = !self.directions.iter().any(super::Direction::has_deferred);
            if self.streams.is_idle() && between && followed && said && (!cx.judge || !begun) {
                self.phase = Phase::Over;
                return out.push(Action::Close);
            }
            match self.goodbye {
                _ if !cx.judge || !begun => {}
                None => {
                    self.goodbye = Some(cx.now);
                    if self.last > ANY_STREAM {
                        // The server has not said it either.
                        self.last = ANY_STREAM;
                        let warning = answer::go_away(ANY_STREAM, ErrorCode::NoError);
                        self.send(Leg::Client, warning, out);
                    }
                }
                Some(at) if cx.now >= at + GOODBYE => self.close(ErrorCode::NoError, out),
                Some(_) => {}
            }
        }
        self.close_at_rest(out);
    }

    /// The end of a connection that takes no further streams: the last one is over, and what was
    /// said to it is on its way.
    pub(super) fn close_at_rest(&mut self, out: &mut Actions) {
        let waits = self.directions.iter().any(super::Direction::has_deferred);
        if self.phase == Phase::Closing && self.streams.is_idle() && !waits {
            self.phase = Phase::Over;
            out.push(Action::Close);
        }
    }
}

/// What could not be read as an operation.
pub(super) fn unreadable(reason: Reason, cx: &mut Cx<'_>) -> Transaction {
    let outcome = refused(reason, cx.judge);
    let protocol = match cx.admission.protocol {
        Some(Protocol::Grpc) => Protocol::Grpc,
        _ => Protocol::Http,
    };
    cx.report.begin(cx.now, protocol, None, &Detail::default(), outcome)
}

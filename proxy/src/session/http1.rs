//! The HTTP/1 session: requests are judged one by one, answers are matched with them in order.
//!
//! The client's leg is read in `requests`, the server's in `responses`; between them stands the
//! queue of requests that wait for their answers. Refused requests wait in it too, so that what
//! Weir answers itself goes out at its turn.

mod answer;
mod body;
mod operation;
mod pending;
mod requests;
mod responses;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use weir_parsers::http1::{Body, HeadScan};
use weir_policy::op::Protocol;

use super::cursor::Cursor;
use super::{Action, Actions, Cx, Input, Leg};
use crate::report::{Detail, Outcome, Reason, Transaction, Verdict};
use pending::{Own, Pending, Switch};

/// The protocol state of one HTTP/1 connection.
#[derive(Debug)]
pub(crate) struct Http1 {
    requests: Requests,
    responses: Responses,
    /// Requests that have not been answered to the end, oldest first.
    pending: VecDeque<Pending>,
    /// The client's input waits until an answer has passed.
    blocked: bool,
    /// The response under way tells the client that it is the last.
    last: bool,
    phase: Phase,
    /// Since when an incomplete head waits, of the client's leg and of the server's.
    slow: [Slow; 2],
    /// Bytes of either leg that have been forwarded or dropped.
    disposed: [u64; 2],
    /// What passes unread from here on, until the connection ends.
    tunnel: Option<Transaction>,
    /// What made it pass unread.
    switched: Option<Box<Switch>>,
}

/// Where the client's leg stands.
#[derive(Debug)]
enum Requests {
    /// At a request's head, or before it.
    Head(HeadScan),
    /// In the body of a request that passes: the last one of the queue.
    Body(Body),
    /// In the body of a refused request, of which so many bytes may yet be thrown away.
    Discard(Body, usize),
    /// Behind a request that may turn the connection into something else: what follows is not
    /// read as HTTP before the answer has come.
    Switching,
}

/// Where the server's leg stands.
#[derive(Debug)]
enum Responses {
    /// At a response's head, or before it.
    Head(HeadScan),
    /// In the body of the final response to the first request of the queue.
    Body(Body),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The client is not read any more; what is in the queue is still answered.
    Finishing,
    /// The connection is ending: what comes is thrown away.
    Over,
    /// Bytes pass without the session.
    Opaque,
}

/// The clock of a head that has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slow {
    /// None has.
    No,
    /// It runs since then.
    Since(Instant),
    /// It ran out, which has been reported.
    Told,
}

impl Http1 {
    /// A connection on which nothing has been said.
    pub(crate) fn new() -> Self {
        Self {
            requests: Requests::Head(HeadScan::default()),
            responses: Responses::Head(HeadScan::default()),
            pending: VecDeque::new(),
            blocked: false,
            last: false,
            phase: Phase::Open,
            slow: [Slow::No; 2],
            disposed: [0; 2],
            tunnel: None,
            switched: None,
        }
    }

    /// Reads what one leg has brought, and says what becomes of it.
    pub(crate) fn input(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        let mut cur = Cursor::new(&input);
        match input.leg {
            Leg::Client => self.client(&mut cur, cx, out),
            Leg::Server => self.server(&mut cur, cx, out),
        }
        if self.phase == Phase::Over || self.phase == Phase::Finishing && input.leg == Leg::Client {
            cur.discard_rest(out);
        }
        if cx.goodbye && self.is_idle() && cur.is_at_end() {
            self.phase = Phase::Over;
            out.push(Action::Close);
        }
        self.disposed[input.leg as usize] += cur.taken();
    }

    /// The alarm that was asked for: a head has not become complete in time.
    pub(crate) fn wake(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        for leg in [Leg::Client, Leg::Server] {
            if let Slow::Since(since) = &mut self.slow[leg as usize] {
                *since = cx.blamed_since(leg, *since);
            }
        }
        if self.phase == Phase::Open && self.is_overdue(Leg::Client, cx) {
            self.slow[Leg::Client as usize] = Slow::Told;
            self.slow_request(cx, out);
        }
        if self.reads_server() && self.is_overdue(Leg::Server, cx) {
            self.slow[Leg::Server as usize] = Slow::Told;
            self.slow_response(cx, out);
        }
        self.set_alarm(cx, out);
    }

    /// The connection has ended; `complete`: in order. What is under way is reported as it
    /// stands.
    pub(crate) fn closed(&mut self, complete: bool, cx: &mut Cx<'_>) {
        for pending in self.pending.drain(..) {
            cx.report.end(cx.now, pending.transaction);
        }
        if let Some(mut transaction) = self.tunnel.take() {
            // The bytes since then have passed beside the session.
            transaction.bytes_in += cx.totals[0].saturating_sub(self.disposed[0]);
            transaction.bytes_out += cx.totals[1].saturating_sub(self.disposed[1]);
            transaction.complete = complete;
            cx.report.end(cx.now, transaction);
        }
    }

    /// Whether a connection that has become something else may live on under the policy in
    /// force.
    pub(crate) fn stands(&self, cx: &mut Cx<'_>) -> bool {
        let Some(switched) = &self.switched else { return false };
        super::judge::judge(&switched.operation(), cx).verdict != Verdict::Refused
    }

    /// Whether the connection stands between messages, with nothing under way.
    fn is_idle(&self) -> bool {
        self.phase == Phase::Open
            && self.pending.is_empty()
            && matches!(self.requests, Requests::Head(_))
            && matches!(self.responses, Responses::Head(_))
            && self.slow == [Slow::No; 2]
            && !self.blocked
    }

    fn is_overdue(&self, leg: Leg, cx: &Cx<'_>) -> bool {
        matches!(self.slow[leg as usize],
            Slow::Since(since) if cx.now.duration_since(since) >= cx.limits.slow_head)
    }

    /// A head has begun and is not complete.
    fn head_waits(&mut self, leg: Leg, cx: &Cx<'_>, out: &mut Actions) {
        if self.slow[leg as usize] == Slow::No {
            self.slow[leg as usize] = Slow::Since(cx.now);
            self.set_alarm(cx, out);
        }
    }

    /// A head is complete, or given up. Nothing is asked for where it came at once.
    fn head_done(&mut self, leg: Leg, cx: &Cx<'_>, out: &mut Actions) {
        if std::mem::replace(&mut self.slow[leg as usize], Slow::No) != Slow::No {
            self.set_alarm(cx, out);
        }
    }

    fn set_alarm(&self, cx: &Cx<'_>, out: &mut Actions) {
        // A leg that is not read any more needs no clock.
        let read = [self.phase == Phase::Open, self.reads_server()];
        let since = self.slow.into_iter().zip(read).filter_map(|(slow, read)| match slow {
            Slow::Since(since) if read => Some(since),
            _ => None,
        });
        out.push(Action::Wake(since.min().map(|since| since + cx.limits.slow_head)));
    }

    /// Reports what could not be read as an operation, over and done with.
    fn report_unreadable(&self, reason: Reason, bytes: [u64; 2], cx: &mut Cx<'_>) {
        let mut transaction = begin_unreadable(reason, cx);
        [transaction.bytes_in, transaction.bytes_out] = bytes;
        cx.report.end(cx.now, transaction);
    }

    /// Observing, the session has lost its way: the rest passes unread.
    fn give_up(&mut self, reason: Reason, cx: &mut Cx<'_>, out: &mut Actions) {
        let transaction = begin_unreadable(reason, cx);
        cx.report.started(&transaction);
        self.tunnel = Some(transaction);
        self.phase = Phase::Opaque;
        out.push(Action::Opaque);
    }

    /// No more is taken from the client; what is in the queue is answered, then all closes.
    fn finish(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        self.phase = Phase::Finishing;
        out.push(Action::Finish(cx.limits.linger));
        self.answer_own(cx, out);
    }

    /// Both legs end at once, without a word.
    fn reset(&mut self, out: &mut Actions) {
        self.phase = Phase::Over;
        out.push(Action::Reset(Leg::Client));
        out.push(Action::Reset(Leg::Server));
    }

    /// Sends the answers of Weir's own whose turn has come.
    fn answer_own(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        while let Some(Pending { own: Some(_), .. }) = self.pending.front() {
            if !cx.judge {
                // The mode has changed since: what follows has passed already.
                return self.reset(out);
            }
            let Some(mut pending) = self.pending.pop_front() else { return };
            let last = cx.goodbye && self.pending.is_empty();
            let own = pending.own.map(|own| Own { close: own.close || last, ..own });
            self.inject(own, &mut pending.transaction, cx, out);
            let close = own.is_some_and(|own| own.close);
            cx.report.end(cx.now, pending.transaction);
            if close {
                self.phase = Phase::Over;
                return out.push(Action::Close);
            }
        }
        if self.phase == Phase::Finishing && self.pending.is_empty() {
            self.phase = Phase::Over;
            out.push(Action::Close);
        }
    }

    /// Sends one answer of Weir's own.
    fn inject(
        &self,
        own: Option<Own>,
        transaction: &mut Transaction,
        cx: &Cx<'_>,
        out: &mut Actions,
    ) {
        if let Some(own) = own {
            transaction.complete = true;
            out.push(Action::Inject(Leg::Client, answer::render(own, transaction.seq, cx.report)));
        }
    }
}

fn begin_unreadable(reason: Reason, cx: &mut Cx<'_>) -> Transaction {
    let verdict = if cx.judge { Verdict::Refused } else { Verdict::WouldRefuse };
    let outcome = Outcome { verdict, reason, entry: None };
    cx.report.begin(cx.now, Protocol::Http, None, &Detail::default(), outcome)
}

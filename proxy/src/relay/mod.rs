//! The relay: one task per connection that moves bytes both ways and carries out what the
//! session asks, with no lock on the way.
//!
//! Back-pressure is end to end: while bytes towards one leg wait to be written, nothing more is
//! read from the other. A half-close is passed on. A reset is passed on after what came before
//! it was delivered.

mod buffer;
mod flow;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::conn::{Conn, Standing};
use crate::registry::Notice;
use crate::report::metrics::ConnectionOutcome;
use crate::session::{Action, Actions, Input, Leg};
use flow::Flow;

/// How many bytes a lingering close reads and throws away before it gives up on the peer.
const LINGER_BYTES: u64 = 16 << 20;

/// How far a connection is on its way to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    /// Both legs are read and written.
    Open,
    /// A refusal is on its way: the client is not read, earlier answers still pass.
    Finishing,
    /// What is queued is written, then both legs end.
    Closing,
    /// Both legs are shut for writing; the client is read until it ends, so that the answer
    /// arrives.
    Lingering,
}

/// A connection whose both legs are up.
pub(crate) struct Relay {
    conn: Conn,
    /// None once it was reset, by the peer or by Weir.
    client: Option<TcpStream>,
    /// None once it was reset, by the peer or by Weir.
    server: Option<TcpStream>,
    /// From the client to the server.
    up: Flow,
    /// From the server to the client.
    down: Flow,
    phase: Phase,
    opaque: bool,
    /// Legs whose held input the session wants to see again.
    resume: [bool; 2],
    /// The session's alarm.
    wake: Option<Instant>,
    /// The end of the current phase, or of a silent half-close.
    deadline: Option<Instant>,
    /// Sleeps until the earlier of `wake` and `deadline`; made when first needed.
    timer: Option<Pin<Box<Sleep>>>,
    lingered: u64,
    /// The leg to reset once what came before is delivered, because the other one was.
    pass_reset: Option<Leg>,
    end: ConnectionOutcome,
}

impl Relay {
    /// A relay between two connected sockets.
    pub(crate) fn new(conn: Conn, client: TcpStream, server: TcpStream) -> Self {
        Self {
            conn,
            client: Some(client),
            server: Some(server),
            up: Flow::default(),
            down: Flow::default(),
            phase: Phase::Open,
            opaque: false,
            resume: [false; 2],
            wake: None,
            deadline: None,
            timer: None,
            lingered: 0,
            pass_reset: None,
            end: ConnectionOutcome::Closed,
        }
    }

    fn flow(&mut self, from: Leg) -> &mut Flow {
        match from {
            Leg::Client => &mut self.up,
            Leg::Server => &mut self.down,
        }
    }

    /// The socket of a leg, and what goes out to it.
    fn towards(&mut self, leg: Leg) -> (&mut Option<TcpStream>, &mut Flow, &mut Conn) {
        match leg {
            Leg::Client => (&mut self.client, &mut self.down, &mut self.conn),
            Leg::Server => (&mut self.server, &mut self.up, &mut self.conn),
        }
    }

    fn is_dead(&self, leg: Leg) -> bool {
        match leg {
            Leg::Client => self.client.is_none(),
            Leg::Server => self.server.is_none(),
        }
    }

    fn poll_relay(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.conn.control().register(cx.waker());
        loop {
            self.notices();
            let mut progress = false;
            if self.phase != Phase::Lingering {
                progress |= self.pump(Leg::Client, cx);
                progress |= self.pump(Leg::Server, cx);
            }
            self.settle_phase();
            if self.phase == Phase::Lingering {
                ready!(self.poll_linger(cx));
                return Poll::Ready(());
            }
            if self.is_over() {
                if self.end == ConnectionOutcome::Closed {
                    return Poll::Ready(());
                }
                // One leg broke: linger, so that what was written to the other arrives.
                self.begin_closing();
                continue;
            }
            if !progress && self.poll_timer(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Moves one direction as far as it goes. Answers whether something may have changed for the
    /// other.
    fn pump(&mut self, from: Leg, cx: &mut Context<'_>) -> bool {
        let mut progress = std::mem::take(&mut self.resume[from as usize]);
        if progress {
            self.advance(from);
        }
        loop {
            match self.poll_flush(from, cx) {
                Poll::Ready(wrote) => progress |= wrote,
                Poll::Pending => return progress,
            }
            if !self.may_read(from) {
                return progress;
            }
            match self.poll_fill(from, cx) {
                Poll::Ready(true) => progress = true,
                Poll::Ready(false) | Poll::Pending => return progress,
            }
            if self.resume != [false; 2] {
                // Held input is looked at again before more is read, the client's first.
                return true;
            }
        }
    }

    /// Whether the leg is to be read: it is alive and has not ended, the phase wants it, and no
    /// injected bytes wait towards it.
    fn may_read(&mut self, from: Leg) -> bool {
        let wanted = match self.phase {
            Phase::Open => true,
            Phase::Finishing => from == Leg::Server,
            Phase::Closing | Phase::Lingering => false,
        };
        wanted
            && !self.is_dead(from)
            && !self.flow(from).eof
            && !self.flow(from.other()).has_injected()
    }

    /// Writes what waits in the flow from `from`. Ready(true): something was written.
    fn poll_flush(&mut self, from: Leg, cx: &mut Context<'_>) -> Poll<bool> {
        let mut wrote = false;
        let (stream, flow, conn) = self.towards(from.other());
        loop {
            let pending = flow.pending();
            if pending.is_empty() {
                break;
            }
            let Some(stream) = stream else {
                flow.abandon(conn.budget());
                break;
            };
            match ready!(Pin::new(stream).poll_write(cx, pending)) {
                Ok(n) => {
                    conn.sent(from.other(), n);
                    flow.wrote(n, conn.budget());
                    wrote = true;
                }
                Err(_) => {
                    // The peer is gone for writing; what it sent before may still be there.
                    flow.abandon(conn.budget());
                    flow.fin_sent = true;
                    flow.eof = true;
                    self.end = ConnectionOutcome::Reset;
                    return Poll::Ready(true);
                }
            }
        }
        Poll::Ready(self.pass_end(from, cx) || wrote)
    }

    /// Passes the source's end on, once everything before it has gone.
    fn pass_end(&mut self, from: Leg, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Open {
            return false;
        }
        let flow = self.flow(from);
        if !flow.eof || flow.fin_sent || flow.held() > 0 {
            return false;
        }
        flow.fin_sent = true;
        // Shutdown of a TCP stream does not wait.
        if let (Some(stream), ..) = self.towards(from.other()) {
            let _ = Pin::new(stream).poll_shutdown(cx);
        }
        self.touch();
        true
    }

    /// Reads once from `from` and shows it to the session. Ready(false): there is no room before
    /// the session has disposed of something.
    fn poll_fill(&mut self, from: Leg, cx: &mut Context<'_>) -> Poll<bool> {
        let most = self.conn.most_held();
        let (flow, stream) = match from {
            Leg::Client => (&mut self.up, &mut self.client),
            Leg::Server => (&mut self.down, &mut self.server),
        };
        let Some(stream) = stream else {
            return Poll::Ready(false);
        };
        // The readiness is asked first, so that an idle leg needs no buffer.
        match ready!(stream.poll_read_ready(cx)) {
            Ok(()) => {}
            Err(_) => return Poll::Ready(self.lost(from)),
        }
        let Some(room) = flow.room(most, self.conn.budget()) else {
            return Poll::Ready(self.held_full());
        };
        let mut buf = ReadBuf::new(room);
        let full = buf.capacity();
        let read = Pin::new(stream).poll_read(cx, &mut buf);
        let n = buf.filled().len();
        match read {
            Poll::Pending => {
                flow.settle(self.conn.budget());
                return Poll::Pending;
            }
            Poll::Ready(Err(_)) => return Poll::Ready(self.lost(from)),
            Poll::Ready(Ok(())) if n == 0 => flow.eof = true,
            Poll::Ready(Ok(())) => {
                flow.filled(n, n == full);
                self.conn.received(from, n);
            }
        }
        if self.deadline.is_some() {
            self.touch();
        }
        self.advance(from);
        Poll::Ready(true)
    }

    /// The session holds as much as it may. A judged leg waits; an observed one is never held up:
    /// it goes on unread.
    fn held_full(&mut self) -> bool {
        if self.opaque || self.conn.judges() {
            return false;
        }
        self.conn.unread("held_input");
        self.go_opaque();
        true
    }

    /// The leg was reset by its peer, or its socket failed.
    fn lost(&mut self, leg: Leg) -> bool {
        *self.towards(leg).0 = None;
        self.flow(leg).eof = true;
        self.end = ConnectionOutcome::Reset;
        self.advance(leg);
        // What the session still holds can never become whole.
        self.flow(leg).abandon_input();
        self.pass_reset = Some(leg.other());
        self.begin_closing();
        true
    }

    /// Shows the session what one leg has brought, and does what it answers.
    fn advance(&mut self, from: Leg) {
        if self.opaque || !self.conn.judges() {
            self.flow(from).clear_all();
        }
        if self.opaque {
            let held = self.flow(from).held();
            self.flow(from).forward(held);
            self.settle();
            return;
        }
        let mut actions = self.conn.take_actions();
        let totals = [self.up.total, self.down.total];
        let flow = match from {
            Leg::Client => &self.up,
            Leg::Server => &self.down,
        };
        let (data, sent) = flow.input();
        let input = Input { leg: from, data, sent, eof: flow.eof };
        let conn = &mut self.conn;
        match catch_unwind(AssertUnwindSafe(|| conn.input(input, totals, &mut actions))) {
            Ok(()) => self.carry_out(from, &mut actions),
            Err(_) => self.panicked(&mut actions),
        }
        self.conn.put_actions(actions);
    }

    /// A fault in the session ends a judged connection, and leaves an observed one unread.
    fn panicked(&mut self, actions: &mut Actions) {
        actions.drain();
        self.conn.session_panicked();
        if self.conn.judges() {
            self.reset(Leg::Client);
            self.reset(Leg::Server);
            self.end = ConnectionOutcome::Fault;
        } else {
            self.go_opaque();
        }
    }

    fn carry_out(&mut self, from: Leg, actions: &mut Actions) {
        for action in actions.drain() {
            match action {
                Action::Forward(n) => self.flow(from).forward(n),
                Action::Drop(n) => self.flow(from).discard(n),
                Action::Inject(to, bytes) => self.flow(to.other()).inject(&bytes),
                Action::Resume(leg) => self.resume[leg as usize] = true,
                Action::Finish(time) => {
                    self.end = ConnectionOutcome::Refused;
                    self.phase = self.phase.max(Phase::Finishing);
                    self.deadline = Some(Instant::now() + time);
                }
                Action::Close => self.begin_closing(),
                Action::Reset(leg) => {
                    self.reset(leg);
                    self.end = ConnectionOutcome::Refused;
                }
                Action::Opaque => self.go_opaque(),
                Action::Wake(at) => self.wake = at,
            }
        }
        self.settle();
    }

    /// Gives empty buffers back.
    fn settle(&mut self) {
        let budget = self.conn.budget();
        self.up.settle(budget);
        self.down.settle(budget);
    }

    fn go_opaque(&mut self) {
        self.opaque = true;
        self.wake = None;
        for flow in [&mut self.up, &mut self.down] {
            let held = flow.held();
            flow.forward(held);
        }
        self.wake = self.conn.periodic();
    }

    fn begin_closing(&mut self) {
        if self.phase < Phase::Closing {
            self.phase = Phase::Closing;
            self.deadline = Some(Instant::now() + self.conn.limits().linger);
            self.up.abandon_input();
            self.down.abandon_input();
        }
    }

    /// Resets a leg at once. What waits to be written to it is given to the kernel first, as far
    /// as that takes it.
    fn reset(&mut self, leg: Leg) {
        let (stream, flow, conn) = self.towards(leg);
        if let Some(stream) = stream.take() {
            while !flow.pending().is_empty() {
                match stream.try_write(flow.pending()) {
                    Ok(n @ 1..) => flow.wrote(n, conn.budget()),
                    _ => break,
                }
            }
            crate::net::reset_on_close(&stream);
        }
        flow.abandon_pending(conn.budget());
        self.end = ConnectionOutcome::Reset;
        self.begin_closing();
    }

    /// Goes on to the next phase when the present one has nothing left to do.
    fn settle_phase(&mut self) {
        if self.phase == Phase::Finishing && (self.server.is_none() || self.down.eof) {
            // Nobody is left who could answer what the session still waits for.
            self.begin_closing();
        }
        if self.phase == Phase::Closing
            && (self.up.is_flushed() || self.server.is_none())
            && (self.down.is_flushed() || self.client.is_none())
        {
            self.begin_lingering();
        }
    }

    fn begin_lingering(&mut self) {
        if let Some(leg) = self.pass_reset {
            self.reset(leg);
        }
        for stream in [&self.client, &self.server].into_iter().flatten() {
            let _ = socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write);
        }
        self.phase = Phase::Lingering;
        self.deadline = Some(Instant::now() + self.conn.limits().linger);
    }

    /// Reads the client and throws it away until it ends, so that no reset overtakes the answer.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.up.eof {
            return Poll::Ready(());
        }
        let mut scratch = [0; 4096];
        loop {
            if self.poll_timer(cx).is_ready() || self.lingered > LINGER_BYTES {
                return Poll::Ready(());
            }
            let mut buf = ReadBuf::new(&mut scratch);
            let Some(client) = &mut self.client else {
                return Poll::Ready(());
            };
            match ready!(Pin::new(client).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => self.lingered += buf.filled().len() as u64,
                _ => return Poll::Ready(()),
            }
        }
    }

    fn is_over(&self) -> bool {
        let ended = |flow: &Flow, to: &Option<TcpStream>| {
            flow.eof && flow.is_flushed() && (flow.fin_sent || to.is_none())
        };
        ended(&self.up, &self.server) && ended(&self.down, &self.client)
    }

    /// Starts the clock of a half-closed connection again, as something has moved.
    fn touch(&mut self) {
        if self.phase == Phase::Open && (self.up.eof != self.down.eof) {
            self.deadline = Some(Instant::now() + self.conn.limits().half_close_idle);
        }
    }

    /// Handles what others told this connection.
    fn notices(&mut self) {
        let notices = self.conn.control().take();
        if notices == 0 {
            return;
        }
        if notices & Notice::End as u8 != 0 {
            self.end = ConnectionOutcome::Drained;
            self.begin_closing();
            return;
        }
        let was_judging = self.conn.judges();
        if self.conn.noticed(notices, self.opaque) == Standing::Forbidden {
            self.reset(Leg::Client);
            self.reset(Leg::Server);
            self.end = ConnectionOutcome::Refused;
            return;
        }
        if was_judging != self.conn.judges() || notices & Notice::Goodbye as u8 != 0 {
            self.resume = [true; 2];
        }
    }

    /// Sleeps until the alarm or the deadline. Ready: one of them was reached and handled.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = earlier(self.wake, self.deadline) else {
            return Poll::Pending;
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at.into())));
        if timer.deadline().into_std() != at {
            timer.as_mut().reset(at.into());
        }
        ready!(timer.as_mut().poll(cx));
        let now = Instant::now();
        if self.deadline.is_some_and(|at| at <= now) {
            self.deadline = None;
            self.deadline_reached();
        }
        if self.wake.is_some_and(|at| at <= now) {
            self.wake = None;
            self.alarm();
        }
        Poll::Ready(())
    }

    fn deadline_reached(&mut self) {
        match self.phase {
            Phase::Open => {
                self.end = ConnectionOutcome::Limit;
                self.conn.limit_reached("half_close_idle");
                self.begin_closing();
            }
            Phase::Finishing => self.begin_closing(),
            Phase::Closing => {
                // The peer does not take what is queued.
                self.reset(Leg::Client);
                self.reset(Leg::Server);
                let budget = self.conn.budget();
                self.up.abandon(budget);
                self.down.abandon(budget);
            }
            Phase::Lingering => {}
        }
    }

    fn alarm(&mut self) {
        let totals = [self.up.total, self.down.total];
        if self.opaque {
            self.wake = self.conn.periodic();
            return;
        }
        let mut actions = self.conn.take_actions();
        let conn = &mut self.conn;
        match catch_unwind(AssertUnwindSafe(|| conn.wake(totals, &mut actions))) {
            Ok(()) => self.carry_out(Leg::Client, &mut actions),
            Err(_) => self.panicked(&mut actions),
        }
        self.conn.put_actions(actions);
    }
}

impl Future for Relay {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.get_mut().poll_relay(cx)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let budget = self.conn.budget();
        self.up.abandon(budget);
        self.down.abandon(budget);
        let totals = [self.up.total, self.down.total];
        self.conn.ended(self.end, totals);
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

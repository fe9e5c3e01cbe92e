//! The relay: one task per connection that moves bytes both ways and carries out what the
//! session asks, with no lock on the way.
//!
//! Back-pressure is end to end: while bytes towards one leg wait to be written, nothing more is
//! read from the other. A half-close is passed on. A reset is passed on after what came before
//! it was delivered.

mod buffer;
mod drive;
mod end;
mod flow;
mod io;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::conn::Conn;
use crate::report::metrics::ConnectionOutcome;
use crate::session::Leg;
use flow::Flow;

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

/// Whether Weir keeps itself from reading a leg, as a peer does not take what waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stall {
    No,
    Now,
    /// It did until then.
    Until(Instant),
}

/// A connection whose both legs are up.
pub(crate) struct Relay {
    conn: Box<Conn>,
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
    /// What the session's clocks of each leg must not blame on its peer.
    stalls: [Stall; 2],
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
    pub(crate) fn new(conn: Box<Conn>, client: TcpStream, server: TcpStream) -> Self {
        Self {
            conn,
            client: Some(client),
            server: Some(server),
            up: Flow::default(),
            down: Flow::default(),
            phase: Phase::Open,
            opaque: false,
            resume: [false; 2],
            stalls: [Stall::No; 2],
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
                Poll::Pending => {
                    self.stalled(from);
                    return progress;
                }
            }
            if !self.may_read(from) {
                return progress;
            }
            self.reads_on(from);
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

    /// Whether the leg is to be read: it is alive and has not ended, the phase wants it, and, if
    /// it is the client's, it has taken what Weir answered. The server's is read whatever waits
    /// towards it: it may read nothing more before its answer is written.
    fn may_read(&mut self, from: Leg) -> bool {
        let wanted = match self.phase {
            Phase::Open => true,
            Phase::Finishing => from == Leg::Server,
            Phase::Closing | Phase::Lingering => false,
        };
        wanted
            && !self.is_dead(from)
            && !self.flow(from).eof
            && (from == Leg::Server || !self.down.has_injected())
    }

    /// What was read from this leg is not taken, so it is not read; nor is the client's, if what
    /// Weir answered waits there. Nobody gains time by it: a peer that takes nothing may hold a
    /// connection as long without a head.
    fn stalled(&mut self, from: Leg) {
        self.stalls[from as usize] = Stall::Now;
        if from == Leg::Server && self.down.has_injected() {
            self.stalls[Leg::Client as usize] = Stall::Now;
        }
    }

    /// A leg is read. When its stall ended matters only to an alarm that is set: what begins
    /// later comes behind it.
    fn reads_on(&mut self, from: Leg) {
        let stall = &mut self.stalls[from as usize];
        if *stall == Stall::Now {
            *stall = self.wake.map_or(Stall::No, |_| Stall::Until(Instant::now()));
        }
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

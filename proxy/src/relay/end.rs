//! How a connection ends: closing, lingering, resetting, and the clocks of all that.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;

use super::flow::Flow;
use super::{Phase, Relay};
use crate::report::metrics::ConnectionOutcome;
use crate::session::Leg;

/// How many bytes a lingering close reads and throws away before it gives up on the peer.
const LINGER_BYTES: u64 = 16 << 20;

impl Relay {
    pub(super) fn begin_closing(&mut self) {
        if self.phase < Phase::Closing {
            self.phase = Phase::Closing;
            self.deadline = Some(Instant::now() + self.conn.limits().linger);
            self.up.abandon_input();
            self.down.abandon_input();
        }
    }

    /// Resets a leg at once. What waits to be written to it is given to the kernel first, as far
    /// as that takes it.
    pub(super) fn reset(&mut self, leg: Leg) {
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
    pub(super) fn settle_phase(&mut self) {
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

    pub(super) fn begin_lingering(&mut self) {
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
    pub(super) fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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

    pub(super) fn is_over(&self) -> bool {
        // Once both legs have ended, what the session still holds waits for nothing.
        let silent = self.up.eof && self.down.eof && self.resume == [false; 2];
        let ended = |flow: &Flow, to: &Option<TcpStream>| {
            flow.eof && flow.is_flushed() && (flow.fin_sent || to.is_none() || silent)
        };
        ended(&self.up, &self.server) && ended(&self.down, &self.client)
    }

    /// Starts the clock of a half-closed connection again, as something has moved.
    pub(super) fn touch(&mut self) {
        if self.phase == Phase::Open && (self.up.eof != self.down.eof) {
            self.deadline = Some(Instant::now() + self.conn.limits().half_close_idle);
        }
    }

    /// Sleeps until the alarm or the deadline. Ready: one of them was reached and handled.
    pub(super) fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
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

    pub(super) fn deadline_reached(&mut self) {
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
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

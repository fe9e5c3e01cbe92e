//! The relay's reads and writes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Phase, Relay};
use crate::report::metrics::ConnectionOutcome;
use crate::session::Leg;

impl Relay {
    /// Writes what waits in the flow from `from`. Ready(true): something was written.
    pub(super) fn poll_flush(&mut self, from: Leg, cx: &mut Context<'_>) -> Poll<bool> {
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
    pub(super) fn pass_end(&mut self, from: Leg, cx: &mut Context<'_>) -> bool {
        if self.phase != Phase::Open {
            return false;
        }
        let observed = self.opaque || !self.conn.judges();
        let flow = self.flow(from);
        // What the session has yet to read of an observed leg has passed already.
        let waits = if observed { !flow.is_cleared() } else { flow.held() > 0 };
        if !flow.eof || flow.fin_sent || waits {
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
    pub(super) fn poll_fill(&mut self, from: Leg, cx: &mut Context<'_>) -> Poll<bool> {
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
        let ended = n == 0 && matches!(read, Poll::Ready(Ok(())));
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
        if self.deadline.is_some() || ended {
            self.touch();
        }
        self.advance(from);
        Poll::Ready(true)
    }

    /// The session holds as much as it may. A judged leg waits; an observed one is never held up:
    /// it goes on unread.
    pub(super) fn held_full(&mut self) -> bool {
        if self.opaque || self.conn.judges() {
            return false;
        }
        self.conn.unread("held_input");
        self.go_opaque();
        true
    }

    /// The leg was reset by its peer, or its socket failed.
    pub(super) fn lost(&mut self, leg: Leg) -> bool {
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
}

//! The HTTP/2 session (RFC 9113): frames pass as they came, each stream is judged on its own.
//!
//! Connections map one to one: stream ids, windows, priorities, pings and GOAWAY are the peers'
//! own. Every header block is decoded, to be judged and to keep the state of HPACK. A block that
//! is kept from its receiver parts the tables of the two ends; from then on Weir encodes the
//! blocks of that direction anew ([`direction`]). What names a refused stream is consumed here,
//! and the window that it used is given back.
//!
//! `frames` reads one leg frame by frame, `blocks` its header blocks; `requests`, `responses` and
//! `content` say what those mean for a [`stream`], `control` what the frames of the connection
//! mean. `fate` is whether a block passes, `ending` how streams and connections end.

mod answer;
mod blocks;
mod content;
mod control;
mod direction;
mod ending;
mod fate;
mod frames;
mod judge;
mod rate;
mod requests;
mod responses;
mod stream;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use super::cursor::Cursor;
use super::{Action, Actions, Cx, Input, Leg};
use crate::config::UnknownFrames;
use crate::report::Transaction;
use direction::{At, Direction};
use rate::Rate;
use stream::Streams;

/// How long after the first GOAWAY the second is sent, which names the last stream (RFC 9113
/// §6.8: at least a round trip).
const GOODBYE: Duration = Duration::from_secs(1);

/// The protocol state of one HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct Http2 {
    /// By the leg that the bytes come from.
    directions: [Direction; 2],
    streams: Streams,
    /// What becomes of frames of unknown types where they are judged.
    unknown: UnknownFrames,
    phase: Phase,
    refusals: Rate,
    /// The last stream that a GOAWAY has told the client of: no later one may name a higher.
    last: u32,
    /// Some request passes unread, while the connection is only observed.
    unfollowed: bool,
    /// When the first GOAWAY of a goodbye was sent.
    goodbye: Option<Instant>,
    /// Bytes of either leg that have been forwarded or dropped.
    disposed: [u64; 2],
    /// What passes unread from here on, until the connection ends.
    unread: Option<Transaction>,
    /// When the alarm is set for.
    alarm: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// GOAWAY was sent: streams that come are left to another connection, those that are under
    /// way end.
    Closing,
    /// The connection is ending: what comes is thrown away.
    Over,
    /// Bytes pass without the session.
    Opaque,
}

impl Http2 {
    /// A connection on which nothing has been said.
    pub(crate) fn new(unknown: UnknownFrames) -> Self {
        Self {
            unknown,
            directions: [Direction::new(At::Preface), Direction::new(At::Frame)],
            streams: Streams::default(),
            phase: Phase::Open,
            refusals: Rate::default(),
            last: u32::MAX,
            unfollowed: false,
            goodbye: None,
            disposed: [0; 2],
            unread: None,
            alarm: None,
        }
    }

    /// Reads what one leg has brought, and says what becomes of it.
    pub(crate) fn input(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        let (leg, mut cur) = (input.leg, Cursor::new(&input));
        if !cx.judge && self.is_open() && self.has_meddled() {
            // The mode has changed since, and what came has passed as if nothing had been kept
            // back.
            self.reset(cx, out);
        }
        self.direction(leg).part_gone = !cx.judge || cur.is_part_gone();
        while self.is_open() && !cur.is_torn() && self.step(leg, &mut cur, cx, out) {
            // What comes behind the end must not pass because it came in the same read.
            self.close_at_rest(out);
            self.direction(leg).part_gone &= !cx.judge || cur.is_part_gone();
        }
        if self.is_open() && cur.is_torn() {
            // Half of what was not to pass had passed while the connection was only observed.
            self.reset(cx, out);
        }
        if self.is_open() && self.waits_too_much(cx) {
            cx.report.limit_reached("http2_deferred_bytes");
            self.reset(cx, out);
        }
        if self.is_open() {
            self.direction(leg).part_gone =
                if cx.judge { cur.is_part_gone() } else { !cur.is_at_end() };
            self.between(leg, out);
            if cur.eof {
                self.leg_ended(leg, &mut cur, cx, out);
            }
        }
        if self.phase == Phase::Over {
            cur.discard_rest(out);
        }
        self.disposed[leg as usize] += cur.taken();
        self.farewell(cx, out);
        self.set_alarm(cx, out);
    }

    /// The alarm that was asked for.
    pub(crate) fn wake(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        self.alarm = None;
        for leg in [Leg::Client, Leg::Server] {
            let slow = &mut self.direction(leg).slow;
            *slow = slow.map(|since| cx.blamed_since(leg, since));
            if self.is_open() && self.direction(leg).is_overdue(cx) {
                self.slow(leg, cx, out);
            }
        }
        self.farewell(cx, out);
        self.set_alarm(cx, out);
    }

    /// The connection has ended; `complete`: in order. What is under way is reported as it
    /// stands.
    pub(crate) fn closed(&mut self, complete: bool, cx: &mut Cx<'_>) {
        self.end_streams(cx);
        if let Some(mut transaction) = self.unread.take() {
            // The bytes since then have passed beside the session.
            transaction.bytes_in += cx.totals[0].saturating_sub(self.disposed[0]);
            transaction.bytes_out += cx.totals[1].saturating_sub(self.disposed[1]);
            transaction.complete = complete;
            cx.report.end(cx.now, transaction);
        }
    }

    fn direction(&mut self, from: Leg) -> &mut Direction {
        &mut self.directions[from as usize]
    }

    /// Whether bytes are still read.
    fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Closing)
    }

    /// Whether something was kept from a peer, so that not everything can pass as it comes.
    fn has_meddled(&self) -> bool {
        self.streams.keeps_back() || self.directions.iter().any(Direction::has_meddled)
    }

    /// Whether a peer that takes nothing lets answers of Weir's own pile up.
    fn waits_too_much(&self, cx: &Cx<'_>) -> bool {
        self.directions.iter().any(|d| d.deferred.len() > cx.limits.http2_deferred_bytes)
    }

    /// Puts frames of Weir's own on the way to a leg, between two of the other one's.
    fn send(&mut self, to: Leg, frames: Vec<u8>, out: &mut Actions) {
        let direction = self.direction(to.other());
        if direction.takes_own() && direction.deferred.is_empty() {
            out.push(Action::Inject(to, frames.into()));
        } else {
            direction.deferred.extend_from_slice(&frames);
        }
    }

    /// Sets the one alarm to what comes first: a block that is slow, or the second GOAWAY.
    fn set_alarm(&mut self, cx: &Cx<'_>, out: &mut Actions) {
        let slow = self.directions.iter().filter_map(|direction| direction.slow_at(cx));
        let waits = cx.judge && self.phase == Phase::Open;
        let goodbye = self.goodbye.map(|at| at + GOODBYE).filter(|_| waits);
        let alarm = slow.chain(goodbye).min().filter(|_| self.is_open());
        if alarm != self.alarm {
            self.alarm = alarm;
            out.push(Action::Wake(alarm));
        }
    }
}

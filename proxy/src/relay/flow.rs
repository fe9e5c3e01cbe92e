//! One direction of a connection: what was read from one leg, on its way to the other.
//!
//! A flow has four offsets into its buffer:
//!
//! ```text
//!        written        cleared          end
//!   ───────┼──────────────┼───────────────┼────── judged: parsed == cleared
//!   ───────┼──────────────┼───────────────┼────── observed: cleared == end, parsed anywhere
//! ```
//!
//! What is cleared may be written; what is parsed is disposed of. Bytes are let go once they are
//! both written and parsed. Injected bytes wait in `out`, which goes before everything cleared.

use bytes::Bytes;

use super::buffer::{self, Buffer};
use crate::budget::Budget;

/// See the module's words.
#[derive(Debug, Default)]
pub(super) struct Flow {
    buffer: Buffer,
    written: usize,
    cleared: usize,
    parsed: usize,
    end: usize,
    /// Bytes of Weir's own, and what had to go before them.
    out: Vec<u8>,
    out_written: usize,
    /// The last read filled its room: the next one into an empty flow gets a bulk buffer.
    bulk: bool,
    /// Bytes read from the source so far.
    pub(super) total: u64,
    /// The source has ended.
    pub(super) eof: bool,
    /// The end was passed on.
    pub(super) fin_sent: bool,
}

impl Flow {
    /// What the session has not disposed of, and how much of it has passed already.
    pub(super) fn input(&self) -> (&[u8], usize) {
        (&self.buffer.bytes()[self.parsed..self.end], self.cleared.saturating_sub(self.parsed))
    }

    /// How many bytes wait for the session.
    pub(super) fn held(&self) -> usize {
        self.end - self.parsed
    }

    /// What may be written next; empty when nothing waits.
    pub(super) fn pending(&self) -> &[u8] {
        if self.out_written < self.out.len() {
            &self.out[self.out_written..]
        } else {
            &self.buffer.bytes()[self.written..self.cleared]
        }
    }

    /// Whether bytes of Weir's own wait to be written.
    pub(super) fn has_injected(&self) -> bool {
        self.out_written < self.out.len()
    }

    /// `n` bytes of [`pending`](Self::pending) were written.
    pub(super) fn wrote(&mut self, n: usize, budget: &Budget) {
        if self.out_written < self.out.len() {
            self.out_written += n;
            if self.out_written == self.out.len() {
                // Refusals are rare: their memory does not stay.
                self.out = Vec::new();
                self.out_written = 0;
            }
        } else {
            self.written += n;
        }
        self.settle(budget);
    }

    /// Room to read into, at least a byte; `None` when the session must first dispose of what
    /// there is (`most` bytes are held).
    pub(super) fn room(&mut self, most: usize, budget: &Budget) -> Option<&mut [u8]> {
        let kept = self.written.min(self.parsed)..self.end;
        if self.buffer.capacity() == 0 {
            let bulk = self.bulk && budget.has_room(buffer::BULK);
            let size = if bulk { buffer::BULK } else { buffer::FIRST };
            self.buffer.grow(size, 0..0, budget);
        } else if self.end == self.buffer.capacity() {
            if kept.len() == self.buffer.capacity() {
                if kept.len() >= most {
                    return None;
                }
                self.buffer.grow((kept.len() * 4).min(most), kept.clone(), budget);
            } else {
                self.buffer.bytes_mut().copy_within(kept.clone(), 0);
            }
            self.rebase(kept.start);
        }
        Some(&mut self.buffer.bytes_mut()[self.end..])
    }

    fn rebase(&mut self, by: usize) {
        self.written -= by;
        self.cleared -= by;
        self.parsed -= by;
        self.end -= by;
    }

    /// `n` bytes were read into [`room`](Self::room); `full`: they filled it.
    pub(super) fn filled(&mut self, n: usize, full: bool) {
        self.end += n;
        self.bulk = full || (self.bulk && n > buffer::FIRST);
        self.total += n as u64;
    }

    /// Everything read may be written: the connection is observed.
    pub(super) fn clear_all(&mut self) {
        self.cleared = self.end;
    }

    /// Whether everything read may be written.
    pub(super) fn is_cleared(&self) -> bool {
        self.cleared == self.end
    }

    /// The session is done with the next `n` bytes, and they pass.
    pub(super) fn forward(&mut self, n: usize) {
        self.parsed = (self.parsed + n).min(self.end);
        self.cleared = self.cleared.max(self.parsed);
    }

    /// The session is done with the next `n` bytes, and they do not pass, so far as they have
    /// not passed already.
    pub(super) fn discard(&mut self, n: usize) {
        self.parsed = (self.parsed + n).min(self.end);
        if self.parsed > self.cleared {
            self.set_aside();
            self.written = self.parsed;
            self.cleared = self.parsed;
        }
    }

    /// Puts bytes of Weir's own behind everything cleared so far.
    pub(super) fn inject(&mut self, bytes: &Bytes) {
        self.set_aside();
        self.out.extend_from_slice(bytes);
    }

    /// Moves what is cleared and not yet written to `out`, so that something can follow it there.
    fn set_aside(&mut self) {
        self.out.extend_from_slice(&self.buffer.bytes()[self.written..self.cleared]);
        self.written = self.cleared;
    }

    /// Forgets what waits to be written.
    pub(super) fn abandon_pending(&mut self, budget: &Budget) {
        self.out = Vec::new();
        self.out_written = 0;
        self.written = self.cleared;
        self.settle(budget);
    }

    /// Forgets everything: nobody is there to take it.
    pub(super) fn abandon(&mut self, budget: &Budget) {
        self.out = Vec::new();
        self.out_written = 0;
        self.written = self.end;
        self.cleared = self.end;
        self.parsed = self.end;
        self.settle(budget);
    }

    /// Forgets what the session has not disposed of and what comes after it, keeping what waits
    /// to be written.
    pub(super) fn abandon_input(&mut self) {
        let held = self.held();
        self.discard(held);
    }

    /// Gives an empty buffer back.
    pub(super) fn settle(&mut self, budget: &Budget) {
        if self.written == self.end && self.parsed == self.end && self.cleared == self.end {
            self.written = 0;
            self.cleared = 0;
            self.parsed = 0;
            self.end = 0;
            self.buffer.release(budget);
        }
    }

    /// Nothing waits to be written.
    pub(super) fn is_flushed(&self) -> bool {
        self.pending().is_empty()
    }
}

//! How far into one input the session has come.

use super::{Actions, Input};

/// The bytes of one input, and how many of them have been disposed of.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
    sent: usize,
    torn: bool,
    /// Nothing comes after the bytes at hand.
    pub(super) eof: bool,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(input: &Input<'a>) -> Self {
        Self { data: input.data, at: 0, sent: input.sent, torn: false, eof: input.eof }
    }

    /// What has not been disposed of.
    pub(super) fn rest(&self) -> &'a [u8] {
        &self.data[self.at..]
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.data.len()
    }

    /// How many bytes have been disposed of.
    pub(super) fn taken(&self) -> u64 {
        self.at as u64
    }

    /// Some of the rest has passed already, while the connection was only observed.
    pub(super) fn is_part_gone(&self) -> bool {
        self.sent > self.at
    }

    /// Something was discarded of which a part had passed already.
    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }

    pub(super) fn forward(&mut self, n: usize, out: &mut Actions) {
        self.at += n;
        out.forward(n);
    }

    pub(super) fn discard(&mut self, n: usize, out: &mut Actions) {
        self.torn |= n > 0 && self.is_part_gone();
        self.at += n;
        out.discard(n);
    }

    pub(super) fn discard_rest(&mut self, out: &mut Actions) {
        self.discard(self.rest().len(), out);
    }
}

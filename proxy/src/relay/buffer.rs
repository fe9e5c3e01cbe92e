//! Buffers in three sizes, from a pool of each thread, counted against the process's budget.
//!
//! An idle connection has none. A connection that speaks takes a small one and gives it back as
//! soon as it is empty; held messages and bulk transfers grow it.

use std::cell::RefCell;

use crate::budget::Budget;

/// The sizes. The last one halves the cost of bulk transfers, also on a core that others share,
/// where half of it does not (docs/benchmarks.md); more gains nothing.
const SIZES: [usize; 3] = [16 << 10, 64 << 10, 512 << 10];
/// How many buffers of each size a thread keeps for the next connection that speaks.
const KEPT: [usize; 3] = [64, 8, 4];

thread_local! {
    static POOL: RefCell<[Vec<Box<[u8]>>; 3]> = const { RefCell::new([const { Vec::new() }; 3]) };
}

/// Bytes between two offsets of a pooled buffer; no buffer at all while there are none.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
}

impl Buffer {
    /// How many bytes it has room for in all.
    pub(crate) fn capacity(&self) -> usize {
        self.bytes.len()
    }

    /// The whole room.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole room, to read into.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// Makes room for at least `capacity` bytes, keeping what lies in `from`, which moves to the
    /// front. Room past the largest pooled size is made exactly.
    pub(crate) fn grow(&mut self, capacity: usize, from: std::ops::Range<usize>, budget: &Budget) {
        let mut bigger = take(capacity, budget);
        bigger[..from.len()].copy_from_slice(&self.bytes[from]);
        give(std::mem::replace(&mut self.bytes, bigger), budget);
    }

    /// Gives the room back to the pool.
    pub(crate) fn release(&mut self, budget: &Budget) {
        if !self.bytes.is_empty() {
            give(std::mem::take(&mut self.bytes), budget);
        }
    }
}

/// The smallest pooled size that holds `capacity`, if there is one.
fn class(capacity: usize) -> Option<usize> {
    SIZES.iter().position(|&size| capacity <= size)
}

fn take(capacity: usize, budget: &Budget) -> Box<[u8]> {
    let bytes = match class(capacity) {
        Some(class) => POOL
            .with_borrow_mut(|pool| pool[class].pop())
            .unwrap_or_else(|| vec![0; SIZES[class]].into_boxed_slice()),
        None => vec![0; capacity].into_boxed_slice(),
    };
    budget.buffers_taken(bytes.len());
    bytes
}

fn give(bytes: Box<[u8]>, budget: &Budget) {
    budget.buffers_given(bytes.len());
    if let Some(class) = SIZES.iter().position(|&size| size == bytes.len()) {
        POOL.with_borrow_mut(|pool| {
            if pool[class].len() < KEPT[class] {
                pool[class].push(bytes);
            }
        });
    }
}

/// The smallest size, for the first read.
pub(crate) const FIRST: usize = SIZES[0];
/// The largest pooled size, for bulk.
pub(crate) const BULK: usize = SIZES[2];

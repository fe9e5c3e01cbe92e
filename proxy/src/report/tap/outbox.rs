//! Records on their way from one worker thread to the taps.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::{Filter, Hub, Seen};

/// A batch goes to the hub when its lines are this long, and at each flush.
const BATCH: usize = 64 << 10;

/// Whole lines, with what filters ask of each.
#[derive(Debug, Default)]
pub(super) struct Batch {
    lines: Vec<u8>,
    /// The operations, one behind the other, as JSON strings with their quotes.
    ops: Vec<u8>,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    seen: Seen,
    /// Where its line ends, and its operation.
    line: usize,
    op: usize,
}

impl Batch {
    /// How many records it has.
    pub(super) fn records(&self) -> u64 {
        self.records.len() as u64
    }

    /// Makes its lines what many can hold.
    pub(super) fn share(mut self) -> SharedBatch {
        // Whoever holds the lines counts them by their length.
        self.lines.shrink_to_fit();
        SharedBatch { lines: self.lines.into(), ops: self.ops, records: self.records }
    }
}

/// A batch whose lines can be held by many.
pub(super) struct SharedBatch {
    lines: Bytes,
    ops: Vec<u8>,
    records: Vec<Record>,
}

impl SharedBatch {
    /// The lines of which `filter` wants the records, and how many they are. No memory is needed
    /// where it wants all.
    pub(super) fn filtered(&self, filter: &Filter) -> (Bytes, u64) {
        let (mut wanted, mut count) = (Vec::<Range<usize>>::new(), 0);
        let (mut line, mut op) = (0, 0);
        for record in &self.records {
            if filter.matches(&record.seen, &self.ops[op..record.op]) {
                count += 1;
                match wanted.last_mut() {
                    Some(last) if last.end == line => last.end = record.line,
                    _ => wanted.push(line..record.line),
                }
            }
            (line, op) = (record.line, record.op);
        }
        let lines = match wanted.as_slice() {
            [] => Bytes::new(),
            [all] if *all == (0..self.lines.len()) => self.lines.clone(),
            // A part is copied, so that it does not keep the whole.
            _ => {
                let mut lines = Vec::with_capacity(wanted.iter().map(Range::len).sum());
                wanted.into_iter().for_each(|range| lines.extend_from_slice(&self.lines[range]));
                lines.into()
            }
        };
        (lines, count)
    }
}

/// The batch of one worker thread.
#[derive(Default)]
pub(in crate::report) struct Outbox {
    hub: Option<Arc<Hub>>,
    batch: Batch,
}

impl Outbox {
    /// Adds what `write` writes, one line. `op` is its operation as a JSON string, or empty.
    pub(in crate::report) fn line(
        &mut self,
        hub: &Arc<Hub>,
        seen: Seen,
        op: &[u8],
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if self.hub.as_ref().is_none_or(|mine| !Arc::ptr_eq(mine, hub)) {
            self.flush();
            self.hub = Some(Arc::clone(hub));
        }
        let Batch { lines, ops, records } = &mut self.batch;
        // A connection may have panicked within its line.
        let (line, end) = records.last().map_or((0, 0), |last| (last.line, last.op));
        lines.truncate(line);
        ops.truncate(end);
        write(lines);
        ops.extend_from_slice(op);
        records.push(Record { seen, line: lines.len(), op: ops.len() });
        if lines.len() >= BATCH {
            self.flush();
        }
    }

    /// Hands the batch over.
    pub(in crate::report) fn flush(&mut self) {
        let Some(hub) = &self.hub else { return };
        if !self.batch.records.is_empty() {
            let batch = std::mem::take(&mut self.batch);
            if hub.has_taps() {
                // Room for as much again.
                self.batch.lines.reserve(batch.lines.len());
                self.batch.ops.reserve(batch.ops.len());
                self.batch.records.reserve(batch.records.len());
                hub.send(batch);
            }
        } else if !hub.has_taps() {
            *self = Self::default();
        }
    }
}

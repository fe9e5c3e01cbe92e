//! What each worker thread keeps: the batches of lines on their way to the writer and the taps,
//! and room to render in.

use std::cell::RefCell;
use std::sync::Arc;

use super::bounded::Due;
use super::clock::Clock;
use super::entries::Entries;
use super::queue::{Batch, Queue};
use super::summary::Shapes;
use super::tap::{Hub, Outbox, Seen};
use crate::learn::Table;

/// A batch goes to the writer when it is this long: each wakes the writer's thread, which costs as
/// much as several records where both share a core.
const BATCH: usize = 96 << 10;
/// How many spare texts of each size a thread keeps, and the sizes. A text lives as long as its
/// transaction, of which a connection may have hundreds: it takes little more room than it needs.
const SPARE_TEXTS: usize = 512;
const TEXT_SIZES: [usize; 3] = [256, 512, 1024];

/// One thread's share of reporting.
#[derive(Default)]
pub(super) struct Local {
    queue: Option<Arc<Queue>>,
    batch: Batch,
    shapes: Shapes,
    shapes_due: Due,
    taps: Outbox,
    /// For [`Reporter`](super::Reporter)s that sample: counts what could be logged.
    pub(super) sampled: u32,
    /// Points in time as texts.
    pub(super) clock: Clock,
    /// Room for a shape or key.
    pub(super) scratch: Vec<u8>,
    /// Entries in words.
    pub(super) entries: Entries,
    /// What the profile is to know.
    pub(super) learned: Table,
    /// Room for a text that is being rendered.
    pub(super) text: Vec<u8>,
    /// By size.
    texts: [Vec<Vec<u8>>; TEXT_SIZES.len()],
}

thread_local! {
    static LOCAL: RefCell<Local> = RefCell::default();
}

/// Calls `f` with this thread's share. Not to be called from within `f`.
pub(super) fn with<R>(f: impl FnOnce(&mut Local) -> R) -> R {
    LOCAL.with(|local| f(&mut local.borrow_mut()))
}

impl Local {
    /// A text in little more room than it needs.
    pub(super) fn keep_text(&mut self, text: &[u8]) -> Vec<u8> {
        let Some(size) = TEXT_SIZES.iter().position(|size| text.len() <= *size) else {
            return text.to_vec();
        };
        let room = self.texts[size].pop();
        let mut room = room.unwrap_or_else(|| Vec::with_capacity(TEXT_SIZES[size]));
        room.extend_from_slice(text);
        room
    }

    /// Takes its room back.
    pub(super) fn give_text(&mut self, mut text: Vec<u8>) {
        let size = TEXT_SIZES.iter().position(|size| text.capacity() == *size);
        if let Some(spare) = size.map(|size| &mut self.texts[size])
            && spare.len() < SPARE_TEXTS
        {
            text.clear();
            spare.push(text);
        }
    }

    /// Appends one line with what `write` writes, for the log and for taps.
    pub(super) fn line(
        &mut self,
        queue: Option<&Arc<Queue>>,
        taps: Option<(&Arc<Hub>, Seen, &[u8])>,
        write: impl FnOnce(&mut Vec<u8>, &mut Clock, &mut Entries),
    ) {
        let Some(queue) = queue else {
            if let Some((hub, seen, op)) = taps {
                let (clock, entries) = (&mut self.clock, &mut self.entries);
                self.taps.line(hub, seen, op, |out| write(out, clock, entries));
            }
            return;
        };
        self.belong_to(queue);
        self.drop_incomplete();
        let start = self.batch.lines.len();
        write(&mut self.batch.lines, &mut self.clock, &mut self.entries);
        self.batch.records += 1;
        if let Some((hub, seen, op)) = taps {
            let line = &self.batch.lines[start..];
            self.taps.line(hub, seen, op, |out| out.extend_from_slice(line));
        }
        if self.batch.lines.len() >= BATCH {
            self.send();
        }
    }

    /// Takes back a line within which a connection panicked.
    fn drop_incomplete(&mut self) {
        let lines = &mut self.batch.lines;
        if lines.last().is_some_and(|&byte| byte != b'\n') {
            lines.truncate(memchr::memrchr(b'\n', lines).map_or(0, |end| end + 1));
        }
    }

    /// The counted shapes of this thread.
    pub(super) fn shapes(&mut self, queue: &Arc<Queue>) -> (&mut Shapes, &mut Vec<u8>) {
        self.belong_to(queue);
        (&mut self.shapes, &mut self.scratch)
    }

    /// One thread may serve several reporters one after another.
    fn belong_to(&mut self, queue: &Arc<Queue>) {
        if self.queue.as_ref().is_none_or(|mine| !Arc::ptr_eq(mine, queue)) {
            self.flush(true);
            self.queue = Some(Arc::clone(queue));
        }
    }

    /// Sends what there is to the writer and the taps: the batches, and the shapes if they are
    /// due or `everything` is to go.
    pub(super) fn flush(&mut self, everything: bool) {
        self.clock.unwind();
        self.entries.tidy();
        self.send();
        self.taps.flush();
        self.learned.hand_over(everything);
        if self.shapes.is_empty() {
            return;
        }
        if let Some(queue) = &self.queue
            && self.shapes_due.is_over(everything)
        {
            queue.merge(&mut self.shapes);
        }
    }

    fn send(&mut self) {
        self.drop_incomplete();
        if let Some(queue) = &self.queue
            && self.batch.records > 0
        {
            // Room for as much again, within bounds: a thread at rest keeps little.
            let room = self.batch.lines.len().clamp(1 << 10, BATCH + (4 << 10));
            let batch = std::mem::replace(
                &mut self.batch,
                Batch { lines: Vec::with_capacity(room), records: 0 },
            );
            queue.send(batch);
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.flush(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::metrics::Metrics;

    #[test]
    fn texts_have_little_more_room_than_they_need() {
        let mut local = Local::default();
        for (length, room) in [(0, 256), (256, 256), (257, 512), (1000, 1024), (1025, 1025)] {
            for _ in 0..2 {
                let text = local.keep_text(&vec![b'x'; length]);
                assert_eq!((text.len(), text.capacity()), (length, room));
                local.give_text(text);
            }
        }
        assert_eq!(local.texts.each_ref().map(Vec::len), [1, 1, 1]);
    }

    #[test]
    fn a_panic_within_a_line_takes_that_line_alone() {
        let (queue, receiver, _shared) = Queue::new(Arc::new(Metrics::new()));
        let queue = Arc::new(queue);
        let mut local = Local::default();
        local.line(Some(&queue), None, |out, _, _| out.extend_from_slice(b"{1}\n"));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            local.line(Some(&queue), None, |out, _, _| {
                out.extend_from_slice(b"{2");
                panic!("a fault");
            });
        }));
        assert!(panicked.is_err());
        local.line(Some(&queue), None, |out, _, _| out.extend_from_slice(b"{3}\n"));
        local.flush(true);
        let crate::report::queue::Message::Batch(batch) = receiver.recv().unwrap() else {
            panic!("a batch comes first")
        };
        assert_eq!((batch.lines.as_slice(), batch.records), (b"{1}\n{3}\n".as_slice(), 2));
    }
}

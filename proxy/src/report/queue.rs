//! The way from the workers to the thread that writes the traffic log: bounded, never waited
//! for.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::metrics::Metrics;
use super::summary::Shapes;

/// How many batches wait at most: with 96 KiB each, a little over 2 MiB.
const BATCHES: usize = 22;

/// Whole lines, and how many.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) lines: Vec<u8>,
    pub(super) records: u64,
}

/// What the writer is told.
pub(super) enum Message {
    /// To write this.
    Batch(Batch),
    /// To look at the flags.
    Wake,
    /// To write what is left, end, and drop the sender.
    Close(SyncSender<()>),
}

/// What both ends know.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) metrics: Arc<Metrics>,
    shapes: Mutex<Shapes>,
    reopen: AtomicBool,
    dropped: AtomicU64,
}

impl Shared {
    /// Takes the shapes counted so far.
    pub(super) fn take_shapes(&self) -> Shapes {
        std::mem::take(&mut *self.shapes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the file is to be opened anew; asked once.
    pub(super) fn take_reopen(&self) -> bool {
        self.reopen.swap(false, Ordering::Relaxed)
    }

    /// Counts records that will not be in the log.
    pub(super) fn drop_records(&self, records: u64) {
        self.metrics.log_dropped(records);
        self.dropped.fetch_add(records, Ordering::Relaxed);
    }

    /// How many records were dropped since this was last asked.
    pub(super) fn take_dropped(&self) -> u64 {
        self.dropped.swap(0, Ordering::Relaxed)
    }
}

/// The workers' end.
#[derive(Debug)]
pub(super) struct Queue {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
}

impl Queue {
    /// A queue, and what the writer needs of it.
    pub(super) fn new(metrics: Arc<Metrics>) -> (Self, Receiver<Message>, Arc<Shared>) {
        let (sender, receiver) = mpsc::sync_channel(BATCHES);
        let shared = Arc::new(Shared {
            metrics,
            shapes: Mutex::default(),
            reopen: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        });
        (Self { sender, shared: Arc::clone(&shared) }, receiver, shared)
    }

    /// Hands a batch over, or drops it and counts.
    pub(super) fn send(&self, batch: Batch) {
        let records = batch.records;
        if self.sender.try_send(Message::Batch(batch)).is_err() {
            self.shared.drop_records(records);
        }
    }

    /// Adds a thread's shapes to the others'.
    pub(super) fn merge(&self, shapes: &mut Shapes) {
        self.shared.shapes.lock().unwrap_or_else(PoisonError::into_inner).merge(shapes);
    }

    /// Asks for the file to be opened anew before the next write.
    pub(super) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
        // A full queue needs no waking.
        let _ = self.sender.try_send(Message::Wake);
    }

    /// Waits until everything handed over so far is written, for `within` at most. Answers
    /// whether it is. The writer ends.
    pub(super) fn close(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let (done, ended) = mpsc::sync_channel(0);
        let mut message = Message::Close(done);
        loop {
            message = match self.sender.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return true,
                Err(TrySendError::Full(_)) if Instant::now() >= until => return false,
                Err(TrySendError::Full(message)) => message,
            };
            std::thread::sleep(Duration::from_millis(5));
        }
        let left = until.saturating_duration_since(Instant::now());
        ended.recv_timeout(left) == Err(RecvTimeoutError::Disconnected)
    }
}

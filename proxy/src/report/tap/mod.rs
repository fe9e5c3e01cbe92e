//! Live records for whoever asks: the way from the workers to the taps.
//!
//! Each worker renders the records of its connections into a batch of its own (`outbox`) and
//! hands it over as it does that of the log. One task of the main thread ([`Hub::run`]) filters
//! them into the queue of each tap (`stream`), from which its connection takes them. Everything
//! on that way is bounded, and nobody on it waits: what has no room is dropped, counted and told.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use weir_policy::op::{Protocol, Side};

use super::{Metrics, Status, Verdict};

pub mod filter;
mod glob;
mod outbox;
mod status;
mod stream;
#[cfg(test)]
mod tests;

pub use filter::Filter;
pub use glob::Glob;
pub use status::{Answers, Comparison};
pub use stream::Tap;

use outbox::Batch;
pub(super) use outbox::Outbox;
use stream::Queue;

/// How the line begins that tells a tap of what it did not get.
pub const NOTICE: &str = "{\"schema\":\"weir.dev/tap/v1\",";

/// How many batches wait to be filtered at most: with 64 KiB each, 2 MiB.
const BATCHES: usize = 32;

/// What filters ask of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) protocol: Protocol,
    pub(super) side: Side,
    pub(super) peer: IpAddr,
    pub(super) port: u16,
    pub(super) verdict: Verdict,
    pub(super) status: Status,
    /// None in the record of a start.
    pub(super) duration_us: Option<u64>,
}

/// How much taps may take.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// Taps at once.
    pub taps: usize,
    /// Bytes that wait for one tap.
    pub bytes: usize,
}

/// Why there is no further tap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTap {
    /// There are as many as may be.
    #[error("{0} taps are attached, and more may not be (limit `taps`)")]
    Busy(usize),
    /// The sidecar ends.
    #[error("the sidecar is ending")]
    Ended,
}

/// Where batches become what each tap wants.
#[derive(Debug)]
pub struct Hub {
    /// How many taps there are: all that a record costs while it is zero is to load it.
    attached: AtomicUsize,
    taps: Mutex<Taps>,
    batches: Sender<Batch>,
    received: Mutex<Option<Receiver<Batch>>>,
    /// Records that had no room on the way to the filters.
    missed: AtomicU64,
    closing: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Taps {
    queues: Vec<Arc<Queue>>,
    ended: bool,
}

impl Hub {
    /// Without taps.
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        let (batches, received) = channel(BATCHES);
        Arc::new(Self {
            attached: AtomicUsize::new(0),
            taps: Mutex::default(),
            batches,
            received: Mutex::new(Some(received)),
            missed: AtomicU64::new(0),
            closing: Notify::new(),
            metrics,
        })
    }

    /// Whether there are taps.
    pub(super) fn has_taps(&self) -> bool {
        self.attached.load(Relaxed) > 0
    }

    /// A new tap. It has the records that end from now on, and beside other taps those of the
    /// batches that are under way.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn attach(self: &Arc<Self>, filter: Filter, room: Room) -> Result<Tap, NoTap> {
        let mut taps = self.taps();
        if taps.ended {
            return Err(NoTap::Ended);
        }
        if taps.queues.len() >= room.taps {
            return Err(NoTap::Busy(taps.queues.len()));
        }
        let queue = Arc::new(Queue::new(filter, room.bytes));
        taps.queues.push(Arc::clone(&queue));
        self.note(&taps);
        Ok(Tap::new(Arc::clone(self), queue))
    }

    /// This tap is gone.
    fn detach(&self, queue: &Arc<Queue>) {
        let mut taps = self.taps();
        taps.queues.retain(|each| !Arc::ptr_eq(each, queue));
        self.note(&taps);
    }

    fn note(&self, taps: &Taps) {
        self.attached.store(taps.queues.len(), Relaxed);
        self.metrics.taps(taps.queues.len());
    }

    fn taps(&self) -> MutexGuard<'_, Taps> {
        self.taps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a batch of a worker's, or drops and counts it.
    fn send(&self, batch: Batch) {
        let records = batch.records();
        if self.batches.try_send(batch).is_err() {
            self.missed.fetch_add(records, Relaxed);
            self.metrics.tap_dropped(records);
        }
    }

    /// Filters what workers hand over, until [`close`](Self::close). To be called once.
    pub async fn run(self: Arc<Self>) {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut received) = received else { return };
        loop {
            let batch = tokio::select! {
                biased;
                batch = received.recv() => batch,
                () = self.closing.notified() => break,
            };
            let Some(batch) = batch else { break };
            self.deliver(batch);
            // Filtering may take a while: whoever connects has a turn in between.
            tokio::task::yield_now().await;
        }
        let mut taps = self.taps();
        taps.ended = true;
        taps.queues.iter().for_each(|queue| queue.end());
    }

    /// Gives the taps what was handed over so far, then ends them.
    pub fn close(&self) {
        self.closing.notify_one();
    }

    fn deliver(&self, batch: Batch) {
        let missed = self.missed.swap(0, Relaxed);
        let batch = batch.share();
        for queue in &self.taps().queues {
            self.metrics.tap_dropped(queue.offer(&batch, missed));
        }
    }
}

//! What all connections report to.

use std::sync::Arc;
use std::time::Duration;

use super::Verdict;
use super::id::{ConnId, Ids};
use super::local::{self, Local};
use super::metrics::Metrics;
use super::queue::Queue;
use super::tap::Hub;
use super::writer::{StartError, Writer};
use crate::config::{LogAllowed, LogDetail, Target};
use crate::learn::{Known, Learning};

/// What becomes of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has a line.
    Line,
    /// It is counted under its shape.
    Count,
    /// The log does not have it.
    Nothing,
}

/// Gives connections their ids, and takes their records and numbers.
#[derive(Debug)]
pub struct Reporter {
    ids: Ids,
    metrics: Arc<Metrics>,
    allowed: LogAllowed,
    detail: LogDetail,
    queue: Option<Arc<Queue>>,
    taps: Arc<Hub>,
    learning: Option<Arc<Learning>>,
}

impl Reporter {
    /// Opens the traffic log, if there is to be one, and starts its thread.
    ///
    /// # Errors
    /// The target cannot be written, with the reason.
    pub fn new(
        log: Option<Target>,
        allowed: LogAllowed,
        detail: LogDetail,
        metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, StartError> {
        Self::learning_too(log, allowed, detail, metrics, None)
    }

    /// The same, and a profile is learned.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn learning_too(
        log: Option<Target>,
        allowed: LogAllowed,
        detail: LogDetail,
        metrics: Arc<Metrics>,
        learning: Option<Arc<Learning>>,
    ) -> Result<Arc<Self>, StartError> {
        let queue = match log {
            None => None,
            Some(target) => {
                let (queue, receiver, shared) = Queue::new(Arc::clone(&metrics));
                Writer::start(target, receiver, shared, allowed == LogAllowed::Summary)?;
                Some(Arc::new(queue))
            }
        };
        let taps = Hub::new(Arc::clone(&metrics));
        Ok(Arc::new(Self { ids: Ids::new(), metrics, allowed, detail, queue, taps, learning }))
    }

    /// Counters and gauges.
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Where taps attach.
    pub fn taps(&self) -> &Arc<Hub> {
        &self.taps
    }

    /// Sends this thread's batches to the writer and the taps. Every worker calls it every 50 ms, and before it
    /// ends.
    pub fn flush(&self) {
        local::with(|local| local.flush(false));
    }

    /// Opens the log's file anew before the next write, as after a rotation.
    pub fn reopen(&self) {
        if let Some(queue) = &self.queue {
            queue.reopen();
        }
    }

    /// Flushes this thread, waits until the log is written, for `within` at most, and ends the
    /// writer. The other workers have ended or flushed before. Answers whether all was written.
    pub fn close(&self, within: Duration) -> bool {
        local::with(|local| local.flush(true));
        self.queue.as_ref().is_none_or(|queue| queue.close(within))
    }

    /// The profile that is learned, if one is.
    pub fn learning(&self) -> Option<&Arc<Learning>> {
        self.learning.as_ref()
    }

    /// The words that the log may show, where not every word may be.
    pub(super) fn known_words(&self) -> Option<arc_swap::Guard<Arc<Known>>> {
        let learning = self.learning.as_ref().filter(|_| self.detail == LogDetail::Masked);
        learning.map(|learning| learning.words())
    }

    pub(super) fn next_id(&self) -> ConnId {
        self.ids.next()
    }

    /// The queue to the log, if there is one.
    pub(super) fn queue(&self) -> Option<&Arc<Queue>> {
        self.queue.as_ref()
    }

    /// Where taps attach, if there are any.
    pub(super) fn tapped(&self) -> Option<&Arc<Hub>> {
        self.taps.has_taps().then_some(&self.taps)
    }

    /// How much the texts of a transaction tell; none if nobody reads them. An answer or a body
    /// can still turn an allowed transaction into a refused one, whose record must not lack its
    /// texts: so all have them, whatever becomes of the allowed.
    pub(super) fn detail(&self) -> Option<LogDetail> {
        (self.queue.is_some() || self.taps.has_taps()).then_some(self.detail)
    }

    /// What becomes of a record with this verdict.
    pub(super) fn fate(&self, verdict: Verdict, local: &mut Local) -> Fate {
        match (verdict, self.allowed) {
            _ if self.queue.is_none() => Fate::Nothing,
            (Verdict::WouldRefuse | Verdict::Refused | Verdict::Unread, _)
            | (Verdict::Allowed, LogAllowed::All) => Fate::Line,
            (Verdict::Allowed, LogAllowed::Off) => Fate::Nothing,
            (Verdict::Allowed, LogAllowed::Summary) => Fate::Count,
            (Verdict::Allowed, LogAllowed::Sample(n)) => {
                local.sampled = (local.sampled + 1) % n;
                if local.sampled == 0 { Fate::Line } else { Fate::Nothing }
            }
        }
    }
}

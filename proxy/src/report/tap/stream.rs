//! One tap: what waits for it, and the stream that takes it.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use hyper::body::{Body, Frame};

use super::outbox::SharedBatch;
use super::{Filter, Hub, NOTICE};

/// What a piece costs beside its bytes.
const PIECE: usize = 64;

/// What waits for one tap.
#[derive(Debug)]
pub(super) struct Queue {
    filter: Filter,
    limit: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    pieces: VecDeque<Bytes>,
    /// What they cost together.
    bytes: usize,
    /// Records that the tap does not get and was not told of.
    dropped: u64,
    ended: bool,
    waker: Option<Waker>,
}

impl Waiting {
    fn push(&mut self, piece: Bytes) {
        self.bytes += piece.len() + PIECE;
        self.pieces.push_back(piece);
    }

    fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.bytes -= piece.len() + PIECE;
        Some(piece)
    }

    /// The line that tells of what was dropped, if anything was.
    fn notice(&mut self) -> Option<Bytes> {
        let dropped = std::mem::take(&mut self.dropped);
        (dropped > 0).then(|| format!("{NOTICE}\"dropped\":{dropped}}}\n").into())
    }
}

impl Queue {
    pub(super) fn new(filter: Filter, limit: usize) -> Self {
        Self { filter, limit, waiting: Mutex::default() }
    }

    /// Takes from a batch what is wanted, as a whole or not at all. `missed` records did not get
    /// here. Answers how many were dropped here.
    pub(super) fn offer(&self, batch: &SharedBatch, missed: u64) -> u64 {
        let (lines, count) = batch.filtered(&self.filter);
        let mut waiting = self.waiting();
        waiting.dropped += missed;
        let mut dropped = 0;
        if count > 0 && waiting.bytes + lines.len() + PIECE <= self.limit {
            if let Some(notice) = waiting.notice() {
                waiting.push(notice);
            }
            waiting.push(lines);
        } else {
            dropped = count;
            waiting.dropped += count;
        }
        if count + missed > 0
            && let Some(waker) = waiting.waker.take()
        {
            waker.wake();
        }
        dropped
    }

    /// Nothing comes any more.
    pub(super) fn end(&self) {
        let mut waiting = self.waiting();
        waiting.ended = true;
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// What it costs now.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.waiting().bytes
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The records that a tap wants, as JSON lines without end. Dropping it ends the tap.
#[derive(Debug)]
pub struct Tap {
    hub: Arc<Hub>,
    queue: Arc<Queue>,
}

impl Tap {
    pub(super) fn new(hub: Arc<Hub>, queue: Arc<Queue>) -> Self {
        Self { hub, queue }
    }

    /// What waits for it.
    #[cfg(test)]
    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.hub.detach(&self.queue);
    }
}

impl Body for Tap {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut waiting = self.queue.waiting();
        let next = waiting.pop().or_else(|| waiting.notice());
        match next {
            Some(piece) => Poll::Ready(Some(Ok(Frame::data(piece)))),
            None if waiting.ended => Poll::Ready(None),
            None => {
                waiting.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

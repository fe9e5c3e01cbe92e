//! What a service received, byte for byte: the witness of the demo's claims.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Keeps the bytes of every connection of one service, each connection's on a tape of its own.
#[derive(Clone, Default)]
pub(in crate::demo) struct Recorder {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    tapes: Mutex<Vec<Tape>>,
    operations: Mutex<Vec<String>>,
    stopped: AtomicBool,
}

type Tape = Arc<Mutex<Vec<u8>>>;

impl Recorder {
    /// Records what is read from `stream` from now on.
    pub(super) fn listen(&self, stream: TcpStream) -> Recorded {
        // A socket that cannot be told so is slow, not wrong.
        let _ = stream.set_nodelay(true);
        let tape = Tape::default();
        if !self.shared.stopped.load(Ordering::Relaxed) {
            lock(&self.shared.tapes).push(Arc::clone(&tape));
        }
        Recorded { stream, tape, recorder: self.clone() }
    }

    /// Keeps a datagram.
    pub(super) fn datagram(&self, bytes: &[u8]) {
        if !self.shared.stopped.load(Ordering::Relaxed) {
            lock(&self.shared.tapes).push(Arc::new(Mutex::new(bytes.to_vec())));
        }
    }

    /// Notes an operation that the service carries out.
    pub(super) fn operation(&self, words: String) {
        if !self.shared.stopped.load(Ordering::Relaxed) {
            lock(&self.shared.operations).push(words);
        }
    }

    /// Whether any connection brought these bytes, wherever the reads were cut.
    pub(in crate::demo) fn saw(&self, trace: &[u8]) -> bool {
        let finder = memmem::Finder::new(trace);
        let tapes = lock(&self.shared.tapes);
        tapes.iter().any(|tape| finder.find(&lock(tape)).is_some())
    }

    /// The first operation carried out whose words have `trace` in them.
    pub(in crate::demo) fn carried_out(&self, trace: &str) -> Option<String> {
        let operations = lock(&self.shared.operations);
        operations.iter().find(|words| words.contains(trace)).cloned()
    }

    /// How many operations were carried out.
    pub(in crate::demo) fn operations(&self) -> usize {
        lock(&self.shared.operations).len()
    }

    /// Stops recording and forgets: for a shop that stays open.
    pub(in crate::demo) fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        lock(&self.shared.tapes).clear();
        lock(&self.shared.operations).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A connection whose received bytes are kept.
pub(super) struct Recorded {
    stream: TcpStream,
    tape: Tape,
    recorder: Recorder,
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.stream).poll_read(cx, buf);
        if !self.recorder.shared.stopped.load(Ordering::Relaxed) {
            lock(&self.tape).extend_from_slice(&buf.filled()[before..]);
        }
        result
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

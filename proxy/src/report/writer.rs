//! The thread that writes the traffic log.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::queue::{Message, Shared};
use super::sink::{self, OpenError, Sink, Written};
use crate::config::Target;

/// How often a log with one record per shape has them.
const INTERVAL: Duration = Duration::from_secs(10);
/// How often trouble with the log is told.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Writes what comes until it is told to end.
pub(super) struct Writer {
    target: Target,
    sink: Sink<File>,
    receiver: Receiver<Message>,
    shared: Arc<Shared>,
    clock: Clock,
    warned: Option<Instant>,
}

impl Writer {
    /// Opens the target and starts the thread. With `summary`, counted shapes are written too.
    ///
    /// # Errors
    /// The target cannot be opened, or the thread not be started.
    pub(super) fn start(
        target: Target,
        receiver: Receiver<Message>,
        shared: Arc<Shared>,
        summary: bool,
    ) -> Result<(), StartError> {
        let sink = Sink::new(sink::open(&target)?);
        let (clock, warned) = (Clock::default(), None);
        let mut writer = Self { target, sink, receiver, shared, clock, warned };
        std::thread::Builder::new()
            .name("traffic-log".to_owned())
            .spawn(move || writer.run(summary.then_some(INTERVAL)))
            .map(drop)
            .map_err(StartError::Thread)
    }

    fn run(&mut self, interval: Option<Duration>) {
        let mut due = interval.map(|interval| Instant::now() + interval);
        // Held until all is written: its end is the answer.
        let mut _closing = None;
        loop {
            let message = match due {
                None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => {
                    let left = due.saturating_duration_since(Instant::now());
                    self.receiver.recv_timeout(left)
                }
            };
            self.reopen_if_asked();
            match message {
                Ok(Message::Batch(batch)) => self.write(&batch.lines),
                Ok(Message::Wake) | Err(RecvTimeoutError::Timeout) => {}
                Ok(Message::Close(done)) => {
                    _closing = Some(done);
                    break;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if due.is_some_and(|due| Instant::now() >= due) {
                self.write_shapes();
                due = interval.map(|interval| Instant::now() + interval);
            }
        }
        self.write_shapes();
    }

    fn write_shapes(&mut self) {
        let mut shapes = self.shared.take_shapes();
        if !shapes.is_empty() {
            let mut lines = Vec::new();
            self.clock.unwind();
            shapes.write(Instant::now(), &mut self.clock, &mut lines);
            self.write(&lines);
        }
    }

    fn write(&mut self, lines: &[u8]) {
        let Written { written, dropped, error } = self.sink.write(lines);
        self.shared.metrics.log_written(written);
        if dropped > 0 {
            self.shared.drop_records(dropped);
        }
        if let Some(error) = error {
            self.shared.metrics.log_error();
            self.warn(Some(&error));
        } else {
            self.warn(None);
        }
    }

    fn reopen_if_asked(&mut self) {
        if !self.shared.take_reopen() || self.target == Target::Stdout {
            return;
        }
        match sink::open(&self.target) {
            Ok(file) => {
                let lost = self.sink.replace(file);
                if lost > 0 {
                    self.shared.drop_records(lost);
                }
            }
            Err(error) => tracing::warn!("{error}; going on with the file that is open"),
        }
    }

    /// Tells of a failure and of dropped records, now and then.
    fn warn(&mut self, error: Option<&io::Error>) {
        if self.warned.is_some_and(|then| then.elapsed() < WARN_EVERY) {
            return;
        }
        let (dropped, target) = (self.shared.take_dropped(), || sink::name(&self.target));
        match error {
            Some(error) => {
                tracing::warn!(dropped, "cannot write the traffic log {}: {error}", target());
            }
            None if dropped > 0 => {
                tracing::warn!(dropped, "the traffic log {} is read too slowly", target());
            }
            None => return,
        }
        self.warned = Some(Instant::now());
    }
}

/// The traffic log cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its target cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its thread cannot be started.
    #[error("cannot start the traffic log's thread: {0}")]
    Thread(io::Error),
}

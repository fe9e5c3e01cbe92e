//! The signals that end or reload a sidecar.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a sidecar answers.
pub(crate) struct Signals {
    /// SIGHUP: read the files again.
    pub(crate) hangup: Signal,
    /// SIGTERM: end when the connections have.
    pub(crate) terminate: Signal,
    /// SIGINT: end soon.
    pub(crate) interrupt: Signal,
}

impl Signals {
    /// Catches them from here on.
    ///
    /// # Errors
    /// What `sigaction(2)` says.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for a further signal to end.
    pub(crate) async fn again(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

//! What the process as a whole may use, and the pauses that keep it so.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::Notify;

/// What a connection costs beside its buffers: two sockets' registrations, a task, a session.
const PER_CONNECTION: usize = 6 << 10;
/// Descriptors that connections leave to the rest: some seventy listeners, logs, the admin endpoint.
const RESERVED_DESCRIPTORS: usize = 128;

/// Why accepting pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// The memory budget is used.
    Memory,
    /// The descriptors are used.
    Descriptors,
    /// The configured number of connections is open.
    Connections,
}

impl Pressure {
    /// The label in log and metrics.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Pressure::Memory => "memory",
            Pressure::Descriptors => "descriptors",
            Pressure::Connections => "connections",
        }
    }
}

/// Counts of what is used, and how much of each there may be.
#[derive(Debug)]
pub(crate) struct Budget {
    buffers: AtomicUsize,
    connections: AtomicUsize,
    accepted: AtomicUsize,
    memory: AtomicUsize,
    descriptors: AtomicUsize,
    max_connections: AtomicUsize,
    released: Notify,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            buffers: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            memory: AtomicUsize::new(usize::MAX),
            descriptors: AtomicUsize::new(usize::MAX),
            max_connections: AtomicUsize::new(usize::MAX),
            released: Notify::new(),
        }
    }
}

impl Budget {
    /// Sets what there may be: bytes of memory, open descriptors, connections.
    pub(crate) fn set(&self, memory: usize, descriptors: usize, max_connections: usize) {
        self.memory.store(memory, Relaxed);
        self.descriptors.store(descriptors, Relaxed);
        self.max_connections.store(max_connections, Relaxed);
        self.released.notify_waiters();
    }

    /// Bytes of buffers were taken from the pool.
    pub(crate) fn buffers_taken(&self, bytes: usize) {
        self.buffers.fetch_add(bytes, Relaxed);
    }

    /// And given back.
    pub(crate) fn buffers_given(&self, bytes: usize) {
        self.buffers.fetch_sub(bytes, Relaxed);
    }

    /// Bytes in use: buffers, and connections at their fixed cost.
    pub(crate) fn used(&self) -> usize {
        self.buffers.load(Relaxed) + self.connections.load(Relaxed) * PER_CONNECTION
    }

    /// Bytes that there may be; none where nothing limits them.
    pub(crate) fn limit(&self) -> Option<usize> {
        Some(self.memory.load(Relaxed)).filter(|&limit| limit != usize::MAX)
    }

    /// Whether that many more bytes fit.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.used().saturating_add(bytes) <= self.memory.load(Relaxed)
    }

    /// What stands against one more connection.
    pub(crate) fn pressure(&self) -> Option<Pressure> {
        let connections = self.connections.load(Relaxed);
        if connections >= self.max_connections.load(Relaxed) {
            Some(Pressure::Connections)
        } else if (connections + 1) * 2 + RESERVED_DESCRIPTORS > self.descriptors.load(Relaxed) {
            Some(Pressure::Descriptors)
        } else if !self.has_room(PER_CONNECTION) {
            Some(Pressure::Memory)
        } else {
            None
        }
    }

    /// Counts a connection for as long as the guard lives.
    pub(crate) fn connection(self: &std::sync::Arc<Self>) -> ConnectionGuard {
        self.connections.fetch_add(1, Relaxed);
        self.accepted.fetch_add(1, Relaxed);
        ConnectionGuard(self.clone())
    }

    /// Open connections.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Relaxed)
    }

    /// How many connections there have been.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Relaxed)
    }

    /// Waits until a connection ends or the limits change.
    pub(crate) async fn released(&self) {
        self.released.notified().await;
    }
}

/// One connection's place in the budget.
#[derive(Debug)]
pub(crate) struct ConnectionGuard(std::sync::Arc<Budget>);

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Relaxed);
        self.0.released.notify_waiters();
    }
}

//! Every limit, its default, what happens when it is reached, and the metric that counts it.

use std::time::Duration;

/// The limits of one running sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time to reach the server.
    pub dial_timeout: Duration,
    /// Time for a head, command or handshake that has begun to become complete.
    pub slow_head: Duration,
    /// An HTTP head or trailer section, in bytes.
    pub head_bytes: usize,
    /// A unit that is held whole and judged, in bytes.
    pub judging_bytes: usize,
    /// Bytes of either leg that detection looks at.
    pub detection_bytes: usize,
    /// Requests of one connection that wait for their answers.
    pub pipeline_depth: usize,
    /// Nesting of Redis replies.
    pub reply_depth: usize,
    /// A Redis bulk string, in bytes (`proto-max-bulk-len`).
    pub bulk_bytes: u64,
    /// Time to deliver earlier answers and a refusal before a connection is closed, and to
    /// read on after that so that they arrive.
    pub linger: Duration,
    /// Time that a half-closed connection may be silent.
    pub half_close_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            dial_timeout: Duration::from_secs(5),
            slow_head: Duration::from_secs(60),
            head_bytes: 64 << 10,
            judging_bytes: 64 << 10,
            detection_bytes: 32 << 10,
            pipeline_depth: 1024,
            reply_depth: 128,
            bulk_bytes: 512 << 20,
            linger: Duration::from_secs(2),
            half_close_idle: Duration::from_secs(300),
        }
    }
}

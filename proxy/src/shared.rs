//! What every connection of a running sidecar shares.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weir_parsers::redis::Table;

use crate::budget::Budget;
use crate::config::UnknownFrames;
use crate::dial::Ports;
use crate::inspect::InspectorFactory;
use crate::intercept::Intercept;
use crate::live::{InForce, Live};
use crate::registry::{Notice, Registry};
use crate::report::{Metrics, Reporter};
use crate::resolve::Names;
use crate::session::Options;

/// See the module's words.
pub(crate) struct Shared {
    /// Policy, mode and limits in force.
    pub(crate) live: Live,
    /// The names in the policies and their addresses.
    pub(crate) names: Names,
    /// What the process may use.
    pub(crate) budget: Arc<Budget>,
    /// What is known of the redirect.
    pub(crate) intercept: Intercept,
    /// From where servers were reached.
    pub(crate) ports: Ports,
    /// The live connections.
    pub(crate) registry: Arc<Registry>,
    /// The traffic log and the metrics.
    pub(crate) reporter: Arc<Reporter>,
    /// Inspectors besides the policy.
    pub(crate) inspectors: Vec<Arc<dyn InspectorFactory>>,
    /// The Redis commands and where their keys are.
    pub(crate) redis_table: &'static Table,
    /// Inline commands need no confirmation by the server.
    pub(crate) redis_inline: bool,
    /// What becomes of HTTP/2 frames of unknown types where they are judged.
    pub(crate) unknown_frames: UnknownFrames,
    /// The part of this process's nonces that nobody can guess.
    pub(crate) nonces: RandomState,
    /// The other part: each connection's number.
    pub(crate) connections: AtomicU64,
}

impl Shared {
    /// Puts in force what `change` makes of the present snapshot, and tells every live
    /// connection: the one way to change what is in force. `change` may run more than once.
    pub(crate) fn change(&self, change: impl Fn(&mut InForce)) {
        let generation = self.live.update(change);
        self.govern_learning();
        self.metrics().policy_generation(generation);
        self.registry.tell_all(Notice::Changed);
    }

    /// Tells learning, if there is any, what is in force.
    pub(crate) fn govern_learning(&self) {
        if let Some(learning) = self.reporter.learning() {
            let in_force = self.live.load();
            learning.govern(&in_force.policy, &in_force.limits);
        }
    }

    /// Counters and gauges.
    pub(crate) fn metrics(&self) -> &Metrics {
        self.reporter.metrics()
    }

    /// What the session of a new connection needs to know.
    pub(crate) fn session_options(&self) -> Options {
        let count = self.connections.fetch_add(1, Relaxed);
        Options {
            redis_table: self.redis_table,
            redis_inline: self.redis_inline,
            unknown_frames: self.unknown_frames,
            nonce: self.nonces.hash_one(count),
        }
    }
}

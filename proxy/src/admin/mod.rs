//! What an operator sees and sets of a running sidecar.
//!
//! Two doors: [`http`] for anyone who reaches the pod, with metrics and health alone, and
//! [`socket`] for the sidecar's own user and root, with mode, configuration, policy and taps. Both
//! ask a [`Control`].

pub mod client;
pub mod http;
pub mod probe;
mod profile;
mod serve;
pub mod socket;
pub mod stream;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use weir_policy::decide::Mode;

use crate::learn::Learning;
use crate::report::Metrics;
use crate::report::metrics::DialResult;
use crate::report::tap::{Filter, NoTap, Tap};
use probe::Permit;

/// A running sidecar, as its doors see it.
pub trait Control: Send + Sync {
    /// Whether it takes traffic: false before it listens and from SIGTERM on.
    fn ready(&self) -> bool;

    /// Whether it works: false has it restarted.
    fn live(&self) -> bool;

    /// Its metrics. Gauges that are read rather than kept are brought up to date first.
    fn metrics(&self) -> &Metrics;

    /// The settings in force, without secrets.
    fn config(&self) -> Value;

    /// The policy in force: its files and generation.
    fn policy(&self) -> Value;

    /// The profile that is learned, if one is.
    fn learning(&self) -> Option<Arc<Learning>> {
        None
    }

    /// Asks to probe a port of the application.
    fn probe(&self, port: u16) -> Permit;

    /// Takes note of what came of a probe.
    fn probed(&self, port: u16, result: DialResult);

    /// The mode in force where no rule has its own.
    fn mode(&self) -> ModeState;

    /// Overrides the mode, rules' own included.
    ///
    /// # Errors
    /// Why not, for the operator.
    fn set_mode(&self, change: Override) -> Result<(), String>;

    /// Takes the override back, if there is one.
    fn clear_mode(&self);

    /// A tap of the records that `filter` wants.
    ///
    /// # Errors
    /// Why there can be none.
    fn tap(&self, filter: Filter) -> Result<Tap, NoTap>;
}

/// A mode that an operator set while the sidecar runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The mode.
    pub mode: Mode,
    /// How long it is to be in force, or how long it still is; none: until taken back.
    pub duration: Option<Duration>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

/// See [`Control::mode`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeState {
    /// What `--mode` says.
    pub configured: Mode,
    /// The override in force, with the time that is left of it.
    pub live: Option<Override>,
}

//! What the admin endpoint and the Unix socket can see and change of a running sidecar.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arc_swap::ArcSwap;

use crate::config::Settings;
use crate::shared::Shared;

/// See the module's words.
pub(crate) struct SidecarControl {
    shared: Arc<Shared>,
    settings: ArcSwap<Settings>,
    ready: AtomicBool,
}

impl SidecarControl {
    pub(crate) fn new(shared: Arc<Shared>, settings: Settings) -> Self {
        Self { shared, settings: ArcSwap::from_pointee(settings), ready: AtomicBool::new(false) }
    }

    /// Whether the sidecar wants new connections.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Relaxed);
    }

    /// Other settings are in force.
    pub(crate) fn reloaded(&self, settings: &Settings) {
        self.settings.store(Arc::new(settings.clone()));
    }
}

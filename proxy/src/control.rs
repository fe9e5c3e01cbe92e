//! What the admin endpoint and the Unix socket can see and change of a running sidecar.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use weir_policy::decide::Mode;

use crate::admin::probe::{Permit, Probes};
use crate::admin::{Control, ModeState, Override};
use crate::config::Settings;
use crate::learn::Learning;
use crate::report::Metrics;
use crate::report::metrics::DialResult;
use crate::report::tap::{Filter, NoTap, Room, Tap};
use crate::shared::Shared;

/// See the module's words.
pub(crate) struct SidecarControl {
    shared: Arc<Shared>,
    settings: ArcSwap<Settings>,
    ready: AtomicBool,
    probes: Probes,
    live_mode: Mutex<Option<LiveMode>>,
}

/// A mode that an operator set, and when it ends.
#[derive(Debug)]
struct LiveMode {
    set: Override,
    until: Option<Instant>,
}

impl SidecarControl {
    /// A control of this sidecar, which is not ready yet.
    pub(crate) fn new(shared: Arc<Shared>, settings: Settings) -> Self {
        shared.metrics().mode(settings.mode);
        shared.metrics().policy_generation(shared.live.load().generation);
        Self {
            shared,
            probes: Probes::new(&settings.probe_ports),
            settings: ArcSwap::from_pointee(settings),
            ready: AtomicBool::new(false),
            live_mode: Mutex::new(None),
        }
    }

    /// Whether the sidecar wants new connections.
    pub(crate) fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Relaxed);
    }

    /// Other settings are in force.
    pub(crate) fn reloaded(&self, settings: &Settings) {
        self.settings.store(Arc::new(settings.clone()));
        let live = self.live_mode().as_ref().map(|live| live.set.mode);
        self.shared.metrics().mode(live.unwrap_or(settings.mode));
    }

    /// Takes an override back whose time is over. Called every second.
    pub(crate) fn expire(&self) {
        let over = |live: &LiveMode| live.until.is_some_and(|until| until <= Instant::now());
        if self.live_mode().as_ref().is_some_and(over) {
            self.clear_mode();
        }
    }

    fn live_mode(&self) -> MutexGuard<'_, Option<LiveMode>> {
        self.live_mode.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the override in force on live connections too.
    fn apply(&self, override_mode: Option<Mode>) {
        self.shared.change(|next| next.override_mode = override_mode);
        self.shared.metrics().mode(override_mode.unwrap_or(self.settings.load().mode));
    }
}

impl Control for SidecarControl {
    fn ready(&self) -> bool {
        self.ready.load(Relaxed)
    }

    fn live(&self) -> bool {
        true
    }

    fn metrics(&self) -> &Metrics {
        let budget = &self.shared.budget;
        let limit = budget.limit().unwrap_or(0);
        self.shared.metrics().memory(budget.used() as u64, limit as u64);
        self.shared.metrics()
    }

    fn config(&self) -> Value {
        let mut config = self.settings.load().to_json();
        if let Some(members) = config.as_object_mut() {
            members.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
            members.insert("connections".to_owned(), self.shared.budget.connections().into());
        }
        config
    }

    fn policy(&self) -> Value {
        let in_force = self.shared.live.load();
        json!({
            "generation": in_force.generation,
            "files": self.settings.load().policies,
            "warnings": in_force.policy.warnings().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "hosts": self.shared.names.to_json(),
        })
    }

    fn learning(&self) -> Option<Arc<Learning>> {
        self.shared.reporter.learning().cloned()
    }

    fn probe(&self, port: u16) -> Permit {
        let in_force = self.shared.live.load();
        let limits = &in_force.limits;
        let permit =
            self.probes.permit(port, Instant::now(), limits.probe_rate, limits.probe_timeout);
        if matches!(permit, Permit::Known(_) | Permit::TooMany) {
            self.shared.metrics().limit_reached("probe_rate");
        }
        permit
    }

    fn probed(&self, port: u16, result: DialResult) {
        self.probes.done(port, Instant::now(), result);
        if result == DialResult::Timeout {
            self.shared.metrics().limit_reached("probe_timeout");
        }
    }

    fn mode(&self) -> ModeState {
        let live = self.live_mode().as_ref().map(|live| {
            let left = live.until.map(|until| until.saturating_duration_since(Instant::now()));
            Override { duration: left, ..live.set.clone() }
        });
        ModeState { configured: self.settings.load().mode, live }
    }

    fn set_mode(&self, change: Override) -> Result<(), String> {
        let until = match change.duration {
            Some(duration) => {
                Some(Instant::now().checked_add(duration).ok_or("the duration is too long")?)
            }
            None => None,
        };
        tracing::warn!(
            mode = change.mode.as_str(),
            duration = ?change.duration,
            reason = change.reason.as_deref().unwrap_or("none given"),
            "the mode is set live"
        );
        let mode = change.mode;
        *self.live_mode() = Some(LiveMode { set: change, until });
        self.apply(Some(mode));
        Ok(())
    }

    fn clear_mode(&self) {
        if self.live_mode().take().is_some() {
            tracing::warn!("the live mode is taken back");
            self.apply(None);
        }
    }

    fn tap(&self, filter: Filter) -> Result<Tap, NoTap> {
        let in_force = self.shared.live.load();
        let room = Room { taps: in_force.limits.taps, bytes: in_force.limits.tap_bytes };
        let query = filter.to_query();
        let tap = self.shared.reporter.taps().attach(filter, room);
        match &tap {
            Ok(_) => tracing::info!(filter = query, "a tap is attached"),
            Err(NoTap::Busy(_)) => self.shared.metrics().limit_reached("taps"),
            Err(NoTap::Ended) => {}
        }
        tap
    }
}

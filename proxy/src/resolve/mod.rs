//! The names in policies, resolved without libc: looked up when a policy names them and again by
//! their TTL, and put in force as they come.

mod book;
mod lookup;
mod query;
mod system;

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};
use weir_policy::op::{Endpoint, Side};
use weir_policy::{Addresses, Peer, Snapshot};

use crate::shared::Shared;
use book::{Book, Bounds, Noted, Place};
use lookup::{Answer, lookup};
use system::System;

/// The names of this machine that no server is asked for.
const HOSTS: &str = "/etc/hosts";
/// How long starting and reloading wait for names that were never resolved.
const PATIENCE: Duration = Duration::from_secs(2);
/// Lookups at once.
const AT_ONCE: usize = 16;
/// How many of the names that make it wait the log names.
const NAMED: usize = 8;

/// The names of the policies in force and what they resolve to.
#[derive(Debug)]
pub(crate) struct Names {
    resolv_conf: PathBuf,
    book: Mutex<Book>,
    /// There is something to do.
    wake: Notify,
    /// Something was answered.
    answered: Notify,
    missed: AtomicBool,
}

impl Names {
    /// No names yet. `resolv_conf` is read whenever there is something to look up.
    pub(crate) fn new(resolv_conf: &Path) -> Self {
        Self {
            resolv_conf: resolv_conf.to_owned(),
            book: Mutex::default(),
            wake: Notify::new(),
            answered: Notify::new(),
            missed: AtomicBool::new(false),
        }
    }

    /// Looks up what these policies name, besides what is looked up already.
    pub(crate) fn add(&self, policy: &Snapshot) {
        self.book().add(&wanted(policy), Instant::now());
        self.wake.notify_one();
    }

    /// Forgets what these policies do not name.
    pub(crate) fn retain(&self, policy: &Snapshot) {
        self.book().retain(&wanted(policy));
    }

    /// What the names resolve to now.
    pub(crate) fn addresses(&self) -> Addresses {
        self.book().addresses()
    }

    /// Waits until every name was looked up once, but not for longer than two seconds. Only
    /// while [`resolve`] runs.
    pub(crate) async fn settle(&self) {
        let settled = async {
            loop {
                let answered = self.answered.notified();
                if self.book().is_settled() {
                    return;
                }
                answered.await;
            }
        };
        if timeout(PATIENCE, settled).await.is_err() {
            let book = self.book();
            let names: Vec<_> = book.unsettled().take(NAMED).collect();
            let count = book.unsettled().count();
            warn!(
                ?names,
                count, "names of the policy are not resolved yet: until then they match nothing"
            );
        }
    }

    /// A connection was not admitted that a newer answer might admit: the names are looked up
    /// again, at most every five seconds.
    pub(crate) fn missed(&self) {
        self.missed.store(true, Relaxed);
        self.wake.notify_one();
    }

    /// The names as the Unix socket shows them.
    pub(crate) fn to_json(&self) -> Value {
        let now = Instant::now();
        let book = self.book();
        let entries = book.entries().map(|(name, entry)| {
            json!({
                "name": name,
                "addresses": entry.addresses.keys().collect::<Vec<_>>(),
                "age_seconds": entry.answered.map(|at| now.duration_since(at).as_secs()),
                "failures": entry.failures,
                "error": entry.error,
            })
        });
        entries.collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the names of the policies in force resolved, until it is dropped.
pub(crate) async fn resolve(shared: Arc<Shared>) {
    let names = &shared.names;
    let mut under_way = JoinSet::new();
    loop {
        let now = Instant::now();
        if names.missed.swap(false, Relaxed) {
            names.book().hurry(now);
        }
        let due = names.book().take_due(now, AT_ONCE - under_way.len());
        if !due.is_empty() {
            let system = Arc::new(System::read(&names.resolv_conf, Path::new(HOSTS)));
            for name in due {
                let system = system.clone();
                under_way.spawn(async move { (lookup(&system, &name).await, name) });
            }
        }
        let next = names.book().next_due().filter(|_| under_way.len() < AT_ONCE);
        tokio::select! {
            Some(done) = under_way.join_next() => {
                // Those that came together are put in force together.
                let more = std::iter::from_fn(|| under_way.try_join_next());
                let all: Vec<_> = [done].into_iter().chain(more).flatten().collect();
                shared.resolved(all);
            }
            () = at(next) => {}
            () = names.wake.notified() => {}
        }
    }
}

async fn at(next: Option<Instant>) {
    match next {
        Some(next) => sleep_until(next).await,
        None => std::future::pending().await,
    }
}

impl Shared {
    /// Takes note of answers, and puts what they change in force.
    fn resolved(&self, answers: Vec<(Answer, String)>) {
        let limits = &self.live.load().limits;
        let bounds = Bounds { most: limits.host_addresses, grace: limits.host_grace };
        // Looked at only where an address is about to go.
        let open = std::cell::LazyCell::new(|| self.registry.peers());
        for (answer, name) in answers {
            let is_open = |place: &Place, address| {
                let ports = open.get(&(place.side, address));
                ports.is_some_and(|ports| ports.range(place.ports.clone()).next().is_some())
            };
            let noted = self.names.book().note(&name, answer, Instant::now(), bounds, is_open);
            self.tell(&name, noted.unwrap_or_default());
        }
        let addresses = self.names.addresses();
        if *self.live.load().policy.addresses() != addresses {
            self.change(|next| next.policy = Arc::new(next.policy.with_addresses(&addresses)));
        }
        self.names.answered.notify_waiters();
    }

    fn tell(&self, name: &str, noted: Noted) {
        if let Some(error) = &noted.failed {
            self.metrics().resolve_failed();
            if noted.turned {
                warn!(name, %error, "a name of the policy was not resolved: its last addresses stand");
            }
        } else if noted.turned {
            info!(name, "a name of the policy is resolved again");
        }
        if noted.emptied {
            warn!(name, "a name of the policy has no address: this peer matches nothing");
        }
        if noted.over > 0 {
            self.metrics().limit_reached("host_addresses");
        }
        if noted.newly_over {
            warn!(
                name,
                over = noted.over,
                "a name has more addresses than `host-addresses` allows"
            );
        }
    }

    /// Says that this endpoint was not admitted, in case a newer answer admits it.
    pub(crate) fn not_admitted(&self, policy: &Snapshot, endpoint: &Endpoint) {
        if names_on(policy, endpoint.side, endpoint.port) {
            self.names.missed();
        }
    }
}

/// Each name with each side and range of ports whose rules have it as a peer.
fn wanted(policy: &Snapshot) -> Vec<(String, Place)> {
    let mut wanted = Vec::new();
    for side in [Side::Inbound, Side::Outbound] {
        let rules = policy.policies().iter().filter_map(|policy| policy.rules(side)).flatten();
        for rule in rules {
            for peer in &rule.peers {
                let Peer::Host(name) = peer else { continue };
                let place = |ports: &RangeInclusive<u16>| Place { side, ports: ports.clone() };
                wanted.extend(rule.ports.iter().map(|ports| (name.clone(), place(ports))));
            }
        }
    }
    wanted
}

/// Whether a rule of this side and port has a name as a peer.
fn names_on(policy: &Snapshot, side: Side, port: u16) -> bool {
    let mut rules = policy.policies().iter().filter_map(|policy| policy.rules(side)).flatten();
    rules.any(|rule| {
        rule.ports.iter().any(|ports| ports.contains(&port))
            && rule.peers.iter().any(|peer| matches!(peer, Peer::Host(_)))
    })
}

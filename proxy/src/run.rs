//! Running a sidecar: everything is started here, reloaded here, and ended here.

use std::hash::RandomState;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};
use weir_parsers::redis::Table;
use weir_policy::Snapshot;

use crate::accept;
use crate::admin::http::serve_admin;
use crate::admin::socket::{Socket, serve_socket};
use crate::budget::Budget;
use crate::config::{Admin, Settings};
use crate::control::SidecarControl;
use crate::defaults;
use crate::dial::Ports;
use crate::doors;
use crate::drain::{self, Ask};
use crate::inspect::InspectorFactory;
use crate::intercept::{Door, Intercept};
use crate::learn::{self, Learning};
use crate::live::{InForce, Live};
use crate::looping;
use crate::policies;
use crate::registry::Registry;
use crate::reload::Changes;
use crate::report::{Metrics, Reporter};
use crate::resolve::{self, Names};
use crate::shared::Shared;
use crate::signals::Signals;
use crate::worker::Workers;

/// How often the budget looks at what the system allows now.
const BUDGET_TICK: Duration = Duration::from_secs(1);
/// How often it is asked whether entries of the policy have expired.
const EXPIRY_TICK: Duration = Duration::from_secs(60);

/// How long the traffic log's last records may take.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// Why a sidecar did not start, or did not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A listener could not be made.
    #[error("cannot listen at {address} for {what}: {source}")]
    Listen {
        /// The setting that it was for: `--forward`, `--admin`.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The Unix socket could not be made.
    #[error(transparent)]
    Socket(io::Error),
    /// The redirect takes Weir's own connections.
    #[error(
        "weir's own connections are redirected to itself: run it as the user that `weir init \
         --proxy-uid` exempts ({})",
        defaults::PROXY_UID
    )]
    Looping,
    /// The policy files cannot be used.
    #[error("{0}")]
    Policy(policies::Error),
    /// The Redis command table cannot be used.
    #[error("{}: {message}", path.display())]
    RedisCommands {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        message: String,
    },
    /// The profile cannot be used.
    #[error(transparent)]
    Profile(learn::StartError),
    /// The traffic log cannot be written.
    #[error(transparent)]
    TrafficLog(crate::report::StartError),
    /// A thread, a runtime or a signal handler could not be made.
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// Called once with where each forward listens, or the listeners of the redirect.
pub type OnReady = Box<dyn FnOnce(&[SocketAddr]) + Send>;

/// What a program that embeds the sidecar adds to its settings.
#[derive(Default)]
pub struct Extras {
    /// Inspectors that look at every connection, after the policy.
    pub inspectors: Vec<Arc<dyn InspectorFactory>>,
    /// Told the addresses of the forwards, in their order, once they accept.
    pub ready: Option<OnReady>,
    /// Ends the sidecar as SIGTERM does when it becomes true.
    pub stop: Option<watch::Receiver<bool>>,
}

/// Runs a sidecar until SIGTERM or SIGINT and its drain are over.
///
/// # Errors
/// When it cannot start. What goes wrong later is logged and survived.
pub fn run(settings: Settings, extras: Extras) -> Result<(), Error> {
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { Sidecar::start(settings, extras)?.serve().await })
}

/// A sidecar whose listeners are bound and whose files are read.
struct Sidecar {
    settings: Settings,
    shared: Arc<Shared>,
    control: Arc<SidecarControl>,
    listeners: Vec<(Vec<tokio::net::TcpListener>, Door)>,
    admin: Vec<tokio::net::TcpListener>,
    socket: Option<Socket>,
    signals: Signals,
    changes: Changes,
    stop: Option<watch::Receiver<bool>>,
}

impl Sidecar {
    /// Everything that can fail for a user's reason happens here, before anything is served.
    fn start(settings: Settings, extras: Extras) -> Result<Self, Error> {
        // Before the files are read, so that no change after that is missed.
        let changes = Changes::watch(settings.watched());
        let policy = load_policies(&settings).map_err(Error::Policy)?;
        let redis_table = redis_table(settings.redis_commands.as_deref())?;
        let reporter = reporter(&settings)?;
        let listeners = doors::bind(&settings.intake)?;
        let admin = doors::bind_admin(settings.admin)?;
        let socket = doors::bind_socket(settings.socket.as_ref())?;
        let names = Names::new(&settings.resolv_conf);
        names.add(&policy);
        let live = Live::new(InForce {
            policy,
            default_mode: settings.mode,
            override_mode: None,
            limits: settings.limits.clone(),
            generation: 1,
        });
        let shared = Arc::new(Shared {
            live,
            names,
            budget: Arc::new(Budget::default()),
            intercept: Intercept::new(own_ports(&settings)),
            ports: Ports::default(),
            registry: Arc::new(Registry::default()),
            reporter,
            inspectors: extras.inspectors,
            redis_table,
            redis_inline: settings.redis_inline,
            unknown_frames: settings.http2_unknown_frames,
            nonces: RandomState::new(),
            connections: AtomicU64::new(0),
        });
        shared.govern_learning();
        if let Some(ready) = extras.ready {
            let all = listeners.iter().flat_map(|(listeners, _)| listeners);
            ready(&all.filter_map(|listener| listener.local_addr().ok()).collect::<Vec<_>>());
        }
        let control = Arc::new(SidecarControl::new(shared.clone(), settings.clone()));
        let signals = Signals::new()?;
        let stop = extras.stop;
        Ok(Self { settings, shared, control, listeners, admin, socket, signals, changes, stop })
    }

    async fn serve(mut self) -> Result<(), Error> {
        self.look_at_budget();
        let workers =
            Arc::new(Workers::start(self.settings.workers, self.shared.reporter.clone())?);
        let (end, ended) = watch::channel(false);
        let mut doors = JoinSet::new();
        for admin in self.admin.drain(..) {
            doors.spawn(serve_admin(admin, self.control.clone(), until(ended.clone())));
        }
        if let Some(socket) = self.socket.take() {
            doors.spawn(serve_socket(socket, self.control.clone(), until(ended)));
        }
        let mut background = JoinSet::new();
        background.spawn(self.shared.reporter.taps().clone().run());
        background.spawn(resolve::resolve(self.shared.clone()));
        // Who connects meanwhile waits: nobody is refused for a name that is about to be known.
        self.shared.names.settle().await;
        let mut tasks = JoinSet::new();
        for (listeners, door) in self.listeners.drain(..) {
            tasks.spawn(accept::accept(listeners, door, self.shared.clone(), workers.clone()));
        }
        self.look_for_loops(&mut background).await?;
        self.control.set_ready(true);
        info!(
            version = env!("CARGO_PKG_VERSION"),
            mode = %self.settings.mode,
            policies = self.settings.policies.len(),
            workers = self.settings.workers,
            "weir runs"
        );
        let ask = self.until_asked_to_end().await;
        self.control.set_ready(false);
        let grace = self.settings.grace;
        let cut = tokio::select! {
            cut = drain::drain(&self.shared, &mut tasks, ask, grace) => cut,
            // Whoever asks twice does not want to wait.
            () = self.signals.again() => self.shared.budget.connections(),
        };
        tasks.shutdown().await;
        // Relaying threads hand their last records over, to taps and to the log.
        if let Some(workers) = Arc::into_inner(workers) {
            drop(workers);
        }
        self.shared.reporter.taps().close();
        end.send_replace(true);
        // The doors finish the answers under way; nobody may keep them open for long.
        let _ = tokio::time::timeout(LAST_WRITE, doors.join_all()).await;
        info!(connections_cut = cut, "weir has ended");
        if !self.shared.reporter.close(LAST_WRITE) {
            warn!("the traffic log's last records were not written in time");
        }
        if let Some(learning) = self.shared.reporter.learning()
            && !learning.close(LAST_WRITE)
        {
            warn!("what was learned last is not in the profile");
        }
        Ok(())
    }

    /// Handles reloads and the budget's clock until a signal says to end.
    async fn until_asked_to_end(&mut self) -> Ask {
        let mut tick = tokio::time::interval(BUDGET_TICK);
        let mut expiry = tokio::time::interval(EXPIRY_TICK);
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    self.look_at_budget();
                    self.control.expire();
                }
                _ = expiry.tick() => self.expire_entries(),
                _ = self.changes.next() => self.reload().await,
                _ = self.signals.hangup.recv() => {
                    self.shared.reporter.reopen();
                    self.reload().await;
                }
                _ = self.signals.terminate.recv() => return Ask::Orderly,
                _ = self.signals.interrupt.recv() => return Ask::Soon,
                () = stopped(&mut self.stop) => return Ask::Orderly,
            }
        }
    }

    /// Looks whether the redirect takes Weir's own connections, now and from now on.
    async fn look_for_loops(&self, background: &mut JoinSet<()>) -> Result<(), Error> {
        let Some(ports) = self.settings.intake.redirect() else {
            return Ok(());
        };
        if looping::is_looping(&self.shared, ports.outbound).await {
            return Err(Error::Looping);
        }
        background.spawn(looping::watch(self.shared.clone(), ports.outbound));
        Ok(())
    }

    /// Sets the budget to what settings and system allow now: both can change while Weir runs.
    fn look_at_budget(&self) {
        let most = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let memory = self.settings.memory_now().map_or(usize::MAX, most);
        let descriptors = getrlimit(Resource::Nofile).current.map_or(usize::MAX, most);
        let connections = self.settings.max_connections.unwrap_or(usize::MAX);
        self.shared.budget.set(memory, descriptors, connections);
    }

    /// Puts the policies in force as of today, where entries have expired since.
    fn expire_entries(&self) {
        let now = self.shared.live.load();
        match policies::as_of_today(&now.policy, now.default_mode) {
            Ok(None) => {}
            Ok(Some(policy)) => {
                self.shared.change(|next| next.policy = policy.clone());
                info!("entries of the policy have expired");
            }
            Err(error) => error!(%error, "entries of the policy cannot expire"),
        }
    }

    /// The policy with what its names resolve to, so that a new name refuses nobody when it comes
    /// into force.
    async fn resolved(&self, policy: Arc<Snapshot>) -> Arc<Snapshot> {
        self.shared.names.add(&policy);
        self.shared.names.settle().await;
        Arc::new(policy.with_addresses(&self.shared.names.addresses()))
    }

    /// Reads settings and policies again. What cannot be read leaves everything as it was.
    async fn reload(&mut self) {
        self.changes.note();
        let loaded = self.settings.reload().map_err(|error| error.to_string()).and_then(|new| {
            let policy = load_policies(&new).map_err(|error| error.to_string())?;
            Ok((new, policy))
        });
        match loaded {
            Ok((new, policy)) => {
                let policy = self.resolved(policy).await;
                let restart = self.settings.needs_restart(&new);
                if !restart.is_empty() {
                    warn!(settings = ?restart, "changed settings that only a restart applies");
                }
                self.settings.apply(&new);
                self.changes.rewatch(self.settings.watched());
                self.look_at_budget();
                self.shared.change(|next| {
                    next.policy = policy.clone();
                    next.default_mode = new.mode;
                    next.limits = new.limits.clone();
                });
                self.shared.names.retain(&policy);
                self.control.reloaded(&self.settings);
                self.shared.metrics().policy_reloaded(true, self.shared.live.load().generation);
                info!(generation = self.shared.live.load().generation, "reloaded");
            }
            Err(message) => {
                self.shared.metrics().policy_reloaded(false, self.shared.live.load().generation);
                error!(error = %message, "not reloaded: what was in force stays in force");
            }
        }
    }
}

async fn until(mut ended: watch::Receiver<bool>) {
    // An error says that the sender is gone, which is an end as well.
    let _ = ended.wait_for(|ended| *ended).await;
}

async fn stopped(stop: &mut Option<watch::Receiver<bool>>) {
    let asked = match stop {
        Some(stop) => stop.wait_for(|stop| *stop).await.is_ok(),
        None => false,
    };
    if !asked {
        // Nobody can ask, or can ask any more.
        std::future::pending().await
    }
}

/// The ports that the sidecar itself listens at beside a redirect: nothing may be relayed there.
fn own_ports(settings: &Settings) -> Vec<u16> {
    let Some(ports) = settings.intake.redirect() else {
        return Vec::new();
    };
    let admin = match settings.admin {
        Admin::Off => None,
        Admin::At(at) => Some(at.port()),
        Admin::Port(port) => Some(port),
    };
    [ports.inbound, ports.outbound].into_iter().chain(admin).collect()
}

/// Reads the policies, and warns of what of them does not hold here.
fn load_policies(settings: &Settings) -> Result<Arc<Snapshot>, policies::Error> {
    let policy = policies::load(&settings.policies, settings.mode)?;
    if settings.intake.redirect().is_none() {
        policies::warn_of_outbound(&policy);
    }
    Ok(policy)
}

/// The command table lives as long as the process, so that sessions need no count of it.
fn redis_table(path: Option<&Path>) -> Result<&'static Table, Error> {
    let Some(path) = path else {
        return Ok(Table::builtin());
    };
    let error = |message: String| Error::RedisCommands { path: path.to_owned(), message };
    let text = std::fs::read_to_string(path).map_err(|source| error(source.to_string()))?;
    let table = Table::parse(&text).map_err(|source| error(source.to_string()))?;
    Ok(Box::leak(Box::new(table)))
}

fn reporter(settings: &Settings) -> Result<Arc<Reporter>, Error> {
    let log = settings.traffic_log.clone();
    let metrics = Arc::new(Metrics::new());
    let learning = settings
        .profile
        .as_ref()
        .map(|files| Learning::start(files, metrics.clone()))
        .transpose()
        .map_err(Error::Profile)?;
    let (allowed, detail) = (settings.log_allowed, settings.log_detail);
    Reporter::learning_too(log, allowed, detail, metrics, learning).map_err(Error::TrafficLog)
}

/// A sidecar needs two descriptors for each connection: it takes what the hard limit gives.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "the limit of open descriptors stays as it is");
    }
}

//! The settings of one running sidecar: flags over the configuration file over defaults.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use weir_policy::decide::Mode;

use crate::defaults;
use crate::limits::Limits;
use crate::program_log::Filter;

mod file;
mod memory;
mod options;
mod show;
pub mod units;
pub mod values;

pub use options::Options;
pub use values::{Forward, LogAllowed, LogDetail, Target};

/// Where the admin endpoint listens unless told otherwise.
const ADMIN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), defaults::ADMIN_PORT);
/// More threads than this gain a sidecar nothing.
const WORKERS: usize = 4;

/// What a sidecar runs by, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The forwards, at least one, none of them listening where another does.
    pub forwards: Vec<Forward>,
    /// The policy files.
    pub policies: Vec<PathBuf>,
    /// The mode where neither the policy nor a live override says.
    pub mode: Mode,
    /// Where `/metrics`, `/ready` and `/live` are served.
    pub admin: Option<SocketAddr>,
    /// The Unix socket for mode and configuration.
    pub socket: Option<PathBuf>,
    /// Where the traffic log goes.
    pub traffic_log: Option<Target>,
    /// Which allowed transactions it has.
    pub log_allowed: LogAllowed,
    /// How much it tells of each.
    pub log_detail: LogDetail,
    /// The limits of a connection.
    pub limits: Limits,
    /// How long connections have to end by themselves at shutdown.
    pub grace: Duration,
    /// Threads that carry traffic.
    pub workers: usize,
    /// Bytes of memory at which accepting pauses, where that was said: see
    /// [`memory_now`](Self::memory_now).
    pub memory: Option<u64>,
    /// Connections at which accepting pauses.
    pub max_connections: Option<usize>,
    /// A Redis command table in place of the built-in one.
    pub redis_commands: Option<PathBuf>,
    /// How names in policies are resolved.
    pub resolv_conf: PathBuf,
    /// Whether Redis inline commands are read without the server confirming the protocol.
    pub redis_inline: bool,
    /// Which events are in the program's own log.
    pub log: Filter,
    /// Where all this was said.
    pub source: Source,
}

/// Where settings are said: the flags, and the configuration file if there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// What the command line says.
    pub flags: Options,
    /// The configuration file.
    pub file: Option<PathBuf>,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The configuration file has an error.
    #[error("{}:{line}:{column}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The column, from 1.
        column: u64,
        /// What is wrong there.
        message: String,
        /// The text of that line.
        source_line: String,
    },
    /// There is nothing to forward.
    #[error("no --forward: taking a pod's traffic transparently is not in this build")]
    NoForward,
    /// Two listeners at one address, or a forward to its own listener.
    #[error("{0}")]
    Conflict(String),
    /// A setting's value is outside what it can be.
    #[error("{name}: {message}")]
    Value {
        /// The setting's name.
        name: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl Source {
    /// Reads the file, lets the flags win over it, and fills in the defaults.
    ///
    /// # Errors
    /// The file cannot be read or has an error, or the settings contradict each other.
    pub fn load(self) -> Result<Settings, Error> {
        let file = self.file.as_deref().map(file::read).transpose()?.unwrap_or_default();
        let options = self.flags.clone().over(file);
        Settings::new(options, self)
    }
}

impl Settings {
    fn new(options: Options, source: Source) -> Result<Self, Error> {
        let settings = Self {
            limits: limits(&options)?,
            forwards: options.forward,
            policies: options.policy,
            mode: options.mode.map_or(Mode::default(), Mode::from),
            admin: options.admin.map_or(Some(ADMIN), |admin| admin.0),
            socket: options.socket,
            traffic_log: options.traffic_log.map_or(Some(Target::Stdout), |log| log.0),
            log_allowed: options.log_allowed.unwrap_or_default(),
            log_detail: options.log_detail.unwrap_or_default(),
            grace: options.grace.map_or(Duration::from_secs(30), |grace| grace.0),
            workers: options.workers.unwrap_or_else(default_workers),
            memory: options.memory.map(|size| size.0),
            max_connections: options.max_connections,
            redis_commands: options.redis_commands,
            redis_inline: options.redis_inline.unwrap_or(false),
            resolv_conf: options.resolv_conf.unwrap_or_else(|| defaults::RESOLV_CONF.into()),
            log: options.log.unwrap_or_default(),
            source,
        };
        settings.check()?;
        Ok(settings)
    }

    /// The settings as flags and file say them now.
    ///
    /// # Errors
    /// As [`Source::load`].
    pub fn reload(&self) -> Result<Self, Error> {
        self.source.clone().load()
    }

    /// Bytes of memory at which accepting pauses: what was said, or else three quarters of what
    /// the cgroup allows at this moment. None where nothing limits it.
    pub fn memory_now(&self) -> Option<u64> {
        self.memory.or_else(memory::budget)
    }

    /// Takes over from `new` what a running sidecar can change.
    pub fn apply(&mut self, new: &Self) {
        self.policies.clone_from(&new.policies);
        self.mode = new.mode;
        self.limits = new.limits.clone();
        self.grace = new.grace;
        self.memory = new.memory;
        self.max_connections = new.max_connections;
    }

    /// The names of settings that differ in `new` and that only a restart applies.
    pub fn needs_restart(&self, new: &Self) -> Vec<&'static str> {
        let mut names = Vec::new();
        let mut changed = |name, differs: bool| names.extend(differs.then_some(name));
        changed("forward", self.forwards != new.forwards);
        changed("admin", self.admin != new.admin);
        changed("socket", self.socket != new.socket);
        changed("traffic-log", self.traffic_log != new.traffic_log);
        changed("log-allowed", self.log_allowed != new.log_allowed);
        changed("log-detail", self.log_detail != new.log_detail);
        changed("workers", self.workers != new.workers);
        changed("redis-commands", self.redis_commands != new.redis_commands);
        changed("redis-inline", self.redis_inline != new.redis_inline);
        changed("resolv-conf", self.resolv_conf != new.resolv_conf);
        changed("log", self.log != new.log);
        names
    }

    /// The files whose change is a reason to reload: the policies and the configuration.
    pub fn watched(&self) -> Vec<PathBuf> {
        self.policies.iter().chain(&self.source.file).cloned().collect()
    }

    fn check(&self) -> Result<(), Error> {
        if self.forwards.is_empty() {
            return Err(Error::NoForward);
        }
        let mut taken = HashSet::new();
        for Forward { listen, upstream } in &self.forwards {
            if listen == upstream {
                return Err(Error::Conflict(format!(
                    "the forward {listen}={upstream} leads to itself"
                )));
            }
            if listen.port() != 0 && !taken.insert(*listen) {
                return Err(Error::Conflict(format!("two forwards listen at {listen}")));
            }
        }
        if let Some(admin) = self.admin.filter(|admin| taken.contains(admin)) {
            return Err(Error::Conflict(format!("a forward and --admin both listen at {admin}")));
        }
        let value = |name, message: &str| Err(Error::Value { name, message: message.to_owned() });
        if !(1..=64).contains(&self.workers) {
            return value("workers", "must be from 1 to 64");
        }
        if self.max_connections == Some(0) {
            return value("max-connections", "must be at least 1");
        }
        if self.memory.is_some_and(|bytes| bytes < 1 << 20) {
            return value("memory", "must be at least 1MiB");
        }
        if self.grace > Duration::from_hours(24) {
            return value("grace", "must be at most 24h");
        }
        Ok(())
    }
}

fn limits(options: &Options) -> Result<Limits, Error> {
    let mut limits = Limits::default();
    limits.apply(&options.limits).map_err(|message| Error::Value { name: "limits", message })?;
    Ok(limits)
}

fn default_workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(WORKERS)
}

#[cfg(test)]
mod tests;

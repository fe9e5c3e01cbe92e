//! The settings of one running sidecar: flags over the configuration file over defaults.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
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

pub use values::{Admin, Forward, LogAllowed, LogDetail, Target, UnknownFrames};

/// Where the admin endpoint of forwards listens unless told otherwise.
const ADMIN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), defaults::ADMIN_PORT);
/// More threads than this gain a sidecar nothing.
const WORKERS: usize = 4;

/// What a sidecar runs by, complete and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How connections reach the sidecar.
    pub intake: Intake,
    /// The policy files.
    pub policies: Vec<PathBuf>,
    /// The mode where neither the policy nor a live override says.
    pub mode: Mode,
    /// Where what was seen of the workload is kept, if it is.
    pub profile: Option<ProfileFiles>,
    /// Where `/metrics`, `/ready`, `/live` and `/probe` are served.
    pub admin: Admin,
    /// The application's ports that `/probe` may dial.
    pub probe_ports: Vec<u16>,
    /// The Unix socket for mode and configuration.
    pub socket: Option<ControlSocket>,
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
    /// What becomes of HTTP/2 frames of unknown types where traffic is judged.
    pub http2_unknown_frames: UnknownFrames,
    /// Which events are in the program's own log.
    pub log: Filter,
    /// Where all this was said.
    pub source: Source,
}

/// How connections reach the sidecar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intake {
    /// By plain forwards, at least one, none of them listening where another does.
    Forwards(Vec<Forward>),
    /// By the redirect of `weir init`.
    Redirect(RedirectPorts),
}

/// The ports that `weir init` redirects connections to. They differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedirectPorts {
    /// For connections towards the pod.
    pub inbound: u16,
    /// For connections from the pod.
    pub outbound: u16,
}

/// Where the Unix socket is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlSocket {
    /// The path.
    pub path: PathBuf,
    /// Somebody named it: it must be there, or the sidecar does not start.
    pub asked: bool,
}

/// Where a profile is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileFiles {
    /// The profile.
    pub path: PathBuf,
    /// The key of its hashes.
    pub key: PathBuf,
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
    /// Two listeners at one place, a forward to its own listener, or forwards beside the redirect.
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
            admin: admin(&options),
            socket: socket(&options),
            profile: profile(&options)?,
            intake: intake(options.forward, options.inbound_port, options.outbound_port)?,
            policies: options.policy,
            mode: options.mode.map_or(Mode::default(), Mode::from),
            probe_ports: options
                .probe_ports
                .map(|ports| ports.0.into_iter().map(NonZeroU16::get).collect())
                .unwrap_or_default(),
            traffic_log: options.traffic_log.map_or(Some(Target::Stdout), |log| log.0),
            log_allowed: options.log_allowed.unwrap_or_default(),
            log_detail: options.log_detail.unwrap_or_default(),
            grace: options.grace.map_or(Duration::from_secs(30), |grace| grace.0),
            workers: options.workers.unwrap_or_else(default_workers),
            memory: options.memory.map(|size| size.0),
            max_connections: options.max_connections,
            redis_commands: options.redis_commands,
            redis_inline: options.redis_inline.unwrap_or(false),
            http2_unknown_frames: options.http2_unknown_frames.unwrap_or_default(),
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
        changed("forward", self.intake.forwards() != new.intake.forwards());
        let ports = (self.intake.redirect(), new.intake.redirect());
        changed("inbound-port", ports.0.map(|p| p.inbound) != ports.1.map(|p| p.inbound));
        changed("outbound-port", ports.0.map(|p| p.outbound) != ports.1.map(|p| p.outbound));
        changed("admin", self.admin != new.admin);
        changed("probe-ports", self.probe_ports != new.probe_ports);
        changed("socket", self.socket != new.socket);
        let files = |settings: &Self| {
            settings
                .profile
                .clone()
                .map_or((None, None), |files| (Some(files.path), Some(files.key)))
        };
        let (own, other) = (files(self), files(new));
        changed("profile", own.0 != other.0);
        changed("profile-key", own.1 != other.1);
        changed("traffic-log", self.traffic_log != new.traffic_log);
        changed("log-allowed", self.log_allowed != new.log_allowed);
        changed("log-detail", self.log_detail != new.log_detail);
        changed("workers", self.workers != new.workers);
        changed("redis-commands", self.redis_commands != new.redis_commands);
        changed("redis-inline", self.redis_inline != new.redis_inline);
        let unknown = [self.http2_unknown_frames, new.http2_unknown_frames];
        changed("http2-unknown-frames", unknown[0] != unknown[1]);
        changed("resolv-conf", self.resolv_conf != new.resolv_conf);
        changed("log", self.log != new.log);
        names
    }

    /// The files whose change is a reason to reload: the policies and the configuration.
    pub fn watched(&self) -> Vec<PathBuf> {
        self.policies.iter().chain(&self.source.file).cloned().collect()
    }

    fn check(&self) -> Result<(), Error> {
        match &self.intake {
            Intake::Forwards(forwards) => check_forwards(forwards, self.admin),
            Intake::Redirect(ports) => check_ports(*ports, self.admin, &self.probe_ports),
        }
        .map_err(Error::Conflict)?;
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

impl Intake {
    /// The forwards; none where connections come by the redirect.
    pub fn forwards(&self) -> &[Forward] {
        match self {
            Self::Forwards(forwards) => forwards,
            Self::Redirect(_) => &[],
        }
    }

    /// The redirect's ports; none where there are forwards.
    pub fn redirect(&self) -> Option<RedirectPorts> {
        match self {
            Self::Forwards(_) => None,
            Self::Redirect(ports) => Some(*ports),
        }
    }
}

fn intake(
    forwards: Vec<Forward>,
    inbound: Option<NonZeroU16>,
    outbound: Option<NonZeroU16>,
) -> Result<Intake, Error> {
    if forwards.is_empty() {
        return Ok(Intake::Redirect(RedirectPorts {
            inbound: inbound.map_or(defaults::INBOUND_PORT, NonZeroU16::get),
            outbound: outbound.map_or(defaults::OUTBOUND_PORT, NonZeroU16::get),
        }));
    }
    let beside = inbound.and(Some("inbound-port")).or(outbound.and(Some("outbound-port")));
    match beside {
        None => Ok(Intake::Forwards(forwards)),
        Some(name) => Err(Error::Conflict(format!(
            "`{name}` is for what `weir init` redirects, which a sidecar with forwards does not take"
        ))),
    }
}

/// A pod may have addresses of one family alone, and whoever probes it must reach it.
fn admin(options: &Options) -> Admin {
    let default = match options.forward.is_empty() {
        true => Admin::Port(defaults::ADMIN_PORT),
        false => Admin::At(ADMIN),
    };
    options.admin.unwrap_or(default)
}

fn socket(options: &Options) -> Option<ControlSocket> {
    match &options.socket {
        Some(said) => said.0.clone().map(|path| ControlSocket { path, asked: true }),
        None if options.forward.is_empty() => {
            Some(ControlSocket { path: defaults::SOCKET.into(), asked: false })
        }
        None => None,
    }
}

/// The key lies beside the profile unless it is said where.
fn profile(options: &Options) -> Result<Option<ProfileFiles>, Error> {
    let Some(path) = options.profile.clone() else {
        return match options.profile_key {
            None => Ok(None),
            Some(_) => {
                Err(Error::Conflict("`profile-key` is for a `profile`: name one".to_owned()))
            }
        };
    };
    let key = options.profile_key.clone().unwrap_or_else(|| {
        let mut beside = path.clone().into_os_string();
        beside.push(".key");
        beside.into()
    });
    if key == path {
        return Err(Error::Conflict("`profile` and `profile-key` are one file".to_owned()));
    }
    Ok(Some(ProfileFiles { path, key }))
}

fn check_forwards(forwards: &[Forward], admin: Admin) -> Result<(), String> {
    let mut taken = HashSet::new();
    for Forward { listen, upstream } in forwards {
        if listen == upstream {
            return Err(format!("the forward {listen}={upstream} leads to itself"));
        }
        if listen.port() != 0 && !taken.insert(*listen) {
            return Err(format!("two forwards listen at {listen}"));
        }
    }
    let clash = taken.iter().find(|listen| match admin {
        Admin::Off => false,
        Admin::At(at) => at == **listen,
        Admin::Port(port) => port == listen.port(),
    });
    clash.map_or(Ok(()), |at| Err(format!("a forward and --admin both listen at {at}")))
}

fn check_ports(ports: RedirectPorts, admin: Admin, probed: &[u16]) -> Result<(), String> {
    let admin = match admin {
        Admin::Off => None,
        Admin::At(at) => Some(at.port()),
        Admin::Port(port) => Some(port),
    };
    let own = [
        ("--inbound-port", Some(ports.inbound)),
        ("--outbound-port", Some(ports.outbound)),
        ("--admin", admin),
    ];
    for (i, (name, port)) in own.iter().enumerate() {
        let Some(port) = port else { continue };
        if *port == 0 {
            return Err(format!(
                "{name} is 0, any port: name the one that `weir init` leaves alone"
            ));
        }
        if let Some((other, _)) = own[..i].iter().find(|(_, other)| *other == Some(*port)) {
            return Err(format!("{other} and {name} are both {port}"));
        }
        if probed.contains(port) {
            return Err(format!(
                "--probe-ports has {port}, which is {name}: name the application's"
            ));
        }
    }
    Ok(())
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

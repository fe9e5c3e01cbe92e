//! What the load goes through: nothing, Weir in two modes, HAProxy; between pods, Weir as a forward and behind the redirect.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
};

use serde::Serialize;

use crate::{
    Error,
    affinity::Cores,
    child::{Log, Program, find, free_port},
    origin::{Origins, ask},
    workload::{Front, http_get},
};

/// What is measured on the loopback has these.
const FRONTS: [Front; 2] = [Front::Http, Front::Redis];

/// One of the ways from the client to the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Straight to the origin.
    Direct,
    /// Through Weir, which reads alongside.
    WeirMonitor,
    /// Through Weir, which holds every operation until it is judged.
    WeirEnforce,
    /// Through HAProxy: HTTP mode for HTTP, TCP mode for Redis.
    Haproxy,
    /// Through Weir in monitor, with a policy for traffic that varies.
    Watching,
    /// The same in learn, with a profile.
    Learning,
    /// From pod to pod, straight.
    PodDirect,
    /// From pod to pod, through a forward of Weir's in the server's pod, in enforce.
    PodForward,
    /// From pod to pod, where the redirect brings it to Weir, in enforce.
    PodTransparent,
}

impl Kind {
    /// All on the loopback, in the order in which they are shown.
    pub const ALL: [Self; 4] = [Self::Direct, Self::WeirMonitor, Self::WeirEnforce, Self::Haproxy];

    /// The name for a person.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::WeirMonitor | Self::Watching => "weir monitor",
            Self::WeirEnforce => "weir enforce",
            Self::Haproxy => "haproxy",
            Self::Learning => "weir learn",
            Self::PodDirect => "direct",
            Self::PodForward => "weir forward",
            Self::PodTransparent => "weir transparent",
        }
    }
}

/// Everything that starting a target needs.
#[derive(Debug)]
pub struct Place<'a> {
    /// A directory for files and logs.
    pub room: &'a Path,
    /// The servers behind.
    pub origins: &'a Origins,
    /// Where the proxy runs.
    pub cores: Cores,
    /// The `weir` program.
    pub weir: &'a Path,
}

/// A target that is ready for load.
#[derive(Debug)]
pub struct Target {
    /// Which one.
    pub kind: Kind,
    fronts: Fronts,
    proxy: Option<(Program, Log)>,
    origins: [Option<u32>; 2],
}

/// Where a target is asked: its two fronts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fronts(pub(crate) [(Front, SocketAddr); 2]);

impl Fronts {
    /// Free ports of the loopback.
    pub(crate) fn free(fronts: [Front; 2]) -> Result<Self, Error> {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self([(fronts[0], at(free_port()?)), (fronts[1], at(free_port()?))]))
    }

    pub(crate) fn at(&self, front: Front) -> SocketAddr {
        let [first, second] = self.0;
        if second.0 == front { second.1 } else { first.1 }
    }

    /// Their ports.
    pub(crate) fn ports(&self) -> [String; 2] {
        self.0.map(|(_, address)| address.port().to_string())
    }
}

impl Target {
    /// A target that has been started elsewhere: its proxy, if it has one, and the servers behind.
    pub(crate) fn new(
        kind: Kind,
        fronts: Fronts,
        proxy: Option<(Program, Log)>,
        origins: &Origins,
    ) -> Self {
        let origins = fronts.0.map(|(front, _)| origins.pid(front));
        Self { kind, fronts, proxy, origins }
    }

    /// The same, where both fronts have one server behind.
    pub(crate) fn before(
        kind: Kind,
        fronts: Fronts,
        proxy: Option<(Program, Log)>,
        origin: u32,
    ) -> Self {
        Self { kind, fronts, proxy, origins: [Some(origin); 2] }
    }

    /// Starts a target; `label` names its files in the room. None if its program is not there, which is added to `missing`.
    ///
    /// # Errors
    /// If the program is there and does not start, or does not do what its mode says.
    pub fn start(
        kind: Kind,
        label: &str,
        place: &Place<'_>,
        missing: &mut Vec<String>,
    ) -> Result<Option<Self>, Error> {
        // A front without an origin is never used: any address will do.
        let nowhere = Fronts::free(FRONTS)?;
        let address = |(front, nowhere)| (front, place.origins.address(front).unwrap_or(nowhere));
        let origins = Fronts(nowhere.0.map(address));
        if kind == Kind::Direct {
            return Ok(Some(Self::new(kind, origins, None, place.origins)));
        }
        let Some(binary) = program(kind, place.weir, missing) else { return Ok(None) };
        let fronts = Fronts::free(FRONTS)?;
        let log = Log::create(place.room.join(format!("{label}.log")))?;
        let (mut command, output) = match kind {
            Kind::Haproxy => (haproxy(&binary, place.room, fronts, origins)?, Some(log.output()?)),
            _ => (weir(&binary, kind, place.room, fronts, origins, &log)?, None),
        };
        let program = launch(label, place.room, place.cores, output, &mut command, fronts)?;
        let target = Self::new(kind, fronts, Some((program, log)), place.origins);
        if place.origins.address(Front::Http).is_some() {
            target.check_mode()?;
        }
        Ok(Some(target))
    }

    /// Where a front of this target listens.
    pub fn address(&self, front: Front) -> SocketAddr {
        self.fronts.at(front)
    }

    /// The proxy's process id; none for [`Kind::Direct`].
    pub fn pid(&self) -> Option<u32> {
        self.proxy.as_ref().map(|(program, _)| program.pid())
    }

    /// The process id of the origin of a front, if there is one.
    pub fn origin(&self, front: Front) -> Option<u32> {
        let [(first, _), _] = self.fronts.0;
        self.origins[usize::from(first != front)]
    }

    /// Records logged since the last call; none for [`Kind::Direct`].
    ///
    /// # Errors
    /// If the log cannot be read.
    pub fn take_records(&mut self) -> Result<Option<u64>, Error> {
        self.proxy.as_mut().map(|(_, log)| log.take()).transpose()
    }

    /// Asks for what the policy does not allow: a proxy that lets it through in enforce is not doing the work that is measured.
    pub(crate) fn check_mode(&self) -> Result<(), Error> {
        let enforces =
            matches!(self.kind, Kind::WeirEnforce | Kind::PodForward | Kind::PodTransparent);
        let expected = if enforces { "403" } else { "404" };
        let answer = ask(self.address(Front::Http), &http_get("/not/in/the/policy"));
        let answer = answer.map_err(Error::io(format!("{}: asking", self.kind.name())))?;
        if answer.starts_with(format!("HTTP/1.1 {expected}").as_bytes()) {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&answer);
        let line = line.lines().next().unwrap_or_default().to_owned();
        let name = self.kind.name();
        Err(Error::Program(format!("{name} answers {line:?} to an operation outside the policy")))
    }
}

/// The program of a proxy; if it is not there that is added to `missing`.
pub(crate) fn program(kind: Kind, weir: &Path, missing: &mut Vec<String>) -> Option<PathBuf> {
    let binary = match kind {
        Kind::Haproxy => find("haproxy"),
        _ => Some(weir.to_owned()).filter(|path| path.is_file()),
    };
    if binary.is_none() {
        missing.push(format!("{} is not measured: no such program", kind.name()));
    }
    binary
}

/// Starts a proxy on its core, and waits until it listens.
pub(crate) fn launch(
    label: &str,
    room: &Path,
    cores: Cores,
    output: Option<File>,
    command: &mut Command,
    fronts: Fronts,
) -> Result<Program, Error> {
    let mut program = cores.as_proxy(|| Program::start(label, room, output, command))?;
    for (_, address) in fronts.0 {
        program.await_listening(address)?;
    }
    Ok(program)
}

fn haproxy(binary: &Path, room: &Path, fronts: Fronts, origins: Fronts) -> Result<Command, Error> {
    let file = write(room.join("haproxy.cfg"), include_str!("../haproxy/haproxy.cfg"))?;
    let ([listen, listen_redis], [origin, origin_redis]) = (fronts.ports(), origins.ports());
    let mut command = Command::new(binary);
    command
        .args(["-db", "-f"])
        .arg(file)
        .env("BENCH_HTTP_LISTEN", listen)
        .env("BENCH_REDIS_LISTEN", listen_redis)
        .env("BENCH_HTTP_ORIGIN", origin)
        .env("BENCH_REDIS_ORIGIN", origin_redis);
    Ok(command)
}

fn weir(
    binary: &Path,
    kind: Kind,
    room: &Path,
    fronts: Fronts,
    origins: Fronts,
    log: &Log,
) -> Result<Command, Error> {
    let varied = matches!(kind, Kind::Watching | Kind::Learning);
    let policy = match varied {
        true => include_str!("../weir/learning.yaml"),
        false => include_str!("../weir/policy.yaml"),
    };
    let [http, redis] = origins.ports();
    let policy = policy.replace("@HTTP@", &http).replace("@REDIS@", &redis);
    let policy = write(room.join("policy.yaml"), &policy)?;
    let mut command = forwarding(binary, mode_of(kind), fronts, origins, &policy, log)?;
    if kind == Kind::Learning {
        command.arg("--profile").arg(room.join("profile.yaml"));
    }
    Ok(command)
}

pub(crate) fn mode_of(kind: Kind) -> &'static str {
    match kind {
        Kind::WeirEnforce => "enforce",
        Kind::Learning => "learn",
        _ => "monitor",
    }
}

/// A Weir with one worker, which forwards both fronts and logs everything.
pub(crate) fn forwarding(
    binary: &Path,
    mode: &str,
    fronts: Fronts,
    origins: Fronts,
    policy: &Path,
    log: &Log,
) -> Result<Command, Error> {
    let mut command = Command::new(binary);
    command.arg("run");
    for ((_, from), (_, to)) in fronts.0.into_iter().zip(origins.0) {
        command.args(["--forward", &format!("{from}={to}")]);
    }
    command
        .args(["--admin", &format!("127.0.0.1:{}", free_port()?)])
        .args(["--workers", "1", "--mode", mode, "--log-allowed", "all", "--policy"])
        .arg(policy)
        .arg("--traffic-log")
        .arg(log.path());
    Ok(command)
}

pub(crate) fn write(path: PathBuf, text: &str) -> Result<PathBuf, Error> {
    fs::write(&path, text).map_err(Error::io(path.display().to_string()))?;
    Ok(path)
}

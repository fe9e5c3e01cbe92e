//! What the load goes through: nothing, Weir in two modes, HAProxy; between pods, Weir as a forward and behind the redirect.

use std::{
    fs,
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

/// Where a target is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fronts {
    pub(crate) http: SocketAddr,
    pub(crate) redis: SocketAddr,
}

impl Fronts {
    fn free() -> Result<Self, Error> {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { http: at(free_port()?), redis: at(free_port()?) })
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
        let origins = [Front::Http, Front::Redis].map(|front| origins.pid(front));
        Self { kind, fronts, proxy, origins }
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
        let nowhere = Fronts::free()?;
        let origins = Fronts {
            http: place.origins.address(Front::Http).unwrap_or(nowhere.http),
            redis: place.origins.address(Front::Redis).unwrap_or(nowhere.redis),
        };
        if kind == Kind::Direct {
            return Ok(Some(Self::new(kind, origins, None, place.origins)));
        }
        let binary = match kind {
            Kind::Haproxy => find("haproxy"),
            _ => Some(place.weir.to_owned()).filter(|path| path.is_file()),
        };
        let Some(binary) = binary else {
            missing.push(format!("{} is not measured: no such program", kind.name()));
            return Ok(None);
        };
        let fronts = Fronts::free()?;
        let log = Log::create(place.room.join(format!("{label}.log")))?;
        let (mut command, output) = match kind {
            Kind::Haproxy => (haproxy(&binary, place.room, fronts, origins)?, Some(log.output()?)),
            _ => (weir(&binary, kind, place.room, fronts, origins, &log)?, None),
        };
        let started =
            place.cores.as_proxy(|| Program::start(label, place.room, output, &mut command));
        let mut program = started?;
        program.await_listening(fronts.http)?;
        program.await_listening(fronts.redis)?;
        let target = Self::new(kind, fronts, Some((program, log)), place.origins);
        if place.origins.address(Front::Http).is_some() {
            target.check_mode()?;
        }
        Ok(Some(target))
    }

    /// Where a front of this target listens.
    pub fn address(&self, front: Front) -> SocketAddr {
        match front {
            Front::Http => self.fronts.http,
            Front::Redis => self.fronts.redis,
        }
    }

    /// The proxy's process id; none for [`Kind::Direct`].
    pub fn pid(&self) -> Option<u32> {
        self.proxy.as_ref().map(|(program, _)| program.pid())
    }

    /// The process id of the origin of a front, if there is one.
    pub fn origin(&self, front: Front) -> Option<u32> {
        match front {
            Front::Http => self.origins[0],
            Front::Redis => self.origins[1],
        }
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
        let answer = ask(self.fronts.http, &http_get("/not/in/the/policy"));
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

fn haproxy(binary: &Path, room: &Path, fronts: Fronts, origins: Fronts) -> Result<Command, Error> {
    let file = write(room.join("haproxy.cfg"), include_str!("../haproxy/haproxy.cfg"))?;
    let mut command = Command::new(binary);
    command
        .args(["-db", "-f"])
        .arg(file)
        .env("BENCH_HTTP_LISTEN", fronts.http.port().to_string())
        .env("BENCH_REDIS_LISTEN", fronts.redis.port().to_string())
        .env("BENCH_HTTP_ORIGIN", origins.http.port().to_string())
        .env("BENCH_REDIS_ORIGIN", origins.redis.port().to_string());
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
    let policy = policy
        .replace("@HTTP@", &origins.http.port().to_string())
        .replace("@REDIS@", &origins.redis.port().to_string());
    let policy = write(room.join("policy.yaml"), &policy)?;
    let mode = match kind {
        Kind::WeirEnforce => "enforce",
        Kind::Learning => "learn",
        _ => "monitor",
    };
    let mut command = Command::new(binary);
    command
        .arg("run")
        .args(["--forward", &format!("{}={}", fronts.http, origins.http)])
        .args(["--forward", &format!("{}={}", fronts.redis, origins.redis)])
        .args(["--admin", &format!("127.0.0.1:{}", free_port()?)])
        .args(["--workers", "1", "--mode", mode, "--log-allowed", "all", "--policy"])
        .arg(policy)
        .arg("--traffic-log")
        .arg(log.path());
    if kind == Kind::Learning {
        command.arg("--profile").arg(room.join("profile.yaml"));
    }
    Ok(command)
}

pub(crate) fn write(path: PathBuf, text: &str) -> Result<PathBuf, Error> {
    fs::write(&path, text).map_err(Error::io(path.display().to_string()))?;
    Ok(path)
}

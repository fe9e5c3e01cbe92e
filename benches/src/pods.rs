//! Pods to measure in: a client's, with many addresses, and servers' with and without a redirect, joined by pairs of interfaces.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::{
        fs::{PermissionsExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use weir::defaults::{ADMIN_PORT, PROXY_UID};

use crate::{
    Error,
    affinity::Cores,
    child::{Log, Program, find},
    load::Client,
    netns::{Link, Namespace},
    origin::{Ground, Origins, ask_whole},
    source::Sources,
    target::{Fronts, Kind, Target, write},
    workload::Front,
};

const HTTP: u16 = 8080;
const REDIS: u16 = 6379;
/// How far from a server's port the forward to it listens.
const FORWARD: u16 = 10_000;
const CLIENT_ADDRESSES: u8 = 16;
const START_LIMIT: Duration = Duration::from_secs(10);

/// Why there can be no pods here; none if there can.
pub fn impossible() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("pods (network namespaces) need root".to_owned());
    }
    let missing = ["unshare", "ip", "nginx"].into_iter().find(|name| find(name).is_none())?;
    Some(format!("pods need {missing}, which is not installed"))
}

/// Where Weir runs, and from which file.
#[derive(Debug, Clone, Copy)]
pub struct Tools<'a> {
    /// A directory for files and logs.
    pub room: &'a Path,
    /// Where the proxy runs.
    pub cores: Cores,
    /// The `weir` program, where any user may run it.
    pub weir: &'a Path,
}

impl Tools<'_> {
    /// Copies the program into the room: Weir's user may not be able to reach it where it was built.
    ///
    /// # Errors
    /// If it is not there.
    pub fn publish(weir: &Path, room: &Path) -> Result<PathBuf, Error> {
        let copy = room.join("weir");
        fs::copy(weir, &copy).map_err(Error::io(weir.display().to_string()))?;
        Ok(copy)
    }
}

/// The namespace in which the load comes from. It has sixteen addresses, 10.66.0.1 to 10.66.0.16.
#[derive(Debug)]
pub struct Outside {
    namespace: Namespace,
}

impl Outside {
    /// Makes it.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new() -> Result<Self, Error> {
        let namespace = Namespace::new()?;
        let add = |address| format!("addr add {address}/32 dev lo\n");
        namespace.ip(&Self::addresses().map(add).collect::<String>())?;
        Ok(Self { namespace })
    }

    /// Its addresses.
    pub fn addresses() -> impl Iterator<Item = Ipv4Addr> {
        (1..=CLIENT_ADDRESSES).map(|number| Ipv4Addr::new(10, 66, 0, number))
    }

    /// A client that uses all of its addresses.
    ///
    /// # Errors
    /// If the system gives no event queue.
    pub fn client(&self) -> Result<Client, Error> {
        Client::inside(self.namespace.clone(), Sources::new(Self::addresses().collect()))
    }

    /// The origins, in this namespace; where nginx is reached at each of its addresses.
    ///
    /// # Errors
    /// If they do not start.
    pub fn serve(&self, room: &Path) -> Result<(Origins, Vec<SocketAddr>), Error> {
        let origins = origins(&self.namespace, room, Ipv4Addr::LOCALHOST)?;
        Ok((origins, Self::addresses().map(|address| (address, HTTP).into()).collect()))
    }
}

/// A pod: 10.66.N.1, with a route to everywhere through the namespace of the load.
#[derive(Debug)]
pub struct Pod {
    name: String,
    namespace: Namespace,
    address: Ipv4Addr,
}

impl Pod {
    /// Makes the pod number `number`.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn new(outside: &Outside, number: u8) -> Result<Self, Error> {
        let (address, gateway) =
            (Ipv4Addr::new(10, 66, number, 1), Ipv4Addr::new(10, 66, number, 254));
        let name = format!("pod{number}");
        let namespace = Namespace::new()?;
        let theirs = Link { name: &name, addresses: vec![format!("{gateway}/24")] };
        let own = Link { name: "eth0", addresses: vec![format!("{address}/24")] };
        outside.namespace.join(&theirs, &namespace, &own)?;
        namespace.ip(&format!("route add default via {gateway}\n"))?;
        Ok(Self { name, namespace, address })
    }

    /// Its network namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// A client that is a program of this pod, and lets the kernel choose its ports.
    ///
    /// # Errors
    /// If the system gives no event queue.
    pub fn client(&self) -> Result<Client, Error> {
        Client::inside(self.namespace.clone(), Sources::default())
    }

    /// Starts the origins in it.
    ///
    /// # Errors
    /// If they do not start.
    pub fn serve(&self, room: &Path) -> Result<Origins, Error> {
        origins(&self.namespace, room, self.address)
    }

    fn fronts(&self, offset: u16) -> Fronts {
        let at = |port: u16| SocketAddr::from((self.address, port + offset));
        Fronts([(Front::Http, at(HTTP)), (Front::Redis, at(REDIS))])
    }

    /// The servers of this pod without a proxy.
    pub fn direct(&self, origins: &Origins) -> Target {
        Target::new(Kind::PodDirect, self.fronts(0), None, origins)
    }

    /// Starts a forward to the servers, as Weir's user.
    ///
    /// # Errors
    /// If Weir does not start or does not judge.
    pub fn forward(
        &self,
        outside: &Outside,
        tools: Tools<'_>,
        origins: &Origins,
    ) -> Result<Target, Error> {
        let (from, to) = (self.fronts(FORWARD), self.fronts(0));
        let forwards = [Front::Http, Front::Redis].map(|front| (from.at(front), to.at(front)));
        let arguments = forwards.map(|(from, to)| format!("--forward={from}={to}"));
        let proxy = self.weir(tools, &arguments)?;
        let target = Target::new(Kind::PodForward, from, Some(proxy), origins);
        outside.namespace.enter(|| target.check_mode())??;
        Ok(target)
    }

    /// Writes the redirect and starts the transparent Weir.
    ///
    /// # Errors
    /// If one of them fails, or what a client asks does not come to Weir.
    pub fn guard(
        &self,
        outside: &Outside,
        tools: Tools<'_>,
        origins: &Origins,
    ) -> Result<Target, Error> {
        self.namespace.feed(&tools.weir.display().to_string(), &["init"], "")?;
        let proxy = self.weir(tools, &[])?;
        let target = Target::new(Kind::PodTransparent, self.fronts(0), Some(proxy), origins);
        outside.namespace.enter(|| target.check_mode())??;
        Ok(target)
    }

    fn weir(&self, tools: Tools<'_>, arguments: &[String]) -> Result<(Program, Log), Error> {
        let label = format!("weir-{}", self.name);
        let home = tools.room.join(&label);
        let own = || {
            fs::create_dir(&home)?;
            chown(&home, Some(PROXY_UID), Some(PROXY_UID))
        };
        own().map_err(Error::io(home.display().to_string()))?;
        let policy = write(home.join("policy.yaml"), include_str!("../weir/pod.yaml"))?;
        let readable = fs::set_permissions(&policy, fs::Permissions::from_mode(0o644));
        readable.map_err(Error::io(policy.display().to_string()))?;
        let log = Log::create(home.join("traffic.jsonl"))?;
        let mut command = Command::new(tools.weir);
        command.uid(PROXY_UID).gid(PROXY_UID).current_dir(&home);
        command.args(["run", "--workers", "1", "--mode", "enforce", "--log-allowed", "all"]);
        command.args(["--socket", "weir.sock", "--policy"]).arg(policy).args(arguments);
        let start = || Program::start(&label, tools.room, Some(log.output()?), &mut command);
        let program = tools.cores.as_proxy(|| self.namespace.enter(start))??;
        self.await_ready(&label)?;
        Ok((program, log))
    }

    fn await_ready(&self, label: &str) -> Result<(), Error> {
        let deadline = Instant::now() + START_LIMIT;
        while !self.admin("/ready").is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            if Instant::now() > deadline {
                return Err(Error::Program(format!("{label} is not ready after 10 s")));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// What the admin address of the pod's Weir answers to a GET of `path`, head and body.
    ///
    /// # Errors
    /// If nobody answers.
    pub fn admin(&self, path: &str) -> Result<String, Error> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, ADMIN_PORT));
        let answer = self.namespace.enter(|| ask_whole(address, request.as_bytes()));
        let answer = answer?.map_err(Error::io(format!("asking for {path}")))?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

fn origins(namespace: &Namespace, room: &Path, address: Ipv4Addr) -> Result<Origins, Error> {
    fs::create_dir_all(room).map_err(Error::io(room.display().to_string()))?;
    let ground = Ground { bind: Ipv4Addr::UNSPECIFIED, address, http: HTTP, redis: REDIS };
    let mut missing = Vec::new();
    namespace.enter(|| Origins::start(room, ground, &mut missing))?
}

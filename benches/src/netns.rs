//! Network namespaces: pods without an orchestrator. None has a name, and nothing is written into the machine's own.

use std::{
    fs::{File, read_link},
    io,
    os::fd::{AsFd, AsRawFd},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::Error;

const START_LIMIT: Duration = Duration::from_secs(5);

/// A network namespace. It is gone with the last descriptor, process and socket that belong to it, also when this program is killed.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<File>);

impl Namespace {
    /// A new one with the loopback interface up (`unshare(1)` and `ip(8)` make it).
    ///
    /// # Errors
    /// If this process may not (it needs root), or these programs are missing.
    pub fn new() -> Result<Self, Error> {
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .map_err(Error::io("unshare"))?;
        let link = PathBuf::from(format!("/proc/{}/ns/net", holder.id()));
        let opened = await_other_namespace(&link).and_then(|()| File::open(&link));
        // The descriptor keeps the namespace from here on.
        drop(holder.stdin.take());
        let _ = holder.wait();
        let namespace = Self(Arc::new(opened.map_err(Error::io("a network namespace"))?));
        namespace.ip("link set lo up\n")?;
        Ok(namespace)
    }

    /// Does `work` in a thread that has moved into the namespace (setns(2)). Sockets and programs that are made there belong to the
    /// namespace for good, wherever they are used.
    ///
    /// # Errors
    /// If the move is refused; what `work` answers is inside.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        let inside = || {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(self.0.as_fd(), network).map_err(io::Error::from)?;
            Ok(work())
        };
        let joined = thread::scope(|scope| scope.spawn(inside).join());
        let moved = joined.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        moved.map_err(Error::io("entering a network namespace"))
    }

    /// Runs `ip -batch` with these lines.
    ///
    /// # Errors
    /// If one of them fails, with what `ip` said.
    pub fn ip(&self, lines: &str) -> Result<(), Error> {
        self.feed("ip", &["-batch", "-"], lines)
    }

    /// Runs a program inside, with this text on its standard input.
    ///
    /// # Errors
    /// If it cannot be started or does not succeed, with what it said.
    pub fn feed(&self, program: &str, args: &[&str], text: &str) -> Result<(), Error> {
        let run = || {
            let mut command = Command::new(program);
            let piped = command.args(args).stdin(Stdio::piped()).stderr(Stdio::piped());
            let mut child = piped.stdout(Stdio::null()).spawn()?;
            if let Some(mut input) = child.stdin.take() {
                io::Write::write_all(&mut input, text.as_bytes())?;
            }
            child.wait_with_output()
        };
        let output = self.enter(run)?.map_err(Error::io(program))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Error::Program(format!("{program} {}: {}", args.join(" "), said.trim())))
    }

    /// Joins two namespaces by a pair of interfaces, which get these names, and then these addresses (`10.0.0.1/24`).
    ///
    /// # Errors
    /// If the kernel or `ip` refuses.
    pub fn join(&self, own: &Link<'_>, other: &Self, others: &Link<'_>) -> Result<(), Error> {
        let place = format!("/proc/{}/fd/{}", std::process::id(), other.0.as_raw_fd());
        let (name, peer) = (own.name, others.name);
        self.ip(&format!("link add {name} type veth peer name {peer} netns {place}\n"))?;
        self.ip(&own.lines())?;
        other.ip(&others.lines())
    }

    /// What a file says to a thread inside: under `/proc/sys` and `/proc/thread-self/net` it depends on who asks.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn read(&self, file: &str) -> Result<String, Error> {
        self.enter(|| std::fs::read_to_string(file))?.map_err(Error::io(file))
    }
}

/// One end of a pair of interfaces.
#[derive(Debug)]
pub struct Link<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its addresses, with the length of the prefix.
    pub addresses: Vec<String>,
}

impl Link<'_> {
    fn lines(&self) -> String {
        let add = |address: &String| format!("addr add {address} dev {}\n", self.name);
        let addresses: String = self.addresses.iter().map(add).collect();
        format!("{addresses}link set {} up\n", self.name)
    }
}

fn await_other_namespace(link: &Path) -> io::Result<()> {
    let own = read_link("/proc/self/ns/net")?;
    let deadline = Instant::now() + START_LIMIT;
    while read_link(link)? == own {
        if Instant::now() > deadline {
            return Err(io::Error::other("unshare made none"));
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

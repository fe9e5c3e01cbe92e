//! Network namespaces without names: each lives as long as somebody holds it open, so that none
//! is left behind, however the demo ends.

use std::any::Any;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use rustix::thread::UnshareFlags;

use super::child::enter;

/// A network namespace of the demo's own.
#[derive(Debug)]
pub(super) struct Namespace(File);

impl Namespace {
    /// A new one, in which nothing but a loopback interface is, and that is down.
    ///
    /// # Errors
    /// `PermissionDenied` without the right to (CAP_SYS_ADMIN).
    pub(super) fn new() -> io::Result<Self> {
        let born = thread::spawn(|| {
            unshare_network()?;
            File::open("/proc/thread-self/ns/net").map(Self)
        });
        born.join().map_err(panicked)?
    }

    /// Another hold on it.
    ///
    /// # Errors
    /// No more descriptors.
    pub(super) fn handle(&self) -> io::Result<Self> {
        Ok(Self(self.0.try_clone()?))
    }

    /// Moves the calling thread into it.
    ///
    /// # Errors
    /// The caller may not.
    pub(super) fn enter(&self) -> io::Result<()> {
        enter(&self.0)
    }

    /// A path by which other processes of root's find it, as long as this value is there.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    /// Does something in it, on a thread that ends with that.
    ///
    /// # Errors
    /// Those of entering, and of what is done.
    pub(super) fn within<T: Send>(
        &self,
        what: impl FnOnce() -> io::Result<T> + Send,
    ) -> io::Result<T> {
        let inside = || self.enter().and_then(|()| what());
        thread::scope(|scope| scope.spawn(inside).join()).map_err(panicked)?
    }

    /// Has `ip` do these lines inside, one command each. (ip(8), -batch)
    ///
    /// # Errors
    /// In words, with what `ip` says.
    pub(super) fn ip(&self, lines: &[String]) -> Result<(), String> {
        let run = || {
            let mut command = ip();
            command.args(["-batch", "-"]).stdin(Stdio::piped());
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                // Where it has ended already, its own words say why.
                let _ = stdin.write_all(lines.join("\n").as_bytes());
            }
            child.wait_with_output()
        };
        let output = self.within(run).map_err(|error| format!("`ip` cannot be run: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("`ip` cannot set up the demo's network: {}", said.trim_end()))
    }
}

/// The program `ip`, also where the PATH is not root's.
pub(super) fn ip() -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut command = Command::new("ip");
    if let Ok(path) = std::env::join_paths(std::env::split_paths(&path).chain(more)) {
        command.env("PATH", path);
    }
    command
}

fn panicked(_: Box<dyn Any + Send>) -> io::Error {
    io::Error::other("a thread has panicked")
}

#[expect(
    deprecated,
    reason = "what would be unsafe is another flag, FILES; the replacement cannot be called \
              without `unsafe`"
)]
fn unshare_network() -> io::Result<()> {
    Ok(rustix::thread::unshare(UnshareFlags::NEWNET)?)
}

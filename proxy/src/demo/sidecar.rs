//! A sidecar: this same program, run again as `weir run`, with a forward or in a pod.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::child;
use super::origin::Origin;
use super::shop::http::Client;
use super::shop::{Line, Workload};
use super::town::{Pod, Town};
use super::workplace::Workplace;
use crate::defaults::{ADMIN_PORT, PROXY_UID};

/// A sidecar that is not ready after this long will not be.
const START: Duration = Duration::from_secs(10);
/// A sidecar that has not ended by itself after this long is killed.
const END: Duration = Duration::from_secs(3);
/// Between two looks at a child.
const STEP: Duration = Duration::from_millis(10);
/// How often a sidecar is started again because somebody took its port.
const TRIES: usize = 3;

/// How a sidecar gets its service's connections.
pub(super) enum Way<'a> {
    /// They are dialled to it, and it forwards them to this address.
    Forward(SocketAddr),
    /// The kernel redirects them, in and out of the pod.
    Redirect(&'a Town),
}

/// A running sidecar. It ends when this is dropped.
pub(super) struct Sidecar {
    /// Whose it is.
    pub(super) workload: Workload,
    /// Where its service is dialled.
    pub(super) address: SocketAddr,
    /// Where it serves /metrics, as those beside it dial it.
    pub(super) admin: Line,
    /// Its Unix socket.
    pub(super) socket: PathBuf,
    /// The same by a path that is short enough to connect to.
    pub(super) near: PathBuf,
    /// What it has learned, as a file.
    pub(super) profile: PathBuf,
    child: Child,
}

impl Sidecar {
    /// Starts the sidecar of a service and waits until it is ready.
    ///
    /// # Errors
    /// In words: it could not be started, or ended, or did not get ready; with what it said.
    pub(super) async fn start(
        workload: Workload,
        way: Way<'_>,
        place: &Workplace,
    ) -> Result<Self, String> {
        let name = workload.name();
        if let Way::Redirect(town) = way {
            redirect(town.pod(workload)).map_err(|error| format!("{name}'s pod: {error}"))?;
        }
        let mut said = String::new();
        for _ in 0..TRIES {
            let sidecar = Self::spawn(workload, &way, place);
            let mut sidecar = sidecar.map_err(|error| format!("{name}'s sidecar: {error}"))?;
            let begun = Instant::now();
            if sidecar.ready(begun + START).await {
                return Ok(sidecar);
            }
            drop(sidecar);
            said = std::fs::read_to_string(place.program_log(workload)).unwrap_or_default();
            if begun.elapsed() > START {
                break;
            }
        }
        Err(format!("{name}'s sidecar does not get ready. It says:\n{}", said.trim_end()))
    }

    fn spawn(workload: Workload, way: &Way<'_>, place: &Workplace) -> io::Result<Self> {
        let name = workload.name();
        let (mut command, address, admin, own);
        match way {
            Way::Forward(service) => {
                let ports = free_ports()?;
                (address, own) = (ports[0], place.dir().to_owned());
                admin = Line { origin: Origin::Machine, address: ports[1] };
                place.make_traffic_log(workload, None)?;
                command = child::command(None)?;
                command.arg("run").arg(format!("--forward={address}={service}"));
                command.arg(format!("--admin={}", admin.address));
            }
            Way::Redirect(town) => {
                let pod = town.pod(workload);
                address = town.service(workload);
                let at = (Ipv4Addr::LOCALHOST, ADMIN_PORT).into();
                admin = Line { origin: pod.application.clone(), address: at };
                own = place.admit(PROXY_UID)?;
                place.make_traffic_log(workload, Some(PROXY_UID))?;
                let inside = (&*pod.namespace.path(), PROXY_UID);
                command = child::command(Some(inside))?;
                command.arg("run");
            }
        }
        place.begin_policy(workload)?;
        let socket = own.join(format!("{name}.sock"));
        let profile = own.join(Workplace::profile(workload));
        // Weir's user may not be allowed through the directories above.
        command.current_dir(place.dir());
        let here = |path: &Path| path.strip_prefix(place.dir()).unwrap_or(path).to_owned();
        command.arg(format!("--policy={name}.yaml"));
        command.arg("--profile").arg(here(&profile)).arg("--socket").arg(here(&socket));
        // Full: words that are seldom said, such as the intruder's, would not be shown else.
        command.arg(format!("--traffic-log={name}.traffic.jsonl")).arg("--log-detail=full");
        command.args(["--log-allowed", "all", "--workers", "1", "--grace", "1s"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(place.program_log(workload))?);
        // A group of its own: Ctrl-C is for the demo, which then stops its sidecars in order.
        command.process_group(0);
        let child = command.spawn()?;
        let near = place.near(&socket);
        Ok(Self { workload, address, admin, socket, near, profile, child })
    }

    /// Waits until the admin endpoint says so; false when the child has ended or time is up.
    async fn ready(&mut self, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            if let Ok(mut client) = Client::connect(&self.admin, "localhost").await {
                let answer = client.call("GET", "/ready", "");
                if let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(1), answer).await
                    && answer.status == 200
                {
                    return true;
                }
            }
            tokio::time::sleep(STEP).await;
        }
        false
    }

    /// Whether it is still there.
    pub(super) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end.
    fn ask_to_end(&self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

/// Redirects a pod's connections, as an init container would.
fn redirect(pod: &Pod) -> Result<(), String> {
    let run = || {
        let mut command = child::this_program()?;
        command.args(["init", "--other", "refuse"]).stdin(Stdio::null()).output()
    };
    let output =
        pod.namespace.within(run).map_err(|error| format!("`weir init` cannot be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`weir init` has failed:\n{}", said.trim_end()))
}

/// The sidecars of the shop, told to end all at once and then awaited.
pub(super) struct Sidecars(pub(super) Vec<Sidecar>);

impl Sidecars {
    /// Where each is asked over its Unix socket.
    pub(super) fn sockets(&self) -> Vec<(Workload, PathBuf)> {
        self.0.iter().map(|sidecar| (sidecar.workload, sidecar.near.clone())).collect()
    }

    /// Makes sure that a service's sidecar, or each, is still there.
    ///
    /// # Errors
    /// It is not; with its name.
    pub(super) fn still_run(&mut self, of: Option<Workload>) -> io::Result<()> {
        let asked = self.0.iter_mut().filter(|one| of.is_none_or(|of| one.workload == of));
        for sidecar in asked {
            if !sidecar.runs() {
                let name = sidecar.workload.name();
                return Err(io::Error::other(format!("{name}'s sidecar has ended")));
            }
        }
        Ok(())
    }
}

impl Drop for Sidecars {
    fn drop(&mut self) {
        self.0.iter().for_each(Sidecar::ask_to_end);
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if self.runs() {
            self.ask_to_end();
        }
        let deadline = Instant::now() + END;
        while self.runs() && Instant::now() < deadline {
            std::thread::sleep(STEP);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Two ports of 127.0.0.1 that are free now.
fn free_ports() -> io::Result<[SocketAddr; 2]> {
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let second = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok([first.local_addr()?, second.local_addr()?])
}

//! A sidecar: this same program, run again as `weir run`, with a forward or in a pod.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use weir_policy::decide::Mode;

use super::child;
use super::origin::Origin;
use super::shop::http::Client;
use super::shop::{Line, Workload};
use super::town::{Family, Pod, Town};
use super::workplace::{Workplace, policy_for, policy_in};
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
    /// Where `weir mode` reaches it, if the path is short enough for a socket.
    pub(super) socket: Option<PathBuf>,
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
        mode: Mode,
    ) -> Result<Self, String> {
        let name = workload.name();
        if let Way::Redirect(town) = way {
            redirect(town.pod(workload)).map_err(|error| format!("{name}'s pod: {error}"))?;
        }
        let mut said = String::new();
        for _ in 0..TRIES {
            let sidecar = Self::spawn(workload, &way, place, mode);
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

    fn spawn(workload: Workload, way: &Way<'_>, place: &Workplace, mode: Mode) -> io::Result<Self> {
        let name = workload.name();
        let (mut command, address, admin, sockets);
        match way {
            Way::Forward(service) => {
                let ports = free_ports()?;
                (address, sockets) = (ports[0], place.dir().to_owned());
                admin = Line { origin: Origin::Machine, address: ports[1] };
                place.write_policy(workload, &policy_for(workload, *service))?;
                place.make_traffic_log(workload, None)?;
                command = child::command(None)?;
                command.arg("run").arg(format!("--forward={address}={service}"));
                command.arg(format!("--admin={}", admin.address));
            }
            Way::Redirect(town) => {
                let pod = town.pod(workload);
                address = pod.address(Family::V4, workload.port());
                let at = (Ipv4Addr::LOCALHOST, ADMIN_PORT).into();
                admin = Line { origin: pod.application.clone(), address: at };
                sockets = place.admit(PROXY_UID)?;
                place.write_policy(workload, &policy_in(town, workload))?;
                place.make_traffic_log(workload, Some(PROXY_UID))?;
                let inside = (&*pod.namespace.path(), PROXY_UID);
                command = child::command(Some(inside))?;
                command.arg("run");
            }
        }
        let socket = sockets.join(format!("{name}.sock"));
        let socket = Some(socket).filter(|path| path.as_os_str().len() < 100);
        // Weir's user may not be allowed through the directories above.
        command.current_dir(place.dir());
        command.arg(format!("--policy={name}.yaml"));
        command.args(["--mode", mode_word(mode)]);
        command.arg(format!("--traffic-log={name}.traffic.jsonl"));
        command.args(["--log-allowed", "all", "--workers", "1", "--grace", "1s"]);
        if let Some(socket) = &socket {
            let path = socket.strip_prefix(place.dir()).unwrap_or(socket);
            command.arg("--socket").arg(path);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(place.program_log(workload))?);
        // A group of its own: Ctrl-C is for the demo, which then stops its sidecars in order.
        command.process_group(0);
        let child = command.spawn()?;
        Ok(Self { workload, address, admin, socket, child })
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

/// The mode as the command line has it.
pub(super) fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Learn => "learn",
        Mode::Monitor => "monitor",
        Mode::Enforce => "enforce",
    }
}

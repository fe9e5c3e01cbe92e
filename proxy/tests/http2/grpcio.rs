//! gRPC by grpcio, the implementation in C, on either side of tonic.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::client::{Client, collect};
use crate::echo::{Echo, Note};
use crate::scene::{each_way, guard_echo, logged, noise};

/// The interpreter that `.ci/packages` gave grpcio to.
#[allow(clippy::print_stderr, reason = "a skipped test says why")]
fn python() -> Option<PathBuf> {
    // With --target it is a folder further down.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).ancestors();
    let mut pythons = target.map(|folder| folder.join("grpcio/bin/python"));
    let imports = |python: &PathBuf| {
        let output = Command::new(python).args(["-c", "import grpc"]).output();
        output.is_ok_and(|output| output.status.success())
    };
    if let Some(python) = pythons.find(imports) {
        return Some(python);
    }
    // No failure under CI either: PyPI is not in reach of every machine.
    eprintln!("skipped: grpcio is not installed (.ci/packages)");
    None
}

/// A command of the script beside this file.
fn script(python: &Path, arguments: &[&str]) -> Command {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/http2/echo.py");
    let mut command = Command::new(python);
    command.arg(script).args(arguments).env("GRPC_VERBOSITY", "NONE");
    command
}

/// What a command of the script says, if it succeeds.
fn said(python: &Path, arguments: &[&str]) -> String {
    let output = script(python, arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// The service by grpcio.
struct Service {
    child: Child,
    at: SocketAddr,
}

impl Service {
    fn start(python: &Path) -> Self {
        let mut command = script(python, &["serve"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("port ").expect(&line).parse().unwrap();
        Self { child, at: SocketAddr::from(([127, 0, 0, 1], port)) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn grpcio_calls_tonic() {
    let Some(python) = python() else { return };
    let echo = Echo::start();
    each_way("grpc", echo.at, |at| {
        let python = python.clone();
        async move { assert_eq!(said(&python, &["call", &at.to_string()]), "called\n") }
    });
}

#[test]
fn grpcio_calls_grpcio() {
    let Some(python) = python() else { return };
    let service = Service::start(&python);
    each_way("grpc", service.at, |at| {
        let python = python.clone();
        async move { assert_eq!(said(&python, &["call", &at.to_string()]), "called\n") }
    });
}

/// Two such peers agree, by a setting that nobody else knows, to send metadata that are no text
/// as they are, behind a NUL.
#[test]
fn binary_metadata_of_grpcio_pass() {
    let Some(python) = python() else { return };
    let service = Service::start(&python);
    each_way("grpc", service.at, |at| {
        let python = python.clone();
        async move { assert_eq!(said(&python, &["binary", &at.to_string()]), "called\n") }
    });
}

#[test]
fn tonic_calls_grpcio() {
    let Some(python) = python() else { return };
    let service = Service::start(&python);
    each_way("grpc", service.at, |at| async move {
        let mut client = Client::connect(at).await;
        for n in 0..50u32 {
            let note = Note::new(noise(n.into(), 1 + n as usize * 1000), n + 1);
            assert_eq!(client.unary("Unary", note.clone()).await.unwrap().into_inner(), note);
            let notes = vec![note; 20];
            let answer = client.bidi(tokio_stream::iter(notes.clone())).await.unwrap();
            assert_eq!(collect(answer).await.0, notes);
        }
        let big = Note::new(noise(1, 16 << 20), 1);
        assert!(client.unary("Unary", big.clone()).await.unwrap().into_inner() == big);
    });
}

#[test]
fn grpcio_is_told_of_refusals_while_its_other_calls_go_on() {
    let Some(python) = python() else { return };
    let echo = Echo::start();
    let weir = guard_echo(echo.at);
    let said = said(&python, &["refused", &weir.at().to_string()]);
    let refusals: Vec<_> =
        said.lines().filter(|line| line.starts_with("PERMISSION_DENIED")).collect();
    assert_eq!(refusals.len(), 5, "{said}");
    for refusal in refusals {
        assert_eq!(logged(&weir, refusal)["op"], "weir.test.Echo/Admin");
    }
    assert_eq!(echo.seen.calls("Admin"), 0);
}

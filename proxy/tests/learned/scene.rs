//! What the tests share: sidecars that learn, and the commands.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{Weir, read_until, serve};

/// Runs the program: exit status, standard output, standard error.
pub(crate) fn weir(args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(args)
        .env_remove("WEIR_LOG")
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The same of something that succeeds: standard output.
pub(crate) fn said(args: &[&str]) -> String {
    let (status, out, err) = weir(args);
    assert_eq!(status, 0, "{args:?}: {err}");
    out
}

/// The path as an argument.
pub(crate) fn arg(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Ends a sidecar as an orchestrator does, so that its profile and log are whole.
pub(crate) fn end(weir: &mut Weir) {
    weir.signal("TERM");
    assert_eq!(weir.wait(), Some(0), "{}", weir.stderr());
}

/// Records that were refused, or would be.
pub(crate) fn refused(weir: &Weir) -> Vec<Value> {
    let mut records = weir.records();
    records.retain(|record| record["verdict"] != "allowed");
    records
}

/// What a replay of the sidecar's log says of a policy: allowed, refused, undecidable.
pub(crate) fn replayed(policy: &Path, weir: &Weir) -> [u64; 3] {
    let log = weir.dir().join("traffic.jsonl");
    let out = said(&["policy", "replay", "--json", arg(policy), arg(&log)]);
    let totals: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    ["allowed", "refused", "undecidable"].map(|name| totals["totals"][name].as_u64().unwrap())
}

/// Answers every request; nothing is found under `/missing`.
pub(crate) fn web() -> SocketAddr {
    serve(|mut stream| {
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while let Ok(1) = stream.read(&mut byte) {
            seen.push(byte[0]);
            if seen.ends_with(b"\r\n\r\n") {
                let missing = seen.windows(9).any(|part| part == b" /missing");
                let status = if missing { "404 Not Found" } else { "200 OK" };
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
                seen.clear();
            }
        }
    })
}

/// A directory for profiles and policies, and a server.
pub(crate) struct Scene {
    dir: tempfile::TempDir,
    pub(crate) server: SocketAddr,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), server: web() }
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a file there.
    pub(crate) fn put(&self, name: &str, text: &str) -> PathBuf {
        let path = self.at(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }

    /// A sidecar with a profile of this name.
    pub(crate) fn start(&self, mode: &str, policy: &str, profile: &str, more: &[&str]) -> Weir {
        let profile = self.at(profile);
        let args = [&["--profile", arg(&profile)], more].concat();
        Weir::start_with(mode, policy, &[self.server], &args)
    }

    /// Makes a profile of these requests, each so often.
    pub(crate) fn learn(&self, profile: &str, requests: &[(&str, usize)], more: &[&str]) {
        let mut weir = self.start("learn", "", profile, more);
        ask(&weir, requests);
        end(&mut weir);
    }

    /// A policy for the server that allows these entries.
    pub(crate) fn policy(&self, entries: &[&str]) -> String {
        let allow: String = entries.iter().map(|entry| format!("    - {entry:?}\n")).collect();
        format!(
            "# Carts, by hand.\napiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\n\
             metadata: {{name: cart, namespace: shop}}\nspec:\n  inbound:\n\
             \x20 # Whoever asks.\n  - from: [{{any: true}}]\n    ports: [{}]\n\
             \x20   protocol: http\n    allow:\n{allow}",
            self.server.port()
        )
    }
}

/// Sends requests, each so often, over one connection: `GET /carts/7`.
pub(crate) fn ask(weir: &Weir, requests: &[(&str, usize)]) -> Vec<u16> {
    let mut answers = Vec::new();
    let mut stream = weir.connect();
    for (request, times) in requests {
        for _ in 0..*times {
            write!(stream, "{request} HTTP/1.1\r\nHost: shop\r\n\r\n").unwrap();
            let head = String::from_utf8(read_until(&mut stream, b"\r\n\r\n")).unwrap();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
            });
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).unwrap();
            let status = head[9..12].parse().unwrap();
            answers.push(status);
            if status == 403 {
                stream = weir.connect();
            }
        }
    }
    answers
}

//! The seam for inspectors, proven by one that looks for a literal wherever reads were cut: the
//! byte that completes it does not pass, and nothing else is kept back. And what a panic costs.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use support::{PATIENCE, connect, read_all, read_until, serve};
use weir::config::{Options, Source};
use weir::inspect::{Inspector, InspectorFactory, Part};
use weir::run::{Extras, run};
use weir_policy::op::Operation;

const LITERAL: &[u8] = b"forbidden-word";

/// Finds [`LITERAL`] across chunks. (It has no prefix that is also a suffix, so a mismatch starts
/// anew.)
#[derive(Default)]
struct Literal {
    matched: [usize; 2],
}

impl Inspector for Literal {
    fn operation(&mut self, operation: &Operation<'_>) -> Result<(), &'static str> {
        if let Operation::Http(op) = operation {
            assert!(op.path != b"/panic", "the test's hook");
        }
        Ok(())
    }

    fn data(&mut self, part: Part, data: &[u8]) -> Result<(), (usize, &'static str)> {
        let matched = &mut self.matched[part as usize];
        for (index, byte) in data.iter().enumerate() {
            if *byte == LITERAL[*matched] {
                *matched += 1;
            } else {
                *matched = usize::from(*byte == LITERAL[0]);
            }
            if *matched == LITERAL.len() {
                *matched = 0;
                return Err((index, "literal"));
            }
        }
        Ok(())
    }

    fn end(&mut self, part: Part) {
        self.matched[part as usize] = 0;
    }

    fn fresh(&self) -> Box<dyn Inspector> {
        Box::new(Self::default())
    }
}

struct Factory;

impl InspectorFactory for Factory {
    fn inspector(&self) -> Box<dyn Inspector> {
        Box::new(Literal::default())
    }
}

/// A sidecar in this process.
struct InProcess {
    at: SocketAddr,
    stop: tokio::sync::watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl InProcess {
    fn start(mode: &str, protocol: &str, allow: &str, upstream: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("weir.yaml");
        std::fs::write(
            dir.path().join("policy.yaml"),
            format!(
                "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: t}}\nspec:\n  mode: {mode}\n  inbound:\n  - from: [{{any: true}}]\n    ports: [{}]\n    protocol: {protocol}\n    allow: {allow}\n",
                upstream.port()
            ),
        )
        .unwrap();
        std::fs::write(
            &config,
            format!(
                "forward: ['127.0.0.1:0={upstream}']\nadmin: 'off'\npolicy: [policy.yaml]\nworkers: 1\ngrace: 2s\ntraffic-log: log.jsonl\n"
            ),
        )
        .unwrap();
        let settings = Source { flags: Options::default(), file: Some(config) }.load().unwrap();
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let (ready, bound) = mpsc::channel();
        let extras = Extras {
            inspectors: vec![Arc::new(Factory)],
            ready: Some(Box::new(move |at: &[SocketAddr]| ready.send(at[0]).unwrap())),
            stop: Some(stopped),
        };
        let thread = std::thread::spawn(move || run(settings, extras).unwrap());
        let at = bound.recv_timeout(PATIENCE).expect("started");
        Self { at, stop, thread: Some(thread), _dir: dir }
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking());
        }
    }
}

/// A server that keeps what it gets, answers `answer` once at the first bytes, and tells what it
/// got at the end.
fn keeper(answer: &'static [u8]) -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let (told, got) = mpsc::channel();
    let at = serve(move |mut stream| {
        let mut all = Vec::new();
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut chunk) {
            if all.is_empty() && !answer.is_empty() {
                let _ = stream.write_all(answer);
            }
            all.extend_from_slice(&chunk[..n]);
        }
        let _ = told.send(all);
    });
    (at, got)
}

/// Sends in pieces of `size`, with time for each to pass alone.
fn send_in_pieces(stream: &mut impl Write, bytes: &[u8], size: usize) {
    for piece in bytes.chunks(size) {
        if stream.write_all(piece).is_err() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn the_completing_byte_of_a_match_in_a_request_body_is_withheld() {
    for size in [1, 5, 1000] {
        let (upstream, got) = keeper(b"");
        let weir = InProcess::start("enforce", "http", "['POST /a']", upstream);
        let mut stream = connect(weir.at);
        let head = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n";
        stream.write_all(head).unwrap();
        let body = b"0123456789forbidden-word and what follows";
        send_in_pieces(&mut stream, &body[..40], size);
        let answer = String::from_utf8(read_all(&mut stream)).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
        let passed = got.recv_timeout(PATIENCE).unwrap();
        let expected = [&head[..], b"0123456789forbidden-wor"].concat();
        assert_eq!(passed, expected, "in pieces of {size}: {}", passed.escape_ascii());
    }
}

#[test]
fn the_completing_byte_of_a_match_in_a_chunked_response_is_withheld() {
    let (upstream, _got) = keeper(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nforbidden\r\n5\r\n-word\r\n0\r\n\r\n",
    );
    let weir = InProcess::start("enforce", "http", "['GET /a']", upstream);
    let mut stream = connect(weir.at);
    stream.write_all(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let answer = read_all(&mut stream);
    assert!(!answer.ends_with(b"0\r\n\r\n"), "the client cannot tell that it was cut");
    assert!(!answer.windows(5).any(|five| five == b"-word"), "{}", answer.escape_ascii());
}

#[test]
fn a_match_in_a_redis_value_is_withheld_however_large_the_value() {
    let Some(redis) = support::Server::redis(&[]) else { return };
    let weir = InProcess::start("enforce", "redis", "['SET k', 'GET k', PING]", redis.at);
    for before in [10, 200_000] {
        let mut value = vec![b'v'; before];
        value.extend_from_slice(LITERAL);
        value.extend_from_slice(b"after");
        let mut command =
            format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len()).into_bytes();
        command.extend_from_slice(&value);
        command.extend_from_slice(b"\r\n");
        let mut stream = connect(weir.at);
        send_in_pieces(&mut stream, &command, 50_000);
        let answer = String::from_utf8(read_all(&mut stream)).unwrap();
        assert!(answer.starts_with("-NOPERM"), "{before}: {answer}");
        let mut stream = connect(redis.at);
        stream.write_all(b"EXISTS k\r\n").unwrap();
        assert_eq!(read_until(&mut stream, b"\r\n"), b":0\r\n");
    }
}

#[test]
fn observed_a_match_passes() {
    let (upstream, got) = keeper(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let weir = InProcess::start("monitor", "http", "['POST /a']", upstream);
    let mut stream = connect(weir.at);
    let request = b"POST /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 14\r\n\r\nforbidden-word";
    send_in_pieces(&mut stream, request, 7);
    assert!(read_until(&mut stream, b"\r\n\r\n").starts_with(b"HTTP/1.1 200"));
    drop(stream);
    assert_eq!(got.recv_timeout(PATIENCE).unwrap(), request);
}

#[test]
fn a_panic_ends_its_connection_alone() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let upstream = serve(|mut stream| {
        let mut chunk = [0; 4096];
        while let Ok(1..) = stream.read(&mut chunk) {
            let _ = stream.write_all(ANSWER);
        }
    });
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let weir = InProcess::start("enforce", "http", "['GET /*']", upstream);
    let mut other = connect(weir.at);
    other.write_all(&request("/a")).unwrap();
    assert_eq!(read_until(&mut other, b"ok"), ANSWER);

    let mut stream = connect(weir.at);
    stream.write_all(&request("/panic")).unwrap();
    assert_eq!(read_all(&mut stream), b"", "the connection that panicked ends");

    other.write_all(&request("/b")).unwrap();
    assert_eq!(read_until(&mut other, b"ok"), ANSWER);
    drop(weir);

    // Observed, a parser's fault does not even break its own connection.
    let weir = InProcess::start("monitor", "http", "['GET /*']", upstream);
    let mut stream = connect(weir.at);
    stream.write_all(&request("/panic")).unwrap();
    assert_eq!(read_until(&mut stream, b"ok"), ANSWER);
}

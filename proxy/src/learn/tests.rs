//! From a transaction to the file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_policy::Snapshot;
use weir_policy::decide::{Mode, Violation};
use weir_policy::op::{
    Endpoint, GrpcOp, HttpOp, Keys, Operation, Protocol, RedisOp, Script, Side, TlsOp,
};

use super::*;
use crate::config::{LogAllowed, LogDetail};
use crate::report::{
    ConnReport, Detail, Outcome, Reason, Report, Reporter, Status, Transaction, Verdict,
};
use crate::session::Leg;

const ALLOWED: Outcome =
    Outcome { verdict: Verdict::Allowed, reason: Reason::Ungoverned, entry: None };
const OUTSIDE: Outcome = Outcome {
    verdict: Verdict::WouldRefuse,
    reason: Reason::Policy(Violation::NotAllowed),
    entry: None,
};

struct Scene {
    reporter: Arc<Reporter>,
    files: ProfileFiles,
    _dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name| -> PathBuf { dir.path().join(name) };
        let files = ProfileFiles { path: at("p.yaml"), key: at("p.key") };
        let metrics = Arc::new(Metrics::new());
        let learning = Some(Learning::start(&files, metrics.clone()).unwrap());
        let (allowed, detail) = (LogAllowed::All, LogDetail::Masked);
        let reporter = Reporter::learning_too(None, allowed, detail, metrics, learning).unwrap();
        Self { reporter, files, _dir: dir }
    }

    fn learning(&self) -> &Arc<Learning> {
        self.reporter.learning().unwrap()
    }

    fn conn(&self, mode: Mode) -> ConnReport {
        let client: SocketAddr = "10.0.0.7:40112".parse().unwrap();
        let server: SocketAddr = "10.0.0.9:8080".parse().unwrap();
        let endpoint = Endpoint { side: Side::Inbound, peer: client.ip(), port: server.port() };
        let policy = Arc::new(Snapshot::default());
        ConnReport::new(self.reporter.clone(), policy, &endpoint, client, server, mode)
    }

    /// Hands everything over, and reads what is written.
    fn read(&self) -> Vec<(String, [u64; 3])> {
        assert!(self.reporter.close(Duration::from_secs(10)));
        assert!(self.learning().close(Duration::from_secs(10)));
        let text = std::fs::read_to_string(&self.files.path).unwrap();
        let profile: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
        let sum = |counts: &serde_json::Value| -> u64 {
            let counts = counts.as_str().unwrap_or_default();
            counts
                .split_whitespace()
                .map(|of| of.split_once(':').unwrap().1.parse::<u64>().unwrap())
                .sum()
        };
        let ports = profile["spec"]["ports"].as_array().unwrap().iter();
        let rules = ports.flat_map(|port| port["rules"].as_array().unwrap());
        rules
            .flat_map(|rule| rule["shapes"].as_array().unwrap())
            .map(|shape| {
                let counts = ["accepted", "rejected", "outside"].map(|name| sum(&shape[name]));
                (shape["at"].as_str().unwrap().to_owned(), counts)
            })
            .collect()
    }

    fn metric(&self, name: &str) -> f64 {
        let all = self.reporter.metrics().render();
        let line = all.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        line.trim().parse().unwrap()
    }
}

fn begin(conn: &mut ConnReport, path: &str, outcome: Outcome) -> Transaction {
    let operation = Operation::Http(HttpOp {
        method: b"GET",
        authority: None,
        path: path.as_bytes(),
        upgrade: None,
        override_header: None,
    });
    conn.begin(Instant::now(), Protocol::Http, Some(&operation), &Detail::default(), outcome)
}

fn http(conn: &mut ConnReport, path: &str, outcome: Outcome, status: u16) {
    let mut transaction = begin(conn, path, outcome);
    if status != 0 {
        transaction.status = Status::Http(status);
    }
    conn.end(Instant::now(), transaction);
}

fn redis(conn: &mut ConnReport, key: &'static [u8], status: Status) {
    let none: [&[u8]; 0] = [];
    let operation = Operation::Redis(RedisOp {
        databases: &[0],
        command: b"get",
        subcommand: None,
        keys: Keys::Known(&[key]),
        channels: Keys::Known(&none),
        script: Script::None,
    });
    let (now, detail) = (Instant::now(), Detail::default());
    let mut transaction = conn.begin(now, Protocol::Redis, Some(&operation), &detail, ALLOWED);
    transaction.status = status;
    conn.end(now, transaction);
}

fn grpc(conn: &mut ConnReport, method: &'static [u8], status: Status) {
    let operation = Operation::Grpc(GrpcOp { service: b"shop.Cart", method, authority: None });
    let (now, detail) = (Instant::now(), Detail::default());
    let mut transaction = conn.begin(now, Protocol::Grpc, Some(&operation), &detail, ALLOWED);
    transaction.status = status;
    conn.end(now, transaction);
}

#[track_caller]
fn has(shapes: &[(String, [u64; 3])], at: &str, expected: [u64; 3]) {
    let found = shapes.iter().find(|(shape, _)| shape == at);
    assert_eq!(found.map(|(_, counts)| *counts), Some(expected), "{at} in {shapes:#?}");
}

#[test]
fn the_server_says_what_is_accepted() {
    let scene = Scene::new();
    let mut conn = scene.conn(Mode::Learn);
    for status in [200, 204, 302, 304, 101] {
        http(&mut conn, "/1", ALLOWED, status);
    }
    for status in [400, 404, 500, 0] {
        http(&mut conn, "/1", ALLOWED, status);
    }
    redis(&mut conn, b"7", Status::Ok);
    redis(&mut conn, b"7", Status::Ok);
    redis(&mut conn, b"7", Status::Ok);
    redis(&mut conn, b"7", Status::Error(*b"WRONGTYPE\0\0\0\0\0\0"));
    for code in [0, 0, 0, 5, 12] {
        grpc(&mut conn, b"Get", Status::Grpc(code));
    }
    grpc(&mut conn, b"Get", Status::None);
    let shapes = scene.read();
    has(&shapes, "shop.Cart/Get", [3, 3, 0]);
    has(&shapes, "GET /{int}", [5, 4, 0]);
    has(&shapes, "GET {int}", [3, 1, 0]);
    assert_eq!(scene.metric("weir_profile_operations_total{result=\"accepted\"}"), 11.0);
    assert_eq!(scene.metric("weir_profile_operations_total{result=\"rejected\"}"), 8.0);
}

#[test]
fn beside_learning_only_what_is_outside_counts() {
    let scene = Scene::new();
    for mode in [Mode::Monitor, Mode::Enforce] {
        let mut conn = scene.conn(mode);
        http(&mut conn, "/1", ALLOWED, 200);
        http(&mut conn, "/1", OUTSIDE, 200);
        http(&mut conn, "/1", Outcome { verdict: Verdict::Refused, ..OUTSIDE }, 403);
    }
    let shapes = scene.read();
    has(&shapes, "GET /{int}", [0, 4, 4]);
}

#[test]
fn learning_takes_what_the_policy_would_refuse_too() {
    let scene = Scene::new();
    http(&mut scene.conn(Mode::Learn), "/1", OUTSIDE, 200);
    has(&scene.read(), "GET /{int}", [1, 0, 0]);
}

#[test]
fn what_no_policy_decided_is_nothing_to_learn() {
    let scene = Scene::new();
    for mode in [Mode::Learn, Mode::Monitor, Mode::Enforce] {
        let mut conn = scene.conn(mode);
        for reason in [
            Reason::Malformed("x"),
            Reason::Limit("x"),
            Reason::Inspector("x"),
            Reason::Timeout("x"),
            Reason::Protocol("x"),
            Reason::Dial("x"),
        ] {
            http(&mut conn, "/1", Outcome { reason, ..OUTSIDE }, 200);
            // It may show later.
            let mut transaction = begin(&mut conn, "/1", ALLOWED);
            (transaction.status, transaction.reason) = (Status::Http(200), reason);
            conn.end(Instant::now(), transaction);
        }
        http(&mut conn, "/1", Outcome { reason: Reason::Substitute, ..ALLOWED }, 200);
    }
    assert!(scene.reporter.close(Duration::from_secs(10)));
    assert!(scene.learning().close(Duration::from_secs(10)));
    assert!(!scene.files.path.exists());
}

#[test]
fn what_lives_long_counts_once_when_its_answer_is_known() {
    let scene = Scene::new();
    let mut conn = scene.conn(Mode::Learn);
    let mut socket = begin(&mut conn, "/1", ALLOWED);
    socket.status = Status::Http(101);
    conn.started(&socket);
    // Counted by now, though it is open.
    let (now, detail) = (Instant::now(), Detail::default());
    let tls = Operation::Tls(TlsOp { sni: None });
    let unread =
        Outcome { verdict: Verdict::Unread, reason: Reason::Unread("encrypted"), entry: None };
    let answered = conn.begin(now, Protocol::Tls, Some(&tls), &detail, unread);
    conn.started(&answered);
    conn.received(Leg::Server, 100);
    conn.received(Leg::Server, 100);
    scene.reporter.flush();
    let mut silent = scene.conn(Mode::Learn);
    let opaque = Operation::Connection;
    let unanswered = silent.begin(now, Protocol::Opaque, Some(&opaque), &detail, unread);
    silent.started(&unanswered);
    silent.end(now, unanswered);
    conn.end(now, answered);
    conn.end(now, socket);
    let shapes = scene.read();
    has(&shapes, "GET /{int}", [1, 0, 0]);
    has(&shapes, "connection", [0, 1, 0]);
    assert_eq!(scene.metric("weir_profile_operations_total{result=\"accepted\"}"), 2.0);
}

#[test]
fn counts_are_handed_over_once_and_open_operations_later() {
    let scene = Scene::new();
    let mut conn = scene.conn(Mode::Learn);
    http(&mut conn, "/1", ALLOWED, 200);
    let mut open = begin(&mut conn, "/1", ALLOWED);
    // As `POST /profile` asks for them.
    for _ in 0..3 {
        scene.learning().wanted.fetch_add(1, Relaxed);
        scene.reporter.flush();
    }
    let until = Instant::now() + Duration::from_secs(10);
    while scene.metric("weir_profile_operations_total{result=\"accepted\"}") < 1.0 {
        assert!(Instant::now() < until, "handed over");
        std::thread::sleep(Duration::from_millis(5));
    }
    open.status = Status::Http(200);
    conn.end(Instant::now(), open);
    has(&scene.read(), "GET /{int}", [2, 0, 0]);
}

#[test]
fn a_full_table_is_emptied_when_it_is_handed_over() {
    let scene = Scene::new();
    let limits = Limits { learned_keys: 16, ..Limits::default() };
    scene.learning().govern(&Snapshot::default(), &limits);
    let mut conn = scene.conn(Mode::Learn);
    let mut open = begin(&mut conn, "/open", ALLOWED);
    for i in 0..20 {
        http(&mut conn, &format!("/x{i}-"), ALLOWED, 200);
    }
    scene.learning().wanted.fetch_add(1, Relaxed);
    scene.reporter.flush();
    assert_eq!(scene.metric("weir_profile_dropped_total{cause=\"keys\"}"), 5.0);
    for i in 0..10 {
        http(&mut conn, &format!("/y{i}-"), ALLOWED, 200);
    }
    open.status = Status::Http(200);
    conn.end(Instant::now(), open);
    scene.read();
    assert_eq!(scene.metric("weir_profile_dropped_total{cause=\"keys\"}"), 5.0);
    assert_eq!(scene.metric("weir_profile_operations_total{result=\"accepted\"}"), 26.0);
}

#[test]
fn what_no_entry_can_hold_counts_without_a_shape() {
    let scene = Scene::new();
    let mut conn = scene.conn(Mode::Learn);
    http(&mut conn, &format!("/{}", "a/".repeat(2000)), ALLOWED, 200);
    scene.read();
    assert_eq!(scene.metric("weir_profile_dropped_total{cause=\"unlearnable\"}"), 1.0);
}

/// A profile says which key its hashes are of; a learner's are of its own.
#[test]
fn learners_with_different_keys_lose_no_counts_of_one_profile() {
    let scenes = [Scene::new(), Scene::new()];
    let files = ProfileFiles { key: scenes[1].files.key.clone(), ..scenes[0].files.clone() };
    let metrics = scenes[1].reporter.metrics().clone();
    let other = Learning::start(&files, metrics.clone()).unwrap();
    let (allowed, detail) = (LogAllowed::All, LogDetail::Masked);
    let reporter = Reporter::learning_too(None, allowed, detail, metrics, Some(other)).unwrap();
    let other = Scene { reporter, files, _dir: tempfile::tempdir().unwrap() };
    http(&mut scenes[0].conn(Mode::Learn), "/1", ALLOWED, 200);
    http(&mut other.conn(Mode::Learn), "/1", ALLOWED, 200);
    has(&scenes[0].read(), "GET /{int}", [1, 0, 0]);
    let key = |text: &str| text.lines().find(|line| line.contains("key:")).unwrap().to_owned();
    let first = key(&std::fs::read_to_string(&other.files.path).unwrap());
    has(&other.read(), "GET /{int}", [2, 0, 0]);
    assert_ne!(key(&std::fs::read_to_string(&other.files.path).unwrap()), first);
}

//! Reports from connection to file.

mod log;
mod records;
mod taps;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use weir_policy::Snapshot;
use weir_policy::decide::{EntryRef, Mode, Violation};
use weir_policy::op::{
    Endpoint, GrpcOp, HttpOp, Keys, Operation, Protocol, RedisOp, Script, Side, TlsOp,
};

use super::*;
use crate::config::{LogAllowed, LogDetail, Target};

const ALLOWED: Outcome =
    Outcome { verdict: Verdict::Allowed, reason: Reason::Entry, entry: Some(EntryRef(1)) };
const REFUSED: Outcome = Outcome {
    verdict: Verdict::Refused,
    reason: Reason::Policy(Violation::NotAllowed),
    entry: None,
};

/// A reporter whose log is a file of its own.
struct Log {
    reporter: Arc<Reporter>,
    path: PathBuf,
    _dir: tempfile::TempDir,
}

impl Log {
    fn new(allowed: LogAllowed) -> Self {
        Self::with_detail(allowed, LogDetail::Masked)
    }

    fn with_detail(allowed: LogAllowed, detail: LogDetail) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("traffic.log");
        let reporter = reporter(&path, allowed, detail);
        Self { reporter, path, _dir: dir }
    }

    fn conn(&self) -> ConnReport {
        conn(&self.reporter)
    }

    /// Ends the log and reads it.
    fn read(self) -> Vec<Value> {
        assert!(self.reporter.close(Duration::from_secs(10)));
        lines(&self.path)
    }
}

fn reporter(path: &Path, allowed: LogAllowed, detail: LogDetail) -> Arc<Reporter> {
    let metrics = Arc::new(Metrics::new());
    Reporter::new(Some(Target::File(path.into())), allowed, detail, metrics).unwrap()
}

fn conn(reporter: &Arc<Reporter>) -> ConnReport {
    let client: SocketAddr = "10.0.0.7:40112".parse().unwrap();
    let server: SocketAddr = "10.0.0.9:8080".parse().unwrap();
    let endpoint = Endpoint { side: Side::Inbound, peer: client.ip(), port: server.port() };
    ConnReport::new(Arc::clone(reporter), policy("cart"), &endpoint, client, server, Mode::Enforce)
}

/// A policy of this name, whose first entry is number 1.
fn policy(name: &str) -> Arc<Snapshot> {
    let file = format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\n\
         metadata: {{name: {name}, namespace: shop}}\n\
         spec: {{inbound: [{{from: [{{any: true}}], ports: [8080], protocol: http, \
         allow: [GET /carts]}}]}}\n"
    );
    let policies = weir_policy::parse("policy.yaml", &file).unwrap();
    let defaults = weir_policy::Defaults {
        mode: Mode::Enforce,
        today: weir_policy::Date::new(2026, 1, 1).unwrap(),
    };
    Arc::new(Snapshot::compile(policies, &defaults, &weir_policy::Addresses::default()).unwrap())
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn http<'a>(method: &'a str, path: &'a str) -> HttpOp<'a> {
    HttpOp {
        method: method.as_bytes(),
        authority: Some(b"cart.shop"),
        path: path.as_bytes(),
        upgrade: None,
        override_header: None,
    }
}

/// One complete transaction.
fn transact(conn: &mut ConnReport, operation: HttpOp<'_>, outcome: Outcome) {
    let now = Instant::now();
    let operation = Operation::Http(operation);
    let detail = Detail::default();
    let mut transaction = conn.begin(now, Protocol::Http, Some(&operation), &detail, outcome);
    transaction.complete = true;
    transaction.status = Status::Http(200);
    (transaction.bytes_in, transaction.bytes_out) = (100, 200);
    conn.end(now + Duration::from_micros(1500), transaction);
}

//! What a record costs on the way of the data: `begin` and `end`, up to the worker's batch.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot be set up has nothing to say")]

use std::hint::black_box;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use http_body_util::BodyExt as _;
use weir::config::{LogAllowed, LogDetail, ProfileFiles, Target};
use weir::learn::Learning;
use weir::report::tap::{Filter, Hub, Room};
use weir::report::{
    ConnReport, Detail, Metrics, Outcome, Reason, Report, Reporter, Status, Verdict,
};
use weir_policy::decide::{EntryRef, Mode};
use weir_policy::op::{Endpoint, HttpOp, Keys, Operation, Protocol, RedisOp, Script, Side};
use weir_policy::{Addresses, Date, Defaults, Snapshot};

const POLICY: &str = "
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: cart, namespace: shop}
spec:
  inbound:
  - {from: [{any: true}], ports: [8080], protocol: http, allow: ['GET /carts/{int}']}
";

/// What is done with records beside the log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    /// A tap, whose records are filtered and read by a thread.
    Tap,
    /// A profile.
    Learn,
}

/// A connection; `dir` is where a profile would be.
fn conn(log: Option<&str>, allowed: LogAllowed, beside: Beside, dir: &Path) -> ConnReport {
    let log = log.map(|path| Target::File(path.into()));
    let metrics = Arc::new(Metrics::new());
    let learning = (beside == Beside::Learn).then(|| {
        let files = ProfileFiles { path: dir.join("p.yaml"), key: dir.join("p.key") };
        Learning::start(&files, metrics.clone()).unwrap()
    });
    let reporter =
        Reporter::learning_too(log, allowed, LogDetail::Masked, metrics, learning).unwrap();
    if beside == Beside::Tap {
        let hub = reporter.taps().clone();
        std::thread::spawn(move || serve_tap(&hub));
    }
    let mode = if beside == Beside::Learn { Mode::Learn } else { Mode::Monitor };
    let client: SocketAddr = "10.0.0.7:40112".parse().unwrap();
    let server: SocketAddr = "10.0.0.9:8080".parse().unwrap();
    let endpoint = Endpoint { side: Side::Inbound, peer: client.ip(), port: server.port() };
    let policies = weir_policy::parse("policy.yaml", POLICY).unwrap();
    let defaults = Defaults { mode: Mode::Enforce, today: Date::new(2026, 1, 1).unwrap() };
    let policy = Snapshot::compile(policies, &defaults, &Addresses::default()).unwrap();
    ConnReport::new(reporter, Arc::new(policy), &endpoint, client, server, mode)
}

fn serve_tap(hub: &Arc<Hub>) {
    let room = Room { taps: 1, bytes: 1 << 20 };
    let mut tap = hub.attach(Filter::from_query("op=GET%20*").unwrap(), room).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let read = async { while tap.frame().await.is_some() {} };
        tokio::join!(hub.clone().run(), read);
    });
}

fn record(conn: &mut ConnReport, protocol: Protocol, operation: &Operation<'_>, now: Instant) {
    let outcome =
        Outcome { verdict: Verdict::Allowed, reason: Reason::Entry, entry: Some(EntryRef(1)) };
    let detail = Detail::default();
    let mut transaction = conn.begin(now, protocol, Some(black_box(operation)), &detail, outcome);
    transaction.complete = true;
    transaction.status = Status::Ok;
    (transaction.bytes_in, transaction.bytes_out) = (120, 1180);
    conn.end(now + Duration::from_micros(731), transaction);
}

fn report(criterion: &mut Criterion) {
    let http = Operation::Http(HttpOp {
        method: b"GET",
        authority: Some(b"cart.shop.svc:8080"),
        path: b"/carts/48151623",
        upgrade: None,
        override_header: None,
    });
    let keys: [&[u8]; 1] = [b"cart:48151623"];
    let none: [&[u8]; 0] = [];
    let redis = Operation::Redis(RedisOp {
        databases: &[0],
        command: b"GET",
        subcommand: None,
        keys: Keys::Known(&keys),
        channels: Keys::Known(&none),
        script: Script::None,
    });
    let mut group = criterion.benchmark_group("report");
    for (name, protocol, operation) in
        [("http", Protocol::Http, &http), ("redis", Protocol::Redis, &redis)]
    {
        for (kind, log, allowed) in [
            ("all", Some("/dev/null"), LogAllowed::All),
            ("summary", Some("/dev/null"), LogAllowed::Summary),
            ("off", Some("/dev/null"), LogAllowed::Off),
            ("no-log", None, LogAllowed::All),
        ] {
            let dir = tempfile::tempdir().unwrap();
            for (what, beside) in
                [("", Beside::Nothing), ("/learned", Beside::Learn), ("/tapped", Beside::Tap)]
            {
                let mut conn = conn(log, allowed, beside, dir.path());
                let now = Instant::now();
                group.bench_function(format!("{name}/{kind}{what}"), |bencher| {
                    bencher.iter(|| record(&mut conn, protocol, operation, now));
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, report);
criterion_main!(benches);

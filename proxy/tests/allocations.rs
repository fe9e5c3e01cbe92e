//! What the hot path asks of the allocator: nothing for a message, and one batch for many records.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use weir::config::{LogAllowed, LogDetail, ProfileFiles, Target};
use weir::learn::Learning;
use weir::limits::Limits;
use weir::report::tap::{Filter, Hub, Room};
use weir::report::{ConnReport, Metrics, Reporter};
use weir::session::{Action, Actions, Cx, Input, Leg, Options, Session};
use weir_policy::decide::{Admission, Mode};
use weir_policy::op::{Endpoint, Side};
use weir_policy::{Addresses, Defaults, Snapshot};

const POLICY: &str = "
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: t}
spec:
  inbound:
  - {from: [{cidr: 127.0.0.0/8}], ports: [80], protocol: http, hosts: [shop], allow: ['GET /carts/{int}', 'POST /carts/{int}/items']}
  - {from: [{any: true}], ports: [6379], protocol: redis, allow: ['GET cart:{int}', 'MSET cart:{int}']}
";

/// A session as the relay has it, without sockets.
struct Connection {
    policy: Arc<Snapshot>,
    admission: Admission,
    endpoint: Endpoint,
    limits: Limits,
    report: ConnReport,
    taps: Arc<Hub>,
    session: Session,
    actions: Actions,
}

impl Connection {
    fn new(port: u16, log: Option<Target>) -> Self {
        Self::learning(port, log, Mode::Enforce, None)
    }

    fn learning(
        port: u16,
        log: Option<Target>,
        mode: Mode,
        learning: Option<Arc<Learning>>,
    ) -> Self {
        let defaults = Defaults { mode: Mode::Enforce, today: "2026-11-23".parse().unwrap() };
        let policies = weir_policy::parse("t.yaml", POLICY).unwrap();
        let policy = Snapshot::compile(policies, &defaults, &Addresses::default()).unwrap();
        let policy = Arc::new(policy);
        let peer = Ipv4Addr::LOCALHOST;
        let endpoint = Endpoint { side: Side::Inbound, peer: peer.into(), port };
        let admission = policy.admit(&endpoint);
        let metrics = Arc::new(Metrics::new());
        let (allowed, detail) = (LogAllowed::All, LogDetail::Masked);
        let reporter = Reporter::learning_too(log, allowed, detail, metrics, learning).unwrap();
        let taps = reporter.taps().clone();
        let (client, server) = (SocketAddr::from((peer, 40_000)), SocketAddr::from((peer, port)));
        let report = ConnReport::new(reporter, policy.clone(), &endpoint, client, server, mode);
        let options = Options::default();
        let session = Session::new(&admission, options);
        let limits = Limits::default();
        let actions = Actions::default();
        Self { policy, admission, endpoint, limits, report, taps, session, actions }
    }

    /// Hands in what a leg brings; all of it must pass.
    fn pass(&mut self, leg: Leg, data: &[u8]) {
        let mut cx = Cx {
            now: Instant::now(),
            judge: true,
            policy: &self.policy,
            admission: &self.admission,
            endpoint: &self.endpoint,
            limits: &self.limits,
            inspectors: &mut [],
            report: &mut self.report,
            goodbye: false,
            totals: [0; 2],
            stalled_until: [None; 2],
        };
        let input = Input { leg, data, sent: 0, eof: false };
        self.session.input(input, &mut cx, &mut self.actions);
        let forwarded = |action| if let Action::Forward(n) = action { n } else { 0 };
        let passed: usize = self.actions.drain().map(forwarded).sum();
        assert_eq!(passed, data.len());
    }

    fn exchange(&mut self, request: &[u8], response: &[u8], times: u32) {
        for _ in 0..times {
            self.pass(Leg::Client, request);
            self.pass(Leg::Server, response);
        }
    }
}

/// A port, a request and its answer.
const EXCHANGES: [(u16, &[u8], &[u8]); 4] = [
    (
        80,
        b"GET /carts/7?page=2 HTTP/1.1\r\nHost: shop\r\nAccept: */*\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    ),
    (
        80,
        b"POST /carts/7/items HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    ),
    (6379, b"*2\r\n$3\r\nGET\r\n$6\r\ncart:7\r\n", b"$3\r\nabc\r\n"),
    (
        6379,
        b"*5\r\n$4\r\nMSET\r\n$6\r\ncart:7\r\n$1\r\na\r\n$6\r\ncart:8\r\n$1\r\nb\r\n",
        b"+OK\r\n",
    ),
];

#[test]
fn an_allowed_message_allocates_nothing() {
    for (port, request, response) in EXCHANGES {
        let mut connection = Connection::new(port, None);
        connection.exchange(request, response, 16);
        let counted = allocation_counter::measure(|| connection.exchange(request, response, 1000));
        assert_eq!(counted.count_total, 0, "{}", request.escape_ascii());
    }
}

#[test]
fn records_are_handed_over_by_the_batch() {
    for (port, request, response) in EXCHANGES {
        let mut connection = Connection::new(port, Some(Target::File("/dev/null".into())));
        connection.exchange(request, response, 500);
        let counted = allocation_counter::measure(|| connection.exchange(request, response, 1000));
        // About a hundred records make a batch of 32 KiB.
        assert!(counted.count_total <= 100, "{}: {counted:?}", request.escape_ascii());
    }
}

#[test]
fn a_tap_has_records_by_the_batch() {
    for (port, request, response) in EXCHANGES {
        let mut connection = Connection::new(port, None);
        let room = Room { taps: 1, bytes: 1 << 20 };
        let _tap = connection.taps.attach(Filter::default(), room).unwrap();
        connection.exchange(request, response, 500);
        let counted = allocation_counter::measure(|| connection.exchange(request, response, 1000));
        // About two hundred records make a batch of 64 KiB.
        assert!(counted.count_total <= 100, "{}: {counted:?}", request.escape_ascii());
    }
}

/// Learning allocates where a key is new to the thread, and not again.
#[test]
fn a_learned_message_allocates_nothing_once_its_key_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name| dir.path().join(name);
    let files = ProfileFiles { path: at("p.yaml"), key: at("p.key") };
    let learning = Learning::start(&files, Arc::new(Metrics::new())).unwrap();
    for log in [None, Some(Target::File("/dev/null".into()))] {
        for (port, request, response) in EXCHANGES {
            let counted = [None, Some(learning.clone())].map(|learning| {
                let mut connection = Connection::learning(port, log.clone(), Mode::Learn, learning);
                connection.exchange(request, response, 500);
                allocation_counter::measure(|| connection.exchange(request, response, 1000))
            });
            // A batch for the log can be sent a message earlier or later, as words are masked.
            let most = counted[0].count_total + if log.is_some() { 10 } else { 0 };
            assert!(counted[1].count_total <= most, "{}: {counted:?}", request.escape_ascii());
        }
    }
}

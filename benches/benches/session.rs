//! What a whole session costs: parsing both legs, deciding, and rendering the record, without sockets.

use std::error::Error;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use criterion::Criterion;
use weir::config::{LogAllowed, LogDetail, Target};
use weir::limits::Limits;
use weir::report::{ConnReport, Metrics, Reporter};
use weir::session::{Action, Actions, Cx, Input, Leg, Options, Session};
use weir_parsers::http2::hpack::{Encoder, Field, Representation};
use weir_parsers::http2::{FrameHeader, FrameKind, PREFACE, flag};
use weir_policy::decide::{Admission, Mode};
use weir_policy::op::{Endpoint, Side};
use weir_policy::{Addresses, Defaults, Snapshot};

const HTTP: u16 = 8080;
const REDIS: u16 = 6379;
const HTTP2: u16 = 8081;
const GRPC: u16 = 9090;

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    let request = b"GET /carts/7 HTTP/1.1\r\nHost: cart.shop\r\nUser-Agent: side-by-side/1\r\n\
        Accept: */*\r\n\r\n";
    let head = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\n\
        Date: Mon, 23 Nov 2026 20:00:00 GMT\r\nContent-Type: application/octet-stream\r\n\
        Content-Length: 1024\r\nConnection: keep-alive\r\nETag: \"6742f0a0-400\"\r\n\r\n";
    let response = [&head[..], &[b'x'; 1024]].concat();
    let get = b"*2\r\n$3\r\nGET\r\n$6\r\ncart:7\r\n";
    let reply = [b"$64\r\n".as_slice(), &[b'v'; 64], b"\r\n"].concat();
    for (name, port, request, response) in [
        ("http", HTTP, request.to_vec(), response),
        ("redis GET", REDIS, get.to_vec(), reply.clone()),
        ("redis GET, 16 pipelined", REDIS, get.repeat(16), reply.repeat(16)),
    ] {
        for mode in [Mode::Monitor, Mode::Enforce] {
            let mut connection = Connection::new(port, mode)?;
            criterion.bench_function(&format!("session/{name}, {mode:?}"), |bencher| {
                bencher.iter(|| {
                    connection.pass(Leg::Client, black_box(&request));
                    connection.pass(Leg::Server, black_box(&response));
                });
            });
        }
    }
    for mode in [Mode::Monitor, Mode::Enforce] {
        let (mut connection, mut call) = (Connection::new(GRPC, mode)?, Call::new());
        connection.greet(&mut call);
        criterion.bench_function(&format!("session/gRPC unary, {mode:?}"), |bencher| {
            bencher.iter(|| {
                call.next();
                connection.pass(Leg::Client, black_box(&call.request));
                connection.pass(Leg::Server, black_box(&call.answer));
            });
        });
    }
    criterion.final_summary();
    Ok(())
}

/// A session with all it needs, as the relay has it.
struct Connection {
    policy: Arc<Snapshot>,
    admission: Admission,
    endpoint: Endpoint,
    limits: Limits,
    report: ConnReport,
    session: Session,
    actions: Actions,
    judge: bool,
    totals: [u64; 2],
}

impl Connection {
    fn new(port: u16, mode: Mode) -> Result<Self, Box<dyn Error>> {
        let text = if matches!(port, HTTP2 | GRPC) {
            include_str!("../weir/http2.yaml")
        } else {
            include_str!("../weir/policy.yaml")
        };
        let mut text = text.to_owned();
        for (name, port) in
            [("@HTTP@", HTTP), ("@REDIS@", REDIS), ("@HTTP2@", HTTP2), ("@GRPC@", GRPC)]
        {
            text = text.replace(name, &port.to_string());
        }
        let defaults = Defaults { mode, today: "2026-11-23".parse()? };
        let policies = weir_policy::parse("policy.yaml", &text)?;
        let policy = Arc::new(Snapshot::compile(policies, &defaults, &Addresses::default())?);
        let loopback = Ipv4Addr::LOCALHOST;
        let endpoint = Endpoint { side: Side::Inbound, peer: loopback.into(), port };
        let admission = policy.admit(&endpoint);
        let log = Some(Target::File("/dev/null".into()));
        let metrics = Arc::new(Metrics::new());
        let reporter = Reporter::new(log, LogAllowed::All, LogDetail::Masked, metrics)?;
        let (client, server) =
            (SocketAddr::from((loopback, 40_000)), SocketAddr::from((loopback, port)));
        let report =
            ConnReport::new(reporter, Arc::clone(&policy), &endpoint, client, server, mode);
        let options = Options { nonce: 0x5eed, ..Options::default() };
        let session = Session::new(&admission, options);
        Ok(Self {
            policy,
            admission,
            endpoint,
            limits: Limits::default(),
            report,
            session,
            actions: Actions::default(),
            judge: mode == Mode::Enforce,
            totals: [0; 2],
        })
    }

    /// Hands in all that a leg brings at once. It must pass: a refusal would be another measurement.
    fn pass(&mut self, leg: Leg, data: &[u8]) {
        self.hand_in(leg, data);
        let mut passed = 0;
        for action in self.actions.drain() {
            match action {
                Action::Forward(length) => passed += length,
                Action::Wake(_) | Action::Resume(_) => {}
                other => unreachable!("not passed: {other:?}"),
            }
        }
        assert_eq!(passed, data.len());
    }

    /// Begins a connection of HTTP/2, and has the call that fills its tables. Settings may be lowered on their way.
    fn greet(&mut self, call: &mut Call) {
        let settings = frame(FrameKind::Settings, 0, 0, &[]);
        let ack = frame(FrameKind::Settings, flag::ACK, 0, &[]);
        let preface = [&PREFACE[..], &settings, &ack].concat();
        for (leg, data) in [(Leg::Client, preface), (Leg::Server, [settings, ack].concat())] {
            self.hand_in(leg, &data);
            self.actions.drain().for_each(drop);
        }
        let (request, answer) = call.first();
        self.pass(Leg::Client, &request);
        self.pass(Leg::Server, &answer);
    }

    fn hand_in(&mut self, leg: Leg, data: &[u8]) {
        self.totals[leg as usize] += data.len() as u64;
        let sent = if self.judge { 0 } else { data.len() };
        let mut cx = Cx {
            now: Instant::now(),
            judge: self.judge,
            policy: &self.policy,
            admission: &self.admission,
            endpoint: &self.endpoint,
            limits: &self.limits,
            inspectors: &mut [],
            report: &mut self.report,
            goodbye: false,
            totals: self.totals,
            stalled_until: [None; 2],
        };
        let input = Input { leg, data, sent, eof: false };
        self.session.input(input, &mut cx, &mut self.actions);
    }
}

/// A unary call, again and again on one connection.
struct Call {
    encoders: [Encoder; 2],
    stream: u32,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Call {
    fn new() -> Self {
        let encoders = [Encoder::new(4096), Encoder::new(4096)];
        Self { encoders, stream: 1, request: Vec::new(), answer: Vec::new() }
    }

    /// The first call, whose fields enter the tables. Those after it are made of indices.
    fn first(&mut self) -> (Vec<u8>, Vec<u8>) {
        let first = self.frames();
        (self.request, self.answer) = self.frames();
        first
    }

    fn frames(&mut self) -> (Vec<u8>, Vec<u8>) {
        let [client, server] = &mut self.encoders;
        let stream = self.stream;
        let message = [&[0, 0, 0, 0, 64][..], &[b'x'; 64]].concat();
        let headers = |encoder: &mut Encoder, fields: &[(&'static str, &'static str)], flags| {
            let field = |(name, value): &(&'static str, &'static str)| Field {
                name: name.as_bytes(),
                value: value.as_bytes(),
                representation: Representation::Incremental,
            };
            let mut block = Vec::new();
            encoder.encode(fields.iter().map(field), &mut block);
            frame(FrameKind::Headers, flag::END_HEADERS | flags, stream, &block)
        };
        let request = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/shop.Cart/Add"),
            (":authority", "cart.shop:9090"),
            ("content-type", "application/grpc"),
            ("user-agent", "grpc-go/1.60.0"),
            ("te", "trailers"),
        ];
        let head = [(":status", "200"), ("content-type", "application/grpc")];
        let asked = [
            headers(client, &request, 0),
            frame(FrameKind::Data, flag::END_STREAM, stream, &message),
        ];
        let answered = [
            headers(server, &head, 0),
            frame(FrameKind::Data, 0, stream, &message),
            headers(server, &[("grpc-status", "0")], flag::END_STREAM),
        ];
        (asked.concat(), answered.concat())
    }

    /// Makes it another stream's.
    fn next(&mut self) {
        self.stream += 2;
        for frames in [&mut self.request, &mut self.answer] {
            let mut at = 0;
            while let Some(header) = FrameHeader::read(&frames[at..]) {
                frames[at + 5..at + 9].copy_from_slice(&self.stream.to_be_bytes());
                at += 9 + header.length;
            }
        }
    }
}

fn frame(kind: FrameKind, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    FrameHeader { length: payload.len(), kind, flags, stream }.write(&mut out);
    out.extend_from_slice(payload);
    out
}

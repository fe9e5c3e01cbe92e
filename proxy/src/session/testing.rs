//! A driver for sessions without sockets: hands them bytes, does what they answer, and writes
//! down what passed and what was reported.

use std::time::{Duration, Instant};

use weir_policy::decide::{Admission, EntryRef, Snapshot};
use weir_policy::op::{Endpoint, Operation, Protocol, Side};

use super::{Action, Actions, Cx, Input, Leg, Session};
use crate::inspect::{Inspector, Part};
use crate::limits::Limits;
use crate::report::{Detail, Outcome, Reason, Report, Status, Text, Transaction, Verdict};

/// What the driver drives: a session, or the part of one that speaks a single protocol.
pub(crate) trait Drive {
    fn input(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions);
    fn wake(&mut self, cx: &mut Cx<'_>, out: &mut Actions);
    fn closed(&mut self, cx: &mut Cx<'_>);
}

/// The whole session, its beginning included.
impl Drive for Session {
    fn input(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        Session::input(self, input, cx, out);
    }

    fn wake(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        Session::wake(self, cx, out);
    }

    fn closed(&mut self, cx: &mut Cx<'_>) {
        Session::closed(self, true, cx);
    }
}

/// A transaction as it was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) seq: u64,
    /// `METHOD path`, or the command; `-` where nothing could be read.
    pub(crate) op: String,
    pub(crate) verdict: Verdict,
    pub(crate) reason: Reason,
    pub(crate) entry: Option<EntryRef>,
    pub(crate) status: Status,
    pub(crate) complete: bool,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) messages: Option<[u64; 2]>,
}

/// Keeps what is reported, in order.
#[derive(Debug, Default)]
pub(crate) struct Records {
    ops: Vec<String>,
    pub(crate) started: Vec<Record>,
    pub(crate) ended: Vec<Record>,
    pub(crate) limits: Vec<&'static str>,
    over: std::collections::HashSet<u64>,
}

impl Records {
    fn record(&self, transaction: &Transaction) -> Record {
        let op = usize::try_from(transaction.seq - 1).ok().and_then(|at| self.ops.get(at));
        Record {
            seq: transaction.seq,
            op: op.expect("every transaction begins once").clone(),
            verdict: transaction.verdict,
            reason: transaction.reason,
            entry: transaction.entry,
            status: transaction.status,
            complete: transaction.complete,
            bytes_in: transaction.bytes_in,
            bytes_out: transaction.bytes_out,
            messages: transaction.messages,
        }
    }
}

impl Report for Records {
    fn begin(
        &mut self,
        now: Instant,
        protocol: Protocol,
        operation: Option<&Operation<'_>>,
        _detail: &Detail<'_>,
        outcome: Outcome,
    ) -> Transaction {
        let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.ops.push(match operation {
            Some(Operation::Http(op)) => format!("{} {}", words(op.method), words(op.path)),
            Some(Operation::Grpc(op)) => format!("{}/{}", words(op.service), words(op.method)),
            Some(Operation::Redis(op)) => match op.subcommand {
                Some(sub) => format!("{}|{}", words(op.command), words(sub)),
                None => words(op.command),
            },
            Some(_) | None => "-".into(),
        });
        Transaction {
            seq: self.ops.len() as u64,
            started: now,
            protocol,
            text: Text::default(),
            verdict: outcome.verdict,
            reason: outcome.reason,
            entry: outcome.entry,
            status: Status::None,
            complete: false,
            bytes_in: 0,
            bytes_out: 0,
            messages: None,
            compressed: false,
            first_byte: None,
            is_stream: false,
            learned: crate::learn::Learned::default(),
        }
    }

    fn started(&mut self, transaction: &Transaction) {
        self.started.push(self.record(transaction));
    }

    fn end(&mut self, _now: Instant, transaction: Transaction) {
        assert!(self.over.insert(transaction.seq), "ended twice");
        self.ended.push(self.record(&transaction));
    }

    fn limit_reached(&mut self, name: &'static str) {
        self.limits.push(name);
    }

    fn claimed(&mut self, _client: std::net::SocketAddr) {}

    fn id(&self, seq: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("conn-{seq}").as_bytes());
    }
}

/// How the session has ended the connection, if it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Only earlier answers are waited for.
    pub(crate) finishing: bool,
    /// Both legs were closed.
    pub(crate) closed: bool,
    /// The client's leg was reset.
    pub(crate) client_reset: bool,
    /// The server's leg was reset.
    pub(crate) server_reset: bool,
}

/// One leg: what it brought and nobody has disposed of, and what went out towards it.
#[derive(Debug, Default)]
struct LegState {
    held: Vec<u8>,
    sent: usize,
    eof: bool,
    total: u64,
    out: Vec<u8>,
    resume: bool,
}

/// See the module's words.
pub(crate) struct Driver<S> {
    pub(crate) session: S,
    pub(crate) policy: Snapshot,
    pub(crate) endpoint: Endpoint,
    pub(crate) admission: Admission,
    pub(crate) limits: Limits,
    pub(crate) inspectors: Vec<Box<dyn Inspector>>,
    pub(crate) records: Records,
    pub(crate) judge: bool,
    pub(crate) goodbye: bool,
    pub(crate) ended: Ended,
    pub(crate) opaque: bool,
    pub(crate) alarm: Option<Instant>,
    stalled_until: [Option<Instant>; 2],
    now: Instant,
    legs: [LegState; 2],
}

impl<S: Drive> Driver<S> {
    /// Judges, under no policy at all. Change the fields for anything else.
    pub(crate) fn new(session: S) -> Self {
        let policy = Snapshot::default();
        let peer = std::net::IpAddr::from([10, 0, 0, 7]);
        let endpoint = Endpoint { side: Side::Inbound, peer, port: 8080 };
        Self {
            session,
            admission: policy.admit(&endpoint),
            policy,
            endpoint,
            limits: Limits::default(),
            inspectors: vec![],
            records: Records::default(),
            judge: true,
            goodbye: false,
            ended: Ended::default(),
            opaque: false,
            alarm: None,
            stalled_until: [None; 2],
            now: Instant::now(),
            legs: [LegState::default(), LegState::default()],
        }
    }

    /// The client sends.
    pub(crate) fn client(&mut self, bytes: impl AsRef<[u8]>) {
        self.receive(Leg::Client, bytes.as_ref(), false);
    }

    /// The server sends.
    pub(crate) fn server(&mut self, bytes: impl AsRef<[u8]>) {
        self.receive(Leg::Server, bytes.as_ref(), false);
    }

    /// The client says that it sends no more.
    pub(crate) fn client_eof(&mut self) {
        self.receive(Leg::Client, b"", true);
    }

    /// The server says that it sends no more.
    pub(crate) fn server_eof(&mut self) {
        self.receive(Leg::Server, b"", true);
    }

    /// Everything that went out towards the client, as text.
    pub(crate) fn to_client(&self) -> String {
        String::from_utf8_lossy(&self.legs[0].out).into_owned()
    }

    /// Everything that went out towards the server, as text.
    pub(crate) fn to_server(&self) -> String {
        String::from_utf8_lossy(&self.legs[1].out).into_owned()
    }

    /// Everything that went out towards a leg.
    pub(crate) fn towards(&self, leg: Leg) -> &[u8] {
        &self.legs[leg as usize].out
    }

    /// How many bytes of a leg wait for the session.
    pub(crate) fn held(&self, leg: Leg) -> usize {
        self.legs[leg as usize].held.len()
    }

    /// Time passes.
    pub(crate) fn sleep(&mut self, time: Duration) {
        self.now += time;
        if self.alarm.is_some_and(|at| at <= self.now) {
            self.alarm = None;
            self.call(Leg::Client, |session, _, cx, out| session.wake(cx, out));
        }
    }

    /// Time passes in which a leg is not read, as the other peer takes nothing.
    pub(crate) fn stall(&mut self, leg: Leg, time: Duration) {
        self.stalled_until[leg as usize] = Some(self.now + time);
        self.sleep(time);
    }

    /// The process is about to stop.
    pub(crate) fn say_goodbye(&mut self) {
        self.goodbye = true;
        self.look(Leg::Client);
        self.look(Leg::Server);
        self.resume();
    }

    /// The connection is over: everything that was reported.
    pub(crate) fn close(&mut self) -> &[Record] {
        self.call(Leg::Client, |session, _, cx, _| session.closed(cx));
        &self.records.ended
    }

    fn receive(&mut self, from: Leg, bytes: &[u8], eof: bool) {
        let ended = self.ended;
        let dead = ended.closed
            || ended.client_reset
            || ended.server_reset
            || from == Leg::Client && ended.finishing;
        if dead {
            return;
        }
        let leg = &mut self.legs[from as usize];
        leg.held.extend_from_slice(bytes);
        leg.total += bytes.len() as u64;
        leg.eof |= eof;
        if self.opaque || !self.judge {
            self.pass(from);
        }
        self.look(from);
        self.resume();
    }

    /// Lets everything of a leg pass that has not.
    fn pass(&mut self, from: Leg) {
        let leg = &mut self.legs[from as usize];
        let new = leg.held[leg.sent..].to_vec();
        leg.sent = leg.held.len();
        self.legs[from.other() as usize].out.extend(new);
    }

    fn look(&mut self, from: Leg) {
        if !self.opaque {
            self.call(from, |session, input, cx, out| session.input(input, cx, out));
        }
    }

    fn resume(&mut self) {
        for _ in 0..10_000 {
            if std::mem::take(&mut self.legs[0].resume) {
                self.look(Leg::Client);
            } else if std::mem::take(&mut self.legs[1].resume) {
                self.look(Leg::Server);
            } else {
                return;
            }
        }
        panic!("the session resumes for ever");
    }

    fn call(&mut self, from: Leg, ask: impl FnOnce(&mut S, Input<'_>, &mut Cx<'_>, &mut Actions)) {
        let mut out = Actions::default();
        let leg = &self.legs[from as usize];
        let input = Input { leg: from, data: &leg.held, sent: leg.sent, eof: leg.eof };
        let mut cx = Cx {
            now: self.now,
            judge: self.judge,
            policy: &self.policy,
            admission: &self.admission,
            endpoint: &self.endpoint,
            limits: &self.limits,
            inspectors: &mut self.inspectors,
            report: &mut self.records,
            goodbye: self.goodbye,
            totals: [self.legs[0].total, self.legs[1].total],
            stalled_until: self.stalled_until,
        };
        ask(&mut self.session, input, &mut cx, &mut out);
        for action in out.drain() {
            self.act(from, action);
        }
    }

    fn act(&mut self, from: Leg, action: Action) {
        if !self.judge && !self.goodbye {
            let observes = matches!(
                action,
                Action::Forward(_) | Action::Resume(_) | Action::Opaque | Action::Wake(_)
            );
            assert!(observes, "not allowed while observing: {action:?}");
        }
        match action {
            Action::Forward(n) => {
                let leg = &mut self.legs[from as usize];
                let bytes: Vec<u8> = leg.held.drain(..n).collect();
                let new = bytes[leg.sent.min(n)..].to_vec();
                leg.sent = leg.sent.saturating_sub(n);
                self.legs[from.other() as usize].out.extend(new);
            }
            Action::Drop(n) => {
                let leg = &mut self.legs[from as usize];
                leg.held.drain(..n);
                leg.sent = leg.sent.saturating_sub(n);
            }
            Action::Inject(to, bytes) => self.legs[to as usize].out.extend_from_slice(&bytes),
            Action::Resume(leg) => self.legs[leg as usize].resume = true,
            Action::Finish(_) => self.ended.finishing = true,
            Action::Close => self.ended.closed = true,
            Action::Reset(Leg::Client) => self.ended.client_reset = true,
            Action::Reset(Leg::Server) => self.ended.server_reset = true,
            Action::Opaque => {
                self.opaque = true;
                self.pass(Leg::Client);
                self.pass(Leg::Server);
            }
            Action::Wake(at) => self.alarm = at,
        }
    }
}

/// An inspector that finds literals: in an operation's path or command, and across chunks.
#[derive(Debug, Default)]
pub(crate) struct Literal {
    /// Operations whose path or command contains this must not happen.
    pub(crate) operation: Option<&'static str>,
    /// Content must not contain this.
    pub(crate) content: Option<&'static str>,
    tails: [Vec<u8>; 2],
}

impl Literal {
    /// Refuses operations that contain `what`.
    pub(crate) fn operation(what: &'static str) -> Box<dyn Inspector> {
        Box::new(Self { operation: Some(what), ..Self::default() })
    }

    /// Withholds the byte that completes `what`.
    pub(crate) fn content(what: &'static str) -> Box<dyn Inspector> {
        Box::new(Self { content: Some(what), ..Self::default() })
    }
}

impl Inspector for Literal {
    fn operation(&mut self, operation: &Operation<'_>) -> Result<(), &'static str> {
        let subject = match operation {
            Operation::Http(op) => op.path,
            Operation::Grpc(op) => op.method,
            Operation::Redis(op) => op.command,
            Operation::Tls(_) | Operation::Connection => b"",
        };
        match self.operation {
            Some(what) if String::from_utf8_lossy(subject).contains(what) => Err("literal"),
            _ => Ok(()),
        }
    }

    fn data(&mut self, part: Part, data: &[u8]) -> Result<(), (usize, &'static str)> {
        let Some(what) = self.content else { return Ok(()) };
        let tail = &mut self.tails[part as usize];
        for (at, byte) in data.iter().enumerate() {
            tail.push(*byte);
            if tail.ends_with(what.as_bytes()) {
                return Err((at, "literal"));
            }
        }
        Ok(())
    }

    fn end(&mut self, part: Part) {
        self.tails[part as usize].clear();
    }

    fn fresh(&self) -> Box<dyn Inspector> {
        Box::new(Self { tails: Default::default(), ..*self })
    }
}

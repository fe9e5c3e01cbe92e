//! A relay without sockets: hands a session the runs of both legs, does what it answers, and
//! keeps what passed and what was reported.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use weir::limits::Limits;
use weir::report::{Detail, Outcome, Report, Status, Text, Transaction, Verdict};
use weir::session::{Action, Actions, Cx, Input, Leg, Options, Session};
use weir_policy::decide::{Admission, Snapshot};
use weir_policy::op::{Endpoint, Operation, Protocol};

use crate::Run;

/// What one connection runs under.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// Nothing passes before its verdict.
    pub judge: bool,
    /// The policy in force.
    pub policy: &'a Snapshot,
    /// What it says of the connection.
    pub admission: &'a Admission,
    /// The connection.
    pub endpoint: &'a Endpoint,
    /// The limits in force.
    pub limits: &'a Limits,
    /// Both legs end after the last run, the client's first.
    pub ends: bool,
}

/// A transaction as it was reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its number.
    pub seq: u64,
    /// The operation, as `Debug` has it.
    pub op: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// The reason's label.
    pub reason: &'static str,
    /// The answer's status.
    pub status: Status,
    /// It was seen to its end.
    pub complete: bool,
}

/// What came of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// What was reported, by number.
    pub records: Vec<Record>,
    /// What went out towards the client and towards the server.
    pub out: [Vec<u8>; 2],
    /// How the session ended the connection, if it did.
    pub ended: Option<&'static str>,
    /// The most bytes of a leg that waited for the session after it had looked at them.
    pub most_held: usize,
}

impl Outcomes {
    /// Panics unless the same was said and done.
    pub fn assert_same(&self, other: &Self) {
        assert_eq!(self.records, other.records);
        assert_eq!(self.ended, other.ended);
        for (one, other) in self.out.iter().zip(&other.out) {
            assert!(one == other, "{}\n{}", one.escape_ascii(), other.escape_ascii());
        }
    }
}

/// Hands the runs in, cut into reads as `cut` says, and answers what came of them.
pub fn drive<'a>(
    setting: Setting<'_>,
    runs: impl Iterator<Item = Run<'a>>,
    mut cut: impl FnMut() -> usize,
) -> Outcomes {
    let options = Options { nonce: 0x5eed_0000_5eed, ..Options::default() };
    let mut relay = Relay {
        session: Session::new(setting.admission, options),
        setting,
        now: Instant::now(),
        legs: Default::default(),
        finishing: false,
        opaque: false,
        report: Records::default(),
        outcomes: Outcomes::default(),
    };
    for run in runs {
        let leg = if run.client { Leg::Client } else { Leg::Server };
        let mut left = run.bytes;
        while !left.is_empty() {
            let (now, later) = left.split_at(cut().min(left.len()));
            left = later;
            relay.receive(leg, now, false);
        }
    }
    if setting.ends {
        relay.receive(Leg::Client, b"", true);
        relay.receive(Leg::Server, b"", true);
    }
    relay.close()
}

#[derive(Default)]
struct LegState {
    held: Vec<u8>,
    sent: usize,
    eof: bool,
    total: u64,
    resume: bool,
}

struct Relay<'a> {
    session: Session,
    setting: Setting<'a>,
    now: Instant,
    legs: [LegState; 2],
    finishing: bool,
    opaque: bool,
    report: Records,
    outcomes: Outcomes,
}

impl Relay<'_> {
    fn receive(&mut self, from: Leg, bytes: &[u8], eof: bool) {
        if self.outcomes.ended.is_some() || from == Leg::Client && self.finishing {
            return;
        }
        // Time must not matter to a verdict; it passes with every read.
        self.now += Duration::from_micros(1);
        let leg = &mut self.legs[from as usize];
        leg.held.extend_from_slice(bytes);
        leg.total += bytes.len() as u64;
        leg.eof |= eof;
        if self.opaque || !self.setting.judge {
            self.pass(from);
        }
        self.look(from);
        let mut rounds = 0;
        loop {
            if std::mem::take(&mut self.legs[0].resume) {
                self.look(Leg::Client);
            } else if std::mem::take(&mut self.legs[1].resume) {
                self.look(Leg::Server);
            } else {
                break;
            }
            rounds += 1;
            assert!(rounds < 10_000, "the session resumes for ever");
        }
        if !self.opaque && self.outcomes.ended.is_none() {
            let held = self.legs.iter().map(|leg| leg.held.len()).max().unwrap_or_default();
            self.outcomes.most_held = self.outcomes.most_held.max(held);
        }
    }

    fn pass(&mut self, from: Leg) {
        let leg = &mut self.legs[from as usize];
        let new = leg.held.get(leg.sent..).unwrap_or_default();
        self.outcomes.out[from.other() as usize].extend_from_slice(new);
        leg.sent = leg.held.len();
    }

    fn look(&mut self, from: Leg) {
        if self.opaque || self.outcomes.ended.is_some() {
            return;
        }
        let leg = &self.legs[from as usize];
        let input = Input { leg: from, data: &leg.held, sent: leg.sent, eof: leg.eof };
        let totals = [self.legs[0].total, self.legs[1].total];
        let mut out = Actions::default();
        let mut cx = cx(&self.setting, self.now, &mut self.report, totals);
        self.session.input(input, &mut cx, &mut out);
        for action in out.drain() {
            self.act(from, action);
        }
    }

    fn act(&mut self, from: Leg, action: Action) {
        if !self.setting.judge {
            let observes = matches!(
                action,
                Action::Forward(_) | Action::Resume(_) | Action::Opaque | Action::Wake(_)
            );
            assert!(observes, "not while observing: {action:?}");
        }
        let leg = &mut self.legs[from as usize];
        match action {
            Action::Forward(n) => {
                let bytes: Vec<u8> = leg.held.drain(..n).collect();
                let new = bytes.get(leg.sent.min(n)..).unwrap_or_default();
                self.outcomes.out[from.other() as usize].extend_from_slice(new);
                leg.sent = leg.sent.saturating_sub(n);
            }
            Action::Drop(n) => {
                leg.held.drain(..n);
                leg.sent = leg.sent.saturating_sub(n);
            }
            Action::Inject(to, bytes) => {
                self.outcomes.out[to as usize].extend_from_slice(&bytes);
            }
            Action::Resume(leg) => self.legs[leg as usize].resume = true,
            Action::Finish(_) => self.finishing = true,
            Action::Close => self.outcomes.ended = Some("closed"),
            Action::Reset(Leg::Client) => self.outcomes.ended = Some("client reset"),
            Action::Reset(Leg::Server) => {
                self.outcomes.ended.get_or_insert("server reset");
            }
            Action::Opaque => {
                self.opaque = true;
                self.pass(Leg::Client);
                self.pass(Leg::Server);
            }
            Action::Wake(_) => {}
        }
    }

    fn close(mut self) -> Outcomes {
        let totals = [self.legs[0].total, self.legs[1].total];
        let mut cx = cx(&self.setting, self.now, &mut self.report, totals);
        self.session.closed(true, &mut cx);
        assert_eq!(self.report.open, 0, "every transaction that begins ends");
        self.outcomes.records = self.report.ended;
        self.outcomes.records.sort_by_key(|record| record.seq);
        self.outcomes
    }
}

fn cx<'a>(
    setting: &Setting<'a>,
    now: Instant,
    report: &'a mut Records,
    totals: [u64; 2],
) -> Cx<'a> {
    Cx {
        now,
        judge: setting.judge,
        policy: setting.policy,
        admission: setting.admission,
        endpoint: setting.endpoint,
        limits: setting.limits,
        inspectors: &mut [],
        report,
        goodbye: false,
        totals,
        stalled_until: [None; 2],
    }
}

#[derive(Default)]
struct Records {
    ops: Vec<String>,
    open: usize,
    ended: Vec<Record>,
}

impl Report for Records {
    fn begin(
        &mut self,
        now: Instant,
        protocol: Protocol,
        operation: Option<&Operation<'_>>,
        _: &Detail<'_>,
        outcome: Outcome,
    ) -> Transaction {
        self.ops.push(format!("{operation:?}"));
        self.open += 1;
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
            learned: weir::learn::Learned::default(),
        }
    }

    fn started(&mut self, _: &Transaction) {}

    fn end(&mut self, _: Instant, transaction: Transaction) {
        assert!(!self.ended.iter().any(|record| record.seq == transaction.seq), "ended twice");
        self.open -= 1;
        let op = usize::try_from(transaction.seq - 1).ok().and_then(|at| self.ops.get(at));
        self.ended.push(Record {
            seq: transaction.seq,
            op: op.cloned().unwrap_or_default(),
            verdict: transaction.verdict,
            reason: transaction.reason.label(),
            status: transaction.status,
            complete: transaction.complete,
        });
    }

    fn limit_reached(&mut self, _name: &'static str) {}

    fn claimed(&mut self, _: SocketAddr) {}

    fn id(&self, seq: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(format!("fuzz-{seq}").as_bytes());
    }
}

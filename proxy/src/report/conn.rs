//! One connection's reports.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use weir_policy::decide::{Mode, Snapshot};
use weir_policy::op::{Endpoint, Operation, Protocol};

use super::id::ConnId;
use super::local::{self, Local};
use super::metrics::{Flow, LearnedResult, side_word};
use super::record::{self, Phase};
use super::reporter::{Fate, Reporter};
use super::summary::{self, Sum};
use super::tap::Seen;
use super::text::Render;
use super::{Detail, Outcome, Report, Text, Transaction, json, learned};
use crate::learn::{Learned, Place};
use crate::session::Leg;

/// How often something long-lived has a record.
const PERIOD: Duration = Duration::from_secs(5 * 60);
/// How many long-lived transactions of a connection are followed.
const OPEN: usize = 16;

/// Reports for one connection, whose addresses and id it knows.
#[derive(Debug)]
pub struct ConnReport {
    reporter: Arc<Reporter>,
    policy: Arc<Snapshot>,
    id: ConnId,
    place: Place,
    mode: Mode,
    /// `conn` to `peer`, rendered once.
    members: Box<[u8]>,
    seq: u64,
    /// Received from client and server.
    received: [u64; 2],
    open: Vec<Open>,
    /// The connection's own transaction, while it is judged as a whole.
    connection: Option<Transaction>,
}

/// A long-lived transaction whose start was reported.
#[derive(Debug)]
struct Open {
    start: Transaction,
    /// What the connection had received by then.
    received: [u64; 2],
    due: Instant,
    logged: bool,
    /// Whether it is still to be counted for the profile is here; `start` has nothing of it.
    learned: Learned,
}

impl ConnReport {
    /// For a connection from `client` to `server`. `mode` is the one in force for it.
    pub fn new(
        reporter: Arc<Reporter>,
        policy: Arc<Snapshot>,
        endpoint: &Endpoint,
        client: SocketAddr,
        server: SocketAddr,
        mode: Mode,
    ) -> Self {
        let id = reporter.next_id();
        let mut members = Vec::with_capacity(192);
        members.extend_from_slice(b",\"conn\":\"");
        id.write(&mut members);
        for (name, value) in [
            ("\",\"side\":\"", side_word(endpoint.side)),
            ("\",\"client\":\"", &client.to_string()),
            ("\",\"server\":\"", &server.to_string()),
            ("\",\"port\":", &endpoint.port.to_string()),
            (",\"peer\":", ""),
        ] {
            members.extend_from_slice(name.as_bytes());
            members.extend_from_slice(value.as_bytes());
        }
        json::string(endpoint.peer.to_string().as_bytes(), 64, &mut members);
        Self {
            reporter,
            policy,
            id,
            place: Place { side: endpoint.side, peer: endpoint.peer, port: endpoint.port },
            mode,
            members: members.into_boxed_slice(),
            seq: 0,
            received: [0; 2],
            open: Vec::new(),
            connection: None,
        }
    }

    pub(super) fn reporter(&self) -> &Reporter {
        &self.reporter
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn mode(&self) -> Mode {
        self.mode
    }

    /// The connection's id.
    pub fn conn_id(&self) -> ConnId {
        self.id
    }

    /// Another policy is in force, or another mode.
    pub fn governed_by(&mut self, policy: Arc<Snapshot>, mode: Mode) {
        (self.policy, self.mode) = (policy, mode);
    }

    /// Bytes were read from a leg.
    pub fn received(&mut self, leg: Leg, bytes: u64) {
        self.received[leg as usize] += bytes;
        self.reporter.metrics().bytes(leg, Flow::Received, bytes);
        if leg == Leg::Server && !self.open.is_empty() {
            self.server_answers();
        }
    }

    /// Of what is not read, the server accepts what it answers.
    fn server_answers(&mut self) {
        let unread =
            |open: &&mut Open| matches!(open.start.protocol, Protocol::Tls | Protocol::Opaque);
        for open in self.open.iter_mut().filter(unread) {
            open.learned.count(LearnedResult::Accepted);
        }
    }

    /// Bytes were written to a leg.
    pub fn sent(&mut self, leg: Leg, bytes: u64) {
        self.reporter.metrics().bytes(leg, Flow::Sent, bytes);
    }

    /// The connection as a whole has its verdict and goes on: a record now, every five minutes
    /// and at its end. `operation` is [`Operation::Connection`] or the TLS handshake.
    pub fn connection_started(
        &mut self,
        now: Instant,
        protocol: Protocol,
        operation: &Operation<'_>,
        outcome: Outcome,
    ) {
        if self.connection.is_none() {
            let mut transaction =
                self.begin(now, protocol, Some(operation), &Detail::default(), outcome);
            // It stands for what could not be read, and is no operation.
            transaction.learned = Learned::default();
            self.started(&transaction);
            self.connection = Some(transaction);
        }
    }

    /// What [`connection_started`](Self::connection_started) began has ended; `complete`: in
    /// order. Else nothing happens.
    pub fn connection_ended(&mut self, now: Instant, complete: bool) {
        if let Some(mut transaction) = self.connection.take() {
            transaction.complete = complete;
            self.end(now, transaction);
        }
    }

    /// The connection as a whole was refused, or ended before it had an operation: one record.
    /// `started` is when it was accepted. Answers the record's number, for [`Report::id`].
    pub fn connection_refused(
        &mut self,
        started: Instant,
        now: Instant,
        protocol: Protocol,
        operation: &Operation<'_>,
        outcome: Outcome,
    ) -> u64 {
        let mut transaction =
            self.begin(started, protocol, Some(operation), &Detail::default(), outcome);
        [transaction.bytes_in, transaction.bytes_out] = self.received;
        let seq = transaction.seq;
        self.end(now, transaction);
        seq
    }

    /// Writes the records that are due of what lives long. Answers when to call again.
    pub fn periodic(&mut self, now: Instant) -> Option<Instant> {
        for i in 0..self.open.len() {
            if self.open[i].due <= now {
                self.open[i].due = now + PERIOD;
                let open = &self.open[i];
                local::with(|local| {
                    self.line(local, &open.start, Phase::Open(now), open, open.logged);
                });
            }
        }
        self.open.iter().map(|open| open.due).min()
    }

    /// One record: for the log if it is to be `logged`, and for taps if there are any.
    fn line<'a>(
        &self,
        local: &mut Local,
        transaction: &Transaction,
        phase: Phase,
        open: impl Into<Option<&'a Open>>,
        logged: bool,
    ) {
        let queue = self.reporter.queue().filter(|_| logged);
        let taps = self
            .reporter
            .tapped()
            .map(|hub| (hub, self.seen(transaction, phase), transaction.text.op_value()));
        if queue.is_none() && taps.is_none() {
            return;
        }
        let connection =
            record::Connection { id: self.id, members: &self.members, policy: &self.policy };
        let bytes = self.bytes(transaction, open.into());
        local.line(queue, taps, |out, clock, entries| {
            record::write(&connection, transaction, bytes, phase, (clock, entries), out);
        });
    }

    /// What the filters of taps ask of a record.
    fn seen(&self, transaction: &Transaction, phase: Phase) -> Seen {
        Seen {
            protocol: transaction.protocol,
            side: self.place.side,
            peer: self.place.peer,
            port: self.place.port,
            verdict: transaction.verdict,
            status: transaction.status,
            duration_us: phase.duration_us(transaction.started),
        }
    }

    /// What the transaction moved. The session of a connection that became opaque does not see
    /// all of it, as far as it has the connection for itself.
    fn bytes(&self, transaction: &Transaction, open: Option<&Open>) -> [u64; 2] {
        let mut bytes = [transaction.bytes_in, transaction.bytes_out];
        if let Some(open) = open.filter(|_| !transaction.is_stream) {
            let start = [open.start.bytes_in, open.start.bytes_out];
            for (i, bytes) in bytes.iter_mut().enumerate() {
                *bytes = (*bytes).max(start[i] + (self.received[i] - open.received[i]));
            }
        }
        bytes
    }

    fn count(&self, local: &mut Local, now: Instant, transaction: &Transaction) {
        let Some(queue) = self.reporter.queue() else { return };
        let sum = Sum {
            count: 1,
            bytes_in: transaction.bytes_in,
            bytes_out: transaction.bytes_out,
            duration_us: record::micros(now, transaction.started),
        };
        let (shapes, key) = local.shapes(queue);
        let op = transaction.text.op_value();
        summary::key(
            transaction.text.mode(),
            self.place.side,
            self.place.port,
            transaction.protocol,
            op,
            key,
        );
        shapes.add(key, sum);
    }
}

impl Report for ConnReport {
    fn begin(
        &mut self,
        now: Instant,
        protocol: Protocol,
        operation: Option<&Operation<'_>>,
        detail: &Detail<'_>,
        outcome: Outcome,
    ) -> Transaction {
        self.seq += 1;
        let learned = self.learn(protocol, operation, &outcome);
        let text = match self.reporter.detail() {
            None => Text::bare(self.mode, outcome.entry),
            Some(full) => local::with(|local| {
                let known = self.reporter.known_words();
                let known = known.as_deref();
                // What is learned of a key was rendered before, as a rule.
                let showing = learned.showing().zip(known);
                let kept = showing.map(|(showing, _)| showing.load());
                let kept = kept.as_deref().and_then(Option::as_ref);
                let shown = kept.zip(known).and_then(|(kept, known)| kept.op(known));
                let mut render = Render::new(
                    std::mem::take(&mut local.text),
                    &mut local.scratch,
                    full,
                    self.mode,
                )
                .knowing(known.map(|known| &**known))
                .showing(shown);
                render.message(operation, detail);
                let entries = &mut local.entries;
                let text = render.finish(detail.traceparent, outcome.entry, &self.policy, entries);
                let (text, room) = text.kept(|text| local.keep_text(text));
                local.text = room;
                if let (Some((showing, known)), None) = (showing, shown) {
                    showing.store(known, text.op_value());
                }
                text
            }),
        };
        Transaction {
            seq: self.seq,
            started: now,
            protocol,
            text,
            verdict: outcome.verdict,
            reason: outcome.reason,
            entry: outcome.entry,
            status: super::Status::None,
            complete: false,
            bytes_in: 0,
            bytes_out: 0,
            messages: None,
            compressed: false,
            first_byte: None,
            is_stream: false,
            learned,
        }
    }

    fn started(&mut self, transaction: &Transaction) {
        if self.open.len() >= OPEN || self.open.iter().any(|o| o.start.seq == transaction.seq) {
            return;
        }
        let logged = local::with(|local| {
            let logged = self.reporter.fate(transaction.verdict, local) == Fate::Line;
            self.line(local, transaction, Phase::Start, None, logged);
            logged
        });
        let text = if logged || self.reporter.tapped().is_some() {
            transaction.text.copy()
        } else {
            Text::bare(transaction.text.mode(), transaction.entry)
        };
        let mut learned = transaction.learned.clone();
        if let Some(result) = learned::result(transaction, false) {
            learned.count(result);
        }
        let start = Transaction { text, learned: Learned::default(), ..*transaction };
        let due = transaction.started + PERIOD;
        self.open.push(Open { start, received: self.received, due, logged, learned });
    }

    fn end(&mut self, now: Instant, mut transaction: Transaction) {
        let (protocol, verdict) = (transaction.protocol, transaction.verdict);
        self.reporter.metrics().operation(protocol, verdict, transaction.reason);
        let open = self.open.iter().position(|open| open.start.seq == transaction.seq);
        let open = open.map(|index| self.open.swap_remove(index));
        [transaction.bytes_in, transaction.bytes_out] = self.bytes(&transaction, open.as_ref());
        let counts = open.as_ref().is_none_or(|open| open.learned.is_open());
        if counts && let Some(result) = learned::result(&transaction, true) {
            transaction.learned.count(result);
        }
        local::with(|local| {
            let fate = match &open {
                Some(open) if open.logged => Fate::Line,
                _ => self.reporter.fate(verdict, local),
            };
            // A summary tells shapes only.
            let line = fate == Fate::Line || (fate == Fate::Count && transaction.text.asks());
            if fate == Fate::Count && !line {
                self.count(local, now, &transaction);
            }
            self.line(local, &transaction, Phase::End(now), None, line);
            local.give_text(transaction.text.into_bytes());
        });
    }

    fn limit_reached(&mut self, name: &'static str) {
        self.reporter.metrics().limit_reached(name);
    }

    fn claimed(&mut self, client: SocketAddr) {
        let mut members = std::mem::take(&mut self.members).into_vec();
        members.extend_from_slice(b",\"claimed_client\":");
        json::string(client.to_string().as_bytes(), 64, &mut members);
        self.members = members.into_boxed_slice();
    }

    fn id(&self, seq: u64, out: &mut Vec<u8>) {
        record::id(self.id, seq, out);
    }
}

impl Drop for ConnReport {
    fn drop(&mut self) {
        // A connection that ends without saying so still has its last record.
        if self.connection.is_some() && !std::thread::panicking() {
            self.connection_ended(Instant::now(), false);
        }
    }
}

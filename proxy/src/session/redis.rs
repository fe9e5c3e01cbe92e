//! The Redis session: commands are judged one by one, replies are matched with them in order.
//!
//! The client's leg is read in `client`, and in `streamed` where a command is too big to be
//! held; the server's in `server`. Between them stands the queue of commands that wait for their
//! replies.
//!
//! The server says no: a refused command is replaced by one that the server does not know, a
//! nonce, and the server's error for that is rewritten into the refusal. So order, transactions
//! and skipped replies stay the server's own.

mod answers;
mod client;
mod databases;
mod follow;
mod judge;
mod pending;
mod refuse;
mod server;
mod special;
mod streamed;
mod streaming;
mod subscriptions;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Instant;

use weir_parsers::redis::{CommandScan, ReplyStream, Table};
use weir_policy::decide::Decision;
use weir_policy::op::{Keys, Operation, Protocol, RedisOp, Script};

use super::{Action, Actions, Cx, Input, Leg, Options};
use crate::report::{Detail, Outcome, Reason, Transaction, Verdict};
use databases::Databases;
use pending::{Expect, Pending, Reply};
use special::Topic;
use streamed::Streamed;

/// A queue with more room than this gives it back when it is empty.
const KEPT_ROOM: usize = 64;

/// What the records of commands that wait for their replies may hold together, in bytes: a
/// thousand ordinary ones. Those of commands with many keys are some KiB each.
const MOST_TEXT: usize = 256 << 10;

/// The protocol state of one Redis connection.
#[derive(Debug)]
pub(crate) struct Redis {
    table: &'static Table,
    nonce: u64,
    /// Whether inline commands are taken; not known before the first byte, where detection has
    /// had the server confirm them.
    inline: Option<bool>,
    /// An inline command in RESP form.
    scratch: Vec<u8>,
    /// The command at the start of the client's input.
    scan: CommandScan,
    /// The same, where it is too big to be held.
    streamed: Option<Box<Streamed>>,
    /// Since when a command waits for its end.
    since: Option<Instant>,
    /// Commands that have not been answered, oldest first.
    pending: VecDeque<Pending>,
    /// What their records hold.
    waiting_text: usize,
    /// The client's input waits until a reply has passed.
    blocked: bool,
    answers: Answers,
    /// The client has opened a transaction, as far as it has sent.
    in_multi: bool,
    databases: Databases,
    replies: Replies,
    /// The user that has authenticated.
    user: Option<Box<[u8]>>,
    phase: Phase,
    /// A subscription, or MONITOR.
    live: Option<Transaction>,
    /// What passes unread from here on, until the connection ends.
    tunnel: Option<Transaction>,
    /// It is replication.
    replicates: bool,
    /// The server's leg waits until the client's has been read.
    client_first: bool,
    /// Bytes of either leg that have been forwarded or dropped.
    disposed: [u64; 2],
}

/// The server's leg: what its replies have said.
#[derive(Debug, Default)]
struct Replies {
    stream: ReplyStream,
    /// The reply, or push, under way.
    reply: Option<Reply>,
    /// The content of the current bulk string belongs to the reply's first word.
    in_word: bool,
    /// The start of a piece waits for its end.
    partial: bool,
    resp3: bool,
    /// Channels, patterns and shard channels that are subscribed to.
    subscriptions: [u32; 3],
    monitoring: bool,
    in_multi: bool,
    /// Commands that the transaction has queued.
    queued: u32,
}

impl Replies {
    fn is_subscribed(&self) -> bool {
        self.subscriptions != [0; 3]
    }

    fn count(&mut self, topic: Topic) -> &mut u32 {
        &mut self.subscriptions[topic as usize]
    }
}

/// What CLIENT REPLY has said of the next command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    On,
    Off,
    /// The next one is not answered, those after it are.
    Skip,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The client is not read any more; what waits is still answered.
    Finishing,
    /// The connection is ending: what comes is thrown away.
    Over,
    /// Bytes pass without the session.
    Opaque,
}

impl Redis {
    /// A connection on which nothing has been said. `inline`: inline commands are declared.
    pub(crate) fn new(options: &Options, inline: bool) -> Self {
        Self {
            table: options.redis_table,
            nonce: options.nonce,
            inline: inline.then_some(true),
            scratch: Vec::new(),
            scan: CommandScan::default(),
            streamed: None,
            since: None,
            pending: VecDeque::new(),
            waiting_text: 0,
            blocked: false,
            answers: Answers::On,
            in_multi: false,
            databases: Databases::default(),
            replies: Replies::default(),
            user: None,
            phase: Phase::Open,
            live: None,
            tunnel: None,
            replicates: false,
            client_first: false,
            disposed: [0; 2],
        }
    }

    /// The same where detection was made certain by the server's answer, so that the commands
    /// that it answers have not been read: the client's leg comes first.
    pub(crate) fn answered(options: &Options, inline: bool) -> Self {
        Self { client_first: true, ..Self::new(options, inline) }
    }

    /// Reads what one leg has brought, and says what becomes of it.
    pub(crate) fn input(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        if self.client_first && input.leg == Leg::Server {
            out.push(Action::Resume(Leg::Client));
            out.push(Action::Resume(Leg::Server));
            return;
        }
        self.client_first = false;
        let mut taken = match input.leg {
            Leg::Client => self.client(&input, cx, out),
            Leg::Server => self.server(&input, cx, out),
        };
        let finished = self.phase == Phase::Finishing && input.leg == Leg::Client;
        if self.phase == Phase::Over || finished {
            out.discard(input.data.len() - taken);
            taken = input.data.len();
        }
        if cx.goodbye && self.is_idle() && taken == input.data.len() {
            self.phase = Phase::Over;
            out.push(Action::Close);
        }
        self.disposed[input.leg as usize] += taken as u64;
    }

    /// The alarm that was asked for: a command has not become complete in time.
    pub(crate) fn wake(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        let Some(since) = self.since.filter(|_| cx.judge && self.phase == Phase::Open) else {
            return;
        };
        // When the command began is not changed: its record says it.
        let at = cx.blamed_since(Leg::Client, since) + cx.limits.slow_head;
        if at > cx.now {
            out.push(Action::Wake(Some(at)));
        } else {
            self.refuse_unreadable(Reason::Timeout("slow_head"), false, cx, out);
            // What is held of the command is to be thrown away.
            out.push(Action::Resume(Leg::Client));
        }
    }

    /// The connection has ended; `complete`: in order. What is under way is reported as it stands.
    pub(crate) fn closed(&mut self, complete: bool, cx: &mut Cx<'_>) {
        if let Some(mut pending) = self.pending.pop_front() {
            pending.transaction.bytes_out += self.replies.reply.as_ref().map_or(0, |r| r.bytes);
            cx.report.end(cx.now, pending.transaction);
        }
        for pending in self.pending.drain(..) {
            cx.report.end(cx.now, pending.transaction);
        }
        if let Some(transaction) = self.streamed.take().and_then(|s| s.into_transaction()) {
            cx.report.end(cx.now, transaction);
        }
        self.end_live(cx);
        self.count_tunnel(cx);
        if let Some(mut transaction) = self.tunnel.take() {
            transaction.complete = complete;
            cx.report.end(cx.now, transaction);
        }
    }

    /// Whether a connection that has become replication may live on under the policy in force.
    pub(crate) fn stands(&self, cx: &Cx<'_>) -> bool {
        let allows = |command: &[u8]| {
            let none: [&[u8]; 0] = [];
            let operation = Operation::Redis(RedisOp {
                databases: &[0],
                command,
                subcommand: None,
                keys: Keys::Known(&none),
                channels: Keys::Known(&none),
                script: Script::None,
            });
            let decision = cx.policy.decide(&cx.admission.rules, cx.endpoint, &operation);
            matches!(decision, Decision::Allowed(_))
        };
        self.replicates && (allows(b"PSYNC") || allows(b"SYNC"))
    }

    /// Moves the bytes that passed beside the session into the tunnel's record.
    fn count_tunnel(&mut self, cx: &Cx<'_>) {
        if let Some(transaction) = &mut self.tunnel {
            transaction.bytes_in += cx.totals[0].saturating_sub(self.disposed[0]);
            transaction.bytes_out += cx.totals[1].saturating_sub(self.disposed[1]);
            self.disposed = cx.totals;
        }
    }

    /// Whether the connection stands between commands, with nothing under way.
    fn is_idle(&self) -> bool {
        self.phase == Phase::Open
            && self.pending.is_empty()
            && self.streamed.is_none()
            && self.since.is_none()
            && !(self.in_multi || self.replies.in_multi)
            && !self.replies.partial
            && self.replies.stream.at_boundary()
    }

    /// A command has begun and is not complete. The clock runs while it is judged.
    fn command_waits(&mut self, cx: &Cx<'_>, out: &mut Actions) {
        if self.since.is_none() {
            self.since = Some(cx.now);
            if cx.judge {
                out.push(Action::Wake(Some(cx.now + cx.limits.slow_head)));
            }
        }
    }

    /// A command is complete, or far enough. Answers when it began. Nothing is asked for where
    /// it came at once.
    fn command_came(&mut self, cx: &Cx<'_>, out: &mut Actions) -> Instant {
        let Some(since) = self.since.take() else { return cx.now };
        if cx.judge {
            out.push(Action::Wake(None));
        }
        since
    }

    /// A transaction for what could not be read as an operation.
    fn begin_unreadable(&self, reason: Reason, cx: &mut Cx<'_>) -> Transaction {
        let outcome = super::judge::refused(reason, cx.judge);
        cx.report.begin(cx.now, Protocol::Redis, None, &self.detail(), outcome)
    }

    /// What the log should know of an operation besides.
    fn detail(&self) -> Detail<'_> {
        Detail { user: self.user.as_deref(), ..Detail::default() }
    }

    /// Observing, the session has lost its way: the rest passes unread.
    fn give_up(&mut self, reason: Reason, cx: &mut Cx<'_>, out: &mut Actions) {
        let transaction = self.begin_unreadable(reason, cx);
        self.pass_unread(transaction, cx, out);
    }

    /// Everything passes beside the session from here on.
    fn pass_unread(&mut self, transaction: Transaction, cx: &mut Cx<'_>, out: &mut Actions) {
        cx.report.started(&transaction);
        self.tunnel = Some(transaction);
        self.phase = Phase::Opaque;
        out.push(Action::Opaque);
    }

    /// What the server's leg has sent is replication from here on.
    fn replicate(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        let reason = Reason::Unread("replication");
        let outcome = Outcome { verdict: Verdict::Unread, reason, entry: None };
        let transaction = cx.report.begin(cx.now, Protocol::Redis, None, &self.detail(), outcome);
        self.replicates = true;
        self.pass_unread(transaction, cx, out);
    }

    /// A subscription, or MONITOR, has begun. Only one at a time has a record of its own.
    fn begin_live(&mut self, transaction: Transaction, cx: &mut Cx<'_>) {
        if self.live.is_some() {
            return cx.report.end(cx.now, transaction);
        }
        cx.report.started(&transaction);
        self.live = Some(transaction);
    }

    fn end_live(&mut self, cx: &mut Cx<'_>) {
        if let Some(transaction) = self.live.take() {
            cx.report.end(cx.now, transaction);
        }
    }

    /// Puts a command at the queue's end.
    fn push(&mut self, pending: Pending) {
        self.waiting_text += pending.transaction.text.size();
        self.pending.push_back(pending);
    }

    /// Takes the oldest command off the queue.
    fn pop(&mut self) -> Option<Pending> {
        let pending = self.pending.pop_front();
        let text = pending.as_ref().map_or(0, |pending| pending.transaction.text.size());
        self.waiting_text = self.waiting_text.saturating_sub(text);
        if self.pending.is_empty() {
            self.waiting_text = 0;
        }
        if self.pending.is_empty() && self.pending.capacity() > KEPT_ROOM {
            self.pending = VecDeque::new();
        }
        pending
    }

    /// Whether the queue takes no more.
    fn is_full(&self, cx: &Cx<'_>) -> bool {
        self.pending.len() >= cx.limits.pipeline_depth || self.waiting_text >= MOST_TEXT
    }

    /// Whether the client's input must wait: the queue is full, or what follows may be
    /// replication.
    fn must_wait(&self, cx: &Cx<'_>) -> bool {
        let last = self.pending.back().map(|pending| &pending.expect);
        self.is_full(cx) || matches!(last, Some(Expect::Sync))
    }
}

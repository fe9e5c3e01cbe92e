//! The server's leg: replies, and whose they are.

use bytes::Bytes;
use weir_parsers::redis::{Kind, ReplyLimits, ReplyPiece};

use super::judge::{inspect, inspected};
use super::pending::{Expect, Pending, Reply};
use super::refuse::words;
use super::special::{Subscription, Topic};
use super::{Action, Actions, Answers, Cx, Input, Leg, Phase, Redis};
use crate::inspect::Part;
use crate::report::{Reason, Status, Verdict};

impl Redis {
    /// Reads replies as far as they go. Answers how many bytes it has disposed of.
    pub(super) fn server(
        &mut self,
        input: &Input<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> usize {
        let limits = ReplyLimits {
            depth: cx.limits.reply_depth,
            line_bytes: cx.limits.judging_bytes,
            bulk_bytes: cx.limits.bulk_bytes,
        };
        let mut at = 0;
        let mut again = false;
        while matches!(self.phase, Phase::Open | Phase::Finishing) {
            if self.blocked && self.pending.is_empty() {
                // What comes next may answer commands that have not been read. (Observing, they
                // have passed.)
                out.push(Action::Resume(Leg::Server));
                again = true;
                break;
            }
            let rest = &input.data[at..];
            if self.is_replication(rest) {
                self.begin_replication(cx, out);
                break;
            }
            at += match self.replies.stream.next(rest, &limits) {
                Ok(ReplyPiece::Partial) => break,
                Ok(ReplyPiece::Value { depth, kind, line, len, ends }) => {
                    let n = match depth {
                        0 => self.begin_reply(kind, line, len, cx, out),
                        _ => self.element(depth, kind, line, len, out),
                    };
                    if ends && n > 0 {
                        self.complete(cx, out);
                    }
                    n
                }
                Ok(ReplyPiece::Data { content, len, ends }) => {
                    self.data(rest, content, len, ends, cx, out)
                }
                Err(reason) if cx.judge => {
                    self.cut(reason.label(), cx, out);
                    0
                }
                Err(reason) => {
                    self.give_up(Reason::Malformed(reason.label()), cx, out);
                    0
                }
            };
        }
        self.replies.partial = at < input.data.len();
        if input.eof && !again && matches!(self.phase, Phase::Open | Phase::Finishing) {
            at += self.reply_cut_short(input.data.len() - at, out);
        }
        if self.blocked && self.phase == Phase::Open && !self.must_wait(cx) {
            self.blocked = false;
            out.push(Action::Resume(Leg::Client));
        }
        at
    }

    /// A reply, a push or an attribute begins with this line. Answers the bytes disposed of;
    /// none where the connection ends over it.
    fn begin_reply(
        &mut self,
        kind: Kind,
        line: &[u8],
        len: usize,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> usize {
        if !matches!(kind, Kind::Array(_) | Kind::Push(_) | Kind::Attribute(_)) {
            self.pass_over_silent(cx);
        }
        if !self.may_be_unasked(kind, line) {
            match self.pending.front().map(|pending| &pending.expect) {
                Some(Expect::Substitute) => return self.refusal(kind, line, len, cx, out),
                None if kind != Kind::Error => {
                    self.unsolicited(cx, out);
                    return 0;
                }
                _ => {}
            }
        }
        out.forward(len);
        let before = self.replies.reply.take().map_or(0, |attribute| attribute.bytes);
        let reply = self.replies.reply.insert(Reply::new(kind, line));
        reply.bytes = before + len as u64;
        len
    }

    /// A value inside of a reply.
    fn element(
        &mut self,
        depth: usize,
        kind: Kind,
        line: &[u8],
        len: usize,
        out: &mut Actions,
    ) -> usize {
        out.forward(len);
        let Some(reply) = &mut self.replies.reply else { return len };
        reply.bytes += len as u64;
        self.replies.in_word = false;
        if depth > 1 || matches!(kind, Kind::Attribute(_)) {
            return len;
        }
        reply.elements = reply.elements.saturating_add(1);
        self.replies.in_word = reply.elements == 1 && matches!(kind, Kind::Bulk(_));
        if kind == Kind::Integer {
            let number = std::str::from_utf8(line).ok().and_then(|n| n.parse().ok());
            reply.integer = number.unwrap_or_default();
        }
        let of_exec = matches!(self.pending.front(), Some(Pending { expect: Expect::Exec, .. }));
        if of_exec && matches!(reply.kind, Kind::Array(_)) && kind != Kind::Error {
            self.databases.ran(reply.elements - 1);
        }
        len
    }

    /// Content of a bulk string.
    fn data(
        &mut self,
        rest: &[u8],
        content: usize,
        len: usize,
        ends: bool,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> usize {
        let bytes = &rest[..content];
        if !cx.inspectors.is_empty()
            && let Err((at, name)) = inspect(Part::Response, bytes, cx)
            && self.found(name, cx)
        {
            out.forward(at);
            self.cut_response(at, name, cx, out);
            return at;
        }
        out.forward(len);
        if let Some(reply) = &mut self.replies.reply {
            reply.bytes += len as u64;
            if self.replies.in_word {
                reply.word_bytes(bytes);
            }
        }
        if ends {
            self.complete(cx, out);
        }
        len
    }

    /// An inspector has found something in a reply. Answers whether that ends the connection.
    fn found(&mut self, name: &'static str, cx: &Cx<'_>) -> bool {
        if let Some(Pending { transaction, .. }) = self.pending.front_mut()
            && !cx.judge
            && transaction.verdict == Verdict::Allowed
        {
            transaction.verdict = Verdict::WouldRefuse;
            transaction.reason = Reason::Inspector(name);
        }
        cx.judge
    }

    /// The rest of a reply, behind `last` more bytes, must not pass.
    fn cut_response(
        &mut self,
        last: usize,
        name: &'static str,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) {
        let bytes = self.replies.reply.take().map_or(0, |reply| reply.bytes) + last as u64;
        let mut transaction = match self.pop() {
            Some(pending) => pending.transaction,
            None => self.begin_unreadable(Reason::Inspector(name), cx),
        };
        transaction.verdict = Verdict::Refused;
        transaction.reason = Reason::Inspector(name);
        transaction.bytes_out += bytes;
        self.end_and_reset(transaction, cx, out);
    }

    /// The reply, or push, is complete.
    fn complete(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        inspected(Part::Response, cx);
        let Some(reply) = self.replies.reply.take() else { return };
        let subscription = match reply.kind {
            Kind::Push(3) | Kind::Array(3) => Subscription::of(reply.word()),
            _ => None,
        };
        match (subscription, reply.kind) {
            (Some(of), Kind::Array(_)) if self.awaits(of) => self.confirm(of, &reply, cx, out),
            (Some(of), Kind::Push(_)) => self.confirm(of, &reply, cx, out),
            (Some(of), Kind::Array(_)) if self.is_in_subscribed_mode() => {
                self.confirm(of, &reply, cx, out);
            }
            (None, Kind::Push(_)) => self.unasked(&reply),
            (None, Kind::Array(_)) if self.is_in_subscribed_mode() && is_message(&reply) => {
                self.unasked(&reply);
            }
            (_, Kind::Simple) if self.replies.monitoring && is_monitor_line(reply.word()) => {
                self.unasked(&reply);
            }
            _ => self.answer(&reply, cx, out),
        }
    }

    /// A message, an invalidation, a line of MONITOR: nobody's reply.
    fn unasked(&mut self, reply: &Reply) {
        if let Some(transaction) = &mut self.live {
            transaction.bytes_out += reply.bytes;
        }
    }

    /// Whether what begins so may be no reply; that shows when it is complete.
    fn may_be_unasked(&self, kind: Kind, line: &[u8]) -> bool {
        match kind {
            Kind::Push(_) | Kind::Attribute(_) => true,
            Kind::Array(_) => self.is_in_subscribed_mode(),
            Kind::Simple => self.replies.monitoring && is_monitor_line(line),
            _ => false,
        }
    }

    /// Whether messages come as arrays.
    fn is_in_subscribed_mode(&self) -> bool {
        !self.replies.resp3 && self.replies.is_subscribed()
    }

    /// Whether the oldest command waits for this confirmation.
    fn awaits(&self, what: Subscription) -> bool {
        matches!(
            self.pending.front(),
            Some(Pending { expect: Expect::Confirmations { of, .. }, .. }) if *of == what
        )
    }

    /// One topic has been subscribed to, or left.
    fn confirm(&mut self, of: Subscription, reply: &Reply, cx: &mut Cx<'_>, out: &mut Actions) {
        let before = *self.replies.count(of.topic);
        self.count_subscription(of, reply.integer);
        let subscribed = self.replies.is_subscribed();
        if !subscribed && !self.replies.monitoring {
            self.end_live(cx);
        }
        let Some(Pending { transaction, expect: Expect::Confirmations { of: expected, left, .. } }) =
            self.pending.front_mut()
        else {
            return;
        };
        if *expected != of {
            return;
        }
        transaction.bytes_out += reply.bytes;
        // Leaving everything is confirmed once for each topic, and once where there is none.
        let remaining = left.unwrap_or(before.max(1)).saturating_sub(1);
        *left = Some(remaining);
        if remaining > 0 {
            return;
        }
        let Some(Pending { mut transaction, .. }) = self.pop() else { return };
        transaction.status = Status::Ok;
        transaction.complete = true;
        if !of.leave && subscribed {
            self.begin_live(transaction, cx);
        } else {
            cx.report.end(cx.now, transaction);
        }
        self.end_if_answered(cx, out);
    }

    /// Takes over the number of subscriptions that a confirmation tells: of channels and
    /// patterns together, or of shard channels.
    fn count_subscription(&mut self, of: Subscription, now: i64) {
        let now = u32::try_from(now).unwrap_or(0);
        if of.topic == Topic::Shard {
            *self.replies.count(of.topic) = now;
            return;
        }
        let [channels, patterns, _] = self.replies.subscriptions;
        let total = channels + patterns;
        let count = self.replies.count(of.topic);
        if now > total {
            *count += 1;
        } else if now < total {
            *count = count.saturating_sub(1);
        }
    }

    /// The oldest commands have no answer where their confirmations do not come: they failed,
    /// and with replies off nothing was told.
    fn pass_over_silent(&mut self, cx: &mut Cx<'_>) {
        while let Some(Pending { expect: Expect::Confirmations { silent: true, .. }, .. }) =
            self.pending.front()
        {
            if let Some(pending) = self.pop() {
                cx.report.end(cx.now, pending.transaction);
            }
        }
    }

    /// A reply that answers the oldest command.
    fn answer(&mut self, reply: &Reply, cx: &mut Cx<'_>, out: &mut Actions) {
        self.pass_over_silent(cx);
        match self.pending.front().map(|pending| &pending.expect) {
            // Said before the server closes: too many clients, protected mode.
            None if reply.kind == Kind::Error => return,
            None => return self.unsolicited(cx, out),
            Some(Expect::Substitute) => return self.mismatch(cx, out),
            Some(_) => {}
        }
        let Some(Pending { mut transaction, expect }) = self.pop() else { return };
        transaction.status = status(reply);
        transaction.complete = true;
        transaction.bytes_out += reply.bytes;
        if matches!(expect, Expect::Monitor) && reply.kind == Kind::Simple && reply.word() == b"OK"
        {
            self.replies.monitoring = true;
            self.begin_live(transaction, cx);
        } else {
            self.learn(expect, reply, cx);
            cx.report.end(cx.now, transaction);
        }
        if self.pending.is_empty() && self.answers == Answers::On {
            // What was opened or closed has been answered by now.
            self.in_multi = self.replies.in_multi;
        }
        self.end_if_answered(cx, out);
    }

    /// What follows from a command's answer.
    fn learn(&mut self, expect: Expect, reply: &Reply, cx: &mut Cx<'_>) {
        let failed = matches!(reply.kind, Kind::Error | Kind::BulkError(_));
        if reply.kind == Kind::Simple && reply.word() == b"QUEUED" {
            self.replies.in_multi = true;
            if let Expect::Select { database, .. } = expect {
                self.databases.queued(self.replies.queued, database);
            }
            self.replies.queued += 1;
            return;
        }
        match expect {
            Expect::Select { database, before } if !failed => {
                self.databases.selected(database, before);
            }
            Expect::Select { .. } => self.databases.failed(),
            Expect::Multi if !failed => {
                self.replies.in_multi = true;
                self.replies.queued = 0;
            }
            Expect::Exec if !failed || reply.word() == b"EXECABORT" => self.transaction_over(),
            Expect::Discard if !failed => self.transaction_over(),
            Expect::Hello { resp3, user } if !failed => {
                self.replies.resp3 = resp3.unwrap_or(self.replies.resp3);
                self.user = user.or(self.user.take());
            }
            Expect::Auth(user) if !failed => self.user = Some(user),
            Expect::Reset { before } if !failed => {
                self.databases.selected(0, before);
                self.was_reset(cx);
            }
            Expect::Reset { .. } => self.databases.failed(),
            _ => {}
        }
    }

    fn transaction_over(&mut self) {
        self.replies.in_multi = false;
        self.replies.queued = 0;
        self.databases.transaction_over();
    }

    /// The server's error for the substitute goes out as the refusal.
    fn refusal(
        &mut self,
        kind: Kind,
        line: &[u8],
        len: usize,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> usize {
        if kind != Kind::Error || !self.is_for_substitute(line) {
            self.mismatch(cx, out);
            return 0;
        }
        let Some(Pending { mut transaction, .. }) = self.pop() else { return 0 };
        if cx.judge {
            out.discard(len);
            let text = words(&transaction, cx.report);
            out.push(Action::Inject(Leg::Client, Bytes::from(text)));
        } else {
            // The mode has changed since: it has passed already.
            out.forward(len);
        }
        transaction.complete = true;
        transaction.status = Status::Error(*b"NOPERM\0\0\0\0\0\0\0\0\0");
        transaction.bytes_out += len as u64;
        cx.report.end(cx.now, transaction);
        self.replies.reply = None;
        self.end_if_answered(cx, out);
        len
    }

    /// What should be the server's error for the substitute is something else.
    fn mismatch(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        if cx.judge {
            self.cut("substitute_mismatch", cx, out);
        } else {
            self.give_up(Reason::Malformed("substitute_mismatch"), cx, out);
        }
    }

    /// A reply that nobody asked for.
    fn unsolicited(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        if cx.judge {
            self.cut("unsolicited_reply", cx, out);
        } else {
            self.give_up(Reason::Malformed("unsolicited_reply"), cx, out);
        }
    }

    /// Whether what begins here answers SYNC or PSYNC with replication.
    fn is_replication(&self, rest: &[u8]) -> bool {
        let asked = matches!(self.pending.front(), Some(Pending { expect: Expect::Sync, .. }));
        asked
            && self.replies.stream.at_boundary()
            && rest.first().is_some_and(|tag| !matches!(tag, b'-' | b'>'))
    }

    fn begin_replication(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        if let Some(Pending { mut transaction, .. }) = self.pop() {
            transaction.status = Status::Ok;
            transaction.complete = true;
            cx.report.end(cx.now, transaction);
        }
        self.replicate(cx, out);
    }

    /// The server has ended, perhaps inside of a reply. What there is passes, but for an error
    /// that would show the nonce.
    fn reply_cut_short(&mut self, held: usize, out: &mut Actions) -> usize {
        match self.pending.front() {
            Some(Pending { expect: Expect::Substitute, .. }) => out.discard(held),
            _ => out.forward(held),
        }
        held
    }
}

fn is_message(reply: &Reply) -> bool {
    matches!(reply.word(), b"message" | b"pmessage" | b"smessage")
}

/// MONITOR's lines begin with a time: seconds, a dot, microseconds.
fn is_monitor_line(line: &[u8]) -> bool {
    let word = line.split(|&b| b == b' ').next().unwrap_or_default();
    word.first().is_some_and(u8::is_ascii_digit)
        && word.iter().all(|b| b.is_ascii_digit() || *b == b'.')
}

/// What a reply says of success.
fn status(reply: &Reply) -> Status {
    match reply.kind {
        Kind::Error => {
            let mut word = [0; 15];
            for (slot, byte) in word.iter_mut().zip(reply.word()) {
                *slot = byte.to_ascii_uppercase();
            }
            Status::Error(word)
        }
        Kind::BulkError(_) => Status::Error(*b"ERR\0\0\0\0\0\0\0\0\0\0\0\0"),
        _ => Status::Ok,
    }
}

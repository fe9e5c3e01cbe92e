//! The server's leg: replies, and whose they are.

use weir_parsers::redis::{Kind, ReplyLimits, ReplyPiece};

use super::pending::{Expect, Pending, Reply};
use super::special::Subscription;
use super::subscriptions::{is_message, is_monitor_line};
use super::{Action, Actions, Cx, Input, Leg, Phase, Redis};
use crate::inspect::{self, Part};
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
            && let Err((at, name)) = inspect::data(cx.inspectors, Part::Response, bytes)
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
        let Some(reply) = self.replies.reply.take() else { return };
        let unasked = match reply.kind {
            Kind::Push(_) => true,
            Kind::Array(_) => self.is_in_subscribed_mode(),
            _ => false,
        };
        let mut transaction = match self.pop() {
            Some(pending) if !unasked => pending.transaction,
            pending => {
                pending.into_iter().for_each(|pending| self.push(pending));
                self.pending.rotate_right(1);
                self.begin_unreadable(Reason::Inspector(name), cx)
            }
        };
        transaction.verdict = Verdict::Refused;
        transaction.reason = Reason::Inspector(name);
        transaction.bytes_out += reply.bytes + last as u64;
        self.end_and_reset(transaction, cx, out);
    }

    /// The reply, or push, is complete.
    fn complete(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        inspect::end(cx.inspectors, Part::Response);
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

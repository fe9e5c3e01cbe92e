//! The client's leg: commands that are too big to be held.

use weir_parsers::redis::CommandPiece;
use weir_policy::decide::Violation;
use weir_policy::op::Protocol;

use super::special::Special;
use super::streamed::Streamed;
use super::{Actions, Cx, Redis};
use crate::inspect::{self, Part};
use crate::report::{Outcome, Reason, Transaction, Verdict};
use crate::session::judge::{judge, refused};

impl Redis {
    /// Reads the next piece of a command that streams. Answers how many bytes it has disposed
    /// of; nothing while more must come.
    pub(super) fn stream(
        &mut self,
        mut streamed: Box<Streamed>,
        rest: &[u8],
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> Option<usize> {
        let len = match streamed.stream.next(rest, cx.limits.bulk_bytes) {
            Ok(CommandPiece::Partial) => {
                if !streamed.decided {
                    self.command_waits(cx, out);
                }
                self.streamed = Some(streamed);
                return None;
            }
            Ok(CommandPiece::Header { argc, len }) => {
                streamed.argc = argc as usize;
                len
            }
            Ok(CommandPiece::ArgStart { index, size, len }) => {
                streamed.begin_arg(index as usize);
                if let Err(outcome) = self.make_room(&mut streamed, size, cx) {
                    return Some(self.give_up_streamed(streamed, outcome, cx, out));
                }
                len
            }
            Ok(CommandPiece::ArgData(n)) => {
                if let Err((at, name)) = inspect::data(cx.inspectors, Part::Request, &rest[..n]) {
                    let outcome = refused(Reason::Inspector(name), cx.judge);
                    if cx.judge {
                        out.forward(at);
                        return Some(at + self.give_up_streamed(streamed, outcome, cx, out));
                    }
                    streamed.found.get_or_insert(name);
                    streamed.mark(outcome);
                }
                streamed.content(&rest[..n]);
                n
            }
            Ok(CommandPiece::ArgEnd(n)) => return Some(self.end_arg(streamed, n, cx, out)),
            Ok(CommandPiece::End) => 0,
            Err(reason) => {
                let outcome = refused(Reason::Malformed(reason.label()), cx.judge);
                return Some(self.give_up_streamed(streamed, outcome, cx, out));
            }
        };
        streamed.bytes += len as u64;
        out.forward(len);
        self.streamed = Some(streamed);
        Some(len)
    }

    /// An argument is complete, perhaps the last.
    fn end_arg(
        &mut self,
        mut streamed: Box<Streamed>,
        len: usize,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> usize {
        streamed.end_arg(self.table);
        if !streamed.decided && streamed.is_ready() {
            streamed.decided = true;
            if let Err(outcome) = self.judge_batch(&mut streamed, cx) {
                return self.give_up_streamed(streamed, outcome, cx, out);
            }
            self.command_came(cx, out);
        }
        streamed.bytes += len as u64;
        out.forward(len);
        if !streamed.is_at_last() {
            self.streamed = Some(streamed);
            return len;
        }
        inspect::end(cx.inspectors, Part::Request);
        let (special, argc) = (streamed.special(), streamed.argc);
        if let Some(transaction) = streamed.into_transaction() {
            self.follow(special, argc, None, transaction, cx);
        }
        len
    }

    /// Makes room to keep the argument that begins, of `size` bytes, by judging the keys so far.
    ///
    /// # Errors
    /// What speaks against the command: those keys, or that the argument is over the limit.
    fn make_room(
        &self,
        streamed: &mut Streamed,
        size: u64,
        cx: &mut Cx<'_>,
    ) -> Result<(), Outcome> {
        let most = cx.limits.judging_bytes;
        if streamed.has_room(size, most) {
            return Ok(());
        }
        if streamed.keeps_key() {
            self.judge_batch(streamed, cx)?;
            streamed.next_batch();
        }
        match streamed.has_room(size, most) {
            true => Ok(()),
            false => Err(refused(Reason::Limit("judging_bytes"), cx.judge)),
        }
    }

    /// Judges the command with the keys that are kept.
    ///
    /// # Errors
    /// What speaks against it, if that has an effect.
    fn judge_batch(&self, streamed: &mut Streamed, cx: &mut Cx<'_>) -> Result<(), Outcome> {
        let mut outcome = self.decide_streamed(streamed, cx);
        match &streamed.transaction {
            // Together the batches must be allowed as one command would be.
            Some(transaction)
                if transaction.entry != outcome.entry && outcome.verdict == Verdict::Allowed =>
            {
                outcome = refused(Reason::Policy(Violation::NotAllowed), cx.judge);
            }
            _ => {}
        }
        if outcome.verdict == Verdict::Refused {
            return Err(outcome);
        }
        if streamed.transaction.is_none() {
            streamed.transaction = Some(self.begin_streamed(streamed, outcome, cx));
        } else if outcome.verdict != Verdict::Allowed {
            streamed.mark(outcome);
        }
        Ok(())
    }

    fn decide_streamed(&self, streamed: &Streamed, cx: &mut Cx<'_>) -> Outcome {
        let in_multi = self.in_multi || self.replies.in_multi;
        match streamed.special() {
            special if special.needs_arguments() => {
                return refused(Reason::Limit("judging_bytes"), cx.judge);
            }
            Special::Subscription(_) if in_multi => {
                return refused(Reason::Malformed("in_transaction"), cx.judge);
            }
            _ => {}
        }
        let outcome = streamed.operation(self.databases.possible(), |operation| match operation {
            Some(operation) => judge(operation, cx),
            None => refused(Reason::Malformed("truncated"), cx.judge),
        });
        match streamed.found {
            Some(name) if outcome.verdict == Verdict::Allowed => {
                refused(Reason::Inspector(name), cx.judge)
            }
            _ => outcome,
        }
    }

    fn begin_streamed(
        &self,
        streamed: &Streamed,
        outcome: Outcome,
        cx: &mut Cx<'_>,
    ) -> Transaction {
        let detail = self.detail();
        let mut transaction = streamed.operation(self.databases.possible(), |operation| {
            cx.report.begin(cx.now, Protocol::Redis, operation, &detail, outcome)
        });
        transaction.started = self.since.unwrap_or(cx.now);
        transaction
    }

    /// A command of which a part has passed must not become whole; observing, what cannot be
    /// read passes unread.
    fn give_up_streamed(
        &mut self,
        mut streamed: Box<Streamed>,
        outcome: Outcome,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> usize {
        streamed.mark(outcome);
        let bytes = streamed.bytes;
        let mut transaction = match streamed.transaction.take() {
            Some(transaction) => transaction,
            None => self.begin_streamed(&streamed, outcome, cx),
        };
        transaction.bytes_in = bytes;
        if cx.judge {
            self.tell(transaction, true, cx, out);
        } else {
            self.pass_unread(transaction, cx, out);
        }
        0
    }
}

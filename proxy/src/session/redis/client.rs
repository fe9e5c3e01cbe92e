//! The client's leg: commands that are held whole.

use weir_parsers::redis::{Command, CommandScan, inline};

use super::special::{Special, inline_limit, is_cross_protocol};
use super::streamed::Streamed;
use super::{Actions, Cx, Input, Phase, Redis};
use crate::report::{Reason, Verdict};

/// No header of an argument is longer, nor what is none before that shows.
const LONGEST_HEADER: usize = 24;

impl Redis {
    /// Reads commands as far as they go. Answers how many bytes it has disposed of.
    pub(super) fn client(
        &mut self,
        input: &Input<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> usize {
        let mut at = 0;
        while self.phase == Phase::Open {
            if self.must_wait(cx) {
                if !self.blocked && self.is_full(cx) {
                    cx.report.limit_reached("pipeline_depth");
                }
                self.blocked = true;
                return at;
            }
            let Some(rest) = input.data.get(at..).filter(|rest| !rest.is_empty()) else { break };
            let step = match self.streamed.take() {
                Some(streamed) => self.stream(streamed, rest, cx, out),
                None => self.held(rest, input.sent.saturating_sub(at), cx, out),
            };
            match step {
                Some(n) => at += n,
                None => break,
            }
        }
        if input.eof && self.phase == Phase::Open {
            at += self.cut_short(input.data.len() - at, cx, out);
        }
        at
    }

    /// Reads one command from the start of `rest`, of which `sent` bytes have passed already.
    /// Answers how many bytes it has disposed of; nothing while more must come.
    fn held(
        &mut self,
        rest: &[u8],
        sent: usize,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> Option<usize> {
        if rest[0] != b'*' && *self.inline.get_or_insert(rest[0] != b'*') {
            return self.inline(rest, sent, cx, out);
        }
        self.inline.get_or_insert(false);
        let most = cx.limits.judging_bytes;
        let command = match self.scan.find(rest, cx.limits.bulk_bytes) {
            Ok(Some(command)) if command.raw().len() <= most => command,
            Ok(None) if self.scan.at_least() <= most && rest.len() < most => {
                self.command_waits(cx, out);
                return None;
            }
            Err(reason) if self.scan.at_least() + LONGEST_HEADER <= most => {
                return Some(self.malformed(reason.label(), sent, cx, out));
            }
            // Had it come in smaller pieces, it would stream by now.
            Ok(_) | Err(_) => {
                self.scan = CommandScan::default();
                self.streamed = Some(Box::new(Streamed::default()));
                return Some(0);
            }
        };
        self.scan = CommandScan::default();
        Some(self.command(&command, command.raw().len(), sent, cx, out))
    }

    /// Reads one inline command.
    fn inline(
        &mut self,
        rest: &[u8],
        sent: usize,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> Option<usize> {
        if is_cross_protocol(rest) {
            return Some(self.malformed("cross_protocol", sent, cx, out));
        }
        let limit = inline_limit(cx.limits.judging_bytes);
        let line = match memchr::memchr(b'\n', rest) {
            Some(end) if end < limit => &rest[..=end],
            None if rest.len() < limit => {
                self.command_waits(cx, out);
                return None;
            }
            _ => {
                let reason = Reason::Limit("judging_bytes");
                return Some(self.unreadable(reason, sent, cx, out));
            }
        };
        let mut raw = std::mem::take(&mut self.scratch);
        raw.clear();
        let command = inline(line, &mut raw).and_then(|()| Command::new(&raw));
        let n = match command {
            Ok(command) => self.command(&command, line.len(), sent, cx, out),
            Err(reason) => self.malformed(reason.label(), sent, cx, out),
        };
        self.scratch = raw;
        Some(n)
    }

    /// Judges one command, of which `len` bytes came. Answers how many it has disposed of.
    fn command(
        &mut self,
        command: &Command<'_>,
        len: usize,
        sent: usize,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> usize {
        let started = self.command_came(cx, out);
        if command.argc() == 0 {
            out.forward(len);
            return len;
        }
        let found = self.table.resolve(command);
        let special = Special::of(found.name);
        // What has passed as a whole was observed, and cannot be refused any more.
        let judge = cx.judge;
        cx.judge = judge && sent < len;
        let mut transaction = self.judge_held(command, &found, special, cx);
        cx.judge = judge;
        transaction.started = started;
        transaction.bytes_in = len as u64;
        if transaction.verdict == Verdict::Refused {
            return self.refuse(transaction, len, sent > 0, cx, out);
        }
        out.forward(len);
        self.follow(special, command.argc(), Some(command), transaction, cx);
        len
    }

    /// What the client sends is no command.
    fn malformed(
        &mut self,
        label: &'static str,
        sent: usize,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> usize {
        self.unreadable(Reason::Malformed(label), sent, cx, out)
    }

    /// What the client sends cannot be read: it is refused, or, observing, passes unread.
    fn unreadable(
        &mut self,
        reason: Reason,
        sent: usize,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> usize {
        if cx.judge {
            return self.refuse_unreadable(reason, sent > 0, cx, out);
        }
        self.give_up(reason, cx, out);
        0
    }

    /// The client has ended, perhaps inside of a command: what is held of it goes nowhere.
    fn cut_short(&mut self, held: usize, cx: &mut Cx<'_>, out: &mut Actions) -> usize {
        if held == 0 && self.streamed.is_none() {
            return 0;
        }
        self.command_came(cx, out);
        let transaction = match self.streamed.take().and_then(|s| s.into_transaction()) {
            Some(transaction) => transaction,
            None => {
                let mut transaction = self.begin_unreadable(Reason::Malformed("truncated"), cx);
                transaction.bytes_in = held as u64;
                transaction
            }
        };
        cx.report.end(cx.now, transaction);
        if cx.judge {
            out.discard(held);
        } else {
            out.forward(held);
        }
        held
    }
}

//! Replies that answer a command, and what follows from them.

use bytes::Bytes;
use weir_parsers::redis::Kind;

use super::pending::{Expect, Pending, Reply};
use super::refuse::words;
use super::{Action, Actions, Answers, Cx, Leg, Redis};
use crate::report::{Reason, Status};

impl Redis {
    /// A reply that answers the oldest command.
    pub(super) fn answer(&mut self, reply: &Reply, cx: &mut Cx<'_>, out: &mut Actions) {
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
    pub(super) fn learn(&mut self, expect: Expect, reply: &Reply, cx: &mut Cx<'_>) {
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

    pub(super) fn transaction_over(&mut self) {
        self.replies.in_multi = false;
        self.replies.queued = 0;
        self.databases.transaction_over();
    }

    /// The server's error for the substitute goes out as the refusal.
    pub(super) fn refusal(
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
    pub(super) fn mismatch(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        if cx.judge {
            self.cut("substitute_mismatch", cx, out);
        } else {
            self.give_up(Reason::Malformed("substitute_mismatch"), cx, out);
        }
    }

    /// A reply that nobody asked for.
    pub(super) fn unsolicited(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        if cx.judge {
            self.cut("unsolicited_reply", cx, out);
        } else {
            self.give_up(Reason::Malformed("unsolicited_reply"), cx, out);
        }
    }
}

/// What a reply says of success.
fn status(reply: &Reply) -> Status {
    match reply.kind {
        // The server's codes are in capitals; the words of a script may be anything's.
        Kind::Error if reply.word().iter().all(|b| b.is_ascii_uppercase() || *b == b'_') => {
            let mut word = [0; 15];
            for (slot, byte) in word.iter_mut().zip(reply.word()) {
                *slot = *byte;
            }
            Status::Error(word)
        }
        Kind::Error | Kind::BulkError(_) => Status::Error(*b"ERR\0\0\0\0\0\0\0\0\0\0\0\0"),
        _ => Status::Ok,
    }
}

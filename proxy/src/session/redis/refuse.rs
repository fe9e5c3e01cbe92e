//! Refusals: what the client is told, what the server gets instead, and how connections end.

use bytes::Bytes;
use weir_parsers::redis::Command;
use weir_policy::decide::Refusal;

use super::pending::{Expect, Pending, Told};
use super::{Action, Actions, Answers, Cx, Leg, Phase, Redis};
use crate::report::{Reason, Report, Status, Transaction};

/// How the name begins of the command that no server knows; 16 hexadecimal digits follow.
const TOKEN: &str = "weir-";

/// Whether a command is what a sidecar sends in place of one that it refuses. Between the client
/// and this one there may be another: the client's own.
pub(super) fn is_substitute(command: &Command<'_>) -> bool {
    let digits = command.arg(0).and_then(|name| name.strip_prefix(TOKEN.as_bytes()));
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    command.argc() == 1 && digits.is_some_and(|d| d.len() == 16 && d.iter().all(is_digit))
}

impl Redis {
    /// Refuses a command that lies, `len` bytes long, at the start of what is held; `sent`: a
    /// part of it has passed. Answers how many bytes have been disposed of.
    pub(super) fn refuse(
        &mut self,
        mut transaction: Transaction,
        len: usize,
        sent: bool,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> usize {
        if cx.admission.refusal.unwrap_or_default() == Refusal::Reset {
            self.end_and_reset(transaction, cx, out);
            return 0;
        }
        if sent {
            self.tell(transaction, true, cx, out);
            return 0;
        }
        match self.answers {
            // The client would not hear of it, and go on as if nothing had been.
            Answers::Off => {
                transaction.status = Status::Unanswered;
                self.end_and_reset(transaction, cx, out);
                return 0;
            }
            Answers::Skip => {
                self.answers = Answers::On;
                transaction.status = Status::Unanswered;
                transaction.complete = true;
                cx.report.end(cx.now, transaction);
            }
            Answers::On => {
                self.push(Pending { transaction, expect: Expect::Substitute });
            }
        }
        out.discard(len);
        out.push(Action::Inject(Leg::Server, self.substitute()));
        if cx.admission.refusal.unwrap_or_default() == Refusal::Close {
            self.finish(cx, out);
        }
        len
    }

    /// Refuses what is no command. Where its bytes would end cannot be said: none are counted.
    pub(super) fn refuse_unreadable(
        &mut self,
        reason: Reason,
        cut_server: bool,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> usize {
        let transaction = self.begin_unreadable(reason, cx);
        self.tell(transaction, cut_server, cx, out);
        0
    }

    /// Answers the client without the server, at its turn, and ends the connection.
    /// `cut_server`: the server has a part of the command.
    pub(super) fn tell(
        &mut self,
        mut transaction: Transaction,
        cut_server: bool,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) {
        if cx.admission.refusal.unwrap_or_default() == Refusal::Reset {
            return self.end_and_reset(transaction, cx, out);
        }
        if self.answers != Answers::On {
            transaction.status = Status::Unanswered;
            return self.end_and_reset(transaction, cx, out);
        }
        let text = words(&transaction, cx.report);
        let expect = Expect::Told(Told { text, cut_server });
        self.push(Pending { transaction, expect });
        self.finish(cx, out);
    }

    /// No more is taken from the client; what waits is answered, then all closes.
    fn finish(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        self.since = None;
        self.phase = Phase::Finishing;
        out.push(Action::Finish(cx.limits.linger));
        self.end_if_answered(cx, out);
    }

    /// Ends a connection that finishes, once its last answer has its turn.
    pub(super) fn end_if_answered(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        if self.phase != Phase::Finishing {
            return;
        }
        if let Some(Pending { expect: Expect::Told(_), .. }) = self.pending.front() {
            let Some(Pending { mut transaction, expect: Expect::Told(told) }) = self.pop() else {
                return;
            };
            if told.cut_server {
                out.push(Action::Reset(Leg::Server));
            }
            if cx.judge {
                out.push(Action::Inject(Leg::Client, Bytes::from(told.text)));
                transaction.complete = true;
            }
            cx.report.end(cx.now, transaction);
        }
        if self.pending.is_empty() {
            self.phase = Phase::Over;
            out.push(Action::Close);
        }
    }

    /// The server's leg makes no sense: both are cut.
    pub(super) fn cut(&mut self, label: &'static str, cx: &mut Cx<'_>, out: &mut Actions) {
        let transaction = self.begin_unreadable(Reason::Malformed(label), cx);
        self.end_and_reset(transaction, cx, out);
    }

    /// Both legs end at once, without a word.
    pub(super) fn end_and_reset(
        &mut self,
        transaction: Transaction,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) {
        cx.report.end(cx.now, transaction);
        self.since = None;
        self.phase = Phase::Over;
        out.push(Action::Reset(Leg::Server));
        out.push(Action::Reset(Leg::Client));
    }

    /// The command that no server knows.
    fn substitute(&self) -> Bytes {
        let name = self.token();
        let mut command = format!("*1\r\n${}\r\n", name.len()).into_bytes();
        command.extend_from_slice(&name);
        command.extend_from_slice(b"\r\n");
        Bytes::from(command)
    }

    /// The name of that command: the connection's nonce.
    fn token(&self) -> Vec<u8> {
        format!("{TOKEN}{:016x}", self.nonce).into_bytes()
    }

    /// Whether an error is the server's for the substitute: it names it.
    pub(super) fn is_for_substitute(&self, line: &[u8]) -> bool {
        memchr::memmem::find(line, &self.token()).is_some()
    }
}

/// What the client is told of a refusal: an id, and nothing of the policy.
pub(super) fn words(transaction: &Transaction, report: &dyn Report) -> Vec<u8> {
    let (start, end): (&[u8], &[u8]) = match transaction.reason {
        Reason::Malformed(_) => (b"-ERR Protocol error (weir, id ", b")\r\n"),
        Reason::Limit(_) => (b"-ERR weir refused a command over its limit (id ", b")\r\n"),
        Reason::Timeout(_) => (b"-ERR weir refused a command that came too slowly (id ", b")\r\n"),
        _ => (b"-NOPERM weir refused this command (id ", b")\r\n"),
    };
    let mut text = start.to_vec();
    report.id(transaction.seq, &mut text);
    text.extend_from_slice(end);
    text
}

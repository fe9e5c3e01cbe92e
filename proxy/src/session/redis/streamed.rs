//! Commands that are too big to be held: they pass as they come, all but their last bytes.
//!
//! The server acts on a command only when it is complete. So the bytes may pass before the
//! verdict, as long as the last ones do not; a violation cuts the server's leg.

use std::ops::Range;

use sha1::{Digest, Sha1};
use weir_parsers::redis::{ArgRole, CommandInfo, CommandPiece, CommandStream, KeyWalker, Table};
use weir_policy::op::{KeySource, Keys, Operation, Protocol, RedisOp, Script};

use super::judge::{hex, judge, named_script, refused};
use super::special::Special;
use super::{Actions, Cx, Redis};
use crate::inspect::{self, Part};
use crate::report::{Outcome, Reason, Transaction, Verdict};

/// A command under way.
#[derive(Debug, Default)]
pub(super) struct Streamed {
    stream: CommandStream,
    argc: usize,
    index: usize,
    /// What the argument under way is kept as, if it is.
    keep: Option<Kept>,
    /// Where that begins.
    from: usize,
    /// What the operation is made of, and what is which.
    kept: Vec<u8>,
    parts: Vec<(Kept, Range<usize>)>,
    command: Option<Known>,
    /// The digest of a script that is under way.
    script: Option<Box<Sha1>>,
    digest: Option<[u8; 40]>,
    /// Once it is decided.
    transaction: Option<Transaction>,
    /// What an inspector found in content before that. (Observing, nothing ends over it.)
    found: Option<&'static str>,
    bytes: u64,
}

/// What the name has told.
#[derive(Debug)]
struct Known {
    special: Special,
    has_subcommands: bool,
    walker: KeyWalker,
}

/// What an argument is kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Name,
    Subcommand,
    /// A script's digest, or a function's name.
    Script,
    Key,
    Channel,
    /// The number of keys.
    Count,
}

/// The kept arguments of one sort.
struct List<'a>(&'a Streamed, Kept);

impl KeySource for List<'_> {
    fn all(&self, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        let Self(streamed, sort) = self;
        streamed.all(*sort).all(visit)
    }
}

impl Streamed {
    /// The transaction, if the command has been decided.
    pub(super) fn into_transaction(self: Box<Self>) -> Option<Transaction> {
        let mut transaction = self.transaction?;
        transaction.bytes_in = self.bytes;
        Some(transaction)
    }

    fn all(&self, sort: Kept) -> impl Iterator<Item = &[u8]> {
        let parts = self.parts.iter().filter(move |(part, _)| *part == sort);
        parts.filter_map(|(_, range)| self.kept.get(range.clone()))
    }

    fn first(&self, sort: Kept) -> Option<&[u8]> {
        self.all(sort).next()
    }

    fn special(&self) -> Special {
        self.command.as_ref().map_or(Special::Plain, |known| known.special)
    }

    /// An argument of `size` bytes begins. Answers false where it must be kept and is too big
    /// for that: names and keys may have `most` bytes together.
    fn begin_arg(&mut self, index: usize, size: u64, most: usize) -> bool {
        self.index = index;
        self.from = self.kept.len();
        self.keep = self.sort(index);
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.keep.is_none() || self.kept.len().saturating_add(size) <= most
    }

    fn sort(&mut self, index: usize) -> Option<Kept> {
        let Some(known) = &mut self.command else { return Some(Kept::Name) };
        match (index, known.special) {
            (1, _) if known.has_subcommands => return Some(Kept::Subcommand),
            (1, Special::Eval) => self.script = Some(Box::default()),
            (1, Special::EvalSha | Special::Function) => return Some(Kept::Script),
            _ => {}
        }
        match known.walker.arg(index, None) {
            ArgRole::Key => Some(Kept::Key),
            ArgRole::Channel => Some(Kept::Channel),
            ArgRole::NeedContent => Some(Kept::Count),
            ArgRole::Other | ArgRole::Unknown => None,
        }
    }

    fn content(&mut self, bytes: &[u8]) {
        if self.keep.is_some() {
            self.kept.extend_from_slice(bytes);
        }
        if let Some(script) = &mut self.script {
            script.update(bytes);
        }
    }

    fn end_arg(&mut self, table: &'static Table) {
        if let Some(script) = self.script.take() {
            self.digest = Some(hex(script.finalize().as_ref()));
        }
        let Some(sort) = self.keep.take() else { return };
        let range = self.from..self.kept.len();
        match sort {
            Kept::Name => self.named(table.lookup(&self.kept, None)),
            Kept::Subcommand => {
                let name = self.first(Kept::Name).unwrap_or_default();
                let info = table.lookup(name, self.kept.get(range.clone()));
                let walker = KeyWalker::new(info, self.argc);
                if let Some(known) = &mut self.command {
                    known.walker = walker;
                }
            }
            Kept::Count => {
                if let Some(known) = &mut self.command {
                    known.walker.arg(self.index, self.kept.get(range.clone()));
                }
            }
            Kept::Script | Kept::Key | Kept::Channel => {}
        }
        self.parts.push((sort, range));
    }

    fn named(&mut self, info: Option<&'static CommandInfo>) {
        self.command = Some(Known {
            special: Special::of(&self.kept),
            has_subcommands: info.is_some_and(CommandInfo::has_subcommands),
            walker: KeyWalker::new(info, self.argc),
        });
    }

    /// Whether everything that the verdict depends on has come.
    fn is_ready(&self) -> bool {
        let Some(known) = &self.command else { return false };
        let needs_first = known.has_subcommands
            || matches!(known.special, Special::Eval | Special::EvalSha | Special::Function);
        let settled = known.walker.is_settled(self.index) && (self.index > 0 || !needs_first);
        settled || self.is_at_last()
    }

    fn is_at_last(&self) -> bool {
        self.index + 1 == self.argc
    }

    fn script(&self) -> Script<'_> {
        match (self.special(), self.first(Kept::Script), self.digest) {
            (Special::Eval, _, Some(digest)) => Script::Sha1(digest),
            (Special::EvalSha, Some(digest), _) => named_script(digest),
            (Special::Function, Some(name), _) => Script::Function(name),
            _ => Script::None,
        }
    }

    /// Hands the operation, as far as it is known, to `with`.
    fn operation<R>(&self, databases: &[u32], with: impl FnOnce(Option<&Operation<'_>>) -> R) -> R {
        let Some(command) = self.first(Kept::Name) else { return with(None) };
        let known = self.command.as_ref().is_some_and(|known| !known.walker.is_unknown());
        let (keys, channels) = (List(self, Kept::Key), List(self, Kept::Channel));
        with(Some(&Operation::Redis(RedisOp {
            databases,
            command,
            subcommand: self.first(Kept::Subcommand),
            keys: if known { Keys::Known(&keys) } else { Keys::Unknown },
            channels: Keys::Known(&channels),
            script: self.script(),
        })))
    }

    fn mark(&mut self, outcome: Outcome) {
        if let Some(transaction) = &mut self.transaction {
            transaction.verdict = outcome.verdict;
            transaction.reason = outcome.reason;
        }
    }
}

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
                if streamed.transaction.is_none() {
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
                if !streamed.begin_arg(index as usize, size, cx.limits.judging_bytes) {
                    let outcome = refused(Reason::Limit("judging_bytes"), cx.judge);
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
        if streamed.transaction.is_none() && streamed.is_ready() {
            let outcome = self.decide_streamed(&streamed, cx);
            if outcome.verdict == Verdict::Refused {
                return self.give_up_streamed(streamed, outcome, cx, out);
            }
            let transaction = self.begin_streamed(&streamed, outcome, cx, out);
            streamed.transaction = Some(transaction);
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
        &mut self,
        streamed: &Streamed,
        outcome: Outcome,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> Transaction {
        let started = self.command_came(cx, out);
        let detail = self.detail();
        let mut transaction = streamed.operation(self.databases.possible(), |operation| {
            cx.report.begin(cx.now, Protocol::Redis, operation, &detail, outcome)
        });
        transaction.started = started;
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
            None => self.begin_streamed(&streamed, outcome, cx, out),
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

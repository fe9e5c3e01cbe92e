//! Commands that are too big to be held: they pass as they come, all but their last bytes.
//!
//! The server acts on a command only when it is complete. So the bytes may pass before the
//! verdict, as long as the last ones do not; a violation cuts the server's leg.

use std::ops::Range;

use sha1::{Digest, Sha1};
use weir_parsers::redis::{ArgRole, CommandInfo, CommandStream, KeyWalker, Table};
use weir_policy::op::{KeySource, Keys, Operation, RedisOp, Script};

use super::judge::{hex, named_script};
use super::special::Special;
use crate::report::{Outcome, Transaction, Verdict};

/// How many keys and channels are kept at once. More are judged in batches.
const MOST_PARTS: usize = 1024;

/// A command under way.
#[derive(Debug, Default)]
pub(super) struct Streamed {
    pub(super) stream: CommandStream,
    pub(super) argc: usize,
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
    /// Once it, or its first batch of keys, is decided.
    pub(super) transaction: Option<Transaction>,
    /// Nothing that follows can change the verdict.
    pub(super) decided: bool,
    /// What an inspector found in content before that. (Observing, nothing ends over it.)
    pub(super) found: Option<&'static str>,
    pub(super) bytes: u64,
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

    pub(super) fn special(&self) -> Special {
        self.command.as_ref().map_or(Special::Plain, |known| known.special)
    }

    /// An argument begins.
    pub(super) fn begin_arg(&mut self, index: usize) {
        self.index = index;
        self.from = self.kept.len();
        self.keep = self.sort(index);
    }

    /// Whether the argument that begins, of `size` bytes, can be kept: all that is kept may have
    /// `most` bytes.
    pub(super) fn has_room(&self, size: u64, most: usize) -> bool {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        self.keep.is_none()
            || (self.kept.len().saturating_add(size) <= most && self.parts.len() < MOST_PARTS)
    }

    /// Lets go of the keys and channels that have been judged. What stays came before them.
    pub(super) fn next_batch(&mut self) {
        self.parts.retain(|(sort, _)| !matches!(sort, Kept::Key | Kept::Channel | Kept::Count));
        self.kept.truncate(self.parts.last().map_or(0, |(_, range)| range.end));
        self.from = self.kept.len();
    }

    /// Whether the argument that begins is a key or a channel.
    pub(super) fn keeps_key(&self) -> bool {
        matches!(self.keep, Some(Kept::Key | Kept::Channel))
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

    pub(super) fn content(&mut self, bytes: &[u8]) {
        if self.keep.is_some() {
            self.kept.extend_from_slice(bytes);
        }
        if let Some(script) = &mut self.script {
            script.update(bytes);
        }
    }

    pub(super) fn end_arg(&mut self, table: &'static Table) {
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
    pub(super) fn is_ready(&self) -> bool {
        let Some(known) = &self.command else { return false };
        let needs_first = known.has_subcommands
            || matches!(known.special, Special::Eval | Special::EvalSha | Special::Function);
        let settled = known.walker.is_settled(self.index) && (self.index > 0 || !needs_first);
        settled || self.is_at_last()
    }

    pub(super) fn is_at_last(&self) -> bool {
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
    pub(super) fn operation<R>(
        &self,
        databases: &[u32],
        with: impl FnOnce(Option<&Operation<'_>>) -> R,
    ) -> R {
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

    /// Something speaks against what was begun as allowed.
    pub(super) fn mark(&mut self, outcome: Outcome) {
        if let Some(transaction) = &mut self.transaction
            && transaction.verdict == Verdict::Allowed
        {
            transaction.verdict = outcome.verdict;
            transaction.reason = outcome.reason;
            transaction.entry = outcome.entry;
        }
    }
}

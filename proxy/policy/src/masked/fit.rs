//! The three answers, and why one of them is "it depends".

use std::fmt;

use crate::entry::{Entry, List};
use crate::error::Origin;

/// Whether something covers all that a record may stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// All.
    Yes,
    /// None, for this reason.
    No(Short),
    /// It depends on this.
    Maybe(Doubt),
}

/// What an allow entry lacks, from the least to the most that has to be said of it, as in
/// `compile::http`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Short {
    /// It is for something else.
    Other,
    Database,
    Host,
    Override,
    Upgrade,
    Permit,
}

/// What the log does not tell and the decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// A value that is masked.
    Value,
    /// What was cut off.
    Cut,
    /// Whether what is masked makes the path ambiguous.
    Ambiguity,
    /// The host.
    Host,
    /// The database.
    Database,
    /// Whether there were more keys.
    Keys,
    /// Whether it asked for an upgrade or overrode the method.
    Asked,
    /// The peer, or whether a name resolved to it.
    Peer,
    /// What was spoken on the connection.
    Spoken,
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Doubt::Value => "the log hides a value",
            Doubt::Cut => "the log has cut the text",
            Doubt::Ambiguity => "what the log hides may make the path ambiguous",
            Doubt::Host => "the log does not tell the host",
            Doubt::Database => "the log does not tell the database",
            Doubt::Keys => "the log may not show all keys",
            Doubt::Asked => "the log does not tell of an upgrade or override field",
            Doubt::Peer => "the log does not tell the peer",
            Doubt::Spoken => "the log does not tell what was spoken",
        })
    }
}

/// Why a record cannot be decided.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Undecided {
    /// What is not told.
    pub doubt: Doubt,
    /// What it is needed for: an entry, a peer; in words, with its place.
    pub decides: Option<String>,
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.decides, self.doubt) {
            (Some(name), Doubt::Peer) => write!(f, "{name}"),
            (Some(what), doubt) => write!(f, "{doubt} that decides {what}"),
            (None, doubt) => doubt.fmt(f),
        }
    }
}

impl Undecided {
    pub(super) fn new(doubt: Doubt, decides: Option<String>) -> Self {
        Self { doubt, decides }
    }

    /// An entry decides it.
    pub(super) fn entry(doubt: Doubt, list: List, entry: &Entry) -> Self {
        let at: &Origin = &entry.at;
        let list = match list {
            List::Allow => "allow",
            List::Deny => "deny",
        };
        Self::new(doubt, Some(format!("{list} {:?} ({at})", entry.text)))
    }
}

impl Fit {
    pub(crate) const OTHER: Self = Fit::No(Short::Other);

    pub(crate) fn of(covered: bool) -> Self {
        if covered { Fit::Yes } else { Self::OTHER }
    }

    /// Of something that is so, or not for this reason.
    pub(crate) fn unless(covered: bool, short: Short) -> Self {
        if covered { Fit::Yes } else { Fit::No(short) }
    }

    /// Both; the first reason against it stands.
    pub(crate) fn and(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Fit::Yes => other(),
            Fit::No(_) => self,
            Fit::Maybe(_) => match other() {
                Fit::Yes | Fit::Maybe(_) => self,
                no => no,
            },
        }
    }

    /// Either.
    pub(crate) fn or(self, other: impl FnOnce() -> Self) -> Self {
        match self {
            Fit::Yes => self,
            Fit::No(short) => match other() {
                Fit::No(worse) => Fit::No(short.max(worse)),
                fit => fit,
            },
            Fit::Maybe(_) => match other() {
                Fit::Yes => Fit::Yes,
                _ => self,
            },
        }
    }

    /// There may be more than what was looked at, which counts against it.
    pub(crate) fn doubted(self, doubt: Option<Doubt>) -> Self {
        match (self, doubt) {
            (Fit::Yes, Some(doubt)) => Fit::Maybe(doubt),
            (fit, _) => fit,
        }
    }
}

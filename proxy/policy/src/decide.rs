//! Decisions: what the policy in force says of a connection and of each operation on it.

use crate::op::Protocol;

pub use crate::compile::{Defaults, Described, Snapshot};

/// How violations are treated. Ordered from lax to strict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Allow and record.
    #[default]
    Learn,
    /// Allow, and log what enforce would refuse.
    Monitor,
    /// Refuse.
    Enforce,
}

/// How a refusal is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Answer in the protocol, then close.
    #[default]
    Close,
    /// Answer in the protocol and keep the connection.
    Answer,
    /// Close without an answer.
    Reset,
}

/// What to do with bytes that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Unread {
    /// A protocol that detection does not know. True: refuse.
    pub refuse_unknown: bool,
    /// A protocol that this build has no parser for. True: refuse.
    pub refuse_unsupported: bool,
    /// TLS and its like. True: refuse.
    pub refuse_encrypted: bool,
}

/// Why a connection or operation is outside the policy: a closed set, with stable labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Violation {
    /// No rule of the side names this peer and port.
    NoRule,
    /// No entry allows the operation.
    NotAllowed,
    /// A deny entry matches.
    Denied,
    /// The path is ambiguous, and no entry permits that.
    AmbiguousPath,
    /// The request asks to switch protocol, and no entry permits that.
    UpgradeNotPermitted,
    /// A method or URL override field, and no entry permits that.
    OverrideHeader,
    /// The host or SNI is not among the rule's `hosts`.
    HostNotAllowed,
    /// The database is not among the rule's `databases`.
    DatabaseNotAllowed,
}

/// What the policy says of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Allowed by this entry.
    Allowed(EntryRef),
    /// No policy governs this side.
    Ungoverned,
    /// Outside the policy; the entry is the deny entry that matched, or the nearest rule.
    Violation(Violation, Option<EntryRef>),
}

/// Which entry decided: an index into the snapshot, turned into words with `Snapshot::describe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EntryRef(pub u32);

/// What the policy says of a connection before anything is dialled.
#[derive(Clone, Debug)]
pub struct Admission {
    /// The mode in force for this connection, live override not yet applied.
    pub mode: Option<Mode>,
    /// The protocol that the rules require; none: detection decides.
    pub protocol: Option<Protocol>,
    /// How a refusal is told. None: as the protocol has it by default, `answer` on HTTP/2 and
    /// `close` on everything else.
    pub refusal: Option<Refusal>,
    /// What to do with bytes that cannot be read.
    pub unread: Unread,
    /// Whether the connection as such is inside the policy.
    pub verdict: AdmissionVerdict,
    /// Which rules apply: the snapshot's own handle.
    pub rules: RuleSet,
}

/// See [`Admission::verdict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AdmissionVerdict {
    /// Some rule covers this peer and port.
    Governed,
    /// No policy governs this side.
    Ungoverned,
    /// The side is governed and no rule covers this peer and port.
    NoRule,
}

/// The rules that apply to a connection: a handle into the snapshot that admitted it. Another
/// snapshot takes it too, and looks the rules up anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleSet {
    pub(crate) generation: u32,
    pub(crate) set: u32,
}

impl Default for Unread {
    /// Refuses all but a body past its limit.
    fn default() -> Self {
        Self { refuse_unknown: true, refuse_unsupported: true, refuse_encrypted: true }
    }
}

impl Unread {
    /// Refuses what either refuses.
    pub(crate) fn strictest(self, other: Self) -> Self {
        Self {
            refuse_unknown: self.refuse_unknown || other.refuse_unknown,
            refuse_unsupported: self.refuse_unsupported || other.refuse_unsupported,
            refuse_encrypted: self.refuse_encrypted || other.refuse_encrypted,
        }
    }
}

impl Refusal {
    /// The stricter of two: reset before close before answer. A default that is `answer` or
    /// `close` by protocol stands between these.
    pub(crate) fn strictest(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        let strict = |refusal| match refusal {
            Some(Refusal::Answer) => 0,
            None => 1,
            Some(Refusal::Close) => 2,
            Some(Refusal::Reset) => 3,
        };
        if strict(other) > strict(one) { other } else { one }
    }
}

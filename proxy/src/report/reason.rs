//! Why something was decided as it was: one closed set of labels for log and metrics.

use weir_policy::decide::Violation;

/// Why a transaction or connection has its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// An entry allows it.
    Entry,
    /// No policy governs this side.
    Ungoverned,
    /// It is outside the policy.
    Policy(Violation),
    /// Another sidecar has refused a command: this is what the server rejects in its place.
    Substitute,
    /// An inspector found this.
    Inspector(&'static str),
    /// The protocol's parser refused it; the parser's own label.
    Malformed(&'static str),
    /// A limit was reached; the limit's name.
    Limit(&'static str),
    /// Detection found a protocol other than the rule's, or none.
    Protocol(&'static str),
    /// Bytes passed without a verdict on their operation.
    Unread(&'static str),
    /// A clock ran out; the limit's name.
    Timeout(&'static str),
    /// The server could not be reached.
    Dial(&'static str),
    /// It did not come by the redirect, or leads back to Weir.
    Redirect(&'static str),
}

impl Reason {
    /// The word in the traffic log, in snake case. Every source of labels is a closed set.
    pub fn label(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Ungoverned => "ungoverned",
            Self::Substitute => "substitute",
            Self::Policy(violation) => violation_label(violation),
            Self::Inspector(label)
            | Self::Malformed(label)
            | Self::Limit(label)
            | Self::Protocol(label)
            | Self::Unread(label)
            | Self::Timeout(label)
            | Self::Dial(label)
            | Self::Redirect(label) => label,
        }
    }

    /// What sort of reason it is.
    pub fn kind(self) -> Kind {
        match self {
            Self::Entry => Kind::Entry,
            Self::Ungoverned => Kind::Ungoverned,
            Self::Policy(_) => Kind::Policy,
            Self::Substitute => Kind::Substitute,
            Self::Inspector(_) => Kind::Inspector,
            Self::Malformed(_) => Kind::Malformed,
            Self::Limit(_) => Kind::Limit,
            Self::Protocol(_) => Kind::Protocol,
            Self::Unread(_) => Kind::Unread,
            Self::Timeout(_) => Kind::Timeout,
            Self::Dial(_) => Kind::Dial,
            Self::Redirect(_) => Kind::Redirect,
        }
    }
}

/// The sorts of reasons: what metrics are labelled with, since inspectors and parsers bring
/// labels of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// [`Reason::Entry`].
    Entry,
    /// [`Reason::Ungoverned`].
    Ungoverned,
    /// [`Reason::Policy`].
    Policy,
    /// [`Reason::Substitute`].
    Substitute,
    /// [`Reason::Inspector`].
    Inspector,
    /// [`Reason::Malformed`].
    Malformed,
    /// [`Reason::Limit`].
    Limit,
    /// [`Reason::Protocol`].
    Protocol,
    /// [`Reason::Unread`].
    Unread,
    /// [`Reason::Timeout`].
    Timeout,
    /// [`Reason::Dial`].
    Dial,
    /// [`Reason::Redirect`].
    Redirect,
}

impl Kind {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 12] = [
        Self::Entry,
        Self::Ungoverned,
        Self::Policy,
        Self::Substitute,
        Self::Inspector,
        Self::Malformed,
        Self::Limit,
        Self::Protocol,
        Self::Unread,
        Self::Timeout,
        Self::Dial,
        Self::Redirect,
    ];

    /// The word in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Entry => "entry",
            Self::Ungoverned => "ungoverned",
            Self::Policy => "policy",
            Self::Substitute => "substitute",
            Self::Inspector => "inspector",
            Self::Malformed => "malformed",
            Self::Limit => "limit",
            Self::Protocol => "protocol",
            Self::Unread => "unread",
            Self::Timeout => "timeout",
            Self::Dial => "dial",
            Self::Redirect => "redirect",
        }
    }
}

/// Every violation, in the order of their discriminants.
pub(crate) const VIOLATIONS: [Violation; 8] = [
    Violation::NoRule,
    Violation::NotAllowed,
    Violation::Denied,
    Violation::AmbiguousPath,
    Violation::UpgradeNotPermitted,
    Violation::OverrideHeader,
    Violation::HostNotAllowed,
    Violation::DatabaseNotAllowed,
];

/// The word for a violation in log and metrics.
pub(crate) fn violation_label(violation: Violation) -> &'static str {
    match violation {
        Violation::NoRule => "no_rule",
        Violation::NotAllowed => "not_allowed",
        Violation::Denied => "denied",
        Violation::AmbiguousPath => "ambiguous_path",
        Violation::UpgradeNotPermitted => "upgrade_not_permitted",
        Violation::OverrideHeader => "override_header",
        Violation::HostNotAllowed => "host_not_allowed",
        Violation::DatabaseNotAllowed => "database_not_allowed",
    }
}

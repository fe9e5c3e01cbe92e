//! Deciding operations as the traffic log tells them: what a policy says of all values that a
//! record may stand for.
//!
//! The log masks. In `op` and, unless it is logged in full, in `detail`
//!
//! - `{int}`, `{uuid}`, … is one whole path segment or key part (keys fall into parts at `:` there,
//!   whatever a rule's separators) for which [`classify`](crate::class::classify) answers this class;
//! - `{new}` is one whole segment or part that is not empty and was seen too seldom to be shown;
//! - `{}` is a text that is not empty and may be anything: what has a password in it, and the value
//!   of a `;` parameter;
//! - paths are in normal form, so that `%25` may have been sent as `%`; the names of parameters are
//!   as sent;
//! - `\{`, `\}`, `\*`, `\\` (in keys also `\&`, `\ ` and `\xHH`) are the characters themselves;
//! - of a gRPC call `{new}` is a service or method that an entry could name, `{}` one that none could;
//! - a final `…` says that the text goes on;
//! - a command shows each pattern of keys once, and none where its keys cannot all be known.
//!
//! A path in full has `{}` in place of passwords and of secret parameters, and is known by this
//! that its own mask is the `op`.
//!
//! For each entry there are three answers: it covers all that the record may stand for, or none of
//! it, or that depends. From them comes the [`Judgement`]: refused where a deny entry covers all
//! or no allow entry covers any; allowed where an allow entry covers all and no deny entry any;
//! undecidable else, with a [`Doubt`].

mod decide;
mod fit;
mod grpc;
mod http;
mod path;
mod redis;
mod text;

#[cfg(test)]
mod tests;

pub use decide::{decide, permitted};
pub use fit::{Doubt, Undecided};

use std::net::IpAddr;

use crate::host::Host;
use crate::op::{Protocol, Side};
use crate::path::Ambiguities;

/// Where a record's operation came from and went to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which section of the policy governs it.
    pub side: Side,
    /// The peer; none: the record does not tell, as a summary does not.
    pub peer: Option<IpAddr>,
    /// The server's port.
    pub port: u16,
}

/// A text that a record has, has not, or cannot be trusted to have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told<'a> {
    /// The message had none.
    #[default]
    None,
    /// This one.
    This(&'a str),
    /// The record does not tell.
    Untold,
}

/// Whether a record shows the keys of its command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeysTold {
    /// It shows all.
    #[default]
    All,
    /// It shows some; there may be more.
    Some,
    /// They cannot all be known, and it shows none.
    Unknown,
    /// There were none, or they cannot all be known.
    NoneOrUnknown,
}

/// What a record tells of its operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// `host`.
    pub host: Told<'a>,
    /// `database`.
    pub database: Told<'a>,
    /// `op`.
    pub op: &'a str,
    /// `detail`.
    pub detail: Option<&'a str>,
    /// HTTP: the protocol that the request asks to switch to.
    pub upgrade: Told<'a>,
    /// HTTP: the override field.
    pub override_header: Told<'a>,
    /// Redis: whether the keys are shown.
    pub keys: KeysTold,
    /// HTTP: no other ambiguities than these, whatever is masked.
    pub ambiguities: Option<Ambiguities>,
}

/// An operation as a record tells it.
#[derive(Clone, Debug)]
pub struct Masked(pub(crate) Kind);

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Http(http::Http),
    Grpc(grpc::Grpc),
    Redis(redis::Redis),
    /// The server name.
    Tls(Known),
    /// The connection as such.
    Connection(Spoken),
    /// What a server rejects in place of a command that another sidecar has refused.
    Substitute,
}

/// A text, known or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Known {
    None,
    This(String),
    Untold,
}

/// What is known of what was spoken on a connection that was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// Nothing.
    Untold,
    /// A protocol that has a name and no parser: `unread.unsupportedProtocol`.
    Unsupported,
    /// No protocol that is known: `unread.unknownProtocol`.
    Unknown,
}

impl Masked {
    /// Reads a record of this protocol; of [`Protocol::Opaque`] nothing is known.
    ///
    /// # Errors
    /// What of it is not of the form that the log has.
    pub fn read(protocol: Protocol, record: &Record<'_>) -> Result<Self, BadRecord> {
        Ok(Self(match protocol {
            Protocol::Http => Kind::Http(http::Http::read(record)?),
            Protocol::Grpc => Kind::Grpc(grpc::Grpc::read(record)?),
            Protocol::Redis => Kind::Redis(redis::Redis::read(record)?),
            Protocol::Tls => Kind::Tls(Known::of_name(record.host)),
            Protocol::Opaque => Kind::Connection(Spoken::Untold),
        }))
    }

    /// A connection that was not read.
    pub fn connection(spoken: Spoken) -> Self {
        Self(Kind::Connection(spoken))
    }

    /// What stands for a command that the client's own sidecar refused.
    pub fn substitute() -> Self {
        Self(Kind::Substitute)
    }
}

/// A record that is not as the log writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadRecord(pub(crate) &'static str);

impl Known {
    fn of(told: Told<'_>) -> Self {
        match told {
            Told::None => Known::None,
            Told::This(text) => Known::This(text.to_owned()),
            Told::Untold => Known::Untold,
        }
    }

    /// A name that the log may have cut, or could not write.
    fn of_name(told: Told<'_>) -> Self {
        match told {
            Told::This(text) if text.ends_with('…') || text.contains('\u{fffd}') => Known::Untold,
            told => Known::of(told),
        }
    }

    /// The server name, as entries see it; none: it is not known.
    fn sni(&self) -> Option<Option<Host<'_>>> {
        match self {
            Known::None => Some(None),
            Known::This(name) => Some(Host::of_name(name.as_bytes())),
            Known::Untold => None,
        }
    }
}

/// What a policy says of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// An entry, or a rule that takes any protocol, allows all that it may stand for.
    Allowed,
    /// No policy governs the side: it passes.
    Ungoverned,
    /// All that it may stand for is refused.
    Refused(Refused),
    /// It depends on what the log does not tell.
    Undecidable(Undecided),
}

/// Why a record is refused for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refused {
    /// It is outside the policy. Where several reasons are possible, one of them.
    Policy(crate::decide::Violation),
    /// The rules want another protocol spoken at this port.
    OtherProtocol,
    /// The rules take any protocol, and `unread` refuses what cannot be read: its field.
    Unread(&'static str),
}

impl Refused {
    /// A stable word for it.
    pub fn label(self) -> &'static str {
        match self {
            Refused::Policy(violation) => violation.label(),
            Refused::OtherProtocol => "other_protocol",
            Refused::Unread(field) => field,
        }
    }
}

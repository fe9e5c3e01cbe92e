//! Entries: the lines of allow and deny lists, one grammar per protocol.

use std::fmt;

use crate::date::Date;
use crate::error::Origin;
use crate::op::Protocol;
use crate::path::Ambiguities;
use crate::pattern::Separators;

pub mod grpc;
pub mod http;
pub mod redis;
pub mod tls;

pub use grpc::GrpcPattern;
pub use http::HttpPattern;
pub use redis::RedisPattern;
pub use tls::SniPattern;

/// The list that an entry stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum List {
    /// What is allowed.
    Allow,
    /// What is denied though allowed elsewhere.
    Deny,
}

/// One entry with its options.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where it stands.
    pub at: Origin,
    /// As written.
    pub text: String,
    /// What operations it covers.
    pub pattern: Pattern,
    /// The request may ask to switch to `websocket`.
    pub upgrade: bool,
    /// Ambiguities that the path may have.
    pub permit: Ambiguities,
    /// Method and URL override fields that the request may have, lower-case.
    pub override_headers: Vec<String>,
    /// Why the entry exists, for people.
    pub reason: Option<String>,
    /// Who answers for it, for people.
    pub owner: Option<String>,
    /// Where it was asked for, for people.
    pub ticket: Option<String>,
    /// The last day on which it allows.
    pub expires: Option<Date>,
}

/// What operations an entry covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Pattern {
    /// A method and path.
    Http(HttpPattern),
    /// A service and method.
    Grpc(GrpcPattern),
    /// A command and keys.
    Redis(RedisPattern),
    /// A server name.
    Tls(SniPattern),
}

impl Pattern {
    /// Reads an entry of `protocol`.
    ///
    /// # Errors
    /// Where in the text reading ended, and why.
    pub fn read(
        protocol: Protocol,
        list: List,
        text: &str,
        permit: Ambiguities,
        separators: Separators,
    ) -> Result<Self, BadEntry> {
        match protocol {
            Protocol::Http => http::read(text, permit).map(Pattern::Http),
            Protocol::Grpc => grpc::read(text).map(Pattern::Grpc),
            Protocol::Redis => redis::read(text, list, separators).map(Pattern::Redis),
            Protocol::Tls => tls::read(text).map(Pattern::Tls),
            Protocol::Opaque => {
                Err(BadEntry::new(0, "an entry", "none: an opaque rule admits connections"))
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Http(p) => p.fmt(f),
            Pattern::Grpc(p) => p.fmt(f),
            Pattern::Redis(p) => p.fmt(f),
            Pattern::Tls(p) => p.fmt(f),
        }
    }
}

/// Why a text is no entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {found}, expected {expected}")]
pub struct BadEntry {
    /// Byte offset in the text.
    pub at: usize,
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: String,
}

impl BadEntry {
    fn new(at: usize, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { at, found: found.into(), expected: expected.into() }
    }
}

/// A piece of an entry for an error message.
fn quoted(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// Writes a literal so that reading it again gives the same bytes.
fn write_literal(f: &mut fmt::Formatter<'_>, literal: &[u8], escape: &[u8]) -> fmt::Result {
    use fmt::Write;
    for &byte in literal {
        match byte {
            b if escape.contains(&b) => write!(f, "\\{}", char::from(b))?,
            b if b.is_ascii_graphic() => f.write_char(char::from(b))?,
            b => write!(f, "\\x{b:02x}")?,
        }
    }
    Ok(())
}

const SLOTS: &str = "{}, {int}, {uuid}, {hex}, {date}, {email} or {token}";

/// Reads `{…}` without its braces.
fn slot(name: &str, at: usize) -> Result<Option<crate::class::Class>, BadEntry> {
    match name {
        "" => Ok(None),
        name => crate::class::Class::from_name(name)
            .map(Some)
            .ok_or_else(|| BadEntry::new(at, format!("{{{name}}}"), SLOTS)),
    }
}

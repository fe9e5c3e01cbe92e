//! Whether one pattern covers all that another covers. "No" may also mean "not seen": the
//! answer errs on the side of a difference.

use std::net::IpAddr;

use crate::class::Class;
use crate::entry::http::{HttpPattern, HttpTarget};
use crate::entry::redis::{RedisPattern, ScriptPattern, Subcommand};
use crate::entry::{Entry, Pattern, SniPattern};
use crate::host::{Host, HostPattern};
use crate::path::AMBIGUITIES;
use crate::pattern::{Sequence, Token};

/// Whether everything that `narrow` allows, `wide` allows.
pub(crate) fn entry_covers(wide: &Entry, narrow: &Entry) -> bool {
    let pattern = match (&wide.pattern, &narrow.pattern) {
        (Pattern::Http(wide), Pattern::Http(narrow)) => http(wide, narrow),
        (Pattern::Grpc(wide), Pattern::Grpc(narrow)) => {
            let method = wide.method.is_none() || wide.method == narrow.method;
            wide.service == narrow.service && method
        }
        (Pattern::Redis(wide), Pattern::Redis(narrow)) => redis(wide, narrow),
        (Pattern::Tls(wide), Pattern::Tls(narrow)) => match (wide, narrow) {
            (SniPattern::Name(wide), SniPattern::Name(narrow)) => host_covers(wide, narrow),
            (SniPattern::Any, SniPattern::Name(_)) => true,
            (wide, narrow) => wide == narrow,
        },
        _ => false,
    };
    pattern
        && (wide.upgrade || !narrow.upgrade)
        && AMBIGUITIES.iter().all(|k| wide.permit.contains(*k) || !narrow.permit.contains(*k))
        && narrow.override_headers.iter().all(|h| wide.override_headers.contains(h))
        && wide.expires.is_none_or(|wide| narrow.expires.is_some_and(|narrow| wide >= narrow))
}

/// Whether every host of one pattern is one of the other's.
pub(crate) fn host_covers(wide: &HostPattern, narrow: &HostPattern) -> bool {
    wide == narrow
        || match narrow {
            HostPattern::Name(name) => wide.matches(&Host::Name(name.as_bytes())),
            HostPattern::Wildcard(_) | HostPattern::Addr(IpAddr::V4(_) | IpAddr::V6(_)) => false,
        }
}

fn http(wide: &HttpPattern, narrow: &HttpPattern) -> bool {
    let method = wide.method.is_none() || wide.method == narrow.method;
    method
        && match (&wide.target, &narrow.target) {
            (HttpTarget::Path(wide), HttpTarget::Path(narrow)) => sequence(wide, narrow, true),
            (HttpTarget::Asterisk, HttpTarget::Asterisk)
            | (HttpTarget::Connect(None), HttpTarget::Connect(_)) => true,
            (
                HttpTarget::Connect(Some((wide, port))),
                HttpTarget::Connect(Some((narrow, asked))),
            ) => port == asked && host_covers(wide, narrow),
            _ => false,
        }
}

fn redis(wide: &RedisPattern, narrow: &RedisPattern) -> bool {
    let command = match (wide.commands(), narrow.commands()) {
        (None, None) => true,
        // With patterns, `*` covers neither unknown keys nor commands without any.
        (None, Some(_)) => wide.takes_nothing() && narrow.takes_nothing(),
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => narrow.iter().all(|name| wide.contains(name)),
    };
    let subcommand = match (&wide.subcommand, &narrow.subcommand) {
        (Subcommand::Any, _) => true,
        (wide, narrow) => wide == narrow,
    };
    let script = match (&wide.script, &narrow.script) {
        (ScriptPattern::Unnamed | ScriptPattern::Any, _) => true,
        (wide, narrow) => wide == narrow,
    };
    let all = |wide: &[Sequence], narrow: &[Sequence]| {
        narrow.iter().all(|narrow| wide.iter().any(|wide| sequence(wide, narrow, false)))
    };
    command
        && subcommand
        && script
        && all(&wide.keys, &narrow.keys)
        && all(&wide.channels, &narrow.channels)
}

/// `path`: a rest is one or more whole segments; else it is a prefix.
fn sequence(wide: &Sequence, narrow: &Sequence, path: bool) -> bool {
    let same = wide.parts.len();
    if narrow.parts.len() < same {
        return false;
    }
    let parts = wide.parts.iter().zip(&narrow.parts);
    if !parts.clone().all(|((a, wide), (b, narrow))| a == b && token(wide, narrow)) {
        return false;
    }
    let (next, rest) = (narrow.parts.get(same), &narrow.rest);
    match (&wide.rest, next) {
        (None, None) => rest.is_none(),
        (None, Some(_)) => false,
        (Some(wide), None) => rest.as_ref().is_some_and(|narrow| {
            wide.separator == narrow.separator && narrow.prefix.starts_with(&wide.prefix)
        }),
        (Some(wide), Some((separator, first))) => {
            let more = narrow.parts.len() > same + 1 || rest.is_some();
            wide.separator == *separator
                && match first {
                    // A final empty segment is no segment for `/*`.
                    Token::Literal(part) if path => !part.is_empty() || more,
                    Token::Literal(part) => part.starts_with(&wide.prefix),
                    Token::Slot(_) => wide.prefix.is_empty(),
                }
        }
    }
}

fn token(wide: &Token, narrow: &Token) -> bool {
    match (wide, narrow) {
        (Token::Slot(None), Token::Slot(_)) => true,
        (Token::Slot(None), Token::Literal(part)) => !part.is_empty(),
        (Token::Slot(Some(class)), Token::Literal(part)) => class.contains(part),
        (Token::Slot(Some(Class::Token)), Token::Slot(Some(Class::Uuid))) => true,
        (wide, narrow) => wide == narrow,
    }
}

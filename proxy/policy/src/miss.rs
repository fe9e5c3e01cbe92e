//! Why one entry does not cover one operation: the plain reading of an entry, without the
//! compiled matcher. It explains decisions, and is what the matcher is tested against.

use std::fmt;

use crate::entry::http::{HttpPattern, HttpTarget};
use crate::entry::redis::{RedisPattern, ScriptPattern, Subcommand};
use crate::entry::{Entry, GrpcPattern, List, Pattern, SniPattern};
use crate::host::Host;
use crate::model::{Addresses, Rule};
use crate::op::{Endpoint, GrpcOp, HttpOp, Keys, Operation, RedisOp, Script};
use crate::path::{Ambiguities, ambiguities};
use crate::pattern::{KeyText, PathText, Separators, Sequence, Text, Token, fixed_start};
use crate::peers::{number, ranges};
use crate::text::escaped;

/// What an operation lacks to be covered by an entry, from the least to the most.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Miss {
    /// Another database.
    Database,
    /// Another host.
    Host,
    /// An override field that is not named.
    Override(String),
    /// An upgrade that is not permitted.
    Upgrade(String),
    /// Ambiguities that are not permitted.
    Ambiguous(Vec<&'static str>),
    /// Another method; the path or service is covered.
    Method,
    /// The path, or what `target` names, is another; with how many parts are the same.
    Path { same_parts: std::cmp::Reverse<usize>, why: String },
    /// A key or channel that no pattern covers.
    Key(String),
    /// Keys that cannot all be known.
    Unknown,
    /// Another script or function.
    Script,
    /// Another subcommand.
    Subcommand,
    /// Nothing is alike.
    Other,
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Miss::Database => f.write_str("its rule is for other databases"),
            Miss::Host => f.write_str("its rule is for other hosts"),
            Miss::Override(name) => write!(f, "its overrideHeaders do not name {name}"),
            Miss::Upgrade(token) => write!(f, "it does not permit the upgrade to {token}"),
            Miss::Ambiguous(kinds) => write!(f, "it does not permit {}", kinds.join(", ")),
            Miss::Path { why, .. } => f.write_str(why),
            Miss::Key(key) => write!(f, "no pattern of it covers {key}"),
            Miss::Unknown => f.write_str(
                "the keys cannot all be known: it takes the command's name and a bare *",
            ),
            Miss::Script => f.write_str("it is for other code"),
            Miss::Subcommand => f.write_str("it is for another subcommand"),
            Miss::Method => f.write_str("it is for another method"),
            Miss::Other => f.write_str("it is for something else"),
        }
    }
}

/// Whether the entry covers the operation on a connection that its rule covers.
pub(crate) fn covers(
    rule: &Rule,
    list: List,
    entry: &Entry,
    operation: &Operation<'_>,
) -> Result<(), Miss> {
    match (&entry.pattern, operation) {
        (Pattern::Http(pattern), Operation::Http(op)) => http(rule, list, entry, pattern, op),
        (Pattern::Http(pattern), Operation::Grpc(op)) => {
            op.as_http(|op| http(rule, list, entry, pattern, op))
        }
        (Pattern::Grpc(pattern), Operation::Grpc(op)) => grpc(rule, list, pattern, op),
        (Pattern::Redis(pattern), Operation::Redis(op)) => redis(rule, list, pattern, op),
        (Pattern::Tls(pattern), Operation::Tls(op)) => {
            let host = op.sni.and_then(Host::of_name);
            let covered = match (pattern, &host) {
                (SniPattern::None, host) => host.is_none(),
                (SniPattern::Any, host) => host.is_some(),
                (SniPattern::Name(name), host) => host.is_some_and(|host| name.matches(&host)),
            };
            if !covered { Err(Miss::Other) } else { covers_host(rule, host.as_ref()) }
        }
        _ => Err(Miss::Other),
    }
}

/// How near the entries of a rule come, if another entry in it could cover the operation on this
/// connection: the rule is for the peer, port, protocol, host and databases.
pub(crate) fn serves(
    rule: &Rule,
    endpoint: &Endpoint,
    operation: &Operation<'_>,
    addresses: &Addresses,
) -> Option<Miss> {
    let peer = number(endpoint.peer);
    let in_peers =
        || ranges(&rule.peers, addresses).iter().any(|(from, to)| (*from..=*to).contains(&peer));
    let limits = match operation {
        Operation::Http(HttpOp { authority, .. }) | Operation::Grpc(GrpcOp { authority, .. }) => {
            let host = authority.and_then(Host::of_authority);
            covers_host(rule, host.map(|(host, _)| host).as_ref())
        }
        Operation::Tls(op) => covers_host(rule, op.sni.and_then(Host::of_name).as_ref()),
        Operation::Redis(op) => {
            let within = |d: &u32| rule.databases.contains(d);
            let covered = rule.databases.is_empty()
                || !op.databases.is_empty() && op.databases.iter().all(within);
            if covered { Ok(()) } else { Err(Miss::Database) }
        }
        Operation::Connection => Err(Miss::Other),
    };
    let port = rule.ports.iter().any(|ports| ports.contains(&endpoint.port));
    if !port || !in_peers() || limits.is_err() {
        return None;
    }
    let misses = rule.allow.iter().filter_map(|e| covers(rule, List::Allow, e, operation).err());
    Some(misses.min().unwrap_or(Miss::Other))
}

fn covers_host(rule: &Rule, host: Option<&Host<'_>>) -> Result<(), Miss> {
    let covered =
        rule.hosts.is_empty() || host.is_some_and(|h| rule.hosts.iter().any(|p| p.matches(h)));
    if covered { Ok(()) } else { Err(Miss::Host) }
}

fn http(
    rule: &Rule,
    list: List,
    entry: &Entry,
    pattern: &HttpPattern,
    op: &HttpOp<'_>,
) -> Result<(), Miss> {
    let host = op.authority.and_then(Host::of_authority);
    let method = pattern.method.as_deref().is_none_or(|m| m.as_bytes() == op.method);
    let path = if op.path.is_empty() && op.method != b"CONNECT" { b"/" } else { op.path };
    match &pattern.target {
        HttpTarget::Path(sequence) if path.first() == Some(&b'/') => path_miss(sequence, path)?,
        HttpTarget::Asterisk if path == b"*" => {}
        HttpTarget::Connect(to) if path.is_empty() => match (to, host) {
            (None, _) => {}
            (Some((pattern, port)), Some((host, Some(asked))))
                if *port == asked && pattern.matches(&host) => {}
            _ => return Err(Miss::Other),
        },
        _ => return Err(Miss::Other),
    }
    if !method {
        return Err(Miss::Method);
    }
    if list == List::Allow {
        permits(entry, op, ambiguities(path))?;
    }
    match host {
        None if list == List::Deny => Ok(()),
        _ => covers_host(rule, host.map(|(host, _)| host).as_ref()),
    }
}

fn grpc(rule: &Rule, list: List, pattern: &GrpcPattern, op: &GrpcOp<'_>) -> Result<(), Miss> {
    if pattern.service.as_bytes() != op.service {
        return Err(Miss::Other);
    }
    if !pattern.matches(op.service, op.method) {
        return Err(Miss::Method);
    }
    match op.authority.and_then(Host::of_authority) {
        None if list == List::Deny => Ok(()),
        host => covers_host(rule, host.map(|(host, _)| host).as_ref()),
    }
}

fn permits(entry: &Entry, op: &HttpOp<'_>, found: Ambiguities) -> Result<(), Miss> {
    let odd = found.without(entry.permit);
    if !odd.is_empty() {
        return Err(Miss::Ambiguous(odd.iter().map(|kind| kind.as_str()).collect()));
    }
    let name = |bytes: &[u8]| bytes.escape_ascii().to_string();
    match op.upgrade {
        Some(token) if !(entry.upgrade && token.eq_ignore_ascii_case(b"websocket")) => {
            return Err(Miss::Upgrade(name(token)));
        }
        _ => {}
    }
    match op.override_header {
        Some(header)
            if !entry
                .override_headers
                .iter()
                .any(|h| h.as_bytes().eq_ignore_ascii_case(header)) =>
        {
            Err(Miss::Override(name(header)))
        }
        _ => Ok(()),
    }
}

fn path_miss(sequence: &Sequence, path: &[u8]) -> Result<(), Miss> {
    let text = PathText { path, plain: false };
    if sequence.matches(&text) {
        return Ok(());
    }
    let mut at = 0;
    for (same, (_, token)) in sequence.parts.iter().enumerate() {
        let miss = |why| Err(Miss::Path { same_parts: std::cmp::Reverse(same), why });
        let Some((_, part, next)) = text.part(at) else {
            return miss("the path is shorter".to_owned());
        };
        let fits = match token {
            Token::Literal(literal) => text.is(part, literal),
            Token::Slot(slot) => text.fits(*slot, part),
        };
        if !fits {
            let shown = part.escape_ascii();
            return miss(match token {
                Token::Literal(literal) => {
                    let literal = literal.escape_ascii();
                    format!("segment {} is \"{shown}\", not \"{literal}\"", same + 1)
                }
                Token::Slot(None) => format!("segment {} is empty", same + 1),
                Token::Slot(Some(class)) => {
                    format!("segment {} is \"{shown}\", no {class}", same + 1)
                }
            });
        }
        at = next;
    }
    let same_parts = std::cmp::Reverse(sequence.parts.len());
    let why = match sequence.rest {
        Some(_) => "the path ends where a segment must follow".to_owned(),
        None => "the path is longer".to_owned(),
    };
    Err(Miss::Path { same_parts, why })
}

fn redis(rule: &Rule, list: List, pattern: &RedisPattern, op: &RedisOp<'_>) -> Result<(), Miss> {
    let named = pattern.commands().is_none_or(|commands| {
        commands.iter().any(|c| c.as_bytes().eq_ignore_ascii_case(op.command))
    });
    if !named {
        return Err(Miss::Other);
    }
    let subcommand = match (&pattern.subcommand, op.subcommand) {
        (Subcommand::Any, _) | (Subcommand::Unnamed, None) => true,
        (Subcommand::Unnamed, Some(_)) => list == List::Deny,
        (Subcommand::Name(name), Some(sub)) => name.as_bytes().eq_ignore_ascii_case(sub),
        (Subcommand::Name(_), None) => {
            let unknown = |keys: &Keys<'_>| matches!(keys, Keys::Unknown);
            list == List::Deny && (unknown(&op.keys) || unknown(&op.channels))
        }
    };
    let script = match (&pattern.script, &op.script) {
        (ScriptPattern::Unnamed | ScriptPattern::Any, _) => true,
        (ScriptPattern::Sha1(named), Script::Sha1(run)) => named == run,
        (ScriptPattern::Function(named), Script::Function(run)) => {
            named.as_bytes().eq_ignore_ascii_case(run)
        }
        _ => false,
    };
    if !subcommand {
        return Err(Miss::Subcommand);
    }
    if !script {
        return Err(Miss::Script);
    }
    let glob = op.command.eq_ignore_ascii_case(b"PSUBSCRIBE");
    let in_database = |d: &u32| rule.databases.is_empty() || rule.databases.contains(d);
    match list {
        List::Allow => {
            if !pattern.takes_nothing() && pattern.command.is_none() && is_empty(op) {
                return Err(Miss::Other);
            }
            covers_all(&op.keys, &pattern.keys, rule.separators, false, pattern)?;
            covers_all(&op.channels, &pattern.channels, rule.separators, glob, pattern)?;
            let unknown = op.databases.is_empty() && !rule.databases.is_empty();
            let covered = !unknown && op.databases.iter().all(in_database);
            if covered { Ok(()) } else { Err(Miss::Database) }
        }
        List::Deny => {
            let by_name = pattern.takes_nothing();
            if !by_name
                && !touches(&op.keys, &pattern.keys, rule.separators, false)
                && !touches(&op.channels, &pattern.channels, rule.separators, glob)
            {
                return Err(Miss::Other);
            }
            let touched = op.databases.is_empty() || op.databases.iter().any(in_database);
            if touched { Ok(()) } else { Err(Miss::Database) }
        }
    }
}

/// No key and no channel.
fn is_empty(op: &RedisOp<'_>) -> bool {
    let none = |keys: &Keys<'_>| matches!(keys, Keys::Known(keys) if keys.all(&mut |_| false));
    none(&op.keys) && none(&op.channels)
}

fn covers_all(
    keys: &Keys<'_>,
    patterns: &[Sequence],
    separators: Separators,
    glob: bool,
    entry: &RedisPattern,
) -> Result<(), Miss> {
    let Keys::Known(keys) = keys else {
        let covered = entry.command.is_some() && patterns.iter().any(Sequence::is_bare);
        return if covered { Ok(()) } else { Err(Miss::Unknown) };
    };
    let mut miss = Ok(());
    keys.all(&mut |key| {
        let text = KeyText { key, separators, glob };
        if !patterns.iter().any(|pattern| pattern.matches(&text)) {
            miss = Err(Miss::Key(escaped(key)));
        }
        miss.is_ok()
    });
    miss
}

fn touches(keys: &Keys<'_>, patterns: &[Sequence], separators: Separators, glob: bool) -> bool {
    let Keys::Known(keys) = keys else { return true };
    !keys.all(&mut |key| {
        let text = KeyText { key, separators, glob };
        let fixed = fixed_start(key).filter(|_| glob);
        let touched = |pattern: &Sequence| {
            pattern.matches(&text) || fixed.is_some_and(|fixed| pattern.may_begin(fixed))
        };
        !patterns.iter().any(touched)
    })
}

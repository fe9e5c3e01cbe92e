//! Rules and their entries.

use std::ops::RangeInclusive;

use super::peer::peer;
use super::read::{Object, Reader, UNSUPPORTED, join};
use super::spec::mode;
use super::yaml::{Node, Value};
use crate::date::Date;
use crate::entry::{Entry, List, Pattern};
use crate::host::HostPattern;
use crate::model::{Peer, Rule};
use crate::op::{Protocol, Side};
use crate::path::{AMBIGUITIES, Ambiguities, Ambiguity};
use crate::pattern::Separators;

/// Protocols of later builds.
const LATER: &[&str] = &[
    "http2",
    "h2",
    "http3",
    "postgres",
    "postgresql",
    "mysql",
    "mariadb",
    "kafka",
    "mongodb",
    "mongo",
    "cassandra",
    "memcached",
    "amqp",
    "nats",
    "dns",
    "udp",
    "websocket",
];

/// Reads one rule.
pub(super) fn rule(reader: &mut Reader<'_>, node: &Node, side: Side, field: &str) -> Option<Rule> {
    let peers = match side {
        Side::Inbound => "from",
        Side::Outbound => "to",
    };
    let known =
        &[peers, "ports", "protocol", "mode", "hosts", "databases", "separators", "allow", "deny"];
    let object = reader.object(node, field, known, &["users"])?;
    let peers = peer_list(reader, &object, field, peers);
    let ports = ports(reader, &object, field);
    let mode = mode(reader, &object, field);
    let protocol = protocol(reader, &object, field)?;
    let hosts = hosts(reader, &object, field, protocol);
    let databases = databases(reader, &object, field, protocol);
    let separators = separators(reader, &object, field, protocol);
    let mut list = |name, list| entries(reader, &object, field, name, list, protocol, separators);
    let allow = list("allow", List::Allow);
    let deny = list("deny", List::Deny);
    let at = reader.origin(node.referenced);
    if matches!(protocol, Some(Protocol::Http | Protocol::Grpc | Protocol::Redis | Protocol::Tls))
        && allow.is_empty()
        && object.get("allow").is_none_or(|n| matches!(&n.value, Value::List(l) if l.is_empty()))
    {
        reader.warn(at.clone(), field, "no allow entry: the rule admits no operation");
    }
    Some(Rule {
        at,
        field: field.to_owned(),
        peers: peers?,
        ports: ports?,
        protocol,
        mode,
        hosts,
        databases,
        separators,
        allow,
        deny,
    })
}

/// The items of a list that must hold something.
fn filled<'n>(
    reader: &mut Reader<'_>,
    object: &Object<'n>,
    field: &str,
    name: &str,
    expected: &str,
) -> Option<&'n [Node]> {
    let node = reader.required(object, field, name, expected)?;
    let items = reader.list(node, &join(field, name))?;
    if items.is_empty() {
        let at = reader.origin(node.referenced);
        reader.error_at(at, &join(field, name), "an empty list", expected);
        return None;
    }
    Some(items)
}

fn peer_list(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    field: &str,
    name: &str,
) -> Option<Vec<Peer>> {
    let items = filled(reader, object, field, name, "peers; everyone is [{any: true}]")?;
    let field = join(field, name);
    let peers = items.iter().enumerate();
    Some(peers.filter_map(|(i, item)| peer(reader, item, &format!("{field}[{i}]"))).collect())
}

fn ports(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    field: &str,
) -> Option<Vec<RangeInclusive<u16>>> {
    const EXPECTED: &str = "a port from 1 to 65535, or a range such as \"8000-8099\"";
    let items = filled(reader, object, field, "ports", "a list of ports such as [8080]")?;
    let mut ports = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let port = |n: &str| n.parse::<u16>().ok().filter(|n| *n > 0);
        let range = match &item.value {
            Value::Int(n) => u16::try_from(*n).ok().filter(|n| *n > 0).map(|n| n..=n),
            Value::Text(text) => text.split_once('-').and_then(|(from, to)| {
                let (from, to) = (port(from)?, port(to)?);
                (from <= to).then_some(from..=to)
            }),
            _ => None,
        };
        match range {
            Some(range) => ports.push(range),
            None => reader.expected(item, &format!("{field}.ports[{i}]"), EXPECTED),
        }
    }
    Some(ports)
}

/// Outer none: an error was found, and the entries cannot be read.
#[expect(clippy::option_option, reason = "absent and wrong are different things")]
fn protocol(reader: &mut Reader<'_>, object: &Object<'_>, field: &str) -> Option<Option<Protocol>> {
    let Some(node) = object.get("protocol") else { return Some(None) };
    let field = join(field, "protocol");
    if let Value::Text(word) = &node.value
        && LATER.contains(&word.as_str())
    {
        reader.expected(node, &field, UNSUPPORTED);
        return None;
    }
    reader.word(node, &field, Protocol::WORDS, |word| word.parse().ok()).map(Some)
}

fn hosts(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    field: &str,
    protocol: Option<Protocol>,
) -> Vec<HostPattern> {
    const EXPECTED: &str = "host names without ports, such as cart.shop or \"*.shop.svc\"";
    const PROTOCOLS: &[Protocol] = &[Protocol::Http, Protocol::Grpc, Protocol::Tls];
    if !applies(reader, object, field, "hosts", protocol, PROTOCOLS) {
        return Vec::new();
    }
    let items = filled(reader, object, field, "hosts", EXPECTED).unwrap_or_default();
    let mut hosts = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let field = format!("{field}.hosts[{i}]");
        let Some(text) = reader.text(item, &field, EXPECTED) else { continue };
        match text.parse::<HostPattern>() {
            Ok(host) => hosts.push(host),
            Err(bad) => reader.expected(item, &field, bad.to_string()),
        }
    }
    hosts
}

fn databases(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    field: &str,
    protocol: Option<Protocol>,
) -> Vec<u32> {
    const EXPECTED: &str = "database numbers such as [0]";
    if !applies(reader, object, field, "databases", protocol, &[Protocol::Redis]) {
        return Vec::new();
    }
    let items = filled(reader, object, field, "databases", EXPECTED).unwrap_or_default();
    let mut databases = Vec::new();
    for (i, item) in items.iter().enumerate() {
        match &item.value {
            Value::Int(n) if u32::try_from(*n).is_ok() => {
                databases.extend(u32::try_from(*n));
            }
            _ => reader.expected(item, &format!("{field}.databases[{i}]"), "a number from 0"),
        }
    }
    databases
}

fn separators(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    field: &str,
    protocol: Option<Protocol>,
) -> Separators {
    const EXPECTED: &str = r#"single ASCII characters such as [":", "/"], none of {}*&\ or space"#;
    if !applies(reader, object, field, "separators", protocol, &[Protocol::Redis]) {
        return Separators::default();
    }
    let items = filled(reader, object, field, "separators", EXPECTED).unwrap_or_default();
    let mut bytes = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let one = match &item.value {
            Value::Text(text) => match text.as_bytes() {
                [b] if b.is_ascii_graphic() && !br"{}*&\".contains(b) => Some(*b),
                _ => None,
            },
            _ => None,
        };
        match one {
            Some(byte) => bytes.push(byte),
            None => reader.expected(item, &format!("{field}.separators[{i}]"), EXPECTED),
        }
    }
    Separators::new(&bytes)
}

/// Whether the field is there and its protocol one that has it; says so where it is not.
fn applies(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    field: &str,
    name: &str,
    protocol: Option<Protocol>,
    of: &[Protocol],
) -> bool {
    let Some(node) = object.get(name) else { return false };
    if protocol.is_some_and(|p| of.contains(&p)) {
        return true;
    }
    let (last, before) = of.split_last().map_or(("", of), |(last, rest)| (last.as_str(), rest));
    let words = match before {
        [] => last.to_owned(),
        before => {
            let before: Vec<_> = before.iter().map(|p| p.as_str()).collect();
            format!("{} or {last}", before.join(", "))
        }
    };
    let at = reader.origin(node.referenced);
    let expected = format!("it only with protocol {words}");
    reader.error_at(at, &join(field, name), format!("the field {name:?}"), expected);
    false
}

fn entries(
    reader: &mut Reader<'_>,
    object: &Object<'_>,
    field: &str,
    name: &str,
    list: List,
    protocol: Option<Protocol>,
    separators: Separators,
) -> Vec<Entry> {
    let Some(node) = object.get(name) else { return Vec::new() };
    let field = join(field, name);
    let Some(items) = reader.list(node, &field) else { return Vec::new() };
    let Some(protocol) = protocol.filter(|p| *p != Protocol::Opaque) else {
        if !items.is_empty() {
            let at = reader.origin(node.referenced);
            let expected = "none: without a protocol, or with opaque, a rule admits connections";
            reader.error_at(at, &field, "entries", expected);
        }
        return Vec::new();
    };
    let mut entries = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let field = format!("{field}[{i}]");
        entries.extend(entry(reader, item, &field, list, protocol, separators));
    }
    entries
}

fn entry(
    reader: &mut Reader<'_>,
    node: &Node,
    field: &str,
    list: List,
    protocol: Protocol,
    separators: Separators,
) -> Option<Entry> {
    let at = reader.origin(node.referenced);
    let mut entry = Entry {
        at,
        text: String::new(),
        pattern: Pattern::Tls(crate::entry::SniPattern::None),
        upgrade: false,
        permit: Ambiguities::NONE,
        override_headers: Vec::new(),
        reason: None,
        owner: None,
        ticket: None,
        expires: None,
    };
    let op = match &node.value {
        Value::Text(_) => node,
        Value::Map(_) => options(reader, node, field, list, protocol, &mut entry)?,
        _ => {
            reader.expected(node, field, "a string, or a mapping with op");
            return None;
        }
    };
    let text = reader.text(op, &join(field, "op"), "an operation")?;
    match Pattern::read(protocol, list, text, entry.permit, separators) {
        Ok(pattern) => {
            entry.text = text.to_owned();
            entry.pattern = pattern;
            Some(entry)
        }
        Err(bad) => {
            let at = reader.origin_in(op, text, bad.at);
            reader.error_at(at, field, bad.found, bad.expected);
            None
        }
    }
}

/// Reads an entry's options; answers its `op`.
fn options<'n>(
    reader: &mut Reader<'_>,
    node: &'n Node,
    field: &str,
    list: List,
    protocol: Protocol,
    entry: &mut Entry,
) -> Option<&'n Node> {
    let known: &[&str] = match (list, protocol) {
        (List::Allow, Protocol::Http) => {
            &["op", "upgrade", "permit", "overrideHeaders", "reason", "owner", "ticket", "expires"]
        }
        (List::Allow, _) => &["op", "reason", "owner", "ticket", "expires"],
        // A denial has no exceptions and no end.
        (List::Deny, _) => &["op", "reason", "owner", "ticket"],
    };
    let object = reader.object(node, field, known, &[])?;
    let mut words = |name: &str| {
        let node = object.get(name)?;
        reader.text(node, &join(field, name), "words for people").map(str::to_owned)
    };
    (entry.reason, entry.owner, entry.ticket) = (words("reason"), words("owner"), words("ticket"));
    if let Some(node) = object.get("expires").filter(|_| known.contains(&"expires")) {
        entry.expires = reader
            .word(node, &join(field, "expires"), &["YYYY-MM-DD"], |word| word.parse::<Date>().ok());
    }
    if known.contains(&"upgrade") {
        http_options(reader, &object, field, entry);
    }
    reader.required(&object, field, "op", "the operation")
}

fn http_options(reader: &mut Reader<'_>, object: &Object<'_>, field: &str, entry: &mut Entry) {
    if let Some(node) = object.get("upgrade") {
        let websocket = |word: &str| word.eq_ignore_ascii_case("websocket").then_some(());
        let read = reader.word(node, &join(field, "upgrade"), &["websocket"], websocket);
        entry.upgrade = read.is_some();
    }
    if let Some(node) = object.get("permit") {
        let field = join(field, "permit");
        let names: Vec<_> = AMBIGUITIES.iter().map(|a| a.as_str()).collect();
        for (i, item) in reader.list(node, &field).unwrap_or_default().iter().enumerate() {
            let field = format!("{field}[{i}]");
            if let Some(kind) = reader.word(item, &field, &names, Ambiguity::from_name) {
                entry.permit.insert(kind);
            }
        }
    }
    if let Some(node) = object.get("overrideHeaders") {
        const EXPECTED: &str = "a field name such as X-HTTP-Method-Override";
        let field = join(field, "overrideHeaders");
        for (i, item) in reader.list(node, &field).unwrap_or_default().iter().enumerate() {
            let field = format!("{field}[{i}]");
            let Some(name) = reader.text(item, &field, EXPECTED) else { continue };
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                reader.expected(item, &field, EXPECTED);
                continue;
            }
            entry.override_headers.push(name.to_ascii_lowercase());
        }
    }
}

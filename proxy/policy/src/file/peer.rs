//! Peers: objects of one kind each.

use std::str::FromStr;

use ipnet::{IpNet, Ipv4Net};

use super::read::{Object, Reader, join};
use super::yaml::{Node, Value};
use crate::host::is_name;
use crate::model::Peer;

/// The kinds of peer, each with its fields; the first names it.
const KINDS: &[&[&str]] = &[
    &["any"],
    &["cidr", "except"],
    &["host"],
    &["workload", "kind", "namespace"],
    &["serviceAccount"],
    &["podSelector", "namespaceSelector"],
    &["node"],
];

const FORMS: &str = "one kind of peer: {any: true}, {cidr, except}, {host}, \
    {workload, kind, namespace}, {serviceAccount}, {podSelector, namespaceSelector} or {node: true}";

/// Reads one peer.
pub(super) fn peer(reader: &mut Reader<'_>, node: &Node, field: &str) -> Option<Peer> {
    let known: Vec<&str> = KINDS.iter().flat_map(|kind| kind.iter().copied()).collect();
    let Value::Map(_) = node.value else {
        reader.expected(node, field, FORMS);
        return None;
    };
    let object = reader.object(node, field, &known, &[])?;
    let kind = KINDS.iter().find(|kind| object.names().all(|name| kind.contains(&name)));
    let Some(kind) = kind.filter(|kind| object.names().next().is_some_and(|n| kind.contains(&n)))
    else {
        // A field that no kind has is reported already.
        if object.names().all(|name| known.contains(&name)) {
            let at = reader.origin(node.referenced);
            let names: Vec<_> = object.names().collect();
            reader.error_at(at, field, format!("{{{}}}", names.join(", ")), FORMS);
        }
        return None;
    };
    match kind[0] {
        "any" => only_true(reader, &object, field, "any").map(|()| Peer::Any),
        "cidr" => cidr(reader, &object, field),
        "host" => host(reader, &object, field),
        kind => {
            if kind == "node" {
                only_true(reader, &object, field, "node")?;
            }
            let words = cluster_peer(reader, &object, field)?;
            let at = reader.origin(node.referenced);
            reader.warn(
                at,
                field,
                format!("{words} is known in a cluster only: matches nothing here"),
            );
            Some(Peer::Cluster(words))
        }
    }
}

fn only_true(reader: &mut Reader<'_>, object: &Object<'_>, field: &str, name: &str) -> Option<()> {
    let node = reader.required(object, field, name, "true")?;
    if !matches!(node.value, Value::Bool(true)) {
        reader.expected(node, &join(field, name), "true");
        return None;
    }
    Some(())
}

fn cidr(reader: &mut Reader<'_>, object: &Object<'_>, field: &str) -> Option<Peer> {
    let node = reader.required(object, field, "cidr", "a prefix such as 10.0.0.0/8")?;
    let net = prefix(reader, node, &join(field, "cidr"))?;
    let mut except = Vec::new();
    if let Some(list) = object.get("except") {
        let field = join(field, "except");
        for (i, item) in reader.list(list, &field)?.iter().enumerate() {
            let field = format!("{field}[{i}]");
            let hole = prefix(reader, item, &field)?;
            if !net.contains(&hole) {
                reader.expected(item, &field, format!("a prefix within {net}"));
                return None;
            }
            except.push(hole);
        }
    }
    Some(Peer::Cidr { net, except })
}

/// A prefix whose host bits are zero; a mapped IPv4 one is the IPv4 one.
fn prefix(reader: &mut Reader<'_>, node: &Node, field: &str) -> Option<IpNet> {
    const EXPECTED: &str = "an address prefix such as 10.0.0.0/8 or 2001:db8::/32";
    let text = reader.text(node, field, EXPECTED)?;
    let Ok(net) = IpNet::from_str(text) else {
        let expected = match text.parse::<std::net::IpAddr>() {
            Ok(addr) => format!("\"{}\"", IpNet::from(addr)),
            Err(_) => EXPECTED.to_owned(),
        };
        reader.expected(node, field, expected);
        return None;
    };
    if net.trunc() != net {
        let expected = format!("\"{}\" (no bits behind the prefix)", net.trunc());
        reader.expected(node, field, expected);
        return None;
    }
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(len) = v6.prefix_len().checked_sub(96)
        && let Ok(v4) = Ipv4Net::new(v4, len)
    {
        return Some(v4.into());
    }
    Some(net)
}

fn host(reader: &mut Reader<'_>, object: &Object<'_>, field: &str) -> Option<Peer> {
    const EXPECTED: &str = "a name to resolve, such as redis.shop.svc";
    let field = join(field, "host");
    let node = object.get("host")?;
    let text = reader.text(node, &field, EXPECTED)?;
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let last = name.rsplit('.').next().unwrap_or_default();
    if !is_name(&name) || last.bytes().all(|b| b.is_ascii_digit()) {
        reader.expected(node, &field, EXPECTED);
        return None;
    }
    Some(Peer::Host(name))
}

/// A peer of the cluster in words: its fields as they stand.
fn cluster_peer(reader: &mut Reader<'_>, object: &Object<'_>, field: &str) -> Option<String> {
    let mut words = Vec::new();
    for name in object.names() {
        let Some(node) = object.get(name) else { continue };
        match &node.value {
            Value::Text(text) => words.push(format!("{name}: {text}")),
            Value::Bool(true) if name == "node" => words.push("node".to_owned()),
            Value::Map(_) if name.ends_with("Selector") => {
                let known = &["matchLabels", "matchExpressions"];
                reader.object(node, &join(field, name), known, &[])?;
                words.push(format!("{name} at line {}", node.referenced.line()));
            }
            _ => {
                let expected =
                    if name.ends_with("Selector") { "a label selector" } else { "a name" };
                reader.expected(node, &join(field, name), expected);
                return None;
            }
        }
    }
    Some(words.join(", "))
}

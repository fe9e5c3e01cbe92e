//! Profiles as YAML (`kind: TrafficProfile`): a form that a program writes and reads, and that a
//! person can follow. The trees are lists of leaves and positions, each with the place `at` which
//! it is: `GET /carts/{int}`, where `{new}` stands for every word that is not named.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Profile;
use super::compact::{Counts, Text};
use super::counter::{Counter, WriterId};
use super::hours::Hours;
use super::key::{class, separator};
use super::peers::{Peers, Width};
use super::rule::{Databases, Port, PortKey, Rule};
use super::sketch::{Hidden, PeerSet, Values};
use super::tree::{DEPTH, Leaf, Position};
use crate::op::{Protocol, Side};

/// As large as a profile may be to be read, in bytes. One that is written stays far below it.
pub const PROFILE_BYTES: usize = 64 << 20;

const API_VERSION: &str = "weir.dev/v1alpha1";
const KIND: &str = "TrafficProfile";
/// Stands for every word that is not named.
pub(super) const NEW: &str = "{new}";

/// Why a text is no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {message}")]
pub struct BadProfile {
    /// The file's name.
    pub file: String,
    /// From 1.
    pub line: u64,
    /// From 1.
    pub column: u64,
    /// What is wrong there.
    pub message: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Document {
    api_version: String,
    kind: String,
    spec: Spec,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    /// Which key the hashes are made with.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    key: String,
    /// Who has counted: counts are `writer:count`, the writer by its place in this list.
    #[serde(default)]
    writers: Vec<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    forgotten_writers: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    dropped_ports: bool,
    #[serde(default)]
    ports: Vec<PortText>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct PortText {
    side: Side,
    port: u16,
    protocol: Protocol,
    #[serde(default, skip_serializing_if = "is_false")]
    saturated: bool,
    #[serde(default)]
    rules: Vec<RuleText>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct RuleText {
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<IpAddr>,
    peers: Vec<IpNet>,
    #[serde(skip_serializing_if = "String::is_empty")]
    peers_joined: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    outside: Vec<IpNet>,
    #[serde(skip_serializing_if = "String::is_empty")]
    outside_joined: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    databases: Vec<u32>,
    #[serde(skip_serializing_if = "is_false")]
    any_database: bool,
    #[serde(skip_serializing_if = "Text::is_empty")]
    hours: Text<Hours>,
    #[serde(skip_serializing_if = "Text::is_empty")]
    cut: Text<Counts>,
    shapes: Vec<ShapeText>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    positions: Vec<PositionText>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct ShapeText {
    at: String,
    #[serde(skip_serializing_if = "Text::is_empty")]
    accepted: Text<Counts>,
    #[serde(skip_serializing_if = "Text::is_empty")]
    rejected: Text<Counts>,
    #[serde(skip_serializing_if = "Text::is_empty")]
    outside: Text<Counts>,
    #[serde(skip_serializing_if = "Text::is_empty")]
    moved: Text<Counts>,
    first: u64,
    last: u64,
    #[serde(skip_serializing_if = "Text::is_empty")]
    hours: Text<Hours>,
    #[serde(skip_serializing_if = "Text::is_empty")]
    peers: Text<PeerSet>,
    #[serde(skip_serializing_if = "Text::is_empty")]
    tried: Text<PeerSet>,
    #[serde(skip_serializing_if = "Text::is_empty")]
    hidden: Text<Hidden>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
struct PositionText {
    at: String,
    #[serde(skip_serializing_if = "is_false")]
    saturated: bool,
    #[serde(skip_serializing_if = "Text::is_empty")]
    values: Text<Values>,
    #[serde(skip_serializing_if = "Text::is_empty")]
    hidden: Text<Hidden>,
}

// serde hands a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !value
}

/// A profile on its way to the file or from it: counts name writers by their places.
struct Writers(Vec<WriterId>);

impl Writers {
    fn write(&self, counter: &Counter) -> Text<Counts> {
        let place = |writer: &WriterId| self.0.binary_search(writer).ok();
        let counts = counter.each().iter().filter_map(|(writer, n)| Some((place(writer)?, *n)));
        Text(Counts(counts.collect()))
    }

    fn read(&self, counts: &Text<Counts>) -> Result<Counter, String> {
        let mut counter = Counter::default();
        for (place, count) in &counts.0.0 {
            let writer = self.0.get(*place).ok_or_else(|| {
                format!("a count names writer {place}, and there are {}", self.0.len())
            })?;
            counter.raise(*writer, *count);
        }
        Ok(counter)
    }
}

impl Profile {
    /// The profile as a YAML document.
    pub fn to_yaml(&self) -> String {
        let writers = Writers(self.writers.iter().copied().collect());
        let ports = self.ports.iter().map(|(key, port)| PortText {
            side: key.side,
            port: key.port,
            protocol: key.protocol,
            saturated: port.saturated,
            rules: port
                .rules()
                .map(|(server, rule)| write_rule(key.protocol, server, rule, &writers))
                .collect(),
        });
        let document = Document {
            api_version: API_VERSION.to_owned(),
            kind: KIND.to_owned(),
            spec: Spec {
                key: if self.key_id == 0 { String::new() } else { format!("{:x}", self.key_id) },
                writers: self.writers.iter().map(ToString::to_string).collect(),
                forgotten_writers: self.forgotten,
                dropped_ports: self.dropped_ports,
                ports: ports.collect(),
            },
        };
        // Plain structs of texts and numbers: there is nothing that could fail.
        serde_saphyr::to_string(&document).unwrap_or_default()
    }

    /// Reads a profile; `file` is for errors.
    ///
    /// # Errors
    /// Where the text is no profile, and why.
    pub fn from_yaml(file: &str, text: &str) -> Result<Self, BadProfile> {
        let bad =
            |(line, column), message| BadProfile { file: file.to_owned(), line, column, message };
        if text.len() > PROFILE_BYTES {
            return Err(bad((1, 1), format!("a profile has at most {PROFILE_BYTES} bytes")));
        }
        let options = serde_saphyr::options! {
            with_snippet: false,
            budget: serde_saphyr::budget! {
                max_events: 20_000_000,
                max_nodes: 10_000_000,
                max_total_scalar_bytes: PROFILE_BYTES,
                max_reader_input_bytes: Some(PROFILE_BYTES),
                max_anchors: 0,
                max_aliases: 0,
            },
        };
        let document: Document =
            serde_saphyr::from_str_with_options(text, options).map_err(|error| {
                let place = error.location().map_or((1, 1), |at| (at.line(), at.column()));
                let words = error.without_snippet().to_string();
                let words = words.split(" at line ").next().unwrap_or_default();
                bad(place, words.lines().next().unwrap_or_default().to_owned())
            })?;
        if document.api_version != API_VERSION || document.kind != KIND {
            let found = format!("{} {}", document.api_version, document.kind);
            return Err(bad((1, 1), format!("found {found:?}, expected {API_VERSION} {KIND}")));
        }
        read_spec(document.spec).map_err(|message| bad((1, 1), message))
    }
}

fn write_rule(
    protocol: Protocol,
    server: Option<IpAddr>,
    rule: &Rule,
    writers: &Writers,
) -> RuleText {
    let mut text = RuleText {
        server,
        peers: rule.peers.nets().iter().copied().collect(),
        peers_joined: joined(&rule.peers),
        outside: rule.outside.nets().iter().copied().collect(),
        outside_joined: joined(&rule.outside),
        databases: rule.databases.numbers.iter().copied().collect(),
        any_database: rule.databases.any,
        hours: Text(rule.hours.clone()),
        cut: writers.write(&rule.cut),
        ..RuleText::default()
    };
    write_position(protocol, &rule.roots, &mut Vec::new(), writers, &mut text);
    text
}

/// To what peers were joined; empty where they are addresses.
fn joined(peers: &Peers) -> String {
    match peers.width() {
        Width::Address => String::new(),
        width => width.as_str().to_owned(),
    }
}

fn write_position(
    protocol: Protocol,
    position: &Position,
    path: &mut Vec<String>,
    writers: &Writers,
    out: &mut RuleText,
) {
    if position.saturated || !position.values.0.is_empty() || !position.hidden.0.is_empty() {
        out.positions.push(PositionText {
            at: place(protocol, path),
            saturated: position.saturated,
            values: Text(position.values.clone()),
            hidden: Text(position.hidden.clone()),
        });
    }
    let words = position.words.iter().map(|(word, node)| (word.to_string(), node));
    let classes = position.classes.iter().map(|(class, node)| (class.to_string(), node));
    let other = position.other.as_deref().map(|node| (NEW.to_owned(), node));
    for (part, node) in words.chain(classes).chain(other) {
        path.push(part);
        if let Some(leaf) = &node.leaf {
            out.shapes.push(write_leaf(place(protocol, path), leaf, writers));
        }
        write_position(protocol, &node.next, path, writers, out);
        path.pop();
    }
}

fn write_leaf(at: String, leaf: &Leaf, writers: &Writers) -> ShapeText {
    ShapeText {
        at,
        accepted: writers.write(&leaf.accepted),
        rejected: writers.write(&leaf.rejected),
        outside: writers.write(&leaf.outside),
        moved: writers.write(&leaf.moved),
        first: leaf.first,
        last: leaf.last,
        hours: Text(leaf.hours.clone()),
        peers: Text(leaf.peers.clone()),
        tried: Text(leaf.tried.clone()),
        hidden: Text(leaf.hidden.clone()),
    }
}

/// Where a path of parts is, as a key writes it.
pub(super) fn place(protocol: Protocol, path: &[String]) -> String {
    let Some((root, rest)) = path.split_first() else { return String::new() };
    if rest.is_empty() {
        return root.clone();
    }
    if protocol == Protocol::Grpc {
        return path.join("/");
    }
    let separator = separator(protocol).to_string();
    let slash = if protocol == Protocol::Http { "/" } else { "" };
    format!("{root} {slash}{}", rest.join(&separator))
}

fn read_spec(spec: Spec) -> Result<Profile, String> {
    let mut profile = Profile {
        forgotten: spec.forgotten_writers,
        dropped_ports: spec.dropped_ports,
        ..Profile::default()
    };
    if !spec.key.is_empty() {
        profile.key_id = u64::from_str_radix(&spec.key, 16)
            .map_err(|_| format!("spec.key: found {:?}, expected a hash in hex", spec.key))?;
    }
    let writers = spec.writers.iter().map(|writer| {
        writer.parse().map_err(|expected| format!("spec.writers: found {writer:?}: {expected}"))
    });
    let writers = Writers(writers.collect::<Result<_, _>>()?);
    if !writers.0.is_sorted() {
        return Err("spec.writers: expected them in order, the oldest first".to_owned());
    }
    profile.writers = writers.0.iter().copied().collect();
    for text in spec.ports {
        let key = PortKey { side: text.side, port: text.port, protocol: text.protocol };
        let mut port = Port { saturated: text.saturated, ..Port::default() };
        for rule in text.rules {
            let server = rule.server.map(|server| server.to_canonical());
            let rule = read_rule(text.protocol, rule, &writers)
                .map_err(|why| format!("the rules of {} port {}: {why}", text.side, text.port))?;
            match server {
                Some(server) => port.servers.entry(server).or_default().join(&rule),
                None => port.other.get_or_insert_default().join(&rule),
            }
        }
        profile.ports.entry(key).or_default().join(&port);
    }
    profile.fit();
    Ok(profile)
}

fn read_rule(protocol: Protocol, text: RuleText, writers: &Writers) -> Result<Rule, String> {
    let width = |name, word: &str| match word {
        "" => Ok(Width::Address),
        word => Width::from_name(word).ok_or_else(|| {
            format!("{name}: found {word:?}, expected one of {}", Width::WORDS.join(", "))
        }),
    };
    let (peers, outside) =
        (width("peersJoined", &text.peers_joined)?, width("outsideJoined", &text.outside_joined)?);
    let mut rule = Rule {
        peers: Peers::from_parts(peers, text.peers),
        outside: Peers::from_parts(outside, text.outside),
        databases: Databases { any: text.any_database, ..Databases::default() },
        hours: text.hours.0,
        cut: writers.read(&text.cut)?,
        ..Rule::default()
    };
    text.databases.into_iter().for_each(|database| rule.databases.insert(database));
    for shape in text.shapes {
        let leaf = read_leaf(&shape, writers).map_err(|why| format!("{:?}: {why}", shape.at))?;
        let (parts, last) = match parts_of(protocol, &shape.at)?.as_slice() {
            [] => return Err("a shape has no `at`".to_owned()),
            [parts @ .., last] => (parts.to_vec(), *last),
        };
        let node = reach(&mut rule.roots, &parts).node(last, parts.is_empty());
        node.leaf.get_or_insert_with(|| leaf.clone()).join(&leaf);
    }
    for text in text.positions {
        let position = reach(&mut rule.roots, &parts_of(protocol, &text.at)?);
        position.saturated |= text.saturated;
        position.values.join(&text.values.0);
        position.hidden.join(&text.hidden.0);
        position.fit();
    }
    // Whatever was above a bound in the file is not any more.
    let mut fitting = Rule::default();
    fitting.join(&rule);
    Ok(fitting)
}

fn read_leaf(text: &ShapeText, writers: &Writers) -> Result<Leaf, String> {
    Ok(Leaf {
        accepted: writers.read(&text.accepted)?,
        rejected: writers.read(&text.rejected)?,
        outside: writers.read(&text.outside)?,
        moved: writers.read(&text.moved)?,
        first: text.first,
        last: text.last.max(text.first),
        hours: text.hours.0.clone(),
        peers: text.peers.0.clone(),
        tried: text.tried.0.clone(),
        hidden: text.hidden.0.clone(),
    })
}

/// A place cut into its parts.
fn parts_of(protocol: Protocol, at: &str) -> Result<Vec<&str>, String> {
    if protocol == Protocol::Grpc && !at.is_empty() {
        let parts: Vec<&str> = at.split('/').collect();
        let is_call = parts.len() <= 2;
        return is_call
            .then_some(parts)
            .ok_or_else(|| format!("found {at:?}, expected SERVICE/METHOD"));
    }
    let Some((root, rest)) = at.split_once(' ') else {
        return Ok(if at.is_empty() { Vec::new() } else { vec![at] });
    };
    let rest = match protocol {
        Protocol::Http => rest
            .strip_prefix('/')
            .or_else(|| root.contains(',').then_some(rest))
            .ok_or_else(|| format!("found {at:?}, expected a `/` behind the method"))?,
        _ => rest,
    };
    let parts: Vec<&str> = std::iter::once(root).chain(rest.split(separator(protocol))).collect();
    if parts.len() > DEPTH {
        return Err(format!("found {at:?}, expected at most {DEPTH} parts"));
    }
    Ok(parts)
}

/// The position behind these parts, made where it is not there.
fn reach<'a>(position: &'a mut Position, parts: &[&str]) -> &'a mut Position {
    let mut position = position;
    for (i, part) in parts.iter().enumerate() {
        position = &mut position.node(part, i == 0).next;
    }
    position
}

impl Position {
    /// The node of a part, made where it is not there.
    fn node(&mut self, part: &str, root: bool) -> &mut super::tree::Node {
        match class(part).filter(|_| !root) {
            Some(class) => self.classes.entry(class).or_default(),
            None if part == NEW => self.other.get_or_insert_default(),
            None => self.words.entry(part.into()).or_default(),
        }
    }
}

//! From a profile to what a policy should say.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

use super::Profile;
use super::general::{Part, Shape, shapes};
use super::key::{BETWEEN, separator};
use super::rule::{Port, PortKey, Rule};
use super::standing::{Criteria, Judged, Standing, judged};
use super::statistics::of_rule;
use crate::entry::{List, Pattern};
use crate::learned::{Evidence, Learned, LearnedEntry, LearnedRule, Operations};
use crate::op::{Protocol, Side};
use crate::pattern::Separators;

/// As many prefixes as a rule names.
const PREFIXES: usize = 16;
/// As many shapes that cannot be entries as a rule's notes show.
const LEFT_OUT_SHOWN: usize = 5;

impl Profile {
    /// The policy that the profile would make, with the evidence for each entry, and what it
    /// leaves to a person.
    pub fn learned(&self, criteria: &Criteria) -> Learned {
        let mut rules: Vec<LearnedRule> = Vec::new();
        for (key, port) in &self.ports {
            rules.extend(of_port(*key, port, self.forgotten, criteria));
        }
        calls_as_requests(&mut rules);
        one_protocol_a_port(&mut rules);
        Learned { rules }
    }
}

/// The rules of a port: one for all clients inbound; outbound one for each set of servers that
/// are asked the same.
fn of_port(key: PortKey, port: &Port, at_least: bool, criteria: &Criteria) -> Vec<LearnedRule> {
    let mut rules: Vec<LearnedRule> = Vec::new();
    for (server, rule) in port.rules() {
        let new = of_one(key, server, rule, at_least, criteria);
        let same = rules.iter_mut().find(|rule| {
            let both = || rule.entries.iter().zip(&new.entries);
            server.is_some()
                && !rule.peers.is_empty()
                && rule.entries.len() == new.entries.len()
                && both().all(|(mine, its)| is_same(mine, its))
                && rule.databases == new.databases
        });
        match same {
            Some(rule) => take_in(rule, new),
            None => rules.push(new),
        }
    }
    rules
}

/// Whether two entries allow the same.
fn is_same(one: &LearnedEntry, other: &LearnedEntry) -> bool {
    one.op == other.op
        && one.upgrade == other.upgrade
        && one.permit == other.permit
        && one.override_headers == other.override_headers
}

/// Another server that is asked the same.
fn take_in(rule: &mut LearnedRule, other: LearnedRule) {
    rule.peers = IpNet::aggregate(&[rule.peers.as_slice(), &other.peers].concat());
    for (mine, its) in rule.entries.iter_mut().zip(other.entries) {
        mine.evidence.join(&its.evidence);
    }
    for (entry, why) in other.left {
        match rule.left.iter_mut().find(|(mine, _)| is_same(mine, &entry)) {
            Some((mine, _)) => mine.evidence.join(&entry.evidence),
            None => rule.left.push((entry, why)),
        }
    }
    rule.notes.extend(other.notes);
}

impl Evidence {
    fn join(&mut self, other: &Self) {
        self.operations = self.operations.saturating_add(other.operations);
        self.at_least |= other.at_least;
        self.peers = (self.peers + other.peers).min(crate::learned::PEERS);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }
}

fn of_one(
    key: PortKey,
    server: Option<IpAddr>,
    rule: &Rule,
    at_least: bool,
    criteria: &Criteria,
) -> LearnedRule {
    let judged = judged(key.protocol, shapes(key.protocol, rule, criteria), &rule.hours, criteria);
    let statistics = of_rule(rule, key.protocol, &judged);
    let mut notes: Vec<String> = Vec::new();
    if let Some(server) = server {
        notes.push(format!("{server}:"));
    }
    notes.extend(statistics.lines());
    notes.extend(notes_of_left_out(key.protocol, &judged));
    let cut = rule.cut.total();
    if cut > 0 {
        notes.push(format!("{} had no shape that could be learned", Operations(cut)));
    }
    // Where nothing was accepted, all is left to a person, who may take it for those that tried.
    let known = if rule.peers.is_empty() { &rule.outside } else { &rule.peers };
    let mut peers = known.prefixes(PREFIXES).unwrap_or_default();
    if peers.is_empty() && known.is_empty() {
        notes.push("peers: nobody had an operation of a shape with a name accepted".to_owned());
    } else if peers.is_empty() {
        notes.push("peers: too many to join them to prefixes of /16 (/48): choose them".to_owned());
    }
    if let (Protocol::Opaque, Some((_, Standing::Left(why) | Standing::Unsayable(why)))) =
        (key.protocol, judged.first())
    {
        notes.push(format!("left to a person: {why}"));
        peers.clear();
    }
    let (mut entries, mut left) = (Vec::new(), Vec::new());
    // Opaque connections have no operations.
    for (shape, standing) in judged.iter().filter(|_| key.protocol != Protocol::Opaque) {
        let entry = || entry(shape, entry_text(key.protocol, shape), at_least);
        match standing {
            Standing::Believed => entries.push(entry()),
            Standing::Left(why) => left.push((entry(), why.clone())),
            Standing::Unsayable(_) => {}
        }
    }
    entries.sort();
    left.sort();
    if rule.databases.any {
        notes.push("more databases than are told apart: any is allowed".to_owned());
    }
    let databases = rule.databases.numbers.iter().copied().collect();
    LearnedRule {
        side: key.side,
        peers,
        port: key.port,
        protocol: key.protocol,
        databases,
        notes,
        entries,
        left,
    }
}

/// Shapes that cannot be entries: what a reader may know of them.
fn notes_of_left_out(protocol: Protocol, judged: &[Judged]) -> Vec<String> {
    let mut left_out: Vec<(u64, String, String)> = judged
        .iter()
        .filter(|(shape, _)| shape.leaf.operations() > 0)
        .filter_map(|(shape, standing)| match standing {
            Standing::Unsayable(why) => {
                Some((shape.leaf.operations(), entry_text(protocol, shape), why.clone()))
            }
            _ => None,
        })
        .collect();
    left_out.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.cmp(b)));
    let more = left_out.len().saturating_sub(LEFT_OUT_SHOWN);
    let mut notes: Vec<String> = left_out
        .into_iter()
        .take(LEFT_OUT_SHOWN)
        .map(|(n, text, why)| format!("left out: {text} ({}): {why}", Operations(n)))
        .collect();
    if more > 0 {
        notes.push(format!("left out: {more} more such shapes"));
    }
    notes
}

/// Why no entry can say what the shape is, if none can.
pub(super) fn no_entry(protocol: Protocol, shape: &Shape) -> Option<String> {
    if shape.is_hidden() {
        return Some("words seen too seldom".to_owned());
    }
    let mut upgrades = options(shape.root()).filter_map(|option| option.strip_prefix("upgrade="));
    if let Some(token) = upgrades.find(|token| *token != "websocket") {
        return Some(format!("no entry can permit an upgrade to {token}"));
    }
    let text = entry_text(protocol, shape);
    let permit = entry(shape, String::new(), false).ambiguities();
    let says = match Pattern::read(protocol, List::Allow, &text, permit, Separators::default()) {
        // An empty key is none to an entry.
        Ok(Pattern::Redis(pattern)) => {
            let patterns = pattern.keys.len() + pattern.channels.len();
            let is_unknown = options(shape.root()).any(|option| option == "unknown");
            let between = Part::Word(BETWEEN.into());
            let more = shape.parts.iter().filter(|part| **part == between).count();
            patterns == usize::from(shape.parts.len() > 1 || is_unknown) + more
        }
        Ok(_) => true,
        Err(_) => protocol == Protocol::Opaque,
    };
    (!says).then(|| "no entry can say this".to_owned())
}

fn options(root: &str) -> impl Iterator<Item = &str> {
    root.split(',').skip(1)
}

fn entry(shape: &Shape, op: String, at_least: bool) -> LearnedEntry {
    let value = |name: &'static str| {
        options(shape.root()).filter_map(move |option| option.strip_prefix(name))
    };
    let kinds = value("permit=").filter_map(crate::path::Ambiguity::from_name);
    let leaf = &shape.leaf;
    let accepted = leaf.accepted.total();
    let peers = if accepted > 0 { &leaf.peers } else { &leaf.tried };
    LearnedEntry {
        op,
        upgrade: value("upgrade=").any(|token| token == "websocket"),
        permit: kinds.map(crate::path::Ambiguity::as_str).collect(),
        override_headers: value("override=").map(str::to_owned).collect(),
        evidence: Evidence {
            operations: if accepted > 0 { accepted } else { leaf.operations() },
            at_least,
            peers: peers.len(),
            first: leaf.first,
            last: leaf.last,
            steps: shape.steps.clone(),
        },
    }
}

/// The method or command of a root, with the script or function that it runs.
fn command(root: &str) -> String {
    let mut text = root.split(',').next().unwrap_or(root).to_owned();
    for option in options(root) {
        if option.starts_with("sha1:") {
            text = format!("{text} {option}");
        } else if let Some(function) = option.strip_prefix("function:") {
            text = format!("{text} {function}");
        }
    }
    text
}

/// A shape as an entry of a policy; `{new}` for hidden words.
fn entry_text(protocol: Protocol, shape: &Shape) -> String {
    let root = shape.root();
    let command = command(root);
    let has = |name| options(root).any(|option| option == name);
    if has("unknown") || has("asterisk") {
        return format!("{command} *");
    }
    if shape.parts.len() == 1 {
        return command;
    }
    let separator = separator(protocol).to_string();
    let mark = if has("channel") { "&" } else { "" };
    // The patterns of a command that has several.
    let between = format!("{separator}{BETWEEN}{separator}");
    let path = shape.path(&separator).replace(&between, &format!(" {mark}"));
    match protocol {
        Protocol::Http if has("authority") => format!("{command} {path}"),
        Protocol::Http => format!("{command} /{path}"),
        Protocol::Grpc => format!("{command}/{path}"),
        _ => format!("{command} {mark}{path}"),
    }
}

/// The key that operations of this shape have, where nothing in it is variable.
pub(super) fn key_text(protocol: Protocol, shape: &Shape) -> String {
    match shape.root().contains(',') {
        true => shape.root().to_owned(),
        false => entry_text(protocol, shape),
    }
}

/// A port with HTTP requests and gRPC calls has rules of protocol `http`, to which a call is a
/// request like any other.
fn calls_as_requests(rules: &mut [LearnedRule]) {
    let stands = |rule: &&LearnedRule, protocol| {
        rule.protocol == protocol && !rule.entries.is_empty() && !rule.peers.is_empty()
    };
    let http = rules.iter().filter(|rule| stands(rule, Protocol::Http));
    let http: BTreeSet<(bool, u16)> = http.map(place).collect();
    for rule in rules.iter_mut() {
        if stands(&&*rule, Protocol::Grpc) && http.contains(&place(rule)) {
            rule.write_as_http();
            rule.notes.push("gRPC calls, on a port that has other requests too".to_owned());
        }
    }
}

/// A side and port, in order.
fn place(rule: &LearnedRule) -> (bool, u16) {
    (rule.side == Side::Outbound, rule.port)
}

/// Whether a parser read it, entries, and their operations.
type Weight = (bool, usize, u64);

/// A port has one protocol in a policy: the one with the most operations. The others are left to
/// a person.
fn one_protocol_a_port(rules: &mut [LearnedRule]) {
    let weight = |rule: &LearnedRule| -> Weight {
        let entries = rule.entries.iter().map(|entry| entry.evidence.operations);
        // Whatever a parser could read counts for more than what none could.
        let is_read = rule.protocol != Protocol::Opaque;
        (is_read, rule.entries.len(), entries.fold(0, u64::saturating_add))
    };
    let mut best: BTreeMap<(bool, u16), (Protocol, Weight)> = BTreeMap::new();
    for rule in &*rules {
        let mine = (rule.protocol, weight(rule));
        let kept = best.entry(place(rule)).or_insert(mine);
        if mine.1 > kept.1 {
            *kept = mine;
        }
    }
    for rule in rules {
        let Some((protocol, _)) = best.get(&place(rule)) else { continue };
        if *protocol != rule.protocol {
            rule.peers.clear();
            rule.notes.push(format!(
                "the port speaks {protocol} for the most part, and a port has one protocol: decide"
            ));
        }
    }
}

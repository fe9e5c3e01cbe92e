//! Which rules of a file an addition falls under, and which it cannot stand beside.

use super::{EditError, admits_connections};
use crate::cover::entry_covers;
use crate::entry::{Entry, List, Pattern};
use crate::error::{Error, Errors, Origin};
use crate::learned::{LearnedEntry, LearnedRule};
use crate::model::{Addresses, Peer, Rule, TrafficPolicy};
use crate::op::Protocol;
use crate::pattern::Separators;
use crate::peers::ranges;

/// The additions, with gRPC calls as requests where the port has a rule of protocol `http`.
pub(super) fn as_the_port_has_it(
    policies: &[TrafficPolicy],
    additions: &[LearnedRule],
) -> Vec<LearnedRule> {
    let mut additions = additions.to_vec();
    for new in additions.iter_mut().filter(|new| new.protocol == Protocol::Grpc) {
        let mut rules = policies.iter().flat_map(|p| p.rules(new.side).unwrap_or_default());
        if rules.any(|rule| of_port(rule, new.port) && rule.protocol == Some(Protocol::Http)) {
            new.write_as_http();
        }
    }
    additions
}

fn of_port(rule: &Rule, port: u16) -> bool {
    rule.ports.iter().any(|range| range.contains(&port))
}

/// Refuses additions that conflict with a rule of the file, or with each other.
pub(super) fn check(
    policies: &[TrafficPolicy],
    index: usize,
    additions: &[LearnedRule],
) -> Result<(), EditError> {
    let mut errors = Vec::new();
    for (i, new) in additions.iter().enumerate().filter(|(_, new)| adds(new)) {
        let rules = policies.iter().flat_map(|policy| policy.rules(new.side).unwrap_or_default());
        let on_port = rules.filter(|rule| of_port(rule, new.port));
        let others = on_port.filter(|rule| rule.protocol != Some(new.protocol));
        errors.extend(others.map(|rule| with_rule(rule, new)));
        let rest = additions.iter().skip(i + 1).filter(|other| adds(other));
        let on_port = rest.filter(|other| other.side == new.side && other.port == new.port);
        let others = on_port.filter(|other| other.protocol != new.protocol);
        errors.extend(others.map(|other| with_each_other(&policies[index], new, other)));
    }
    errors.sort();
    errors.dedup();
    if errors.is_empty() { Ok(()) } else { Err(EditError::Conflict(Errors(errors))) }
}

fn with_rule(rule: &Rule, new: &LearnedRule) -> Error {
    let advice = match rule.protocol {
        Some(_) => {
            "all rules on a port have one protocol: change the rule's ports or protocol, or leave \
             these additions out"
        }
        None => {
            "it admits whatever is spoken there: give it the protocol, or leave these additions out"
        }
    };
    Error {
        at: rule.at.clone(),
        field: rule.field.clone(),
        found: format!("{} on port {}", protocol(rule.protocol), new.port),
        expected: format!("protocol {}, of which are the additions; {advice}", new.protocol),
    }
}

fn with_each_other(policy: &TrafficPolicy, new: &LearnedRule, other: &LearnedRule) -> Error {
    let (a, b) = (new.protocol, other.protocol);
    Error {
        at: policy.at.clone(),
        field: format!("spec.{}", new.side),
        found: format!("additions of protocol {a} and of protocol {b} on port {}", new.port),
        expected: "one protocol on a port: leave one of them out".to_owned(),
    }
}

fn adds(rule: &LearnedRule) -> bool {
    admits_connections(rule) || !rule.entries.is_empty()
}

fn protocol(protocol: Option<Protocol>) -> String {
    match protocol {
        Some(protocol) => format!("protocol {protocol}"),
        None => "no protocol".to_owned(),
    }
}

/// Whether the rule holds for all that the addition is about.
pub(super) fn covers(rule: &Rule, new: &LearnedRule) -> bool {
    rule.protocol == Some(new.protocol)
        && rule.ports.iter().any(|range| range.contains(&new.port))
        && rule.hosts.is_empty()
        && rule.separators == Separators::default()
        && (rule.databases.is_empty()
            || !new.databases.is_empty()
                && new.databases.iter().all(|d| rule.databases.contains(d)))
        && peers_cover(&rule.peers, new)
}

/// Whether the rule is for just the peers of the addition.
pub(super) fn same_peers(rule: &Rule, new: &LearnedRule) -> bool {
    merged(&rule.peers) == merged(&peers(new))
}

fn peers_cover(wide: &[Peer], new: &LearnedRule) -> bool {
    let wide = merged(wide);
    merged(&peers(new))
        .iter()
        .all(|(from, to)| wide.iter().any(|(start, end)| start <= from && to <= end))
}

/// The peers of an addition; too many to tell are all.
fn peers(new: &LearnedRule) -> Vec<Peer> {
    if new.peers.is_empty() {
        return vec![Peer::Any];
    }
    new.peers.iter().map(|net| Peer::Cidr { net: *net, except: Vec::new() }).collect()
}

/// The addresses of peers, as ranges in order that do not touch. Names stand for none.
fn merged(peers: &[Peer]) -> Vec<(u128, u128)> {
    let mut all = ranges(peers, &Addresses::default());
    all.sort_unstable();
    let mut out: Vec<(u128, u128)> = Vec::new();
    for (from, to) in all {
        match out.last_mut() {
            Some((_, end)) if from <= end.saturating_add(1) => *end = to.max(*end),
            _ => out.push((from, to)),
        }
    }
    out
}

/// How much more than the addition a rule is for: the least is the best place.
pub(super) fn breadth(rule: &Rule, new: &LearnedRule) -> (bool, u128, usize, usize) {
    let addresses =
        merged(&rule.peers).iter().fold(0u128, |n, (from, to)| n.saturating_add(to - from));
    let ports = rule.ports.iter().map(ExactSizeIterator::len).sum();
    let same_databases = rule.databases.len() == new.databases.len();
    (!same_databases, addresses, ports, rule.databases.len())
}

/// Whether an entry of one of the rules covers the addition.
pub(super) fn allows(rules: &[&Rule], new: &Entry) -> bool {
    rules.iter().any(|rule| rule.allow.iter().any(|old| entry_covers(old, new)))
}

/// The addition as a policy would read it.
pub(super) fn entry(new: &LearnedEntry, protocol: Protocol) -> Result<Entry, EditError> {
    let permit = new.ambiguities();
    let pattern = Pattern::read(protocol, List::Allow, &new.op, permit, Separators::default());
    let pattern = pattern.map_err(|bad| EditError::Entry { op: new.op.clone(), protocol, bad })?;
    Ok(Entry {
        at: Origin { file: "".into(), line: 1, column: 1 },
        text: new.op.clone(),
        pattern,
        upgrade: new.upgrade,
        permit,
        override_headers: new.override_headers.iter().map(|h| h.to_ascii_lowercase()).collect(),
        reason: None,
        owner: None,
        ticket: None,
        expires: None,
    })
}

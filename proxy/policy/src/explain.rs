//! Why an operation is decided as it is, in words.

use std::fmt;
use std::ops::RangeInclusive;

use crate::compile::Snapshot;
use crate::decide::{Decision, Mode, Violation};
use crate::entry::{Entry, List};
use crate::error::Origin;
use crate::miss::{Miss, covers};
use crate::model::{Addresses, Peer, Rule, TrafficPolicy};
use crate::op::{Endpoint, Operation};
use crate::peers::{number, ranges};

/// How many entries that nearly match are shown.
const NEAREST: usize = 3;

/// A decision and how it came about.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What was decided.
    pub decision: Decision,
    /// The mode in force for the connection; none: `--mode`.
    pub mode: Option<Mode>,
    /// What was looked at, in order.
    pub steps: Vec<Step>,
    /// The decision in words.
    pub conclusion: String,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Where it stands.
    pub at: Origin,
    /// What came of it.
    pub text: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{}: {}", step.at, step.text)?;
        }
        write!(f, "{}", self.conclusion)
    }
}

/// Explains what `snapshot` says of an operation on a connection.
pub fn explain(snapshot: &Snapshot, endpoint: &Endpoint, operation: &Operation<'_>) -> Explanation {
    let admission = snapshot.admit(endpoint);
    let decision = snapshot.decide(&admission.rules, endpoint, operation);
    let mut steps = Vec::new();
    let mut near: Vec<(Miss, String, &Entry)> = Vec::new();
    for policy in snapshot.policies() {
        let Some(rules) = policy.rules(endpoint.side) else { continue };
        steps.push(governs(policy, endpoint, rules));
        for rule in rules {
            let why_not = does_not_apply(rule, endpoint, snapshot.addresses());
            let applies = why_not.is_none();
            let text = match why_not {
                Some(why) => format!("{} does not apply: {why}", rule.field),
                None => format!("{} applies: {}", rule.field, speaks(rule)),
            };
            steps.push(Step { at: rule.at.clone(), text });
            if applies {
                look_at_entries(snapshot, rule, operation, &mut steps, &mut near);
            }
        }
    }
    if matches!(decision, Decision::Violation(..)) {
        near.sort_by(|a, b| a.0.cmp(&b.0));
        for (miss, field, entry) in near.into_iter().take(NEAREST) {
            let text = format!("{field} {:?} comes near: {miss}", entry.text);
            steps.push(Step { at: entry.at.clone(), text });
        }
    }
    let conclusion = conclude(snapshot, decision, admission.mode);
    Explanation { decision, mode: admission.mode, steps, conclusion }
}

fn governs(policy: &TrafficPolicy, endpoint: &Endpoint, rules: &[Rule]) -> Step {
    let count = match rules.len() {
        0 => "no rule: it refuses all".to_owned(),
        1 => "1 rule".to_owned(),
        n => format!("{n} rules"),
    };
    let text = format!("{} governs {} with {count}", policy.full_name(), endpoint.side);
    Step { at: policy.at.clone(), text }
}

fn speaks(rule: &Rule) -> String {
    match rule.protocol {
        Some(protocol) => format!(
            "protocol {protocol}, {} allowed and {} denied entries",
            rule.allow.len(),
            rule.deny.len()
        ),
        None => "it admits any protocol as a connection".to_owned(),
    }
}

/// Why the rule does not cover the connection.
fn does_not_apply(rule: &Rule, endpoint: &Endpoint, addresses: &Addresses) -> Option<String> {
    if !rule.ports.iter().any(|ports| ports.contains(&endpoint.port)) {
        return Some(format!("port {} is not among {}", endpoint.port, list(&rule.ports, ports)));
    }
    let peer = number(endpoint.peer);
    if ranges(&rule.peers, addresses).iter().any(|(from, to)| (*from..=*to).contains(&peer)) {
        return None;
    }
    let words = list(&rule.peers, |peer| peer_in_words(peer, addresses));
    Some(format!("{} is none of {words}", endpoint.peer))
}

fn list<T>(items: &[T], word: impl Fn(&T) -> String) -> String {
    items.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn ports(range: &RangeInclusive<u16>) -> String {
    match (range.start(), range.end()) {
        (from, to) if from == to => from.to_string(),
        (from, to) => format!("{from}-{to}"),
    }
}

/// A peer for people; a name with what it resolves to.
fn peer_in_words(peer: &Peer, addresses: &Addresses) -> String {
    match peer {
        Peer::Host(name) => match addresses.get(name) {
            [] => format!("{name} (not resolved: matches nothing)"),
            found => format!("{name} ({})", list(found, ToString::to_string)),
        },
        Peer::Cluster(words) => format!("{words} (known in a cluster only)"),
        peer => peer.to_string(),
    }
}

fn look_at_entries<'a>(
    snapshot: &Snapshot,
    rule: &'a Rule,
    operation: &Operation<'_>,
    steps: &mut Vec<Step>,
    near: &mut Vec<(Miss, String, &'a Entry)>,
) {
    for (list, name, entries) in
        [(List::Deny, "deny", &rule.deny), (List::Allow, "allow", &rule.allow)]
    {
        for (index, entry) in entries.iter().enumerate() {
            let field = format!("{}.{name}[{index}]", rule.field);
            match covers(rule, list, entry, operation) {
                Ok(()) => {
                    let until = match entry.expires {
                        Some(day) if snapshot.is_expired(entry) => {
                            format!(", but expired after {day}")
                        }
                        Some(day) => format!(", until {day}"),
                        None => String::new(),
                    };
                    let text = format!("{field} {:?} matches{until}", entry.text);
                    steps.push(Step { at: entry.at.clone(), text });
                }
                Err(Miss::Other) => {}
                Err(miss) if list == List::Allow => near.push((miss, field, entry)),
                Err(_) => {}
            }
        }
    }
}

fn conclude(snapshot: &Snapshot, decision: Decision, mode: Option<Mode>) -> String {
    let named = |entry| snapshot.describe(entry).map(|d| d.to_string()).unwrap_or_default();
    match decision {
        Decision::Ungoverned => "allowed: no policy governs this side".to_owned(),
        Decision::Allowed(entry) => format!("allowed by {}", named(entry)),
        Decision::Violation(violation, entry) => {
            let verdict = match mode {
                Some(Mode::Enforce) => "refused",
                _ => "allowed in this mode, enforce would refuse it",
            };
            let by = match (violation, entry) {
                (Violation::Denied, Some(entry)) => format!(": {}", named(entry)),
                _ => String::new(),
            };
            format!("{verdict}: {violation} ({}){by}", violation.label())
        }
    }
}

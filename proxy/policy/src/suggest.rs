//! What would allow an operation that is outside the policy: the lines, and where they belong.
//!
//! An operation is written as its shape: `GET /carts/{int}`, not `GET /carts/7`. Nothing is
//! suggested that does not load, or does not allow the operation: it is tried first.

mod yaml;

#[cfg(test)]
mod tests;

use std::fmt;

use crate::compile::{Defaults, Snapshot};
use crate::decide::{Decision, Mode, Violation};
use crate::error::Origin;
use crate::miss::serves;
use crate::model::{Rule, TrafficPolicy};
use crate::op::{Endpoint, Operation, Protocol, Side};

use yaml::Line;

/// Lines that would allow an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// The policy that they belong to.
    pub policy: String,
    /// The list in it: `spec.inbound` for a rule, `spec.inbound[0].allow` for an entry.
    pub field: String,
    /// What they follow: the last entry or rule there, or else what the list belongs to.
    pub at: Origin,
    /// The YAML, items of a list.
    pub lines: Vec<String>,
    /// What one should know before.
    pub warnings: Vec<&'static str>,
}

/// Why nothing can be suggested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nothing {
    /// It is inside the policy.
    Allowed,
    /// A deny entry decides: in words, with its place.
    Denied(String),
    /// The rules of the port are for another protocol.
    Protocol(Origin),
    /// No entry can allow it.
    Impossible,
}

impl fmt::Display for Nothing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Nothing::Allowed => f.write_str("it is allowed"),
            Nothing::Denied(by) => {
                write!(f, "no allow entry helps against a deny entry: narrow {by}, or remove it")
            }
            Nothing::Protocol(at) => {
                write!(
                    f,
                    "no entry can allow it: the rules of this port are for another protocol ({at})"
                )
            }
            Nothing::Impossible => f.write_str("no entry can allow it"),
        }
    }
}

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this would allow it, in {} of {} ({}):", self.field, self.policy, self.at)?;
        for line in &self.lines {
            write!(f, "\n    {line}")?;
        }
        for warning in &self.warnings {
            write!(f, "\n  know what you do: {warning}")?;
        }
        Ok(())
    }
}

/// What would allow the operation, in an existing rule if one is for its peer, port, host and
/// database, else as a rule of its own.
///
/// # Errors
/// Why there is nothing.
pub fn suggest(
    snapshot: &Snapshot,
    endpoint: &Endpoint,
    operation: &Operation<'_>,
) -> Result<Suggestion, Nothing> {
    let admission = snapshot.admit(endpoint);
    if let (Operation::Grpc(grpc), Some(Protocol::Http)) = (operation, admission.protocol) {
        return grpc.as_http(|http| suggest(snapshot, endpoint, &Operation::Http(http.clone())));
    }
    match snapshot.decide(&admission.rules, endpoint, operation) {
        Decision::Allowed(_) | Decision::Ungoverned => return Err(Nothing::Allowed),
        Decision::Violation(Violation::Denied, entry) => {
            let by = entry.and_then(|entry| snapshot.describe(entry));
            let words = by.map(|by| format!("{by} ({})", by.at())).unwrap_or_default();
            return Err(Nothing::Denied(words));
        }
        Decision::Violation(..) => {}
    }
    let protocol = protocol(operation);
    if let Some(other) = of_other_protocol(snapshot, endpoint, protocol) {
        return Err(Nothing::Protocol(other.clone()));
    }
    let in_rules = rules(snapshot, endpoint, operation)
        .into_iter()
        .filter_map(|place| in_rule(snapshot, &place, operation));
    let whole = snapshot.policies().iter().enumerate().filter_map(|(number, policy)| {
        policy.rules(endpoint.side)?;
        as_rule(number, policy, endpoint, operation, protocol)
    });
    in_rules
        .chain(whole)
        .find(|(_, changed)| allows(snapshot, changed, endpoint, operation))
        .map(|(suggestion, _)| suggestion)
        .ok_or(Nothing::Impossible)
}

/// A rule to be added to a policy, or to take the place of one.
struct Changed {
    policy: usize,
    rule: Rule,
    /// Its number; none: it is new.
    index: Option<usize>,
}

fn protocol(operation: &Operation<'_>) -> Protocol {
    match operation {
        Operation::Http(_) => Protocol::Http,
        Operation::Grpc(_) => Protocol::Grpc,
        Operation::Redis(_) => Protocol::Redis,
        Operation::Tls(_) => Protocol::Tls,
        Operation::Connection => Protocol::Opaque,
    }
}

/// A rule of this port that is for another protocol.
fn of_other_protocol<'a>(
    snapshot: &'a Snapshot,
    endpoint: &Endpoint,
    protocol: Protocol,
) -> Option<&'a Origin> {
    let policies = snapshot.policies().iter();
    let mut rules = policies.flat_map(|p| p.rules(endpoint.side).unwrap_or_default());
    let other = rules.find(|rule| {
        rule.ports.iter().any(|p| p.contains(&endpoint.port)) && rule.protocol != Some(protocol)
    });
    other.map(|rule| &rule.at)
}

/// A rule that an entry for the operation could stand in.
struct Place<'a> {
    policy: (usize, &'a TrafficPolicy),
    rule: (usize, &'a Rule),
}

/// The rules that an entry for the operation could stand in, the nearest first: those whose
/// entries come nearest.
fn rules<'a>(
    snapshot: &'a Snapshot,
    endpoint: &Endpoint,
    operation: &Operation<'_>,
) -> Vec<Place<'a>> {
    let mut found = Vec::new();
    for policy in snapshot.policies().iter().enumerate() {
        let rules = policy.1.rules(endpoint.side).unwrap_or_default();
        for rule in rules.iter().enumerate() {
            if let Some(nearest) = serves(rule.1, endpoint, operation, snapshot.addresses()) {
                found.push((nearest, Place { policy, rule }));
            }
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    found.into_iter().map(|(_, place)| place).collect()
}

/// An entry in a rule that is there.
fn in_rule(
    snapshot: &Snapshot,
    place: &Place<'_>,
    operation: &Operation<'_>,
) -> Option<(Suggestion, Changed)> {
    let ((number, policy), (index, rule)) = (place.policy, place.rule);
    let line = Line::of(operation, rule.separators)?;
    let mut changed = rule.clone();
    let last = rule.allow.iter().rfind(|entry| !snapshot.is_expired(entry));
    let (field, at, mut lines) = match last.or(rule.allow.last()) {
        Some(entry) => (format!("{}.allow", rule.field), &entry.at, Vec::new()),
        None => (rule.field.clone(), &rule.at, vec!["allow:".to_owned()]),
    };
    lines.push(format!("- {}", line.yaml()));
    changed.allow = yaml::rule(&whole(endpointless(rule, &line), rule))?.allow;
    changed.allow.extend(rule.allow.iter().cloned());
    let suggestion = Suggestion {
        policy: policy.full_name(),
        field,
        at: at.clone(),
        lines,
        warnings: line.warnings(),
    };
    Some((suggestion, Changed { policy: number, rule: changed, index: Some(index) }))
}

/// The lines of a rule with this entry alone, for reading it.
fn endpointless(rule: &Rule, line: &Line) -> Vec<String> {
    let protocol = rule.protocol.map_or("opaque", Protocol::as_str);
    vec![
        "- from: [{any: true}]".to_owned(),
        "  ports: [1]".to_owned(),
        format!("  protocol: {protocol}"),
        "  allow:".to_owned(),
        format!("  - {}", line.yaml()),
    ]
}

/// The same with the separators of the rule.
fn whole(mut lines: Vec<String>, rule: &Rule) -> Vec<String> {
    if rule.protocol == Some(Protocol::Redis) {
        let separators: Vec<String> =
            rule.separators.iter().map(|b| yaml::quoted(&char::from(b).to_string())).collect();
        lines.push(format!("  separators: [{}]", separators.join(", ")));
    }
    lines
}

/// A rule of its own, for this peer, port, host and database.
fn as_rule(
    number: usize,
    policy: &TrafficPolicy,
    endpoint: &Endpoint,
    operation: &Operation<'_>,
    protocol: Protocol,
) -> Option<(Suggestion, Changed)> {
    let (side, peers) = match endpoint.side {
        Side::Inbound => ("inbound", "from"),
        Side::Outbound => ("outbound", "to"),
    };
    let peer = endpoint.peer.to_canonical();
    let length = if peer.is_ipv4() { 32 } else { 128 };
    let mut lines = vec![
        format!("- {peers}: [{{cidr: {}}}]", yaml::quoted_if_needed(&format!("{peer}/{length}"))),
        format!("  ports: [{}]", endpoint.port),
        format!("  protocol: {protocol}"),
    ];
    let mut warnings = Vec::new();
    if protocol != Protocol::Opaque {
        let line = Line::of(operation, Default::default())?;
        lines.extend(yaml::limits(operation));
        lines.push("  allow:".to_owned());
        lines.push(format!("  - {}", line.yaml()));
        warnings = line.warnings();
    }
    let rule = yaml::rule(&lines)?;
    let last = policy.rules(endpoint.side).unwrap_or_default().last();
    let suggestion = Suggestion {
        policy: policy.full_name(),
        field: format!("spec.{side}"),
        at: last.map_or(&policy.at, |rule| &rule.at).clone(),
        lines,
        warnings,
    };
    Some((suggestion, Changed { policy: number, rule, index: None }))
}

/// Whether the policies with the change load, and allow the operation.
fn allows(
    snapshot: &Snapshot,
    changed: &Changed,
    endpoint: &Endpoint,
    operation: &Operation<'_>,
) -> bool {
    let mut policies = snapshot.policies().to_vec();
    let Some(policy) = policies.get_mut(changed.policy) else { return false };
    let rules = match endpoint.side {
        Side::Inbound => &mut policy.inbound,
        Side::Outbound => &mut policy.outbound,
    };
    let Some(rules) = rules else { return false };
    match changed.index.and_then(|index| rules.get_mut(index)) {
        Some(rule) => *rule = changed.rule.clone(),
        None => rules.push(changed.rule.clone()),
    }
    let Some(today) = snapshot.today() else { return false };
    let defaults = Defaults { mode: Mode::Enforce, today };
    let Ok(with) = Snapshot::compile(policies, &defaults, snapshot.addresses()) else {
        return false;
    };
    let rules = with.admit(endpoint).rules;
    matches!(with.decide(&rules, endpoint, operation), Decision::Allowed(_))
}

//! Policies as text, for people: what a profile says, with what each line rests on.

mod note;
pub(crate) mod rule;
pub(crate) mod scalar;

#[cfg(test)]
pub(crate) mod strategies;
#[cfg(test)]
mod tests;

use crate::decide::Mode;
use crate::file::tree::Tree;
use crate::learned::{Learned, LearnedRule};
use crate::op::Side;
use rule::commented;

/// What a policy is called, and how it starts out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `spec.mode`; none: left to `--mode`.
    pub mode: Option<Mode>,
}

/// The whole policy of what was learned, as a YAML document.
///
/// What cannot be decided by a program is in it as comments: entries that are left to a person,
/// rules with too many peers to tell, and rules without an entry.
pub fn policy(learned: &Learned, metadata: &Metadata) -> String {
    let mut names = vec![("name".to_owned(), Tree::text(&metadata.name))];
    names.extend(metadata.namespace.iter().map(|n| ("namespace".to_owned(), Tree::text(n))));
    let mut lines = vec![
        "# What was seen, as a policy. The comment behind an entry says what it rests on.".into(),
        "apiVersion: weir.dev/v1alpha1".into(),
        "kind: TrafficPolicy".into(),
        format!("metadata: {}", scalar::flow(&Tree::Map(names), false)),
        "spec:".into(),
    ];
    let mut spec: Vec<String> = metadata.mode.iter().map(|mode| format!("mode: {mode}")).collect();
    let governed =
        |side| learned.rules.iter().any(|rule| rule.side == side && stands(rule, learned));
    let sides = [Side::Inbound, Side::Outbound];
    if spec.is_empty() && !sides.into_iter().any(governed) {
        spec.push("unread: {bodyLimit: allow}  # the default: a spec must hold something".into());
    }
    for side in sides {
        direction(side, learned, governed(side), &mut spec);
    }
    lines.extend(spec.iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.join("\n")
}

/// Whether the rule is in force as it is written.
fn stands(rule: &LearnedRule, learned: &Learned) -> bool {
    rule::undecided(rule, &learned.rules).is_none()
}

/// One direction. Rules that are comments do not make it governed: it would refuse all.
fn direction(side: Side, learned: &Learned, governed: bool, out: &mut Vec<String>) {
    let rules = learned.rules.iter().filter(|rule| rule.side == side);
    let lines = rules.flat_map(|rule| rule::lines(rule, 0, rule::undecided(rule, &learned.rules)));
    let lines: Vec<String> = lines.collect();
    if governed {
        out.push(format!("{side}:"));
    } else {
        out.push(format!("# {side} is absent: it is not governed, and all of it passes."));
        if !lines.is_empty() {
            out.push(format!("# It is governed once a rule is taken, and {side}: above it:"));
            out.push(commented(&format!("{side}:")));
        }
    }
    out.extend(lines);
}

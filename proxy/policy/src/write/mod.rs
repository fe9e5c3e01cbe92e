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
    let directions = [Side::Inbound, Side::Outbound].map(|side| (side, rules(learned, side)));
    if spec.is_empty() && directions.iter().all(|(_, rules)| !governs(rules)) {
        spec.push("refusal: close  # the default: a spec must hold something".into());
    }
    for (side, rules) in directions {
        direction(side, &rules, &mut spec);
    }
    lines.extend(spec.iter().map(|line| format!("  {line}")));
    lines.push(String::new());
    lines.join("\n")
}

fn rules(learned: &Learned, side: Side) -> Vec<&LearnedRule> {
    learned.rules.iter().filter(|rule| rule.side == side).collect()
}

fn governs(rules: &[&LearnedRule]) -> bool {
    rules.iter().any(|rule| rule::is_complete(rule))
}

/// One direction. Rules that are comments do not make it governed: it would refuse all.
fn direction(side: Side, rules: &[&LearnedRule], out: &mut Vec<String>) {
    let lines = rules.iter().flat_map(|rule| rule::lines(rule, 0));
    if governs(rules) {
        out.push(format!("{side}:"));
        out.extend(lines);
        return;
    }
    out.push(format!("# {side} is absent: it is not governed, and all of it passes."));
    if !rules.is_empty() {
        out.push(format!("# It is governed from the first rule on that is taken, under {side}:"));
        out.push(commented(&format!("{side}:")));
        out.extend(lines);
    }
}

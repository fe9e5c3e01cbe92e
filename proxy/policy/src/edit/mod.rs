//! Adding to a policy file what it does not allow yet.
//!
//! Only adds: every byte of the file stays, in order. What the file then says is compared with
//! what it said before and the additions; where they differ, the file is left alone.

mod error;
mod insert;
mod place;
mod source;
mod step;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::compile::{Defaults, Snapshot};
use crate::date::Date;
use crate::decide::Mode;
use crate::error::Errors;
use crate::learned::{Learned, LearnedRule};
use crate::model::{Addresses, TrafficPolicy};
use crate::op::{Protocol, Side};

pub use error::EditError;

/// A file with its additions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    /// The file's new text; the old one where nothing was added.
    pub text: String,
    /// What is new, in the order of the additions.
    pub added: Vec<Added>,
    /// How many entries (and rules that admit connections) the file allowed already.
    pub already: usize,
    /// Directions that the file did not govern before and does now: what it does not allow of
    /// them is refused from now on. To be told to the person.
    pub governed: Vec<Side>,
    /// What was not added because a person must decide first.
    pub left: Vec<LeftOut>,
}

/// Something that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    /// The direction.
    pub side: Side,
    /// The server's port.
    pub port: u16,
    /// The protocol of the rule.
    pub protocol: Protocol,
    /// The rule in the new text, such as `spec.inbound[0]`.
    pub rule: String,
    /// The rule itself is new.
    pub new_rule: bool,
    /// The entry; none: the rule admits connections.
    pub entry: Option<String>,
}

/// `+ inbound :8080 http: GET /x (spec.inbound[0])`.
impl fmt::Display for Added {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+ {} :{} {}", self.side, self.port, self.protocol)?;
        if let Some(entry) = &self.entry {
            write!(f, ": {entry}")?;
        }
        write!(f, " ({}{})", if self.new_rule { "new rule " } else { "" }, self.rule)
    }
}

/// A rule that was not added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The direction.
    pub side: Side,
    /// The server's port.
    pub port: u16,
    /// The protocol of the rule.
    pub protocol: Protocol,
    /// The entries that it would have.
    pub entries: Vec<String>,
    /// What a person must decide.
    pub why: &'static str,
}

/// Adds to a file what it does not allow yet. `which` names the policy by its full name
/// (`namespace/name`); it may be left out where the file has one only.
///
/// Entries go to the rule that fits: of the same side, port and protocol, with peers that cover
/// those of the addition, for all its databases and for any host. Where there is none, a rule is
/// added at the end of its direction.
///
/// # Errors
/// The file has errors, has no such policy, its rules conflict with the additions, or it is
/// written in a way that cannot be added to. The file is to be left alone then.
pub fn add(
    file_name: &str,
    text: &str,
    additions: &Learned,
    which: Option<&str>,
) -> Result<Edited, EditError> {
    let mut policies = loads(file_name, text).map_err(EditError::File)?;
    let index = choose(file_name, &policies, which)?;
    let additions = place::as_the_port_has_it(&policies, &additions.rules);
    place::check(&policies, index, &additions)?;
    let mut edited = Edited {
        text: text.to_owned(),
        added: Vec::new(),
        already: 0,
        governed: Vec::new(),
        left: Vec::new(),
    };
    let sides = [Side::Inbound, Side::Outbound];
    // Rules that this adds are only for the peers that they were made for.
    let old_rules = sides.map(|side| policies[index].rules(side).map(<[_]>::len));
    for rule in &additions {
        let old_rules = old_rules[rule.side as usize].unwrap_or(0);
        if step::add(file_name, (index, &policies[index]), rule, old_rules, &mut edited)? {
            policies = crate::parse(file_name, &edited.text)
                .map_err(|errors| EditError::broken(file_name, &errors))?;
        }
    }
    let absent = |side: &Side| old_rules[*side as usize].is_none();
    let added = |side: &Side| edited.added.iter().any(|added| added.side == *side);
    edited.governed = sides.into_iter().filter(|side| absent(side) && added(side)).collect();
    loads(file_name, &edited.text).map_err(|errors| EditError::broken(file_name, &errors))?;
    Ok(edited)
}

/// The policies of a file that a sidecar would take.
fn loads(file_name: &str, text: &str) -> Result<Vec<TrafficPolicy>, Errors> {
    let policies = crate::parse(file_name, text)?;
    // Whether rules conflict depends on neither mode nor day.
    let defaults = Defaults { mode: Mode::Learn, today: Date::from_unix(0) };
    Snapshot::compile(policies.clone(), &defaults, &Addresses::default())?;
    Ok(policies)
}

fn choose(
    file_name: &str,
    policies: &[TrafficPolicy],
    which: Option<&str>,
) -> Result<usize, EditError> {
    let found = match which {
        Some(which) => policies.iter().position(|policy| policy.full_name() == which),
        None => (policies.len() == 1).then_some(0),
    };
    found.ok_or_else(|| EditError::Policy {
        file: file_name.to_owned(),
        asked: which.map(str::to_owned),
        names: policies.iter().map(TrafficPolicy::full_name).collect(),
    })
}

/// Whether the rule is for connections as such, and has no entries.
fn admits_connections(rule: &LearnedRule) -> bool {
    rule.protocol == Protocol::Opaque
}

//! Whether a shape's evidence is enough for a policy.

use std::collections::BTreeMap;

use super::general::{Shape, first_day};
use super::hours::Hours;
use super::policy::no_entry;
use crate::op::Protocol;

/// What a shape must have to be written into a policy.
///
/// A scanner and a rare job look alike for a while: both are one peer that asks seldom. So what
/// one peer does must be there for longer than anybody scans, and what comes together with much
/// else is not believed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Criteria {
    /// Accepted operations.
    pub operations: u64,
    /// Days on which it was seen: enough by itself.
    pub days: usize,
    /// Hours in which it was seen, if that is half of all hours with traffic and on two days:
    /// enough from several peers, and from one where no more than `burst` came with it.
    pub steady_hours: usize,
    /// Peers that used it, where it has neither.
    pub peers: usize,
    /// Hours in which they did.
    pub hours: usize,
    /// How many shapes of a rule may be new on one day without looking like a scan.
    pub burst: usize,
    /// The traffic was nobody's but the application's: operations alone are enough.
    pub trusted: bool,
}

impl Default for Criteria {
    fn default() -> Self {
        Self {
            operations: 3,
            days: 4,
            steady_hours: 8,
            peers: 2,
            hours: 2,
            burst: 20,
            trusted: false,
        }
    }
}

/// What becomes of a shape in a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is an entry.
    Believed,
    /// It is left to a person, with why.
    Left(String),
    /// No entry can say it, with why.
    Unsayable(String),
}

/// A shape with its standing.
pub(super) type Judged = (Shape, Standing);

/// The shapes of a rule, each with its standing.
pub(super) fn judged(
    protocol: Protocol,
    shapes: Vec<Shape>,
    active: &Hours,
    criteria: &Criteria,
) -> Vec<Judged> {
    let mut together: BTreeMap<u32, usize> = BTreeMap::new();
    for shape in shapes.iter().filter(|shape| !shape.is_hidden()) {
        *together.entry(first_day(&shape.leaf)).or_default() += 1;
    }
    let active = active.count();
    let judge = |shape: Shape| {
        let cohort = together.get(&first_day(&shape.leaf)).copied().unwrap_or(0);
        let standing = match no_entry(protocol, &shape) {
            Some(why) => Standing::Unsayable(why),
            None => match why_not(&shape, active, cohort, criteria) {
                Some(why) => Standing::Left(why),
                None => Standing::Believed,
            },
        };
        (shape, standing)
    };
    shapes.into_iter().map(judge).collect()
}

fn why_not(shape: &Shape, active: usize, cohort: usize, criteria: &Criteria) -> Option<String> {
    if let Some(why) = needs_a_person(shape) {
        return Some(why);
    }
    let leaf = &shape.leaf;
    let accepted = leaf.accepted.total();
    if accepted == 0 {
        return Some(match leaf.outside.total() {
            0 => "the server never accepted it".to_owned(),
            n => format!("{n} times outside the policy"),
        });
    }
    if accepted < criteria.operations {
        return Some(format!("accepted {accepted} times only"));
    }
    let (hours, days, peers) = (leaf.hours.count(), leaf.hours.days(), leaf.peers.len());
    let lasting = days >= criteria.days;
    // Whoever scans can repeat it every hour: one peer with much that is new is not believed.
    let is_burst = cohort > criteria.burst;
    let steady = hours >= criteria.steady_hours && hours * 2 >= active && days >= 2;
    if criteria.trusted || lasting || (steady && (peers >= criteria.peers || !is_burst)) {
        return None;
    }
    if peers < criteria.peers || hours < criteria.hours {
        return Some(format!(
            "seen from {peers} {} in {hours} {} of {days} {}: too little to tell it from a scan",
            plural(peers, "peer"),
            plural(hours, "hour"),
            plural(days, "day"),
        ));
    }
    is_burst
        .then(|| format!("new on one day together with {} others: it may be a scan", cohort - 1))
}

/// What no evidence decides.
fn needs_a_person(shape: &Shape) -> Option<String> {
    let mut options = shape.root().split(',').skip(1);
    options.find_map(|option| match option.split_once('=') {
        Some(("permit", kind)) => Some(format!(
            "its path is ambiguous ({kind}): permit that only if the server reads it one way"
        )),
        Some(("override", field)) => Some(format!("{field} overrides what it is")),
        None if option == "unknown" => Some("its keys cannot all be known".to_owned()),
        _ => None,
    })
}

/// `word` for one, else with an s.
pub(super) fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

//! From the tree to shapes: which positions are variable, and what becomes of their words.
//!
//! A pure function of the merged evidence: the profile itself keeps the words apart.

use super::hours::{Hours, day};
use super::key::may_vary;
use super::rule::Rule;
use super::sketch::Values;
use super::standing::Criteria;
use super::tree::{Leaf, Node, Position};
use crate::class::Class;
use crate::op::Protocol;

/// As many different values as a position has before it may be variable, if they keep coming: a
/// list of words, however long, is soon complete.
const SOME: u64 = 30;
/// As many are no list that anybody would write, if they came over time.
const MANY: u64 = 100;

/// One part of a shape.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Word(Box<str>),
    Class(Class),
    /// Anything: the position is variable.
    Any,
    /// A word that is not named, at a position that is not variable.
    Hidden,
}

/// One shape, with all evidence for it.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// The root first.
    pub(super) parts: Vec<Part>,
    pub(super) leaf: Leaf,
    /// What each variable position rests on, in words.
    pub(super) steps: Vec<String>,
}

impl Shape {
    pub(super) fn root(&self) -> &str {
        match self.parts.first() {
            Some(Part::Word(root)) => root,
            _ => super::file::NEW,
        }
    }

    /// Whether a word in it is not named.
    pub(super) fn is_hidden(&self) -> bool {
        self.parts.contains(&Part::Hidden)
    }

    /// The parts behind the root as an entry writes them.
    pub(super) fn path(&self, separator: &str) -> String {
        let texts = self.parts.iter().skip(1).map(|part| match part {
            Part::Word(word) => word.to_string(),
            Part::Class(class) => class.to_string(),
            Part::Any => "{}".to_owned(),
            Part::Hidden => super::file::NEW.to_owned(),
        });
        texts.collect::<Vec<_>>().join(separator)
    }
}

/// The shapes of a rule.
pub(super) fn shapes(protocol: Protocol, rule: &Rule, criteria: &Criteria) -> Vec<Shape> {
    let mut walk =
        Walk { may_vary: may_vary(protocol), hours: &rule.hours, criteria, found: Vec::new() };
    walk.position(&rule.roots, &mut Vec::new(), &mut Vec::new());
    walk.found
}

struct Walk<'a> {
    may_vary: bool,
    hours: &'a Hours,
    criteria: &'a Criteria,
    found: Vec<Shape>,
}

impl Walk<'_> {
    fn position(&mut self, position: &Position, parts: &mut Vec<Part>, steps: &mut Vec<String>) {
        for (class, node) in &position.classes {
            self.node(node, Part::Class(*class), parts, steps);
        }
        // Methods and commands are never variable.
        let variable = (self.may_vary && !parts.is_empty())
            .then(|| variable(&position.values, self.hours, self.criteria))
            .flatten();
        if let Some(step) = variable {
            let mut all = Node::default();
            position.words.values().chain(position.other.as_deref()).for_each(|n| all.join(n));
            steps.push(step);
            self.node(&all, Part::Any, parts, steps);
            steps.pop();
            return;
        }
        for (word, node) in &position.words {
            self.node(node, Part::Word(word.clone()), parts, steps);
        }
        if let Some(other) = &position.other {
            self.node(other, Part::Hidden, parts, steps);
        }
    }

    fn node(&mut self, node: &Node, part: Part, parts: &mut Vec<Part>, steps: &mut Vec<String>) {
        parts.push(part);
        if let Some(leaf) = &node.leaf {
            let (parts, steps) = (parts.clone(), steps.clone());
            self.found.push(Shape { parts, leaf: leaf.clone(), steps });
        }
        self.position(&node.next, parts, steps);
        parts.pop();
    }
}

/// Whether a position is variable, and what that rests on: many values came, and not in one
/// burst or from one peer.
fn variable(values: &Values, active: &Hours, criteria: &Criteria) -> Option<String> {
    let distinct = values.distinct();
    let sample = values.0.len();
    if distinct < SOME {
        return None;
    }
    let shares = Shares::of(values);
    let many_peers = shares.peers >= 2 && shares.top_peer * 5 <= sample * 4;
    let spread = if many_peers {
        shares.hours >= 6 && shares.top_hour * 2 <= sample
    } else {
        // From one peer it takes longer than anybody scans.
        shares.days >= criteria.days
            && shares.hours >= 12
            && shares.top_hour * 4 <= sample
            && shares.top_day * 2 <= sample
    };
    let enough = distinct >= MANY || still_coming(values, active);
    let trusted = criteria.trusted && distinct >= MANY;
    if !(trusted || spread && enough) {
        return None;
    }
    let about = if sample < super::sketch::VALUES { "" } else { "about " };
    Some(format!(
        "{{}}: {about}{distinct} values, first seen over {} days and {} hours, from {}",
        shares.days,
        shares.hours,
        if many_peers { "several peers" } else { "one peer" },
    ))
}

/// Whether the policy that a profile makes unasked has a variable part there.
pub(super) fn is_variable(protocol: Protocol, values: &Values, active: &Hours) -> bool {
    may_vary(protocol) && variable(values, active, &Criteria::default()).is_some()
}

/// How the first arrivals of the sampled values fall on hours, days and peers.
struct Shares {
    hours: usize,
    days: usize,
    peers: usize,
    top_hour: usize,
    top_day: usize,
    top_peer: usize,
}

impl Shares {
    fn of(values: &Values) -> Self {
        let count = |of: &dyn Fn(&super::sketch::Arrival) -> u32| {
            let mut counts = std::collections::BTreeMap::<u32, usize>::new();
            values.0.values().for_each(|arrival| *counts.entry(of(arrival)).or_default() += 1);
            (counts.len(), counts.values().copied().max().unwrap_or(0))
        };
        let (hours, top_hour) = count(&|arrival| arrival.hour);
        let (days, top_day) = count(&|arrival| arrival.hour / 24);
        let (peers, top_peer) = count(&|arrival| arrival.peer);
        Self { hours, days, peers, top_hour, top_day, top_peer }
    }
}

/// Whether a quarter of the values came in the later half of the time.
fn still_coming(values: &Values, active: &Hours) -> bool {
    let (Some(first), Some(last)) = (active.iter().next(), active.iter().last()) else {
        return false;
    };
    let middle = first + (last - first) / 2;
    let late = values.0.values().filter(|arrival| arrival.hour > middle).count();
    late * 4 >= values.0.len()
}

/// The day on which a shape was first seen.
pub(super) fn first_day(leaf: &Leaf) -> u32 {
    day(leaf.first)
}

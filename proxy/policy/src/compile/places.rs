//! Which rules cover a side, port and address.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};

use super::build::{Compiled, Placed, SideRules};
use super::group::Group;
use super::rules::RuleBits;
use crate::decide::{
    AdmissionVerdict, Decision, EntryRef, Mode, Refusal, RuleSet, Unread, Violation,
};
use crate::model::Addresses;
use crate::op::{Endpoint, Operation, Protocol};
use crate::peers::{PeerTable, ranges};

/// What holds for all connections that the same rules cover.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Set {
    pub(super) mode: Option<Mode>,
    pub(super) protocol: Option<Protocol>,
    pub(super) refusal: Option<Refusal>,
    pub(super) unread: Unread,
    pub(super) verdict: AdmissionVerdict,
    /// The rules, within their group.
    rules: Option<(u32, RuleBits)>,
}

impl Default for Set {
    /// Ungoverned.
    fn default() -> Self {
        Self {
            mode: None,
            protocol: None,
            refusal: None,
            unread: Unread::default(),
            verdict: AdmissionVerdict::Ungoverned,
            rules: None,
        }
    }
}

impl Set {
    /// Some rules of one group, or none, of a governed side.
    fn of(side: &SideRules, rules: &[u32], groups: &[Group]) -> Self {
        let rules: Vec<_> = rules.iter().map(|rule| &side.rules[*rule as usize]).collect();
        let bits: Vec<u32> = rules.iter().map(|rule| rule.index).collect();
        let group = rules.first().map(|rule| rule.group);
        Self {
            mode: Some(mode(side, &rules)),
            protocol: group.and_then(|group| groups[group as usize].protocol),
            refusal: side.refusal,
            unread: side.unread,
            verdict: match group {
                Some(_) => AdmissionVerdict::Governed,
                None => AdmissionVerdict::NoRule,
            },
            rules: group.map(|group| (group, RuleBits::new(&bits))),
        }
    }

    pub(super) fn decide(&self, groups: &[Group], operation: &Operation<'_>) -> Decision {
        match (&self.rules, self.verdict) {
            (_, AdmissionVerdict::Ungoverned) => Decision::Ungoverned,
            (None, _) => Decision::Violation(Violation::NoRule, None::<EntryRef>),
            (Some((group, rules)), _) => groups[*group as usize].decide(rules, operation),
        }
    }
}

/// The strictest of what each policy says: its matching rules, or else the policy itself.
fn mode(side: &SideRules, rules: &[&Placed]) -> Mode {
    let of_policy = |(policy, mode): &(usize, Mode)| {
        let rules = rules.iter().filter(|rule| rule.policy() == *policy);
        rules.map(|rule| rule.mode).max().unwrap_or(*mode)
    };
    side.modes.iter().map(of_policy).max().unwrap_or_default()
}

/// Every side, port and address, laid out.
#[derive(Debug)]
pub(super) struct Places {
    generation: u32,
    /// The first is the ungoverned one.
    sets: Vec<Set>,
    sides: [Option<Ports>; 2],
}

/// The ports of a governed side.
#[derive(Debug)]
struct Ports {
    /// Where each range begins, the first at 0, and its table.
    starts: Vec<(u16, u32)>,
    tables: Vec<PeerTable>,
}

impl Default for Places {
    fn default() -> Self {
        Self { generation: generation(), sets: vec![Set::default()], sides: [None, None] }
    }
}

/// Tells snapshots apart, so that one never takes another's handle for its own.
fn generation() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Places {
    pub(super) fn new(compiled: &Compiled, addresses: &Addresses) -> Self {
        let mut places = Self::default();
        let mut numbers = HashMap::from([(Set::default(), 0)]);
        for (place, side) in compiled.sides.iter().enumerate() {
            places.sides[place] = side.as_ref().map(|side| {
                let mut intern = |rules: &[u32]| {
                    let set = Set::of(side, rules, &compiled.groups);
                    *numbers.entry(set).or_insert_with_key(|set| {
                        places.sets.push(set.clone());
                        u32::try_from(places.sets.len() - 1).unwrap_or(u32::MAX)
                    })
                };
                Ports::new(compiled, side, addresses, &mut intern)
            });
        }
        places
    }

    /// The set that a connection falls under, and its handle.
    pub(super) fn find(&self, endpoint: &Endpoint) -> (RuleSet, &Set) {
        let set = self.sides[endpoint.side as usize]
            .as_ref()
            .and_then(|ports| ports.find(endpoint))
            .unwrap_or(0);
        (RuleSet { generation: self.generation, set }, &self.sets[set as usize])
    }

    /// The set behind a handle of this snapshot.
    pub(super) fn get(&self, handle: RuleSet) -> Option<&Set> {
        (handle.generation == self.generation).then(|| self.sets.get(handle.set as usize))?
    }
}

impl Ports {
    fn new(
        compiled: &Compiled,
        side: &SideRules,
        addresses: &Addresses,
        intern: &mut impl FnMut(&[u32]) -> u32,
    ) -> Self {
        let mut changes: BTreeMap<u32, Vec<(u32, bool)>> = BTreeMap::from([(0, Vec::new())]);
        let mut peers = Vec::new();
        for (number, placed) in (0..).zip(&side.rules) {
            let rule = compiled.rule(placed);
            peers.push(ranges(&rule.peers, addresses));
            for ports in merged(&rule.ports) {
                changes.entry(u32::from(ports.0)).or_default().push((number, true));
                changes.entry(u32::from(ports.1) + 1).or_default().push((number, false));
            }
        }
        let mut ports = Self { starts: Vec::new(), tables: Vec::new() };
        let mut known: HashMap<Vec<u32>, u32> = HashMap::new();
        let mut active = BTreeSet::new();
        for (start, changes) in changes {
            for (rule, begins) in changes {
                if begins {
                    active.insert(rule)
                } else {
                    active.remove(&rule)
                };
            }
            let Ok(start) = u16::try_from(start) else { break };
            let rules: Vec<u32> = active.iter().copied().collect();
            let table = *known.entry(rules).or_insert_with_key(|rules| {
                let rules: Vec<_> =
                    rules.iter().map(|rule| (*rule, peers[*rule as usize].clone())).collect();
                ports.tables.push(PeerTable::new(&rules, &mut *intern));
                u32::try_from(ports.tables.len() - 1).unwrap_or(u32::MAX)
            });
            ports.starts.push((start, table));
        }
        ports
    }

    fn find(&self, endpoint: &Endpoint) -> Option<u32> {
        let after = self.starts.partition_point(|(start, _)| *start <= endpoint.port);
        let (_, table) = self.starts.get(after.checked_sub(1)?)?;
        self.tables[*table as usize].find(endpoint.peer)
    }
}

/// The ports of a rule as ranges that do not touch: a rule begins and ends once in each.
fn merged(ports: &[std::ops::RangeInclusive<u16>]) -> Vec<(u16, u16)> {
    let mut ranges: Vec<(u16, u16)> = ports.iter().map(|r| (*r.start(), *r.end())).collect();
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (start, end) in ranges {
        match merged.last_mut() {
            Some((_, last)) if start <= last.saturating_add(1) => *last = end.max(*last),
            _ => merged.push((start, end)),
        }
    }
    merged
}

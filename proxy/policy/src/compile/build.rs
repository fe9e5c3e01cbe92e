//! Compiling policies, but for the addresses.

use std::collections::BTreeMap;

use super::group::Group;
use super::{Defaults, Described};
use crate::date::Date;
use crate::decide::{EntryRef, Mode, Refusal, Unread};
use crate::entry::List;
use crate::error::{Error, Errors, Warning};
use crate::model::{Peer, Rule, TrafficPolicy};
use crate::op::Side;

/// Everything that does not depend on what names resolve to.
#[derive(Debug, Default)]
pub(super) struct Compiled {
    pub(super) policies: Vec<TrafficPolicy>,
    pub(super) warnings: Vec<Warning>,
    pub(super) hosts: Vec<String>,
    pub(super) today: Option<Date>,
    pub(super) groups: Vec<Group>,
    /// By [`Side`].
    pub(super) sides: [Option<SideRules>; 2],
    /// Where each rule's references begin, in order.
    references: Vec<(EntryRef, RulePath)>,
}

/// Which rule.
#[derive(Clone, Copy, Debug)]
struct RulePath {
    policy: usize,
    side: Side,
    rule: usize,
}

/// A governed side.
#[derive(Debug)]
pub(super) struct SideRules {
    pub(super) refusal: Option<Refusal>,
    pub(super) unread: Unread,
    /// The policies that govern the side, each with its mode where none of its rules matches.
    pub(super) modes: Vec<(usize, Mode)>,
    pub(super) rules: Vec<Placed>,
}

/// A rule's place in its group.
#[derive(Debug)]
pub(super) struct Placed {
    path: RulePath,
    pub(super) reference: EntryRef,
    pub(super) mode: Mode,
    pub(super) group: u32,
    /// Within the group.
    pub(super) index: u32,
}

impl Placed {
    /// The policy that has the rule.
    pub(super) fn policy(&self) -> usize {
        self.path.policy
    }
}

impl Compiled {
    pub(super) fn new(policies: Vec<TrafficPolicy>, defaults: &Defaults) -> Result<Self, Errors> {
        let today = Some(defaults.today);
        let mut compiled = Self { policies, today, ..Self::default() };
        let mut errors = compiled.doubles();
        for side in [Side::Inbound, Side::Outbound] {
            let rules = compiled.side(side, defaults, &mut errors);
            compiled.sides[side as usize] = rules;
        }
        if !errors.is_empty() {
            return Err(Errors(errors));
        }
        compiled.collect_hosts();
        compiled.collect_warnings(defaults);
        Ok(compiled)
    }

    /// The rule that stands there.
    pub(super) fn rule(&self, placed: &Placed) -> &Rule {
        self.at(placed.path)
    }

    fn at(&self, path: RulePath) -> &Rule {
        &self.policies[path.policy].rules(path.side).unwrap_or_default()[path.rule]
    }

    pub(super) fn describe(&self, entry: EntryRef) -> Option<Described<'_>> {
        let after = self.references.partition_point(|(reference, _)| reference.0 <= entry.0);
        let (first, path) = *self.references.get(after.checked_sub(1)?)?;
        let (policy, rule) = (&self.policies[path.policy], self.at(path));
        let entry = match (entry.0 - first.0) as usize {
            0 => None,
            n if n <= rule.allow.len() => Some((List::Allow, &rule.allow[n - 1])),
            n => Some((List::Deny, rule.deny.get(n - 1 - rule.allow.len())?)),
        };
        Some(Described { policy, rule, side: path.side, entry })
    }

    fn doubles(&self) -> Vec<Error> {
        let mut seen: BTreeMap<String, &TrafficPolicy> = BTreeMap::new();
        let mut errors = Vec::new();
        for policy in &self.policies {
            let name = policy.full_name();
            match seen.get(&name) {
                Some(first) => errors.push(Error {
                    at: policy.at.clone(),
                    field: "metadata.name".to_owned(),
                    found: format!("{name:?} a second time"),
                    expected: format!("another name than the policy at {}", first.at),
                }),
                None => {
                    seen.insert(name, policy);
                }
            }
        }
        errors
    }

    /// Groups and numbers the rules of one side.
    fn side(
        &mut self,
        side: Side,
        defaults: &Defaults,
        errors: &mut Vec<Error>,
    ) -> Option<SideRules> {
        let mut governed: Option<SideRules> = None;
        let mut next = self.references.last().map_or(0, |(reference, path)| {
            let rule = self.at(*path);
            reference.0 + entries(rule) + 1
        });
        for (policy_index, policy) in self.policies.iter().enumerate() {
            let Some(rules) = policy.rules(side) else { continue };
            let mode = policy.mode.unwrap_or(defaults.mode);
            let governed = governed.get_or_insert(SideRules {
                refusal: policy.refusal,
                unread: policy.unread,
                modes: Vec::new(),
                rules: Vec::new(),
            });
            governed.refusal = Refusal::strictest(governed.refusal, policy.refusal);
            governed.unread = governed.unread.strictest(policy.unread);
            governed.modes.push((policy_index, mode));
            for (index, rule) in rules.iter().enumerate() {
                let path = RulePath { policy: policy_index, side, rule: index };
                let reference = EntryRef(next);
                next += entries(rule) + 1;
                self.references.push((reference, path));
                let mode = rule.mode.unwrap_or(mode);
                governed.rules.push(Placed { path, reference, mode, group: 0, index: 0 });
            }
        }
        let mut governed = governed?;
        let groups = self.groups_of(&governed.rules, errors);
        for members in groups.values() {
            let rules: Vec<_> = members
                .iter()
                .map(|i| &governed.rules[*i])
                .map(|p| (self.at(p.path), p.reference))
                .collect();
            let group = Group::new(rules[0].0.protocol, &rules, defaults.today);
            for (index, member) in (0..).zip(members) {
                let placed = &mut governed.rules[*member];
                placed.group = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
                placed.index = index;
            }
            self.groups.push(group);
        }
        Some(governed)
    }

    /// The rules by group, each group under its least member. Rules whose ports overlap are of
    /// one group, and must be of one protocol.
    fn groups_of(&self, rules: &[Placed], errors: &mut Vec<Error>) -> BTreeMap<usize, Vec<usize>> {
        let mut ranges: Vec<(u16, u16, usize)> = rules
            .iter()
            .enumerate()
            .flat_map(|(i, p)| self.at(p.path).ports.iter().map(move |r| (*r.start(), *r.end(), i)))
            .collect();
        ranges.sort_unstable();
        let mut parent: Vec<usize> = (0..rules.len()).collect();
        let mut open: Option<(u16, usize)> = None;
        for (start, end, rule) in ranges {
            open = match open {
                Some((last, other)) if start <= last => {
                    self.same_protocol(&rules[other], &rules[rule], start, errors);
                    let (a, b) = (root(&parent, other), root(&parent, rule));
                    parent[a.max(b)] = a.min(b);
                    // Keep the one that reaches farthest.
                    Some(if end > last { (end, rule) } else { (last, other) })
                }
                _ => Some((end, rule)),
            };
        }
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for rule in 0..rules.len() {
            groups.entry(root(&parent, rule)).or_default().push(rule);
        }
        groups
    }

    fn same_protocol(&self, a: &Placed, b: &Placed, port: u16, errors: &mut Vec<Error>) {
        let (a, b) = if a.reference.0 < b.reference.0 { (a, b) } else { (b, a) };
        let (first, second) = (self.at(a.path), self.at(b.path));
        if first.protocol == second.protocol {
            return;
        }
        let word = |rule: &Rule| match rule.protocol {
            Some(protocol) => format!("protocol {protocol}"),
            None => "no protocol".to_owned(),
        };
        let error = Error {
            at: second.at.clone(),
            field: second.field.clone(),
            found: format!("{} on port {port}", word(second)),
            expected: format!("{}, as on the same port at {}", word(first), first.at),
        };
        if !errors.contains(&error) {
            errors.push(error);
        }
    }

    fn collect_hosts(&mut self) {
        let sides = self.sides.iter().flatten();
        let peers = sides.flat_map(|side| &side.rules).flat_map(|p| &self.at(p.path).peers);
        let mut hosts: Vec<String> = peers
            .filter_map(|peer| match peer {
                Peer::Host(name) => Some(name.clone()),
                _ => None,
            })
            .collect();
        hosts.sort();
        hosts.dedup();
        self.hosts = hosts;
    }

    fn collect_warnings(&mut self, defaults: &Defaults) {
        let mut warnings: Vec<Warning> =
            self.policies.iter().flat_map(|p| p.warnings.iter().cloned()).collect();
        for (_, path) in &self.references {
            let rule = self.at(*path);
            for entry in &rule.allow {
                if let Some(last) = entry.expires.filter(|last| *last < defaults.today) {
                    warnings.push(Warning {
                        at: entry.at.clone(),
                        field: format!("{}.allow", rule.field),
                        message: format!(
                            "{:?} expired after {last}: it allows nothing",
                            entry.text
                        ),
                    });
                }
            }
        }
        warnings.sort();
        self.warnings = warnings;
    }
}

fn entries(rule: &Rule) -> u32 {
    u32::try_from(rule.allow.len() + rule.deny.len()).unwrap_or(u32::MAX)
}

/// The least member of the group that `rule` is in so far.
fn root(parent: &[usize], mut rule: usize) -> usize {
    while parent[rule] != rule {
        rule = parent[rule];
    }
    rule
}

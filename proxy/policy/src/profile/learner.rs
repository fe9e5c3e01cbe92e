//! Takes observations into a profile.

use std::collections::HashSet;
use std::net::IpAddr;

use super::counter::{WRITERS, WriterId};
use super::general::is_variable;
use super::hours::{day, hour};
use super::insertion::{Insertion, Room};
use super::key::{is_probe, parts};
use super::rule::{PortKey, Rule};
use super::sketch::Key;
use super::{PORTS, Profile};
use crate::op::{Protocol, Side};

/// What came on a few days only, and not in this many last days, is forgotten first.
const DAYS_KEPT: u32 = 4;

/// The bounds of learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// In how many operations a word must have come before it is named.
    pub word_operations: u64,
    /// How many nodes of trees one rule has at the most.
    pub rule_nodes: usize,
    /// How many nodes all rules have together at the most.
    pub nodes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { word_operations: 3, rule_nodes: 4096, nodes: 16384 }
    }
}

impl Settings {
    /// How many hashes of words and shapes all rules have together at the most.
    fn hashes(self) -> usize {
        self.nodes.saturating_mul(2)
    }
}

/// How operations ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The server accepted them.
    pub accepted: u64,
    /// It answered with an error, or not at all.
    pub rejected: u64,
    /// They were outside the policy, in monitor or enforce: candidates, whatever the server
    /// said.
    pub outside: u64,
}

impl Counts {
    /// All of them.
    pub fn all(self) -> u64 {
        self.accepted.saturating_add(self.rejected).saturating_add(self.outside)
    }
}

/// Operations of one key and peer, over a short time.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// Which side they were on.
    pub side: Side,
    /// The client inbound, the server outbound.
    pub peer: IpAddr,
    /// The server's port.
    pub port: u16,
    /// What was spoken.
    pub protocol: Protocol,
    /// The Redis database, where there is one.
    pub database: Option<u32>,
    /// What they were, as [`super::key::write`] has it.
    pub key: &'a str,
    /// How many, and how they ended.
    pub counts: Counts,
    /// When the first of them was, in seconds since 1970.
    pub first: u64,
    /// When the last of them was.
    pub last: u64,
}

/// A profile that grows.
#[derive(Debug)]
pub struct Learner {
    profile: Profile,
    key: Key,
    writer: WriterId,
    settings: Settings,
    /// What the profile has of them, so that its trees need not be counted again.
    nodes: usize,
    hashes: usize,
    bounded: u64,
    /// The day on which it last made room, and whether by forgetting of everything.
    tidied: Option<(u32, bool)>,
    /// Words that are named somewhere in the profile already, and so may be anywhere.
    known: HashSet<Box<str>>,
}

impl Learner {
    /// Goes on from a profile, as a new writer. Its hashes must be of `key`: those of another
    /// are forgotten.
    pub fn new(profile: Profile, key: Key, writer: WriterId, settings: Settings) -> Self {
        let own = Profile { key_id: key.id(), ..Profile::default() };
        let mut learner = Self {
            profile: own,
            key,
            writer,
            settings,
            nodes: 0,
            hashes: 0,
            bounded: 0,
            known: HashSet::new(),
            tidied: None,
        };
        learner.join(&profile);
        learner
    }

    /// Other bounds hold from now on.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// What was learned so far.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// Takes over what another profile has. Hashes of another key than this learner's are
    /// forgotten: its own would be compared with them from then on.
    pub fn join(&mut self, other: &Profile) {
        let key_id = self.profile.key_id;
        if other.key_id == key_id {
            self.profile.join(other);
        } else {
            let mut other = Profile { key_id, ..other.clone() };
            other.forget_hashes();
            self.profile.join(&other);
        }
        self.look_again();
    }

    /// How many operations were counted without their shape, because a bound was reached.
    pub fn bounded(&self) -> u64 {
        self.bounded
    }

    /// Counts operations whose shape cannot be told (see [`super::key::Unlearnable`]).
    pub fn unlearnable(&mut self, side: Side, peer: IpAddr, port: u16, protocol: Protocol, n: u64) {
        let writer = self.count_as_writer();
        match self.rule(PortKey { side, port, protocol }, peer, true) {
            Some(rule) => rule.cut.add(writer, n),
            None => self.bounded = self.bounded.saturating_add(n),
        }
    }

    /// Finds out again what follows from the profile.
    fn look_again(&mut self) {
        self.nodes = self.profile.nodes();
        self.hashes = self.profile.hashes();
        self.known.clear();
        let known = &mut self.known;
        self.profile.words(&mut |word| _ = known.insert(word.into()));
    }

    /// What it knows of its profile: nodes, hashes and words.
    #[cfg(test)]
    pub(super) fn account(&self) -> (usize, usize, &HashSet<Box<str>>) {
        (self.nodes, self.hashes, &self.known)
    }

    fn count_as_writer(&mut self) -> WriterId {
        let writers = &self.profile.writers;
        if !writers.contains(&self.writer) {
            // One that is older than all that are kept would be forgotten, with what it counts.
            if writers.len() >= WRITERS
                && writers.first() > Some(&self.writer)
                && let Some(latest) = writers.last()
            {
                self.writer.started = latest.started.saturating_add(1);
            }
            self.profile.writers.insert(self.writer);
            self.profile.fit();
        }
        self.writer
    }

    /// The rule of a port and peer, made where it is not there. None where there are too many
    /// ports.
    fn rule(&mut self, key: PortKey, peer: IpAddr, accepted: bool) -> Option<&mut Rule> {
        let ports = &mut self.profile.ports;
        let is_full = ports.len() >= PORTS && !ports.contains_key(&key);
        if is_full && ports.last_key_value().is_some_and(|(last, _)| *last < key) {
            self.profile.dropped_ports = true;
            return None;
        }
        let port = ports.entry(key).or_default();
        let was_saturated = port.saturated;
        port.rule_mut(key.side, peer, accepted);
        if is_full || port.saturated != was_saturated {
            self.profile.fit_ports();
            self.look_again();
        }
        self.profile.ports.get_mut(&key).map(|port| port.rule_mut(key.side, peer, accepted))
    }

    /// Takes in operations.
    pub fn observe(&mut self, observation: &Observation<'_>) {
        let o = observation;
        let n = o.counts.all();
        if n == 0 {
            return;
        }
        let writer = self.count_as_writer();
        let key = PortKey { side: o.side, port: o.port, protocol: o.protocol };
        let accepted = o.counts.accepted > 0;
        if self.rule(key, o.peer, accepted).is_none() {
            self.bounded = self.bounded.saturating_add(n);
            return;
        }
        let room = Room {
            nodes: self.settings.nodes.saturating_sub(self.nodes),
            hashes: self.settings.hashes().saturating_sub(self.hashes),
            is_short: false,
            is_full: false,
        };
        let parts = parts(o.protocol, o.key);
        let Some(port) = self.profile.ports.get_mut(&key) else { return };
        let rule = port.rule_mut(o.side, o.peer, accepted);
        if let Some(database) = o.database.filter(|_| accepted) {
            rule.databases.insert(database);
        }
        if accepted && !is_probe(o.protocol, o.key) {
            rule.hours.insert(hour(o.last));
        }
        let mut insertion = Insertion::new(self.key, writer, self.settings, &self.known, o);
        let (left, fits) = insertion.insert(rule, room, &parts);
        let named = insertion.named;
        if !fits {
            rule.cut.add(writer, n);
            self.bounded = self.bounded.saturating_add(n);
        }
        self.known.extend(named);
        self.nodes += room.nodes - left.nodes;
        // Hashes of days long past may have made room.
        self.hashes = (self.hashes + room.hashes).saturating_sub(left.hashes);
        if left.is_short || left.is_full {
            self.tidy(day(o.last), left.is_short);
        }
    }

    /// Once a day, where there is no room: forgets what came on a few days only and not lately,
    /// of everything or only of positions that are full. Merging with a profile that has it
    /// brings it back.
    fn tidy(&mut self, today: u32, everything: bool) {
        if self.tidied.is_some_and(|(day, all)| day == today && (all || !everything)) {
            return;
        }
        self.tidied = Some((today, everything));
        let before = today.saturating_sub(DAYS_KEPT);
        let ports = self.profile.ports.iter_mut();
        let rules = ports.flat_map(|(key, port)| port.rules_mut().map(|rule| (key.protocol, rule)));
        for (protocol, rule) in rules {
            if everything {
                rule.roots.forget_seldom(before);
            } else {
                // The words of a variable position are one already.
                let is_variable = |values: &_| is_variable(protocol, values, &rule.hours);
                rule.roots.forget_seldom_where_full(before, &is_variable);
            }
            rule.nodes = rule.roots.count();
        }
        self.look_again();
    }
}

//! Takes observations into a profile.

use std::collections::HashSet;
use std::net::IpAddr;

use super::Profile;
use super::counter::WriterId;
use super::hours::{day, hour};
use super::key::{Parts, class, is_common, is_probe};
use super::rule::{PortKey, Rule};
use super::sketch::{Arrival, Key, Seen, insert_peer};
use super::tree::{DEPTH, Leaf, Node, Position, WORDS};
use crate::op::{Protocol, Side};

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
    nodes: usize,
    bounded: u64,
    /// Words that are named somewhere in the profile already, and so may be anywhere.
    known: HashSet<Box<str>>,
}

/// Where an operation belongs, and what is known of it besides.
struct Insertion<'a> {
    key: Key,
    writer: WriterId,
    settings: Settings,
    observation: &'a Observation<'a>,
    seen: Seen,
    arrival: Arrival,
    /// How many nodes there is room for.
    room: usize,
    /// Name every word, whether or not it came often enough by itself.
    reveal: bool,
    known: &'a HashSet<Box<str>>,
    named: Vec<Box<str>>,
}

/// A leaf was reached by known words alone, or not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Known,
    Hidden,
}

impl Learner {
    /// Goes on from a profile, as a new writer. Its hashes must be of `key`: those of another
    /// are forgotten.
    pub fn new(profile: Profile, key: Key, writer: WriterId, settings: Settings) -> Self {
        let mut own = Profile { key_id: key.id(), ..Profile::default() };
        let mut profile = profile;
        if profile.key_id != own.key_id {
            profile.forget_hashes();
            profile.key_id = 0;
        }
        own.join(&profile);
        let mut learner = Self {
            profile: own,
            key,
            writer,
            settings,
            nodes: 0,
            bounded: 0,
            known: HashSet::new(),
        };
        learner.look_again();
        learner
    }

    /// Finds out again what follows from the profile.
    fn look_again(&mut self) {
        self.nodes = self.profile.nodes();
        let known = &mut self.known;
        self.profile.words(&mut |word| _ = known.insert(word.into()));
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
        self.rule(side, peer, port, protocol).cut.add(writer, n);
    }

    fn count_as_writer(&mut self) -> WriterId {
        if !self.profile.writers.contains(&self.writer) {
            self.profile.writers.insert(self.writer);
            self.profile.fit();
        }
        self.writer
    }

    fn rule(&mut self, side: Side, peer: IpAddr, port: u16, protocol: Protocol) -> &mut Rule {
        let key = PortKey { side, port, protocol };
        self.profile.ports.entry(key).or_default().rule_mut(side, peer)
    }

    /// Takes in operations.
    pub fn observe(&mut self, observation: &Observation<'_>) {
        let o = observation;
        let writer = self.count_as_writer();
        let known = std::mem::take(&mut self.known);
        let mut insertion = Insertion::new(self.key, writer, self.settings, &known, o);
        let room = self.settings.nodes.saturating_sub(self.nodes);
        let rule_nodes = self.settings.rule_nodes;
        let rule = self.rule(o.side, o.peer, o.port, o.protocol);
        if let Some(database) = o.database {
            rule.databases.insert(database);
        }
        if o.counts.accepted > 0 && !is_probe(o.protocol, o.key) {
            rule.hours.insert(hour(o.last));
        }
        insertion.room = room.min(rule_nodes.saturating_sub(rule.nodes));
        let parts = Parts::of(o.protocol, o.key);
        let before = insertion.room;
        let mut all = true;
        for path in paths(&parts) {
            all &= insertion.path(rule, &path);
        }
        let added = before - insertion.room;
        rule.nodes += added;
        let named = insertion.named;
        if !all {
            let n = o.counts.accepted + o.counts.rejected + o.counts.outside;
            rule.cut.add(writer, n);
            self.bounded += n;
        }
        self.known = known;
        self.known.extend(named);
        self.nodes += added;
        self.profile.fit_ports();
    }
}

/// The parts of each path, the root first.
fn paths<'a>(parts: &'a Parts<'a>) -> impl Iterator<Item = Vec<&'a str>> {
    let alone = parts.paths.is_empty().then(|| vec![parts.root]);
    let paths = parts
        .paths
        .iter()
        .map(|path| std::iter::once(parts.root).chain(path.split(parts.separator)).collect());
    alone.into_iter().chain(paths)
}

impl<'a> Insertion<'a> {
    fn new(
        key: Key,
        writer: WriterId,
        settings: Settings,
        known: &'a HashSet<Box<str>>,
        o: &'a Observation<'a>,
    ) -> Self {
        let peer = key.peer(o.peer);
        let mut seen = Seen {
            accepted: o.counts.accepted,
            rejected: o.counts.rejected.saturating_add(o.counts.outside),
            outside: o.counts.outside,
            hours: 0,
            ..Seen::default()
        };
        if o.counts.accepted > 0 {
            seen.hours = 1 << (hour(o.last) % 24);
            insert_peer(&mut seen.peers, peer);
        }
        let arrival = Arrival { hour: hour(o.first), peer };
        Self {
            key,
            writer,
            settings,
            observation: o,
            seen,
            arrival,
            room: 0,
            reveal: false,
            known,
            named: Vec::new(),
        }
    }

    /// Takes one path in. Answers whether there was room for it.
    fn path(&mut self, rule: &mut Rule, parts: &[&str]) -> bool {
        if parts.len() > DEPTH {
            return false;
        }
        self.reveal = false;
        let Some((way, leaf)) = self.descend(&mut rule.roots, parts) else { return false };
        let is_new = leaf.operations() == 0;
        self.count(leaf, None);
        let hash = self.shape(parts);
        if way == Way::Known {
            self.note_peer(rule);
            if is_new {
                self.move_notes(rule, parts, hash);
            }
            return true;
        }
        leaf.hidden.insert(day(self.observation.last), hash, &self.seen);
        if leaf.hidden.operations(hash) >= self.settings.word_operations {
            // Seen often enough: every word of it is named, and it gets a leaf of its own.
            self.reveal = true;
            let known = matches!(self.descend(&mut rule.roots, parts), Some((Way::Known, _)));
            self.reveal = false;
            if known {
                self.note_peer(rule);
                self.move_notes(rule, parts, hash);
            }
        }
        true
    }

    fn note_peer(&self, rule: &mut Rule) {
        if self.seen.accepted > 0 {
            rule.peers.insert(self.observation.peer);
        }
        if self.seen.outside > 0 {
            rule.outside.insert(self.observation.peer);
        }
    }

    /// Counts at a shape's own leaf what was noted of it while words of it were hidden.
    fn move_notes(&mut self, rule: &mut Rule, parts: &[&str], hash: u64) {
        let mut all = Vec::new();
        while let Some(leaf) = hidden_leaf(&mut rule.roots, parts, hash) {
            let mut moved = 0;
            for (day, of_day) in &mut leaf.hidden.0 {
                if let Some(seen) = of_day.get_mut(&hash) {
                    seen.moved = true;
                    moved += seen.operations();
                    all.push((*day, seen.clone()));
                }
            }
            leaf.moved.add(self.writer, moved);
        }
        if let Some((Way::Known, own)) = self.descend(&mut rule.roots, parts) {
            for (day, seen) in &all {
                self.count(own, Some((*day, seen)));
            }
        }
    }

    fn shape(&self, parts: &[&str]) -> u64 {
        self.key.hash(parts.join("\0").as_bytes())
    }

    /// Goes to the leaf, making what is not there. None where there is no room.
    fn descend<'t>(
        &mut self,
        position: &'t mut Position,
        parts: &[&str],
    ) -> Option<(Way, &'t mut Leaf)> {
        let mut way = Way::Known;
        let mut position = position;
        let mut node = None;
        for (i, part) in parts.iter().enumerate() {
            let next: &'t mut Node = match class(part).filter(|_| i > 0) {
                Some(class) => {
                    self.take_room(position.classes.contains_key(&class))?;
                    position.classes.entry(class).or_default()
                }
                None if self.is_known(position, part, i == 0) => {
                    self.take_room(position.words.contains_key(*part))?;
                    position.words.entry((*part).into()).or_default()
                }
                None => {
                    way = Way::Hidden;
                    self.take_room(position.other.is_some())?;
                    position.other.get_or_insert_default()
                }
            };
            if i + 1 == parts.len() {
                node = Some(next);
                break;
            }
            position = &mut next.next;
        }
        let first = self.observation.first;
        let new = || Leaf { first, last: first, ..Leaf::default() };
        node.map(|node| (way, node.leaf.get_or_insert_with(new)))
    }

    fn take_room(&mut self, is_there: bool) -> Option<()> {
        if !is_there {
            self.room = self.room.checked_sub(1)?;
        }
        Some(())
    }

    /// Whether the word is known at this position, or gets known with this operation. A new
    /// one is noted.
    fn is_known(&mut self, position: &mut Position, part: &str, root: bool) -> bool {
        if position.words.contains_key(part) {
            return true;
        }
        let hash = self.key.hash(part.as_bytes());
        position.values.insert(hash, self.arrival);
        // One more would make them all one: that is for merging to do, not for one operation.
        if position.saturated || position.words.len() >= WORDS {
            return false;
        }
        if is_common(root, part) || self.known.contains(part) {
            return true;
        }
        if self.reveal {
            self.named.push(part.into());
            return true;
        }
        let word = Seen { accepted: self.seen.operations(), ..Seen::default() };
        if position.hidden.operations(hash) + word.accepted >= self.settings.word_operations {
            self.named.push(part.into());
            return true;
        }
        position.hidden.insert(day(self.observation.last), hash, &word);
        false
    }

    /// Counts this operation at a leaf, or what was seen of it before.
    fn count(&self, leaf: &mut Leaf, before: Option<(u32, &Seen)>) {
        let o = self.observation;
        let (day, seen) = before.unwrap_or((day(o.last), &self.seen));
        leaf.accepted.add(self.writer, seen.accepted);
        leaf.rejected.add(self.writer, seen.rejected);
        leaf.outside.add(self.writer, seen.outside);
        leaf.last = leaf.last.max(o.last);
        leaf.first = leaf.first.min(o.first).min(if before.is_some() {
            u64::from(day) * 86_400 + u64::from(seen.hours.trailing_zeros().min(23)) * 3600
        } else {
            o.first
        });
        leaf.hours.insert_day_if(day, seen.hours);
        seen.peers.iter().for_each(|peer| insert_peer(&mut leaf.peers, *peer));
        if seen.accepted == 0 {
            insert_peer(&mut leaf.tried, self.arrival.peer);
        }
    }
}

/// A leaf of hidden words that has noted this shape, which was not moved yet.
fn hidden_leaf<'t>(position: &'t mut Position, parts: &[&str], shape: u64) -> Option<&'t mut Leaf> {
    let (part, rest) = parts.split_first()?;
    // The way of then: what is a word by now was none when the shape was noted.
    let nodes = [
        class(part).and_then(|class| position.classes.get_mut(&class)),
        position.words.get_mut(*part),
        position.other.as_deref_mut(),
    ];
    for node in nodes.into_iter().flatten() {
        if rest.is_empty() {
            if let Some(leaf) = &mut node.leaf
                && leaf.hidden.of(shape).any(|(_, seen)| !seen.moved)
            {
                return Some(leaf);
            }
        } else if let Some(leaf) = hidden_leaf(&mut node.next, rest, shape) {
            return Some(leaf);
        }
    }
    None
}

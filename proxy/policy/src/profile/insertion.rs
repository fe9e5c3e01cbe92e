//! Puts one observation into the tree of its rule.

use std::collections::HashSet;

use super::counter::WriterId;
use super::hours::{HOUR, day, hour};
use super::key::{class, is_common};
use super::learner::{Observation, Settings};
use super::rule::Rule;
use super::sketch::{Arrival, Hidden, Key, Seen, TRIED, Values, insert_peer};
use super::tree::{DEPTH, Leaf, Node, Position, WORDS};

/// How much more may be kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) nodes: usize,
    pub(super) hashes: usize,
    /// There was too little.
    pub(super) is_short: bool,
    /// A position has all the words that it may have.
    pub(super) is_full: bool,
}

/// Where an operation belongs, and what is known of it besides.
pub(super) struct Insertion<'a> {
    key: Key,
    writer: WriterId,
    settings: Settings,
    observation: &'a Observation<'a>,
    seen: Seen,
    arrival: Arrival,
    room: Room,
    /// Name every word, whether or not it came often enough by itself.
    reveal: bool,
    known: &'a HashSet<Box<str>>,
    /// Words that are named since.
    pub(super) named: Vec<Box<str>>,
}

/// A leaf was reached by known words alone, or not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Known,
    Hidden,
}

impl<'a> Insertion<'a> {
    pub(super) fn new(
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
            room: Room { nodes: 0, hashes: 0, is_short: false, is_full: false },
            reveal: false,
            known,
            named: Vec::new(),
        }
    }

    /// Takes the path in. Answers what room is left, and whether there was enough.
    pub(super) fn insert(&mut self, rule: &mut Rule, room: Room, parts: &[&str]) -> (Room, bool) {
        let kept = room.nodes.saturating_sub(self.settings.rule_nodes.saturating_sub(rule.nodes));
        self.room = Room { nodes: room.nodes - kept, ..room };
        let before = self.room.nodes;
        let fits = self.path(rule, parts);
        rule.nodes += before - self.room.nodes;
        (Room { nodes: self.room.nodes + kept, ..self.room }, fits)
    }

    /// Takes the path in. Answers whether there was room for it.
    fn path(&mut self, rule: &mut Rule, parts: &[&str]) -> bool {
        if parts.len() > DEPTH {
            return false;
        }
        let named = self.named.len();
        let Some((way, node)) = self.descend(&mut rule.roots, parts) else {
            self.room.is_short = true;
            self.undo(rule, parts, named);
            return false;
        };
        let leaf = self.leaf(node);
        let is_new = leaf.operations() == 0;
        self.count(leaf, None);
        let hash = self.shape(parts);
        let is_known = if way == Way::Known {
            if is_new {
                self.move_notes(rule, parts, hash);
            }
            true
        } else {
            let (seen, noted_as) = (self.seen.clone(), self.noted_as(hash));
            self.note(&mut leaf.hidden, noted_as, &seen);
            noted(&rule.roots, parts, noted_as) >= self.settings.word_operations
                && self.name_all(rule, parts, hash)
        };
        if is_known && self.seen.accepted > 0 {
            rule.peers.insert(self.observation.peer);
        }
        if is_known && self.seen.outside > 0 {
            rule.outside.insert(self.observation.peer);
        }
        true
    }

    /// A shape with words that are not named was seen often enough: each gets its name, and the
    /// shape a leaf of its own. Answers whether there was room for that.
    fn name_all(&mut self, rule: &mut Rule, parts: &[&str], hash: u64) -> bool {
        let named = self.named.len();
        self.reveal = true;
        let is_known = matches!(self.descend(&mut rule.roots, parts), Some((Way::Known, _)));
        self.reveal = false;
        if is_known {
            self.move_notes(rule, parts, hash);
        } else {
            self.undo(rule, parts, named);
        }
        is_known
    }

    /// Takes back what a descent made before it ended.
    fn undo(&mut self, rule: &mut Rule, parts: &[&str], named: usize) {
        self.room.nodes += prune(&mut rule.roots, parts);
        self.named.truncate(named);
    }

    /// Notes what was seen of a hash, where there is room.
    fn note(&mut self, hidden: &mut Hidden, hash: u64, seen: &Seen) {
        let day = day(self.observation.last);
        if self.room.hashes == 0 && hidden.grows(day, hash) {
            self.room.is_short = true;
            return;
        }
        let before = hidden.len();
        hidden.insert(day, hash, seen);
        self.room.hashes = (self.room.hashes + before).saturating_sub(hidden.len());
    }

    /// Takes a word into the sample of a position's values, where there is room.
    fn sample(&mut self, values: &mut Values, hash: u64) {
        if self.room.hashes == 0 && values.grows(hash) {
            self.room.is_short = true;
            return;
        }
        let before = values.0.len();
        values.insert(hash, self.arrival);
        self.room.hashes = (self.room.hashes + before).saturating_sub(values.0.len());
    }

    /// The hash under which this operation is noted: what was only tried has room of its own.
    fn noted_as(&self, hash: u64) -> u64 {
        if self.seen.accepted > 0 { hash } else { hash | TRIED }
    }

    /// Counts at a shape's own leaf what was noted of it while words of it were hidden.
    fn move_notes(&mut self, rule: &mut Rule, parts: &[&str], hash: u64) {
        let mut all = Vec::new();
        for hash in [hash, hash | TRIED] {
            while let Some(leaf) = hidden_leaf(&mut rule.roots, parts, hash) {
                let mut moved = 0u64;
                for (day, of_day) in &mut leaf.hidden.0 {
                    if let Some(seen) = of_day.get_mut(&hash) {
                        seen.moved = true;
                        moved = seen.operations().saturating_add(moved);
                        all.push((*day, seen.clone()));
                    }
                }
                leaf.moved.add(self.writer, moved);
            }
        }
        if let Some((Way::Known, node)) = self.descend(&mut rule.roots, parts) {
            let own = self.leaf(node);
            for (day, seen) in &all {
                self.count(own, Some((*day, seen)));
            }
        }
    }

    fn shape(&self, parts: &[&str]) -> u64 {
        self.key.hash(parts.join("\0").as_bytes())
    }

    /// Goes to the node, making what is not there. None where there is no room.
    fn descend<'t>(
        &mut self,
        position: &'t mut Position,
        parts: &[&str],
    ) -> Option<(Way, &'t mut Node)> {
        let mut way = Way::Known;
        let (last, before) = parts.split_last()?;
        let mut position = position;
        for (depth, part) in before.iter().enumerate() {
            position = &mut self.step(position, part, depth, &mut way)?.next;
        }
        let node = self.step(position, last, before.len(), &mut way)?;
        Some((way, node))
    }

    /// The node of one part.
    fn step<'t>(
        &mut self,
        position: &'t mut Position,
        part: &str,
        depth: usize,
        way: &mut Way,
    ) -> Option<&'t mut Node> {
        if let Some(class) = class(part).filter(|_| depth > 0) {
            self.take_room(position.classes.contains_key(&class))?;
            return Some(position.classes.entry(class).or_default());
        }
        if self.is_known(position, part, depth) {
            if !position.words.contains_key(part) {
                self.take_room(false)?;
                self.named.push(part.into());
            }
            return Some(position.words.entry(part.into()).or_default());
        }
        *way = Way::Hidden;
        self.take_room(position.other.is_some())?;
        Some(position.other.get_or_insert_default())
    }

    fn leaf<'t>(&self, node: &'t mut Node) -> &'t mut Leaf {
        let first = self.observation.first;
        node.leaf.get_or_insert_with(|| Leaf { first, last: first, ..Leaf::default() })
    }

    fn take_room(&mut self, is_there: bool) -> Option<()> {
        if !is_there {
            self.room.nodes = self.room.nodes.checked_sub(1)?;
        }
        Some(())
    }

    /// Whether the word is known at this position, or gets known with this operation. A new
    /// one is noted.
    fn is_known(&mut self, position: &mut Position, part: &str, depth: usize) -> bool {
        if position.words.contains_key(part) {
            return true;
        }
        let hash = self.key.hash(part.as_bytes());
        // What the server does not accept says nothing of what varies.
        if self.seen.accepted > 0 {
            self.sample(&mut position.values, hash);
        }
        let noted = self.noted_as(hash);
        // One more would make them all one: that is for merging to do, not for one operation.
        if position.saturated || position.words.len() >= WORDS {
            self.room.is_full = true;
            return false;
        }
        if self.reveal || is_common(depth == 0, part) || self.known.contains(part) {
            return true;
        }
        let now = self.seen.operations();
        let all = position.hidden.operations(noted).saturating_add(now);
        if all >= self.settings.word_operations {
            return true;
        }
        let word = Seen { accepted: now, ..Seen::default() };
        self.note(&mut position.hidden, noted, &word);
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
        leaf.first = leaf.first.min(o.first);
        if before.is_some() {
            let hour = u64::from(seen.hours.trailing_zeros().min(23));
            leaf.first = leaf.first.min((u64::from(day) * 24 + hour) * HOUR);
        }
        leaf.hours.insert_day_if(day, seen.hours);
        seen.peers.iter().for_each(|peer| insert_peer(&mut leaf.peers, *peer));
        if seen.accepted == 0 {
            insert_peer(&mut leaf.tried, self.arrival.peer);
        }
    }
}

/// How many operations of this shape were noted while words of it were hidden: in one place
/// after the other, as one word after the other got its name.
fn noted(position: &Position, parts: &[&str], shape: u64) -> u64 {
    let Some((part, rest)) = parts.split_first() else { return 0 };
    let nodes = [
        class(part).and_then(|class| position.classes.get(&class)),
        position.words.get(*part),
        position.other.as_deref(),
    ];
    let of = |node: &Node| match &node.leaf {
        Some(leaf) if rest.is_empty() => leaf.hidden.operations(shape),
        _ => noted(&node.next, rest, shape),
    };
    nodes.into_iter().flatten().fold(0, |sum, node| of(node).saturating_add(sum))
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

/// Takes out the nodes of a path at which nothing was counted. Answers how many there were.
fn prune(position: &mut Position, parts: &[&str]) -> usize {
    let Some((part, rest)) = parts.split_first() else { return 0 };
    let class = class(part);
    let nodes = [
        class.and_then(|class| position.classes.get_mut(&class)),
        position.words.get_mut(*part),
        position.other.as_deref_mut(),
    ];
    let mut pruned = nodes.into_iter().flatten().map(|node| prune(&mut node.next, rest)).sum();
    let before = position.children();
    if let Some(class) = class
        && position.classes.get(&class).is_some_and(Node::is_empty)
    {
        position.classes.remove(&class);
    }
    if position.words.get(*part).is_some_and(Node::is_empty) {
        position.words.remove(*part);
    }
    position.other.take_if(|node| node.is_empty());
    pruned += before - position.children();
    pruned
}

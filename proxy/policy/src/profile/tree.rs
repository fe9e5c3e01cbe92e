//! The shapes of a rule as a tree: a position of a path or key has its words, its classes, and
//! one place for all words that are not known yet.

use std::collections::BTreeMap;

use super::counter::{Counter, WriterId};
use super::hours::{Hours, day};
use super::sketch::{HIDDEN_DAYS, Hidden, PeerSet, Values, insert_peer};
use crate::class::Class;

/// As many words of one position as are told apart. One more, and they are all one: the position
/// is saturated.
pub(super) const WORDS: usize = 128;
/// As many parts of an operation as are told apart.
pub(super) const DEPTH: usize = 24;

/// What ends here, and what follows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) leaf: Option<Leaf>,
    pub(super) next: Position,
}

/// What may stand at one place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// Known words, as entries write them.
    pub(super) words: BTreeMap<Box<str>, Node>,
    pub(super) classes: BTreeMap<Class, Node>,
    /// Every other word, all in one.
    pub(super) other: Option<Box<Node>>,
    /// A sample of all words that came, and when.
    pub(super) values: Values,
    /// Words on their way to become known.
    pub(super) hidden: Hidden,
    /// There were too many words: `other` has them all.
    pub(super) saturated: bool,
}

/// The evidence of one shape.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leaf {
    /// Operations that the server accepted.
    pub(super) accepted: Counter,
    /// Operations that it answered with an error or not at all, and those that were refused.
    pub(super) rejected: Counter,
    /// Those of `rejected` that were outside the policy, in monitor or enforce.
    pub(super) outside: Counter,
    /// Operations of hidden shapes that have a leaf of their own since, and count there.
    pub(super) moved: Counter,
    /// Seconds since 1970; the least and the greatest.
    pub(super) first: u64,
    pub(super) last: u64,
    /// The hours in which operations were accepted.
    pub(super) hours: Hours,
    /// Whose operations were accepted.
    pub(super) peers: PeerSet,
    /// Whose were not.
    pub(super) tried: PeerSet,
    /// The different shapes that this one stands for, where a word in it is not known.
    pub(super) hidden: Hidden,
}

impl Node {
    pub(super) fn join(&mut self, other: &Self) {
        if let Some(leaf) = &other.leaf {
            self.leaf.get_or_insert_with(|| leaf.clone()).join(leaf);
        }
        self.next.join(&other.next);
    }

    /// Whether nothing was counted here nor behind it.
    pub(super) fn is_empty(&self) -> bool {
        self.leaf.is_none() && self.next.children() == 0
    }

    /// Whether it is to be kept by [`Position::forget_seldom`].
    fn outlasts(&mut self, before: u32) -> bool {
        self.leaf.take_if(|leaf| day(leaf.last) < before && leaf.hours.days() < HIDDEN_DAYS);
        if let Some(leaf) = &mut self.leaf {
            leaf.hidden.forget_before(before);
        }
        self.next.forget_seldom(before);
        !self.is_empty()
    }
}

impl Position {
    pub(super) fn join(&mut self, other: &Self) {
        for (word, node) in &other.words {
            self.words.entry(word.clone()).or_default().join(node);
        }
        for (class, node) in &other.classes {
            self.classes.entry(*class).or_default().join(node);
        }
        if let Some(node) = &other.other {
            self.other.get_or_insert_default().join(node);
        }
        self.values.join(&other.values);
        self.hidden.join(&other.hidden);
        self.saturated |= other.saturated;
        self.fit();
    }

    /// The nodes that follow.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.words.values().chain(self.classes.values()).chain(self.other.as_deref())
    }

    /// How many nodes follow at once.
    pub(super) fn children(&self) -> usize {
        self.words.len() + self.classes.len() + usize::from(self.other.is_some())
    }

    /// How many hashes are kept from here on.
    pub(super) fn hashes(&self) -> usize {
        let of = |node: &Node| {
            node.leaf.as_ref().map_or(0, |leaf| leaf.hidden.len()) + node.next.hashes()
        };
        self.values.0.len() + self.hidden.len() + self.nodes().map(of).sum::<usize>()
    }

    /// Forgets what came on a few days only and not since `before`, a day.
    pub(super) fn forget_seldom(&mut self, before: u32) {
        let had_words = !self.words.is_empty() || self.other.is_some();
        self.words.retain(|_, node| node.outlasts(before));
        self.classes.retain(|_, node| node.outlasts(before));
        self.other.take_if(|node| !node.outlasts(before));
        self.hidden.forget_before(before);
        if had_words && self.words.is_empty() && self.other.is_none() {
            self.values = Values::default();
            self.saturated = false;
        }
    }

    /// The same of the words of positions that have all they may have, and are not variable.
    pub(super) fn forget_seldom_where_full(
        &mut self,
        before: u32,
        is_variable: &dyn Fn(&Values) -> bool,
    ) {
        if self.words.len() >= WORDS && !is_variable(&self.values) {
            self.words.retain(|_, node| node.outlasts(before));
        }
        for node in self.nodes_mut() {
            node.next.forget_seldom_where_full(before, is_variable);
        }
    }

    fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        let known = self.words.values_mut().chain(self.classes.values_mut());
        known.chain(self.other.as_deref_mut())
    }

    /// How many nodes there are from here on.
    pub(super) fn count(&self) -> usize {
        self.nodes().map(|node| 1 + node.next.count()).sum()
    }

    /// Makes all words one where there are too many.
    pub(super) fn fit(&mut self) {
        if self.words.len() <= WORDS && !self.saturated {
            return;
        }
        self.saturated = true;
        for node in std::mem::take(&mut self.words).into_values() {
            self.other.get_or_insert_default().join(&node);
        }
    }

    /// Calls `position` with this and each further position, and `leaf` with each leaf.
    pub(super) fn positions_mut(
        &mut self,
        position: &mut dyn FnMut(&mut Position),
        leaf: &mut dyn FnMut(&mut Leaf),
    ) {
        position(self);
        for node in self.nodes_mut() {
            if let Some(here) = &mut node.leaf {
                leaf(here);
            }
            node.next.positions_mut(position, leaf);
        }
    }
}

impl Leaf {
    pub(super) fn join(&mut self, other: &Self) {
        self.accepted.join(&other.accepted);
        self.rejected.join(&other.rejected);
        self.outside.join(&other.outside);
        self.moved.join(&other.moved);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
        self.hours.join(&other.hours);
        other.peers.iter().for_each(|peer| insert_peer(&mut self.peers, *peer));
        other.tried.iter().for_each(|peer| insert_peer(&mut self.tried, *peer));
        self.hidden.join(&other.hidden);
    }

    /// All operations that count here.
    pub(super) fn operations(&self) -> u64 {
        let all = self.accepted.total().saturating_add(self.rejected.total());
        all.saturating_sub(self.moved.total())
    }

    pub(super) fn forget_before(&mut self, oldest: WriterId) {
        for counter in [&mut self.accepted, &mut self.rejected, &mut self.outside, &mut self.moved]
        {
            counter.forget_before(oldest);
        }
    }
}

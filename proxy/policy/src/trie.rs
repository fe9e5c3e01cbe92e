//! Finds, among many patterns, those that cover a text, in time that does not grow with their
//! number: a trie over parts, whose literal children are found by hash.

use crate::class::Class;
use crate::pattern::{Rest, Sequence, Text, Token, hash_plain};

/// A compiled set of patterns, each with a value.
#[derive(Debug)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
    edges: Edges,
}

#[derive(Debug, Default)]
struct Node {
    /// Values of the patterns that end here.
    ends: Vec<u32>,
    /// Children by slot.
    slots: Vec<(u8, Option<Class>, u32)>,
    /// Patterns that end in a rest, with their values.
    rests: Vec<(Rest, Vec<u32>)>,
    /// Some child is found by hash.
    literals: bool,
}

impl Default for Trie {
    fn default() -> Self {
        Self { nodes: vec![Node::default()], edges: Edges::default() }
    }
}

impl Trie {
    /// Adds a pattern.
    pub(crate) fn insert(&mut self, pattern: &Sequence, value: u32) {
        let mut at = 0;
        for (separator, token) in &pattern.parts {
            at = match token {
                Token::Literal(literal) => self.literal_child(at, *separator, literal),
                Token::Slot(slot) => self.slot_child(at, *separator, *slot),
            };
        }
        let node = &mut self.nodes[at as usize];
        match &pattern.rest {
            None => node.ends.push(value),
            Some(rest) => match node.rests.iter_mut().find(|(r, _)| r == rest) {
                Some((_, values)) => values.push(value),
                None => node.rests.push((rest.clone(), vec![value])),
            },
        }
    }

    fn add_node(&mut self) -> u32 {
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Node::default());
        id
    }

    fn literal_child(&mut self, parent: u32, separator: u8, literal: &[u8]) -> u32 {
        let hash = hash_plain(separator, literal);
        let found =
            self.edges.find(parent, hash, |edge| edge.is(separator, |bytes| bytes == literal));
        if let Some(child) = found {
            return child;
        }
        let child = self.add_node();
        self.nodes[parent as usize].literals = true;
        self.edges.insert(Edge { parent, hash, separator, literal: literal.into(), child });
        child
    }

    fn slot_child(&mut self, parent: u32, separator: u8, slot: Option<Class>) -> u32 {
        let slots = &self.nodes[parent as usize].slots;
        if let Some((_, _, child)) = slots.iter().find(|(s, c, _)| (*s, *c) == (separator, slot)) {
            return *child;
        }
        let child = self.add_node();
        self.nodes[parent as usize].slots.push((separator, slot, child));
        child
    }

    /// Calls `visit` with the value of each pattern that covers `text`, until it answers false.
    /// Answers whether all calls answered true.
    ///
    /// Literal parts come before variable ones and those before a rest. Each node is reached along one way only, so the work is bounded by the number of nodes;
    /// the depth by [`crate::pattern::MAX_PARTS`].
    pub(crate) fn all(&self, text: &impl Text, visit: &mut impl FnMut(u32) -> bool) -> bool {
        self.walk(0, text, 0, visit)
    }

    fn walk(
        &self,
        node: u32,
        text: &impl Text,
        at: usize,
        visit: &mut impl FnMut(u32) -> bool,
    ) -> bool {
        let node_id = node;
        let node = &self.nodes[node as usize];
        let Some((separator, part, next)) = text.part(at) else {
            return node.ends.iter().all(|value| visit(*value));
        };
        if node.literals {
            let hash = text.hash(separator, part);
            let is = |edge: &Edge| edge.is(separator, |bytes| text.is(part, bytes));
            if let Some(child) = self.edges.find(node_id, hash, is)
                && !self.walk(child, text, next, visit)
            {
                return false;
            }
        }
        for (s, slot, child) in &node.slots {
            if *s == separator && text.fits(*slot, part) && !self.walk(*child, text, next, visit) {
                return false;
            }
        }
        node.rests.iter().all(|(rest, values)| {
            rest.separator != separator
                || !text.covers_rest(&rest.prefix, text.remaining(at))
                || values.iter().all(|value| visit(*value))
        })
    }
}

/// The literal children of all nodes: one table, open addressing, at most half full.
#[derive(Debug, Default)]
struct Edges {
    edges: Vec<Edge>,
    /// Index into `edges` plus one; 0 is empty. The length is a power of two.
    table: Vec<u32>,
}

#[derive(Debug)]
struct Edge {
    parent: u32,
    separator: u8,
    child: u32,
    hash: u64,
    literal: Box<[u8]>,
}

impl Edge {
    fn is(&self, separator: u8, bytes: impl FnOnce(&[u8]) -> bool) -> bool {
        self.separator == separator && bytes(&self.literal)
    }
}

impl Edges {
    fn slot(&self, parent: u32, hash: u64) -> usize {
        let mixed = hash ^ u64::from(parent).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // The upper half: multiplication mixes upwards.
        usize::try_from(mixed >> 32).unwrap_or(0)
    }

    fn find(&self, parent: u32, hash: u64, is: impl Fn(&Edge) -> bool) -> Option<u32> {
        let mask = self.table.len().checked_sub(1)?;
        let mut slot = self.slot(parent, hash) & mask;
        loop {
            let index = self.table[slot].checked_sub(1)?;
            let edge = &self.edges[index as usize];
            if edge.hash == hash && edge.parent == parent && is(edge) {
                return Some(edge.child);
            }
            slot = (slot + 1) & mask;
        }
    }

    fn insert(&mut self, edge: Edge) {
        self.edges.push(edge);
        if self.edges.len() * 2 > self.table.len() {
            self.table = vec![0; (self.edges.len() * 4).next_power_of_two()];
            for index in 0..self.edges.len() {
                self.place(index);
            }
        } else {
            self.place(self.edges.len() - 1);
        }
    }

    fn place(&mut self, index: usize) {
        let mask = self.table.len() - 1;
        let edge = &self.edges[index];
        let mut slot = self.slot(edge.parent, edge.hash) & mask;
        while self.table[slot] != 0 {
            slot = (slot + 1) & mask;
        }
        self.table[slot] = u32::try_from(index + 1).unwrap_or(u32::MAX);
    }
}

//! Profiles: the evidence of which shapes a workload was seen to use, in bounded memory.
//!
//! - [`key`]: operations as learning sees them.
//! - [`Learner`]: turns them into a [`Profile`] as they come.
//! - [`Profile::join`]: profiles of several processes are merged in any order, any number of
//!   times; the result is the same.
//! - [`Profile::statistics`] and [`Profile::learned`]: what it says, and the policy that it would
//!   make. Pure functions: the profile itself never loses evidence by them.

mod compact;
mod counter;
mod file;
mod general;
mod hours;
pub mod key;
mod learner;
mod peers;
mod policy;
mod rule;
mod sketch;
mod standing;
mod statistics;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

pub use counter::WriterId;
pub use file::{BadProfile, PROFILE_BYTES};
pub use learner::{Counts, Learner, Observation, Settings};
pub use sketch::Key;
pub use standing::Criteria;
pub use statistics::{Estimate, Statistics};

use counter::WRITERS;
use rule::{Port, PortKey};

/// As many ports as a profile tells apart, the lowest.
const PORTS: usize = 128;

/// The evidence of a workload, or of several that were merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Which key its hashes are made with; 0: it has none.
    key_id: u64,
    /// Who has counted, the latest [`WRITERS`].
    writers: BTreeSet<WriterId>,
    /// There were more writers: counts are at least what they say.
    forgotten: bool,
    ports: BTreeMap<PortKey, Port>,
    /// There were more ports.
    dropped_ports: bool,
}

impl Profile {
    /// Takes over what another profile has: associative, commutative and idempotent.
    ///
    /// Hashes of different keys cannot be compared. Of two profiles with different keys, those
    /// of one are forgotten: what is still hidden in it, and its samples of values and peers.
    pub fn join(&mut self, other: &Self) {
        if other.key_id == self.key_id {
            return self.join_same_key(other);
        }
        if other.key_id > self.key_id {
            self.forget_hashes();
            self.key_id = other.key_id;
            self.join_same_key(other);
        } else {
            let mut other = other.clone();
            other.forget_hashes();
            self.join_same_key(&other);
        }
    }

    fn join_same_key(&mut self, other: &Self) {
        for (key, port) in &other.ports {
            self.ports.entry(*key).or_default().join(port);
        }
        self.dropped_ports |= other.dropped_ports;
        self.writers.extend(&other.writers);
        self.forgotten |= other.forgotten;
        self.fit();
    }

    /// Forgets the writers and ports that are too many.
    fn fit(&mut self) {
        self.fit_ports();
        while self.writers.len() > WRITERS {
            self.writers.pop_first();
            self.forgotten = true;
        }
        if self.forgotten
            && let Some(oldest) = self.writers.first().copied()
        {
            for rule in self.ports.values_mut().flat_map(Port::rules_mut) {
                rule.cut.forget_before(oldest);
                rule.leaves_mut(&mut |leaf| leaf.forget_before(oldest));
            }
        }
    }

    fn fit_ports(&mut self) {
        while self.ports.len() > PORTS {
            self.ports.pop_last();
            self.dropped_ports = true;
        }
    }

    fn forget_hashes(&mut self) {
        for rule in self.ports.values_mut().flat_map(Port::rules_mut) {
            let mut forget = |position: &mut tree::Position| {
                position.values = sketch::Values::default();
                position.hidden = sketch::Hidden::default();
            };
            rule.roots.positions_mut(&mut forget, &mut |leaf| {
                leaf.peers.clear();
                leaf.tried.clear();
                leaf.hidden = sketch::Hidden::default();
            });
        }
    }

    /// Calls `visit` with each word that may be shown, as entries write it.
    pub fn words(&self, visit: &mut dyn FnMut(&str)) {
        fn walk(position: &tree::Position, visit: &mut dyn FnMut(&str)) {
            position.words.keys().for_each(|word| visit(word));
            position.nodes().for_each(|node| walk(&node.next, visit));
        }
        for (_, rule) in self.ports.values().flat_map(Port::rules) {
            walk(&rule.roots, visit);
        }
    }

    /// How many shapes, hidden words and positions it holds: what bounds its size.
    pub fn nodes(&self) -> usize {
        self.ports.values().flat_map(Port::rules).map(|(_, rule)| rule.nodes).sum()
    }

    /// Whether nothing was seen yet.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }
}

//#[cfg(test)]
//mod tests;

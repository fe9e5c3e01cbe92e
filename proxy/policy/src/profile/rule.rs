//! What one rule would be made of: who speaks, and the tree of shapes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::counter::Counter;
use super::hours::Hours;
use super::peers::Peers;
use super::tree::{Leaf, Position};
use crate::op::{Protocol, Side};

/// As many servers of one port as are told apart. One more, and they are all one.
const SERVERS: usize = 32;
/// As many databases as are told apart; more are any.
const DATABASES: usize = 16;

/// What a port is to a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PortKey {
    pub(super) side: Side,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
}

impl PortKey {
    fn order(self) -> (bool, u16, &'static str) {
        (self.side == Side::Outbound, self.port, self.protocol.as_str())
    }
}

impl PartialOrd for PortKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PortKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

/// What was seen at a port: for each server outbound, for all clients together inbound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) servers: BTreeMap<IpAddr, Rule>,
    /// All that has no place among `servers`.
    pub(super) other: Option<Rule>,
    /// There were too many servers: `other` has them all.
    pub(super) saturated: bool,
}

impl Port {
    /// The rule that an operation with this peer belongs to. A server has a rule of its own once
    /// it has accepted something: what is only tried takes no place.
    pub(super) fn rule_mut(&mut self, side: Side, peer: IpAddr, accepted: bool) -> &mut Rule {
        if side == Side::Outbound && accepted && !self.saturated {
            self.servers.entry(peer.to_canonical()).or_default();
            self.fit();
        }
        match self.servers.get_mut(&peer.to_canonical()) {
            // Two steps, since a borrow that is answered cannot be let go of.
            Some(rule) if side == Side::Outbound => rule,
            _ => self.other.get_or_insert_default(),
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (server, rule) in &other.servers {
            self.servers.entry(*server).or_default().join(rule);
        }
        if let Some(rule) = &other.other {
            self.other.get_or_insert_default().join(rule);
        }
        self.saturated |= other.saturated;
        self.fit();
    }

    fn fit(&mut self) {
        if self.servers.len() <= SERVERS && !self.saturated {
            return;
        }
        self.saturated = true;
        for (_, rule) in std::mem::take(&mut self.servers) {
            self.other.get_or_insert_default().join(&rule);
        }
    }

    /// Each rule, with its server if it is one server's.
    pub(super) fn rules(&self) -> impl Iterator<Item = (Option<IpAddr>, &Rule)> {
        let servers = self.servers.iter().map(|(server, rule)| (Some(*server), rule));
        servers.chain(self.other.iter().map(|rule| (None, rule)))
    }

    pub(super) fn rules_mut(&mut self) -> impl Iterator<Item = &mut Rule> {
        self.servers.values_mut().chain(self.other.as_mut())
    }
}

/// See the module's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    /// Clients inbound, servers outbound.
    pub(super) peers: Peers,
    /// Those of operations outside the policy: whom a person would allow them to.
    pub(super) outside: Peers,
    /// The Redis databases; none: more than are told apart.
    pub(super) databases: Databases,
    /// The hours in which operations were accepted that are no probes.
    pub(super) hours: Hours,
    /// Methods and commands, and behind each its paths or keys.
    pub(super) roots: Position,
    /// How many nodes `roots` has.
    pub(super) nodes: usize,
    /// Operations that no shape could hold.
    pub(super) cut: Counter,
}

/// A few numbers, or any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Databases {
    pub(super) numbers: BTreeSet<u32>,
    pub(super) any: bool,
}

impl Databases {
    pub(super) fn insert(&mut self, database: u32) {
        self.numbers.insert(database);
        self.fit();
    }

    fn fit(&mut self) {
        self.any |= self.numbers.len() > DATABASES;
        if self.any {
            self.numbers.clear();
        }
    }
}

impl Rule {
    pub(super) fn join(&mut self, other: &Self) {
        self.peers.join(&other.peers);
        self.outside.join(&other.outside);
        self.databases.numbers.extend(&other.databases.numbers);
        self.databases.any |= other.databases.any;
        self.databases.fit();
        self.hours.join(&other.hours);
        self.roots.join(&other.roots);
        self.nodes = self.roots.count();
        self.cut.join(&other.cut);
    }

    /// Calls `visit` with each leaf.
    pub(super) fn leaves_mut(&mut self, visit: &mut dyn FnMut(&mut Leaf)) {
        self.roots.positions_mut(&mut |_| {}, visit);
    }
}

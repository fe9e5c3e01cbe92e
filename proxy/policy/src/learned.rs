//! What a profile says a policy should have: rules and entries with their evidence, before they
//! are written as YAML.

use std::fmt;

use ipnet::IpNet;

use crate::op::{Protocol, Side};
use crate::path::Ambiguities;

/// Everything that a profile would put into a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// The rules, sorted: inbound first, then by port, protocol and peers.
    pub rules: Vec<LearnedRule>,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnedRule {
    /// The direction that it belongs to.
    pub side: Side,
    /// `from` or `to`, sorted. Empty: there were too many to tell, and a person must choose.
    pub peers: Vec<IpNet>,
    /// The server's port.
    pub port: u16,
    /// What was spoken.
    pub protocol: Protocol,
    /// The Redis databases that were used; empty: does not apply.
    pub databases: Vec<u32>,
    /// What a reader should know of the rule: its statistics, and what is missing. Comment lines
    /// without `#`.
    pub notes: Vec<String>,
    /// What it allows, sorted.
    pub entries: Vec<LearnedEntry>,
    /// What was seen and is left to a person to take or leave, each with why; sorted.
    pub left: Vec<(LearnedEntry, String)>,
}

impl LearnedRule {
    /// Writes gRPC calls as the HTTP requests that they are to a rule of protocol `http`.
    pub(crate) fn write_as_http(&mut self) {
        self.protocol = Protocol::Http;
        let left = self.left.iter_mut().map(|(entry, _)| entry);
        for entry in self.entries.iter_mut().chain(left) {
            entry.op = format!("POST /{}", entry.op);
        }
    }
}

/// One allow entry with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LearnedEntry {
    /// The entry as a policy writes it: `GET /carts/{int}`.
    pub op: String,
    /// It asks to switch to WebSocket.
    pub upgrade: bool,
    /// The ambiguities that its path has, by their names in `permit`.
    pub permit: Vec<&'static str>,
    /// The override fields that it has.
    pub override_headers: Vec<String>,
    /// What it rests on.
    pub evidence: Evidence,
}

/// What an entry rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Evidence {
    /// Operations that the server accepted; for what was never accepted, those that it refused
    /// or that did not reach it.
    pub operations: u64,
    /// There were more operations than `operations`: some writers' counts are gone.
    pub at_least: bool,
    /// Different peers, up to [`PEERS`].
    pub peers: usize,
    /// When it was first seen, in seconds since 1970.
    pub first: u64,
    /// When it was last seen.
    pub last: u64,
    /// What each variable part of it rests on, in words.
    pub steps: Vec<String>,
}

/// As many different peers as an evidence tells apart: this many is "this many or more".
pub const PEERS: usize = 4;

impl LearnedEntry {
    /// The permitted ambiguities as a set.
    pub fn ambiguities(&self) -> Ambiguities {
        let mut set = Ambiguities::NONE;
        let kinds = self.permit.iter().filter_map(|name| crate::path::Ambiguity::from_name(name));
        kinds.for_each(|kind| set.insert(kind));
        set
    }
}

/// A count with commas: `1,204`.
pub(crate) struct Grouped(pub(crate) u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 {
            return write!(f, "{}", self.0);
        }
        write!(f, "{},{:03}", Self(self.0 / 1000), self.0 % 1000)
    }
}

/// `1,204 operations`.
pub(crate) struct Operations(pub(crate) u64);

impl fmt::Display for Operations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} operation{}", Grouped(self.0), if self.0 == 1 { "" } else { "s" })
    }
}

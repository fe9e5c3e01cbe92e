//! A policy as its file says it, checked and with positions.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;

use crate::decide::{Mode, Refusal, Unread};
use crate::entry::Entry;
use crate::error::{Origin, Warning};
use crate::host::HostPattern;
use crate::op::{Protocol, Side};
use crate::pattern::Separators;

/// One `TrafficPolicy`.
#[derive(Clone, Debug)]
pub struct TrafficPolicy {
    /// Where it begins.
    pub at: Origin,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: Option<String>,
    /// `spec.mode`.
    pub mode: Option<Mode>,
    /// `spec.inbound`; none: not governed.
    pub inbound: Option<Vec<Rule>>,
    /// `spec.outbound`; none: not governed.
    pub outbound: Option<Vec<Rule>>,
    /// `spec.refusal`.
    pub refusal: Option<Refusal>,
    /// `spec.unread`.
    pub unread: Unread,
    /// What loads and is probably not meant.
    pub warnings: Vec<Warning>,
}

impl TrafficPolicy {
    /// `namespace/name`, or the name alone.
    pub fn full_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }

    /// The rules of a side; none: not governed.
    pub fn rules(&self, side: Side) -> Option<&[Rule]> {
        match side {
            Side::Inbound => self.inbound.as_deref(),
            Side::Outbound => self.outbound.as_deref(),
        }
    }
}

/// One rule of a direction.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Where it begins.
    pub at: Origin,
    /// Its field, such as `spec.inbound[0]`.
    pub field: String,
    /// `from` or `to`.
    pub peers: Vec<Peer>,
    /// `ports`, each within 1 to 65535.
    pub ports: Vec<RangeInclusive<u16>>,
    /// `protocol`; none: any, judged as connections.
    pub protocol: Option<Protocol>,
    /// `mode`.
    pub mode: Option<Mode>,
    /// `hosts`; empty: any.
    pub hosts: Vec<HostPattern>,
    /// `databases`; empty: any.
    pub databases: Vec<u32>,
    /// `separators`.
    pub separators: Separators,
    /// `allow`.
    pub allow: Vec<Entry>,
    /// `deny`.
    pub deny: Vec<Entry>,
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// Everyone.
    Any,
    /// A prefix without some prefixes in it.
    Cidr {
        /// The prefix.
        net: IpNet,
        /// What it leaves out.
        except: Vec<IpNet>,
    },
    /// The addresses that a name resolves to, lower-case.
    Host(String),
    /// Something that only a cluster knows, in words: matches nothing when standing alone.
    Cluster(String),
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Peer::Any => f.write_str("any"),
            Peer::Host(name) => f.write_str(name),
            Peer::Cluster(kind) => write!(f, "{kind}"),
            Peer::Cidr { net, except } => {
                write!(f, "{net}")?;
                for (i, hole) in except.iter().enumerate() {
                    write!(f, "{} {hole}", if i == 0 { " except" } else { "," })?;
                }
                Ok(())
            }
        }
    }
}

/// What names resolve to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses(std::collections::BTreeMap<String, Vec<IpAddr>>);

impl Addresses {
    /// Sets what a name resolves to, in place of what it was.
    pub fn insert(&mut self, name: &str, addresses: Vec<IpAddr>) {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        self.0.insert(name, addresses);
    }

    /// What a name, lower-case and without a trailing dot, resolves to.
    pub fn get(&self, name: &str) -> &[IpAddr] {
        self.0.get(name).map(Vec::as_slice).unwrap_or_default()
    }
}

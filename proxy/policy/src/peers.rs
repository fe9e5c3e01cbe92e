//! Which rules cover an address: all prefixes of a port laid out once as disjoint ranges.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Addresses, Peer};

/// Addresses as numbers: IPv4 where its mapped form stands in IPv6 (RFC 4291 §2.5.5.2), because
/// a mapped address is the IPv4 one.
pub(crate) fn number(addr: IpAddr) -> u128 {
    match addr {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The first and last IPv4 address.
const V4: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);

/// First and last address of each range that the peers cover, in no order.
pub(crate) fn ranges(peers: &[Peer], addresses: &Addresses) -> Vec<(u128, u128)> {
    peers
        .iter()
        .flat_map(|peer| match peer {
            Peer::Any => vec![(0, u128::MAX)],
            Peer::Cidr { net, except } => cidr(net, except),
            Peer::Host(name) => {
                addresses.get(name).iter().map(|a| (number(*a), number(*a))).collect()
            }
            Peer::Cluster(_) => Vec::new(),
        })
        .collect()
}

fn cidr(net: &IpNet, except: &[IpNet]) -> Vec<(u128, u128)> {
    let range = |net: &IpNet| (number(net.network()), number(net.broadcast()));
    let mut ranges = vec![range(net)];
    let holes = except.iter().map(range);
    // An IPv6 prefix says nothing of IPv4.
    let v4 = matches!(net, IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_none()).then_some(V4);
    for hole in holes.chain(v4) {
        ranges = ranges.into_iter().flat_map(|range| cut(range, hole)).collect();
    }
    ranges
}

/// What is left of a range without another.
fn cut(range: (u128, u128), hole: (u128, u128)) -> Vec<(u128, u128)> {
    if hole.1 < range.0 || hole.0 > range.1 {
        return vec![range];
    }
    let mut left = Vec::new();
    if hole.0 > range.0 {
        left.push((range.0, hole.0 - 1));
    }
    if hole.1 < range.1 {
        left.push((hole.1 + 1, range.1));
    }
    left
}

/// Sets of rules by address. The sets are the caller's, by number.
#[derive(Debug)]
pub(crate) struct PeerTable {
    /// Where each range begins; the first at 0. It ends where the next begins.
    starts: Vec<u128>,
    sets: Vec<u32>,
}

impl PeerTable {
    /// Lays out rules, each with its ranges; `intern` numbers a set of rules, in order.
    pub(crate) fn new(
        rules: &[(u32, Vec<(u128, u128)>)],
        mut intern: impl FnMut(&[u32]) -> u32,
    ) -> Self {
        let mut changes: BTreeMap<u128, Vec<(u32, i32)>> = BTreeMap::from([(0, Vec::new())]);
        for (rule, ranges) in rules {
            for (from, to) in ranges {
                changes.entry(*from).or_default().push((*rule, 1));
                if let Some(after) = to.checked_add(1) {
                    changes.entry(after).or_default().push((*rule, -1));
                }
            }
        }
        let mut active: BTreeMap<u32, i32> = BTreeMap::new();
        let (mut starts, mut sets): (Vec<u128>, Vec<u32>) = (Vec::new(), Vec::new());
        for (start, changes) in changes {
            for (rule, change) in changes {
                *active.entry(rule).or_default() += change;
            }
            active.retain(|_, count| *count > 0);
            let rules: Vec<u32> = active.keys().copied().collect();
            let set = intern(&rules);
            if sets.last() != Some(&set) {
                starts.push(start);
                sets.push(set);
            }
        }
        Self { starts, sets }
    }

    /// The set of the range that the address is in.
    pub(crate) fn find(&self, addr: IpAddr) -> Option<u32> {
        let number = number(addr);
        let after = self.starts.partition_point(|start| *start <= number);
        self.sets.get(after.checked_sub(1)?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(peers: &[Peer], addresses: &Addresses, addr: &str) -> bool {
        let table =
            PeerTable::new(&[(0, ranges(peers, addresses))], |rules| u32::from(!rules.is_empty()));
        table.find(addr.parse().unwrap()) == Some(1)
    }

    fn net(net: &str, except: &[&str]) -> Peer {
        let except = except.iter().map(|e| e.parse().unwrap()).collect();
        Peer::Cidr { net: net.parse().unwrap(), except }
    }

    #[test]
    fn prefixes_with_holes() {
        let peers = [net("10.0.0.0/8", &["10.1.0.0/16", "10.2.3.4/32"])];
        let none = Addresses::default();
        assert!(covers(&peers, &none, "10.0.0.0"));
        assert!(covers(&peers, &none, "10.255.255.255"));
        assert!(covers(&peers, &none, "::ffff:10.0.0.1"));
        assert!(!covers(&peers, &none, "10.1.2.3"));
        assert!(!covers(&peers, &none, "10.2.3.4"));
        assert!(covers(&peers, &none, "10.2.3.5"));
        assert!(!covers(&peers, &none, "11.0.0.0"));
        assert!(!covers(&peers, &none, "9.255.255.255"));
    }

    #[test]
    fn overlapping_ranges_of_one_rule_add_up() {
        let peers = [net("10.0.0.0/8", &["10.1.0.0/16"]), net("10.1.5.0/24", &[])];
        assert!(covers(&peers, &Addresses::default(), "10.1.5.9"));
        assert!(!covers(&peers, &Addresses::default(), "10.1.6.9"));
    }

    #[test]
    fn all_of_ipv6_is_not_ipv4() {
        let peers = [net("::/0", &[])];
        assert!(covers(&peers, &Addresses::default(), "2001:db8::1"));
        assert!(!covers(&peers, &Addresses::default(), "10.0.0.1"));
        assert!(covers(&[net("0.0.0.0/0", &[])], &Addresses::default(), "10.0.0.1"));
        assert!(covers(&[Peer::Any], &Addresses::default(), "10.0.0.1"));
    }

    #[test]
    fn names_match_what_they_resolve_to_and_nothing_before() {
        let peers = [Peer::Host("redis.shop".into())];
        let mut addresses = Addresses::default();
        assert!(!covers(&peers, &addresses, "10.0.0.5"));
        addresses.insert("Redis.shop.", vec!["10.0.0.5".parse().unwrap()]);
        assert!(covers(&peers, &addresses, "10.0.0.5"));
        assert!(!covers(&peers, &addresses, "10.0.0.6"));
        assert!(!covers(&[Peer::Cluster("node".into())], &addresses, "10.0.0.5"));
    }
}

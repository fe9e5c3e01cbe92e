//! The peers of a rule: addresses, joined to prefixes where there are many.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;

/// As many addresses or prefixes as are kept before they are joined to wider ones.
const MOST: usize = 64;
/// As many within a prefix make it likely that more will come from there.
const SEVERAL: usize = 3;

/// How wide the prefixes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Width {
    /// Addresses.
    #[default]
    Address,
    /// /24, or /64.
    Narrow,
    /// /16, or /48: the widest that a rule may name unasked.
    Wide,
    /// Too many even of these: a person must say.
    Any,
}

impl Width {
    pub(super) const WORDS: [&'static str; 4] = ["address", "narrow", "wide", "any"];

    pub(super) fn as_str(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        [Self::Address, Self::Narrow, Self::Wide, Self::Any]
            .into_iter()
            .find(|w| w.as_str() == name)
    }

    fn next(self) -> Self {
        match self {
            Self::Address => Self::Narrow,
            Self::Narrow => Self::Wide,
            Self::Wide | Self::Any => Self::Any,
        }
    }

    /// The prefix of this width around `net`.
    fn around(self, net: IpNet) -> Option<IpNet> {
        let (v4, v6) = match self {
            Self::Address => return Some(net),
            Self::Narrow => (24, 64),
            Self::Wide => (16, 48),
            Self::Any => return None,
        };
        let length = if net.addr().is_ipv4() { v4 } else { v6 };
        IpNet::new(net.network(), length.min(net.prefix_len())).ok().map(|net| net.trunc())
    }
}

/// A set of peers in bounded memory: the narrowest prefixes of which it holds no more than
/// [`MOST`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Peers {
    width: Width,
    nets: BTreeSet<IpNet>,
}

impl Peers {
    pub(super) fn from_parts(width: Width, nets: impl IntoIterator<Item = IpNet>) -> Self {
        let mut peers = Self { width, nets: nets.into_iter().collect() };
        peers.fit();
        peers
    }

    pub(super) fn insert(&mut self, peer: IpAddr) {
        if let Some(net) = self.width.around(peer.to_canonical().into()) {
            self.nets.insert(net);
            if self.nets.len() > MOST {
                self.width = self.width.next();
                self.fit();
            }
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        self.width = self.width.max(other.width);
        self.nets.extend(other.nets.iter().copied());
        self.fit();
    }

    fn fit(&mut self) {
        loop {
            let width = self.width;
            self.nets = self.nets.iter().filter_map(|net| width.around(*net)).collect();
            if self.nets.len() <= MOST {
                return;
            }
            self.width = width.next();
        }
    }

    /// Whether there was none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.nets.is_empty() && self.width == Width::Address
    }

    pub(super) fn width(&self) -> Width {
        self.width
    }

    pub(super) fn nets(&self) -> &BTreeSet<IpNet> {
        &self.nets
    }

    /// The peers as a rule names them. Where several addresses of a /24 (/64) came, its others
    /// may come as well, since workloads move: they are joined, and so are several of these in a
    /// /16 (/48). None where that makes more than `most` prefixes.
    pub(super) fn prefixes(&self, most: usize) -> Option<Vec<IpNet>> {
        let addresses: Vec<IpNet> = self.nets.iter().copied().collect();
        let narrow = joined(&addresses, Width::Narrow, |_| true);
        let is_joined = |net: &IpNet| net.prefix_len() < net.max_prefix_len();
        let mut nets = joined(&narrow, Width::Wide, is_joined);
        if nets.len() > most {
            nets = joined(&narrow, Width::Wide, |_| true);
        }
        let fits = self.width != Width::Any && (1..=most).contains(&nets.len());
        fits.then_some(nets)
    }
}

/// Joins to this width where several of those that count are within one prefix of it.
fn joined(nets: &[IpNet], width: Width, counts: impl Fn(&IpNet) -> bool) -> Vec<IpNet> {
    let mut members: BTreeMap<IpNet, usize> = BTreeMap::new();
    for net in nets.iter().filter(|net| counts(net)).filter_map(|net| width.around(*net)) {
        *members.entry(net).or_default() += 1;
    }
    let join = |net: &IpNet| {
        let wider =
            width.around(*net).filter(|net| members.get(net).is_some_and(|n| *n >= SEVERAL));
        wider.unwrap_or(*net)
    };
    IpNet::aggregate(&nets.iter().map(join).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prefixes(addresses: &[&str]) -> Option<Vec<String>> {
        let mut peers = Peers::default();
        addresses.iter().for_each(|address| peers.insert(address.parse().unwrap()));
        let prefixes = peers.prefixes(16)?;
        Some(prefixes.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn few_stay_as_they_are_and_several_are_joined() {
        let said = |addresses: &[&str]| prefixes(addresses).unwrap().join(" ");
        assert_eq!(said(&["10.0.0.1", "10.0.0.9"]), "10.0.0.1/32 10.0.0.9/32");
        assert_eq!(said(&["10.0.0.1", "10.0.0.9", "10.0.0.77"]), "10.0.0.0/24");
        assert_eq!(
            said(&["10.0.1.1", "10.0.2.1", "10.0.4.1"]),
            "10.0.1.1/32 10.0.2.1/32 10.0.4.1/32"
        );
        let pods = [1, 3, 5].map(|n| [1, 2, 3].map(|m| format!("10.0.{n}.{m}"))).concat();
        let pods: Vec<&str> = pods.iter().map(String::as_str).chain(["10.9.0.1"]).collect();
        assert_eq!(said(&pods), "10.0.0.0/16 10.9.0.1/32");
        assert_eq!(said(&["fd00::1", "fd00::2", "fd00::3"]), "fd00::/64");
        assert_eq!(said(&["::ffff:10.0.0.1"]), "10.0.0.1/32");
    }

    #[test]
    fn no_prefix_is_wider_than_16() {
        let many: Vec<String> = (0..200).map(|n| format!("{}.{n}.0.1", 10 + n % 3)).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(prefixes(&many), None);
    }

    proptest! {
        #[test]
        fn merging_in_any_order_gives_the_same(
            addresses in proptest::collection::vec(any::<u32>(), 0..300),
            mask in prop_oneof![Just(!0u32), Just(0xff), Just(0xffff), Just(0x3_ffff)],
            cut in 0usize..300,
        ) {
            let address = |n: &u32| IpAddr::from((n & mask).to_be_bytes());
            let of = |addresses: &[u32]| {
                let mut peers = Peers::default();
                addresses.iter().for_each(|n| peers.insert(address(n)));
                peers
            };
            let (a, b) = addresses.split_at(cut.min(addresses.len()));
            let (mut ab, mut ba) = (of(a), of(b));
            ab.join(&of(b));
            ba.join(&of(a));
            prop_assert_eq!(&ab, &ba);
            prop_assert_eq!(&ab, &of(&addresses));
            let before = ab.clone();
            ab.join(&of(a));
            prop_assert_eq!(before, ab);
        }
    }
}

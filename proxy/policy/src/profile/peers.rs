//! The peers of a rule: addresses, joined to prefixes where there are many.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

/// As many addresses or prefixes as are kept before they are joined to wider ones.
const MOST: usize = 64;

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

    pub(super) fn width(&self) -> Width {
        self.width
    }

    pub(super) fn nets(&self) -> &BTreeSet<IpNet> {
        &self.nets
    }

    /// The peers as a rule names them: `most` prefixes at the most, of which those that lie
    /// close to one another are joined, none wider than /16 (/48). None where that cannot be.
    pub(super) fn prefixes(&self, most: usize) -> Option<Vec<IpNet>> {
        let mut width = self.width;
        let mut nets: Vec<IpNet> = self.nets.iter().copied().collect();
        while nets.len() > most {
            width = width.next();
            let wider: BTreeSet<IpNet> =
                nets.iter().map(|net| width.around(*net)).collect::<Option<_>>()?;
            nets = wider.into_iter().collect();
        }
        (width != Width::Any && !nets.is_empty()).then(|| IpNet::aggregate(&nets))
    }
}

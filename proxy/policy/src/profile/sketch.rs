//! What is known of values without knowing them: keyed hashes, the smallest of which are kept.
//!
//! The smallest of all hashes are a fair sample of the different values, and stay the same
//! whatever the order in which parts are merged.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::net::IpAddr;

use siphasher::sip::SipHasher24;

/// As many values of a position as are kept.
pub(super) const VALUES: usize = 64;
/// As many hidden words or shapes of a day as are kept.
pub(super) const HIDDEN: usize = 32;
/// As many days of hidden words or shapes, the latest.
pub(super) const HIDDEN_DAYS: usize = 4;
/// Bits of a value's hash.
const BITS: u32 = 48;

/// The key of the hashes: secret, since whoever has it can try words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; 16]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// A key of these bytes, which must be random.
    pub fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Which key it is, without telling it: what a profile says of its key.
    pub(super) fn id(self) -> u64 {
        self.of("weir profile key", b"") | 1
    }

    /// The hash of a word or shape.
    pub(super) fn hash(self, text: &[u8]) -> u64 {
        self.of("value", text)
    }

    /// The hash of a peer: two of them may meet, which makes fewer peers of them.
    pub(super) fn peer(self, peer: IpAddr) -> u32 {
        let hash = match peer.to_canonical() {
            IpAddr::V4(peer) => self.of("peer", &peer.octets()),
            IpAddr::V6(peer) => self.of("peer", &peer.octets()),
        };
        u32::try_from(hash >> (BITS - 24)).unwrap_or(u32::MAX)
    }

    fn of(self, what: &str, text: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(what.as_bytes());
        hasher.write(&[0]);
        hasher.write(text);
        hasher.finish() >> (64 - BITS)
    }
}

/// As many peers of one shape as are told apart.
pub(super) type PeerSet = BTreeSet<u32>;

/// Adds a peer, and keeps the smallest few.
pub(super) fn insert_peer(peers: &mut PeerSet, peer: u32) {
    peers.insert(peer);
    while peers.len() > crate::learned::PEERS {
        peers.pop_last();
    }
}

/// When and by whom a value first came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrival {
    /// The hour, counted from 1970.
    pub(super) hour: u32,
    pub(super) peer: u32,
}

/// A sample of the different values that a position had, by their hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values(pub(super) BTreeMap<u64, Arrival>);

impl Values {
    pub(super) fn insert(&mut self, hash: u64, arrival: Arrival) {
        let first = self.0.entry(hash).or_insert(arrival);
        *first = arrival.min(*first);
        while self.0.len() > VALUES {
            self.0.pop_last();
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (hash, arrival) in &other.0 {
            self.insert(*hash, *arrival);
        }
    }

    /// How many different values there were, about.
    pub(super) fn distinct(&self) -> u64 {
        distinct(self.0.len(), VALUES, self.0.last_key_value().map(|(largest, _)| *largest))
    }
}

/// How many hashes there were, about, of which the smallest `most` are kept.
fn distinct(kept: usize, most: usize, largest: Option<u64>) -> u64 {
    match largest {
        Some(largest) if kept >= most => {
            let all = ((most as u128 - 1) << BITS) / u128::from(largest).max(1);
            u64::try_from(all).unwrap_or(u64::MAX)
        }
        _ => kept as u64,
    }
}

/// What was seen of one hidden shape on one day.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) accepted: u64,
    /// Those outside the policy too.
    pub(super) rejected: u64,
    pub(super) outside: u64,
    /// It has a leaf of its own since, and counts there.
    pub(super) moved: bool,
    /// A bit for each hour in which it was accepted.
    pub(super) hours: u32,
    pub(super) peers: PeerSet,
}

impl Seen {
    pub(super) fn operations(&self) -> u64 {
        self.accepted.saturating_add(self.rejected)
    }

    fn join(&mut self, other: &Self) {
        self.accepted = self.accepted.max(other.accepted);
        self.rejected = self.rejected.max(other.rejected);
        self.outside = self.outside.max(other.outside);
        self.hours |= other.hours;
        self.moved |= other.moved;
        other.peers.iter().for_each(|peer| insert_peer(&mut self.peers, *peer));
    }
}

/// Shapes or words that were seen too seldom to be named, by day and hash.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hidden(pub(super) BTreeMap<u32, BTreeMap<u64, Seen>>);

impl Hidden {
    /// Adds what was seen on a day; answers whether there is room for it among the smallest.
    pub(super) fn insert(&mut self, day: u32, hash: u64, seen: &Seen) -> bool {
        let of_day = self.0.entry(day).or_default();
        let kept = of_day.entry(hash).or_default();
        kept.accepted = kept.accepted.saturating_add(seen.accepted);
        kept.rejected = kept.rejected.saturating_add(seen.rejected);
        kept.outside = kept.outside.saturating_add(seen.outside);
        kept.hours |= seen.hours;
        seen.peers.iter().for_each(|peer| insert_peer(&mut kept.peers, *peer));
        self.fit();
        self.0.get(&day).is_some_and(|of_day| of_day.contains_key(&hash))
    }

    fn fit(&mut self) {
        while self.0.len() > HIDDEN_DAYS {
            self.0.pop_first();
        }
        for of_day in self.0.values_mut() {
            while of_day.len() > HIDDEN {
                of_day.pop_last();
            }
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (day, of_day) in &other.0 {
            let mine = self.0.entry(*day).or_default();
            for (hash, seen) in of_day {
                mine.entry(*hash).or_default().join(seen);
            }
        }
        self.fit();
    }

    /// What was seen of one hash, by days.
    pub(super) fn of(&self, hash: u64) -> impl Iterator<Item = (u32, &Seen)> {
        self.0.iter().filter_map(move |(day, of_day)| Some((*day, of_day.get(&hash)?)))
    }

    /// How many operations had this hash.
    pub(super) fn operations(&self, hash: u64) -> u64 {
        self.of(hash).map(|(_, seen)| seen.operations()).sum()
    }

    /// How many different shapes a day had, about.
    pub(super) fn distinct_of(of_day: &BTreeMap<u64, Seen>) -> u64 {
        distinct(of_day.len(), HIDDEN, of_day.last_key_value().map(|(largest, _)| *largest))
    }
}

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
/// Set in the hash under which something is noted that the server did not accept: it takes no
/// room from what it did.
pub(super) const TRIED: u64 = 1 << BITS;

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
            // A host of IPv6 has a whole /64 of addresses.
            IpAddr::V6(peer) => self.of("peer", &peer.octets()[..8]),
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

    /// Whether adding this makes it larger.
    pub(super) fn grows(&self, hash: u64) -> bool {
        self.0.len() < VALUES && !self.0.contains_key(&hash)
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
    /// Adds what was seen on a day, if it is among the latest days and the smallest hashes.
    pub(super) fn insert(&mut self, day: u32, hash: u64, seen: &Seen) {
        let kept = self.0.entry(day).or_default().entry(hash).or_default();
        kept.accepted = kept.accepted.saturating_add(seen.accepted);
        kept.rejected = kept.rejected.saturating_add(seen.rejected);
        kept.outside = kept.outside.saturating_add(seen.outside);
        kept.hours |= seen.hours;
        seen.peers.iter().for_each(|peer| insert_peer(&mut kept.peers, *peer));
        self.fit();
    }

    /// How many hashes it has, over all days.
    pub(super) fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// Whether adding this makes it larger.
    pub(super) fn grows(&self, day: u32, hash: u64) -> bool {
        match self.0.get(&day) {
            Some(of_day) => {
                let alike =
                    if hash < TRIED { of_day.range(..TRIED) } else { of_day.range(TRIED..) };
                alike.count() < HIDDEN && !of_day.contains_key(&hash)
            }
            None => self.0.len() < HIDDEN_DAYS,
        }
    }

    /// Forgets the days before this one.
    pub(super) fn forget_before(&mut self, day: u32) {
        self.0 = self.0.split_off(&day);
    }

    fn fit(&mut self) {
        while self.0.len() > HIDDEN_DAYS {
            self.0.pop_first();
        }
        for of_day in self.0.values_mut() {
            for (from, to) in [(0, TRIED), (TRIED, u64::MAX)] {
                let more = of_day.range(from..to).count().saturating_sub(HIDDEN);
                let last: Vec<u64> =
                    of_day.range(from..to).rev().take(more).map(|(hash, _)| *hash).collect();
                last.iter().for_each(|hash| _ = of_day.remove(hash));
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
        self.of(hash).fold(0, |sum, (_, seen)| seen.operations().saturating_add(sum))
    }

    /// How many different shapes were accepted on a day, about, and how many of them are kept.
    pub(super) fn distinct_of(of_day: &BTreeMap<u64, Seen>) -> (u64, usize) {
        let accepted = of_day.range(..TRIED);
        let kept = accepted.clone().count();
        let largest = accepted.last().map(|(largest, _)| *largest);
        (distinct(kept, HIDDEN, largest), kept)
    }
}

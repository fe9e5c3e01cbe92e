//! A fast hash for tables that traffic fills.
//!
//! As HashDoS goes: each table has a key of its own, so that nobody who does not see its answers
//! can choose texts that meet. The folded multiplication is that of wyhash and foldhash.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A table's key.
#[derive(Clone, Debug)]
pub(crate) struct Keyed([u64; 2]);

impl Default for Keyed {
    fn default() -> Self {
        let random = RandomState::new();
        Self([random.hash_one(0), random.hash_one(1)])
    }
}

impl BuildHasher for Keyed {
    type Hasher = Hash;

    fn build_hasher(&self) -> Hash {
        Hash { state: self.0[0], key: self.0[1] }
    }
}

/// The hash of one text, whose length is written before it (as slices do).
#[derive(Debug)]
pub(crate) struct Hash {
    state: u64,
    key: u64,
}

impl Hash {
    fn mix(&mut self, low: u64, high: u64) {
        let (lower, upper) = (self.state ^ low).carrying_mul(self.key ^ high, 0);
        self.state = lower ^ upper;
    }
}

impl Hasher for Hash {
    fn write(&mut self, bytes: &[u8]) {
        let (pairs, rest) = bytes.as_chunks::<16>();
        for pair in pairs {
            let (low, high) = (word(&pair[..8]), word(&pair[8..]));
            self.mix(low, high);
        }
        match rest.len() {
            0 => {}
            n @ 8.. => self.mix(word(&rest[..8]), word(&rest[n - 8..])),
            n @ 4.. => self.mix(half(&rest[..4]), half(&rest[n - 4..])),
            n => {
                let [first, middle, last] = [rest[0], rest[n / 2], rest[n - 1]].map(u64::from);
                self.mix(first | middle << 8 | last << 16, 0);
            }
        }
    }

    fn write_usize(&mut self, length: usize) {
        self.state ^= length as u64;
    }

    fn finish(&self) -> u64 {
        self.state
    }
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

fn half(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u32::from_le_bytes).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_byte_and_the_length_count() {
        let table = Keyed::default();
        let text: Vec<u8> = (1..60).collect();
        let mut seen = HashSet::new();
        for length in 0..text.len() {
            assert!(seen.insert(table.hash_one(&text[..length])), "{length}");
            for at in 0..length {
                let mut other = text[..length].to_vec();
                other[at] ^= 0x80;
                assert!(seen.insert(table.hash_one(&other[..])), "{at} of {length}");
            }
            let zeros = vec![0u8; length + 1];
            assert!(seen.insert(table.hash_one(&zeros[..])), "{length} zeros");
        }
    }

    #[test]
    fn tables_hash_differently_and_one_the_same() {
        let (one, other) = (Keyed::default(), Keyed::default());
        assert_eq!(one.hash_one("cart"), one.clone().hash_one("cart"));
        assert_ne!(one.hash_one("cart"), other.hash_one("cart"));
    }
}

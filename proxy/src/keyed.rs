//! A fast hash for tables that traffic fills: each has a seed of its own, so that nobody who does
//! not see its answers can choose texts that meet.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use foldhash::SharedSeed;
use foldhash::fast::{FoldHasher, SeedableRandomState};

/// What all tables of this process have in common, from the system's random numbers.
static SHARED: LazyLock<SharedSeed> = LazyLock::new(|| SharedSeed::from_u64(random()));

/// A table's hashes.
#[derive(Clone, Debug)]
pub(crate) struct Keyed(SeedableRandomState);

impl Default for Keyed {
    fn default() -> Self {
        Self(SeedableRandomState::with_seed(random(), &SHARED))
    }
}

impl BuildHasher for Keyed {
    type Hasher = FoldHasher<'static>;

    #[inline]
    fn build_hasher(&self) -> Self::Hasher {
        self.0.build_hasher()
    }
}

fn random() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hash_differently_and_one_the_same() {
        let (one, other) = (Keyed::default(), Keyed::default());
        assert_eq!(one.hash_one("cart"), one.clone().hash_one("cart"));
        assert_ne!(one.hash_one("cart"), other.hash_one("cart"));
    }
}

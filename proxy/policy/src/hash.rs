//! A small hash for tables whose contents come from the policy file.
//!
//! Only entries are ever inserted, so traffic cannot fill a table with collisions and no key is
//! needed; a lookup compares the bytes besides.

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Takes bytes eight at a time; the answer does not depend on how they were handed in.
#[derive(Clone, Copy)]
pub(crate) struct Hash {
    state: u64,
    /// Bytes that do not yet make a word, and how many bits.
    word: u64,
    bits: u32,
}

impl Hash {
    pub(crate) fn new(seed: u8) -> Self {
        Self { state: u64::from(seed).wrapping_add(1).wrapping_mul(MULTIPLIER), word: 0, bits: 0 }
    }

    fn mix(&mut self, word: u64) {
        self.state = (self.state.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER);
    }

    /// Takes one byte.
    pub(crate) fn push(&mut self, byte: u8) {
        self.word |= u64::from(byte) << self.bits;
        self.bits += 8;
        if self.bits == 64 {
            self.mix(self.word);
            (self.word, self.bits) = (0, 0);
        }
    }

    /// The hash.
    pub(crate) fn finish(mut self) -> u64 {
        self.mix(self.word ^ (u64::from(self.bits) << 56));
        self.state ^ (self.state >> 32)
    }
}

/// The hash of `bytes`.
pub(crate) fn bytes(seed: u8, bytes: &[u8]) -> u64 {
    fold(seed, bytes, 0)
}

/// A hash of `bytes` that is the same for either case of a letter.
pub(crate) fn caseless(seed: u8, bytes: &[u8]) -> u64 {
    fold(seed, bytes, 0x2020_2020_2020_2020)
}

/// With these bits set in every word.
fn fold(seed: u8, bytes: &[u8], set: u64) -> u64 {
    let mut hash = Hash::new(seed);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        hash.mix(u64::from_le_bytes(*word) | set);
    }
    for byte in rest {
        hash.push(*byte);
    }
    hash.word |= set;
    hash.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn byte_by_byte_or_whole(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut hash = super::Hash::new(7);
            text.iter().for_each(|byte| hash.push(*byte));
            prop_assert_eq!(hash.finish(), super::bytes(7, &text));
        }

        #[test]
        fn case_is_folded(text in "[a-zA-Z0-9.-]{0,40}") {
            let (a, b) = (text.to_ascii_lowercase(), text.to_ascii_uppercase());
            prop_assert_eq!(
                super::caseless(0, a.as_bytes()),
                super::caseless(0, b.as_bytes())
            );
        }
    }
}

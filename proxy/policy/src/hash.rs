//! A small hash for tables whose contents come from the policy file.
//!
//! Only entries are ever inserted, so traffic cannot fill a table with collisions and no key is
//! needed; a lookup compares the bytes besides.

/// Fed byte by byte, it answers the same however the bytes are grouped.
#[derive(Clone, Copy)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) fn new(seed: u8) -> Self {
        Self(0xcbf2_9ce4_8422_2325 ^ u64::from(seed).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// FNV-1a's step.
    pub(crate) fn push(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }

    /// The hash, with its upper half mixed into the lower.
    pub(crate) fn finish(self) -> u64 {
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}

/// The hash of `bytes`.
pub(crate) fn bytes(seed: u8, bytes: impl IntoIterator<Item = u8>) -> u64 {
    let mut hash = Hash::new(seed);
    for byte in bytes {
        hash.push(byte);
    }
    hash.finish()
}

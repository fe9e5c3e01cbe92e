//! What the fuzz targets share: how an input says what is fed, and in what pieces.
//!
//! An input begins with one byte that is the seed of the cuts (its low bits are also what a
//! target chooses by), so that a seed file is a message behind one character.

pub mod drive;
pub mod frames;
pub mod script;

use std::sync::LazyLock;

use weir_policy::decide::{Mode, Snapshot};
use weir_policy::{Addresses, Date, Defaults};

/// What the sessions run under.
pub static POLICY: LazyLock<Snapshot> = LazyLock::new(|| {
    let policies = weir_policy::parse("policy.yaml", include_str!("../policy.yaml"));
    let today = Date::new(2026, 1, 1).expect("a day");
    let defaults = Defaults { mode: Mode::Enforce, today };
    Snapshot::compile(policies.expect("a policy"), &defaults, &Addresses::default())
        .expect("a policy that compiles")
});

/// Lengths of reads, from 1 to 64 bytes, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Cuts(u32);

impl Cuts {
    /// The lengths that belong to this seed.
    pub fn new(seed: u8) -> Self {
        Self(u32::from(seed) << 8 | 1)
    }

    /// The next length: mostly small.
    pub fn next_len(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        let most = if self.0 & 0x30 == 0 { 64 } else { 4 };
        1 + (self.0 >> 16) as usize % most
    }
}

/// Bytes that one leg sends before the other speaks.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// They are the client's.
    pub client: bool,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// Cuts an input into runs: a byte whose high bit says which leg (set: the server's) and whose
/// low bits say how many bytes follow (0: all that are left).
pub fn runs(mut input: &[u8]) -> impl Iterator<Item = Run<'_>> + Clone {
    std::iter::from_fn(move || {
        let (&head, rest) = input.split_first()?;
        let len = match usize::from(head & 0x7f) {
            0 => rest.len(),
            len => len.min(rest.len()),
        };
        let (bytes, left) = rest.split_at(len);
        input = left;
        Some(Run { client: head & 0x80 == 0, bytes })
    })
}

//! Ids of connections and transactions.

use std::sync::atomic::{AtomicU64, Ordering};

/// A connection's id: unique in the process, and most likely among processes whose logs are
/// read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnId {
    process: u32,
    number: u64,
}

impl ConnId {
    /// Appends the id's text: eight hex digits of the process, then the connection's number in
    /// hex.
    pub fn write(self, out: &mut Vec<u8>) {
        hex(u64::from(self.process), 8, out);
        hex(self.number, 1, out);
    }
}

impl std::fmt::Display for ConnId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}{:x}", self.process, self.number)
    }
}

/// Gives connections their ids.
#[derive(Debug)]
pub(crate) struct Ids {
    process: u32,
    last: AtomicU64,
}

impl Ids {
    /// Numbering from 1 under a random id of this process.
    pub(crate) fn new() -> Self {
        let process = getrandom::u32().unwrap_or_else(|_| std::process::id());
        Self { process, last: AtomicU64::new(0) }
    }

    /// The next id.
    pub(crate) fn next(&self) -> ConnId {
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        ConnId { process: self.process, number }
    }
}

fn hex(value: u64, least: u32, out: &mut Vec<u8>) {
    let digits = (64 - value.leading_zeros()).div_ceil(4).max(least);
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[(value >> (4 * digit) & 15) as usize]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_what_it_displays() {
        let ids = [
            ConnId { process: 0, number: 1 },
            ConnId { process: 0xab, number: 16 },
            ConnId { process: u32::MAX, number: u64::MAX },
        ];
        for id in ids {
            let mut out = Vec::new();
            id.write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), id.to_string());
        }
    }

    #[test]
    fn counts_up() {
        let ids = Ids::new();
        let (first, second) = (ids.next(), ids.next());
        assert_eq!((first.number, second.number), (1, 2));
        assert_eq!(first.process, second.process);
    }
}

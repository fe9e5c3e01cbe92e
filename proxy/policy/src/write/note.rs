//! Evidence in words.

use std::fmt;

use crate::date::Date;
use crate::learned::{Evidence, Operations, PEERS};

/// `1,204 operations, 3 peers, 2026-11-01 to 2026-11-10`.
impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at_least {
            f.write_str("at least ")?;
        }
        write!(f, "{}", Operations(self.operations))?;
        match self.peers {
            0 => {}
            1 => f.write_str(", 1 peer")?,
            PEERS.. => write!(f, ", {PEERS} or more peers")?,
            n => write!(f, ", {n} peers")?,
        }
        let (first, last) = (Date::from_unix(self.first), Date::from_unix(self.last));
        write!(f, ", {first}")?;
        if last > first { write!(f, " to {last}") } else { Ok(()) }
    }
}

impl Evidence {
    /// There is none: the entry is a person's own.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use crate::learned::Evidence;

    #[test]
    fn evidence_in_words() {
        let first = 1_793_491_200;
        let mut evidence = Evidence {
            operations: 1_204,
            at_least: false,
            peers: 3,
            first,
            last: first + 9 * 86_400,
            steps: Vec::new(),
        };
        let words = "1,204 operations, 3 peers, 2026-11-01 to 2026-11-10";
        assert_eq!(evidence.to_string(), words);
        evidence.at_least = true;
        evidence.peers = 4;
        evidence.operations = 12_000_056;
        evidence.last = first + 86_399;
        let words = "at least 12,000,056 operations, 4 or more peers, 2026-11-01";
        assert_eq!(evidence.to_string(), words);
        evidence = Evidence { operations: 1, at_least: false, peers: 1, ..evidence };
        assert_eq!(evidence.to_string(), "1 operation, 1 peer, 2026-11-01");
        assert!(!evidence.is_none() && Evidence::default().is_none());
    }
}

//! What rules that share ports share in matching: which of them a connection falls under, and
//! the hosts and databases that each is limited to.

use crate::decide::EntryRef;
use crate::host::{Host, HostIndex};
use crate::model::Rule;

/// Some of a group's rules.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct RuleBits(Box<[u64]>);

impl RuleBits {
    pub(crate) fn new(rules: &[u32]) -> Self {
        let mut words = Vec::new();
        for rule in rules {
            let word = *rule as usize / 64;
            if words.len() <= word {
                words.resize(word + 1, 0u64);
            }
            words[word] |= 1 << (rule % 64);
        }
        Self(words.into())
    }

    pub(crate) fn contains(&self, rule: u32) -> bool {
        self.0.get(rule as usize / 64).is_some_and(|word| word & (1 << (rule % 64)) != 0)
    }

    /// The least of them.
    pub(crate) fn first(&self) -> Option<u32> {
        let (index, word) = (0..).zip(&self.0).find(|(_, word)| **word != 0)?;
        Some(index * 64 + word.trailing_zeros())
    }
}

/// What of a rule limits all its entries.
#[derive(Debug)]
pub(crate) struct Limits {
    /// The rule itself.
    pub(crate) reference: EntryRef,
    hosts: HostIndex,
    databases: Vec<u32>,
}

impl Limits {
    pub(crate) fn new(rule: &Rule, reference: EntryRef) -> Self {
        let hosts = HostIndex::new(rule.hosts.iter().map(|host| (host.clone(), 0)));
        Self { reference, hosts, databases: rule.databases.clone() }
    }

    /// Whether the rule says nothing of hosts.
    pub(crate) fn any_host(&self) -> bool {
        self.hosts.is_empty()
    }

    /// Whether the host is one of the rule's; a message without one never is.
    pub(crate) fn covers_host<'h>(&self, host: impl FnOnce() -> Option<&'h Host<'h>>) -> bool {
        self.any_host() || host().is_some_and(|host| self.hosts.covers(host))
    }

    fn has_database(&self, database: u32) -> bool {
        self.databases.is_empty() || self.databases.contains(&database)
    }

    /// Whether every database is one of the rule's; an unknown one is not.
    pub(crate) fn covers_databases(&self, databases: &[u32]) -> bool {
        self.databases.is_empty()
            || !databases.is_empty() && databases.iter().all(|d| self.has_database(*d))
    }

    /// Whether some database is one of the rule's.
    pub(crate) fn touches_databases(&self, databases: &[u32]) -> bool {
        databases.is_empty() || databases.iter().any(|d| self.has_database(*d))
    }
}

#[cfg(test)]
mod tests {
    use super::RuleBits;

    #[test]
    fn bits() {
        assert_eq!(RuleBits::new(&[]).first(), None);
        let bits = RuleBits::new(&[200, 70]);
        assert_eq!(bits.first(), Some(70));
        assert!(bits.contains(200) && bits.contains(70));
        assert!(!bits.contains(6) && !bits.contains(71) && !bits.contains(1000));
    }
}

//! Counts that many processes make, each for itself, and that may be merged in any order.

use std::fmt;
use std::str::FromStr;

/// As many writers as a profile tells apart; the oldest are forgotten, with their counts.
pub(super) const WRITERS: usize = 32;

/// One process that counts: when it started, and a random number. Later ones are greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriterId {
    /// Seconds since 1970.
    pub started: u64,
    /// Random, so that two that start in one second differ.
    pub random: u64,
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.started, self.random)
    }
}

impl FromStr for WriterId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "a writer is written as seconds since 1970, `-` and 16 hex digits";
        let (started, random) = text.split_once('-').ok_or(FORM)?;
        if random.len() != 16 {
            return Err(FORM);
        }
        let started = started.parse().map_err(|_| FORM)?;
        let random = u64::from_str_radix(random, 16).map_err(|_| FORM)?;
        Ok(Self { started, random })
    }
}

/// A count of each writer's own. Merging takes the greater of each, so that what was merged
/// before counts once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counter(Vec<(WriterId, u64)>);

impl Counter {
    /// This writer counts `count` more.
    pub(super) fn add(&mut self, writer: WriterId, count: u64) {
        if count > 0 {
            let of = self.entry(writer);
            *of = of.saturating_add(count);
        }
    }

    /// This writer has counted up to `count`.
    pub(super) fn raise(&mut self, writer: WriterId, count: u64) {
        let of = self.entry(writer);
        *of = (*of).max(count);
    }

    fn entry(&mut self, writer: WriterId) -> &mut u64 {
        let at = match self.0.binary_search_by_key(&writer, |(writer, _)| *writer) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (writer, 0));
                at
            }
        };
        &mut self.0[at].1
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (writer, count) in &other.0 {
            self.raise(*writer, *count);
        }
    }

    /// Forgets the counts of writers before this one.
    pub(super) fn forget_before(&mut self, oldest: WriterId) {
        self.0.retain(|(writer, _)| *writer >= oldest);
    }

    pub(super) fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    pub(super) fn each(&self) -> &[(WriterId, u64)] {
        &self.0
    }
}

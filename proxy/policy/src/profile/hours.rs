//! The hours and days in which something was seen.

use std::collections::BTreeMap;

/// As many days as are remembered, the latest.
pub(super) const DAYS: usize = 31;

/// Seconds in an hour.
pub(super) const HOUR: u64 = 3600;

/// The last day all of whose hours have a number; later times are taken for its last hour.
pub(super) const LAST_DAY: u32 = u32::MAX / 24 - 1;

/// The day of a time in seconds since 1970.
pub(super) fn day(seconds: u64) -> u32 {
    hour(seconds) / 24
}

/// The hour of a time in seconds since 1970, counted from 1970.
pub(super) fn hour(seconds: u64) -> u32 {
    const LAST: u32 = LAST_DAY * 24 + 23;
    u32::try_from(seconds / HOUR).unwrap_or(LAST).min(LAST)
}

/// A set of hours, by days (UTC). Days before the latest [`DAYS`] are forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hours(BTreeMap<u32, u32>);

impl Hours {
    /// Adds an hour, counted from 1970.
    pub(super) fn insert(&mut self, hour: u32) {
        self.insert_day(hour / 24, 1 << (hour % 24));
    }

    /// Adds hours of a day, a bit each.
    pub(super) fn insert_day(&mut self, day: u32, hours: u32) {
        *self.0.entry(day).or_default() |= hours & 0xff_ffff;
        while self.0.len() > DAYS {
            self.0.pop_first();
        }
    }

    /// The same, and nothing where there is no hour.
    pub(super) fn insert_day_if(&mut self, day: u32, hours: u32) {
        if hours != 0 {
            self.insert_day(day, hours);
        }
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (day, hours) in &other.0 {
            self.insert_day(*day, *hours);
        }
    }

    /// How many hours.
    pub(super) fn count(&self) -> usize {
        self.0.values().map(|hours| hours.count_ones() as usize).sum()
    }

    /// How many days.
    pub(super) fn days(&self) -> usize {
        self.0.len()
    }

    /// Each day with its hours as bits.
    pub(super) fn by_day(&self) -> impl DoubleEndedIterator<Item = (u32, u32)> {
        self.0.iter().map(|(day, hours)| (*day, *hours))
    }

    /// Each hour, counted from 1970.
    pub(super) fn iter(&self) -> impl Iterator<Item = u32> {
        self.by_day().flat_map(|(day, hours)| {
            (0..24).filter(move |hour| hours & (1 << hour) != 0).map(move |hour| day * 24 + hour)
        })
    }

    /// The only hour, if there is just one.
    pub(super) fn only(&self) -> Option<u32> {
        let mut hours = self.iter();
        hours.next().filter(|_| hours.next().is_none())
    }

    /// The hours of the latest `days` days that are in it.
    pub(super) fn latest(&self, days: usize) -> Self {
        Self(self.0.iter().rev().take(days).map(|(day, hours)| (*day, *hours)).collect())
    }

    pub(super) fn contains(&self, hour: u32) -> bool {
        self.0.get(&(hour / 24)).is_some_and(|hours| hours & (1 << (hour % 24)) != 0)
    }
}

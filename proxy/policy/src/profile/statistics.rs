//! What a profile says of itself: how much was seen, and what enforcing now would mean.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use super::Profile;
use super::general::{Shape, shapes};
use super::hours::{HOUR, Hours, day};
use super::key::is_probe;
use super::policy::key_text;
use super::rule::Rule;
use super::sketch::{HIDDEN_DAYS, Hidden};
use super::standing::{Criteria, Judged, Standing, judged, plural};
use crate::learned::{Grouped, Operations};
use crate::op::{Protocol, Side};

/// The quantile of a 95 % interval.
const Z: f64 = 1.96;
/// Over how many days new shapes are averaged.
const RECENT: u64 = 3;

/// A number with the interval in which it lies with 95 %, as far as hours are alike.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Estimate {
    /// The best guess.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Estimate {
    fn more(self, by: f64) -> Self {
        Self { value: self.value + by, low: self.low + by, high: self.high + by }
    }
}

/// What is known of one rule. Probes and scrapes are in none of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The side.
    pub side: Side,
    /// The server's port.
    pub port: u16,
    /// What is spoken.
    pub protocol: Protocol,
    /// The server, where it is one.
    pub server: Option<IpAddr>,
    /// How many operations were seen.
    pub operations: u64,
    /// There were more operations: some writers' counts are gone.
    pub at_least: bool,
    /// On how many days.
    pub days: usize,
    /// In how many hours.
    pub hours: usize,
    /// How many shapes a policy made now would have.
    pub shapes: usize,
    /// How many it would leave to a person.
    pub left: usize,
    /// How many operations had a word that came too seldom to be named, and belong to neither.
    pub hidden_operations: u64,
    /// New shapes a day, over the last days.
    pub new_a_day: f64,
    /// Seconds from the hour of the last new shape to the last operation.
    pub since_new: u64,
    /// The chance that the next hour brings a shape never seen: Good–Turing over hours, which is
    /// the share of the last days' hours that had a shape which no other hour has.
    pub chance: Estimate,
    /// Operations a day that a policy made now would refuse.
    pub refusals_a_day: Estimate,
    /// All operations a day.
    pub operations_a_day: f64,
}

impl Profile {
    /// The statistics of each rule, in the order of the policy.
    pub fn statistics(&self, criteria: &Criteria) -> Vec<Statistics> {
        let mut all = Vec::new();
        for (key, port) in &self.ports {
            for (server, rule) in port.rules() {
                let judged = judged(
                    key.protocol,
                    shapes(key.protocol, rule, criteria),
                    &rule.hours,
                    criteria,
                );
                let mut one = of_rule(rule, key.protocol, &judged);
                (one.side, one.port, one.server) = (key.side, key.port, server);
                one.at_least = self.forgotten;
                all.push(one);
            }
        }
        all
    }
}

/// The statistics of a rule whose shapes are judged.
pub(super) fn of_rule(rule: &Rule, protocol: Protocol, judged: &[Judged]) -> Statistics {
    let counts: Vec<&Judged> = judged
        .iter()
        .filter(|(shape, _)| !is_probe(protocol, &key_text(protocol, shape)))
        .collect();
    let first = counts.iter().map(|(shape, _)| shape.leaf.first).min().unwrap_or(0);
    let last = counts.iter().map(|(shape, _)| shape.leaf.last).max().unwrap_or(0);
    let days = age(first, last);
    let sum = |sum: u64, shape: &Shape| sum.saturating_add(shape.leaf.operations());
    let operations = counts.iter().map(|(shape, _)| shape).fold(0, sum);
    let refused = counts.iter().filter(|(_, standing)| *standing != Standing::Believed);
    let refused = refused.map(|(shape, _)| shape);
    let has = |is: fn(&Standing) -> bool| counts.iter().filter(|(_, one)| is(one)).count();
    let hidden = refused.clone().filter(|shape| shape.is_hidden());
    let hidden_operations = hidden.fold(0, sum);
    let hours = hours_of_shapes(counts.iter().map(|(shape, _)| shape));
    let arrivals = hours.iter().filter_map(|sighted| sighted.hours.iter().next());
    let arrivals: Vec<u64> = arrivals.map(|hour| u64::from(hour) * HOUR).collect();
    let recent = arrivals.iter().filter(|at| **at + RECENT * 24 * HOUR > last).count();
    let newest = arrivals.iter().copied().max().unwrap_or(last);
    // What had no shape is in no entry: enforcing may refuse all of it.
    let cut_a_day = as_f64(rule.cut.total()) / days;
    Statistics {
        side: Side::Inbound,
        port: 0,
        protocol,
        server: None,
        operations,
        at_least: false,
        days: rule.hours.days(),
        hours: rule.hours.count(),
        shapes: has(|standing| *standing == Standing::Believed),
        left: has(|standing| matches!(standing, Standing::Left(_))),
        hidden_operations,
        new_a_day: as_f64(recent as u64) / days.min(as_f64(RECENT)),
        since_new: last.saturating_sub(newest),
        chance: chance(&rule.hours, &hours),
        refusals_a_day: refusals(refused, last, days).more(cut_a_day),
        operations_a_day: as_f64(operations) / days + cut_a_day,
    }
}

/// The time that the evidence covers, in days; an hour at the least.
fn age(first: u64, last: u64) -> f64 {
    as_f64(last.saturating_sub(first).max(HOUR)) / as_f64(24 * HOUR)
}

/// Counts stay far below the 52 bits that a float holds exactly.
#[allow(clippy::cast_precision_loss)]
fn as_f64(count: u64) -> f64 {
    count as f64
}

/// The hours of each shape, those too that are still hidden. A hidden one may have been noted in
/// several places, as words in it got their names one after another: it is told by its hash.
fn hours_of_shapes<'a>(shapes: impl Iterator<Item = &'a Shape>) -> Vec<Sighted<'a>> {
    let mut all = Vec::new();
    let mut hidden: BTreeMap<u64, (Hours, f64, bool)> = BTreeMap::new();
    for shape in shapes {
        if !shape.is_hidden() {
            all.push(Sighted { hours: Cow::Borrowed(&shape.leaf.hours), weight: 1.0 });
        }
        for (day, of_day) in &shape.leaf.hidden.0 {
            let (distinct, kept) = Hidden::distinct_of(of_day);
            let stands_for = as_f64(distinct) / as_f64(kept.max(1) as u64);
            for (hash, seen) in of_day {
                let (hours, weight, moved) = hidden.entry(*hash).or_default();
                hours.insert_day_if(*day, seen.hours);
                *weight = weight.max(stands_for);
                // What is below a variable position is no shape of its own.
                *moved |= seen.moved || !shape.is_hidden();
            }
        }
    }
    let hidden = hidden.into_values().filter(|(_, _, moved)| !moved);
    all.extend(hidden.map(|(hours, weight, _)| Sighted { hours: Cow::Owned(hours), weight }));
    all
}

/// When a shape was seen.
struct Sighted<'a> {
    hours: Cow<'a, Hours>,
    /// As many shapes as it stands for, where not all could be kept.
    weight: f64,
}

/// The share of the last days' hours that had a shape which no other hour has.
fn chance(active: &Hours, shapes: &[Sighted<'_>]) -> Estimate {
    let window = active.latest(HIDDEN_DAYS);
    // By days: hours with such a shape, and how many there were that were not kept.
    let mut alone: BTreeMap<u32, (BTreeSet<u32>, f64)> = BTreeMap::new();
    for shape in shapes {
        if let Some(hour) = shape.hours.only().filter(|hour| window.contains(*hour)) {
            let (hours, more) = alone.entry(hour / 24).or_default();
            hours.insert(hour);
            *more += shape.weight - 1.0;
        }
    }
    let hits = window.by_day().map(|(day, hours)| {
        let Some((with, more)) = alone.get(&day) else { return 0.0 };
        let (all, with) = (f64::from(hours.count_ones()), as_f64(with.len() as u64));
        // Those that were not kept fall on any of the day's hours.
        with + (all - with) * (1.0 - (-more / all).exp())
    });
    wilson(hits.sum(), as_f64(window.count() as u64))
}

/// Wilson's score interval of a share.
fn wilson(hits: f64, n: f64) -> Estimate {
    if n == 0.0 {
        return Estimate { value: 1.0, low: 0.0, high: 1.0 };
    }
    let (share, z2) = (hits / n, Z * Z);
    let middle = (share + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = Z / (1.0 + z2 / n) * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    Estimate { value: share, low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

/// Operations a day of what would be refused, by the last days. They come in bursts: each hour
/// that a shape is seen brings what its hours brought on average.
fn refusals<'a>(shapes: impl Iterator<Item = &'a Shape>, last: u64, days: f64) -> Estimate {
    let window = as_f64(HIDDEN_DAYS as u64).min(days);
    let from = day(last).saturating_sub(u32::try_from(HIDDEN_DAYS).unwrap_or(0) - 1);
    let (mut count, mut variance) = (0.0, 0.0);
    for shape in shapes {
        let (operations, bursts) = since(shape, from);
        count += operations;
        variance += operations * operations / bursts.max(1.0);
    }
    // What never came may come three times as often as would be noticed.
    let half = Z * f64::sqrt(variance);
    let high = (count + half).max(3.0);
    Estimate { value: count / window, low: (count - half).max(0.0) / window, high: high / window }
}

/// Operations of a shape since a day, as far as its hours tell, and in how many bursts.
fn since(shape: &Shape, from: u32) -> (f64, f64) {
    let leaf = &shape.leaf;
    let operations = as_f64(leaf.operations());
    let all = leaf.hours.count();
    if all == 0 {
        // Never accepted: spread over the time in which it was tried.
        let (first, last) = (day(leaf.first), day(leaf.last));
        let days = f64::from(last - first + 1);
        let share = f64::from((last + 1).saturating_sub(from.max(first))) / days;
        return (operations * share, operations.min(days * 24.0));
    }
    let recent = leaf.hours.by_day().filter(|(day, _)| *day >= from);
    let recent = as_f64(recent.map(|(_, hours)| u64::from(hours.count_ones())).sum());
    // A hidden one is many shapes, each of which comes for itself.
    let hidden = leaf.hidden.0.range(from..).map(|(_, of_day)| Hidden::distinct_of(of_day).0);
    let bursts = recent.max(as_f64(hidden.sum()));
    (operations * recent / as_f64(all as u64), bursts)
}

impl Statistics {
    /// Whether enforcing would refuse at most one operation in `n`, by the upper end of the
    /// estimate.
    pub fn is_ready(&self, n: f64) -> bool {
        self.refusals_a_day.high * n <= self.operations_a_day
    }

    /// The statistics in plain words, a line each.
    pub fn lines(&self) -> Vec<String> {
        let at_least = if self.at_least { "at least " } else { "" };
        let mut lines = vec![format!(
            "{at_least}{} on {} {} ({} {}); {} {}, and {} left to a person",
            Operations(self.operations),
            self.days,
            plural(self.days, "day"),
            self.hours,
            plural(self.hours, "hour"),
            self.shapes,
            plural(self.shapes, "shape"),
            self.left,
        )];
        if self.hidden_operations > 0 {
            lines.push(format!(
                "{} had a word that came too seldom to be named",
                Operations(self.hidden_operations)
            ));
        }
        lines.push(format!(
            "new shapes: {:.1} a day lately, the last one {} before the last operation",
            self.new_a_day,
            span(self.since_new),
        ));
        lines.push(format!(
            "the chance that the next hour brings a shape never seen: {} ({} to {})",
            percent(self.chance.value),
            percent(self.chance.low),
            percent(self.chance.high),
        ));
        lines.push(format!(
            "enforcing now would refuse about {} of {} operations a day ({} to {})",
            rate(self.refusals_a_day.value),
            rate(self.operations_a_day),
            rate(self.refusals_a_day.low),
            rate(self.refusals_a_day.high),
        ));
        lines
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} :{} {}", self.side, self.port, self.protocol)?;
        if let Some(server) = self.server {
            write!(f, " at {server}")?;
        }
        self.lines().iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 9.95 {
        format!("{percent:.1} %")
    } else {
        format!("{percent:.0} %")
    }
}

/// A number a day: whole where it is large. Rates are no more than the operations that a process
/// can count.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn rate(value: f64) -> String {
    if value > 0.0 && value < 9.95 {
        format!("{value:.1}")
    } else {
        Grouped(value.round() as u64).to_string()
    }
}

/// A time that is known by the beginning of its hour.
fn span(seconds: u64) -> String {
    match seconds {
        s if s >= 48 * HOUR => format!("{} days", s / (24 * HOUR)),
        s if s >= 2 * HOUR => format!("{} hours", s / HOUR),
        s if s >= HOUR => "an hour".to_owned(),
        _ => "less than an hour".to_owned(),
    }
}

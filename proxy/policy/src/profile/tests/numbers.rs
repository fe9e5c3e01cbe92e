//! Statistics, worked out by hand.

use super::*;
use crate::profile::{Criteria, Estimate, Statistics};

const HOUR: u64 = 3600;
const PEER: &str = "10.0.0.1";

fn of(learner: &Learner) -> Statistics {
    learner.profile().statistics(&Criteria::default()).remove(0)
}

#[track_caller]
fn is_about(estimate: Estimate, value: f64, low: f64, high: f64) {
    let near = |a: f64, b: f64| (a - b).abs() < 0.0005;
    let all = near(estimate.value, value) && near(estimate.low, low) && near(estimate.high, high);
    assert!(all, "{estimate:?}, expected {value} ({low} to {high})");
}

/// `/7` in the first ten hours of each day.
fn base(days: u64) -> Learner {
    let mut learner = learner(1);
    for day in 0..days {
        for hour in 0..10 {
            get("/7", PEER, START + day * DAY + hour * HOUR).by(&mut learner);
        }
    }
    learner
}

#[test]
fn the_chance_is_the_share_of_hours_with_a_shape_of_their_own() {
    let mut learner = base(1);
    is_about(of(&learner).chance, 0.0, 0.0, 0.2775);
    // Two hours of ten, in one of which are two shapes.
    for (path, hour) in [("/2026-11-01", 3), ("/a@b.cd", 5), ("/deadbeef", 5)] {
        get(path, PEER, START + hour * HOUR).by(&mut learner);
    }
    is_about(of(&learner).chance, 0.2, 0.0567, 0.5098);
    // One that comes again in another hour is not alone any more.
    get("/2026-11-02", PEER, START + 4 * HOUR).by(&mut learner);
    is_about(of(&learner).chance, 0.1, 0.0179, 0.4042);
    // Of words that are not named yet each is a shape.
    get("/word", PEER, START + 7 * HOUR).by(&mut learner);
    is_about(of(&learner).chance, 0.2, 0.0567, 0.5098);
}

/// Six operations in one hour, which nobody would believe: 6 in 3.375 days.
#[test]
fn refusals_are_what_is_left_to_a_person() {
    let mut learner = base(4);
    is_about(of(&learner).refusals_a_day, 0.0, 0.0, 3.0 / 3.375);
    let mut seen = get("/2026-11-01", PEER, START + 2 * DAY);
    seen.counts = accepted(6);
    seen.by(&mut learner);
    let statistics = of(&learner);
    assert_eq!((statistics.shapes, statistics.left, statistics.operations), (1, 1, 46));
    // One burst: it may as well not have come, or twice more.
    is_about(statistics.refusals_a_day, 1.7778, 0.0, (6.0 + 1.96 * 6.0) / 3.375);
    assert!(!statistics.is_ready(3.0) && !of(&base(4)).is_ready(100.0));
    assert!(of(&base(4)).is_ready(10.0));
}

#[test]
fn what_had_no_shape_counts_as_refused() {
    let mut learner = base(4);
    learner.unlearnable(Side::Inbound, PEER.parse().unwrap(), 8080, Protocol::Http, 27);
    let statistics = of(&learner);
    is_about(statistics.refusals_a_day, 8.0, 8.0, 8.0 + 3.0 / 3.375);
    assert_eq!(statistics.operations, 40);
    assert!((statistics.operations_a_day - 67.0 / 3.375).abs() < 0.001);
}

/// Probes are allowed as learned, and drown nothing.
#[test]
fn probes_are_in_none_of_it() {
    let mut learner = base(4);
    let before = of(&learner);
    for minute in 0..4 * 24 * 60 {
        get("/healthz", "10.0.0.9", START + minute * 60).by(&mut learner);
    }
    assert_eq!(of(&learner), before);
    let learned = learner.profile().learned(&Criteria::default());
    let entry = learned.rules[0].entries.iter().find(|entry| entry.op == "GET /healthz").unwrap();
    assert_eq!(entry.evidence.operations, 5760);
}

#[test]
fn in_words() {
    let mut learner = base(4);
    let mut seen = get("/2026-11-01", PEER, START + 2 * DAY);
    seen.counts = accepted(6000);
    seen.by(&mut learner);
    let words = "inbound :8080 http
  6,040 operations on 4 days (40 hours); 1 shape, and 1 left to a person
  new shapes: 0.3 a day lately, the last one 33 hours before the last operation
  the chance that the next hour brings a shape never seen: 2.5 % (0.4 % to 13 %)
  enforcing now would refuse about 1,778 of 1,790 operations a day (0 to 5,262)";
    assert_eq!(of(&learner).to_string(), words);
    assert_eq!(Profile::default().statistics(&Criteria::default()), []);
}

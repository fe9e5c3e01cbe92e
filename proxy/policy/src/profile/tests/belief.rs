//! What is believed, one rule at a time.

use super::*;
use crate::profile::Criteria;

const HOUR: u64 = 3600;
const ONE: &str = "10.0.0.1";
const TWO: &str = "10.0.0.2";

/// Ten days of two peers that ask `/base` in twelve hours of each.
fn base(days: u64) -> Learner {
    let mut learner = learner(1);
    for day in 0..days {
        for hour in 0..12 {
            for peer in [ONE, TWO] {
                get("/base", peer, START + day * DAY + hour * HOUR).by(&mut learner);
            }
        }
    }
    learner
}

/// Why an entry is left to a person; nothing where it is believed.
#[track_caller]
fn why(learner: &Learner, op: &str, criteria: &Criteria) -> String {
    let learned = learner.profile().learned(criteria);
    let rule = &learned.rules[0];
    if rule.entries.iter().any(|entry| entry.op == op) {
        return String::new();
    }
    let left = rule.left.iter().find(|(entry, _)| entry.op == op);
    left.unwrap_or_else(|| panic!("{op} is not in {rule:#?}")).1.clone()
}

fn ask(learner: &mut Learner, path: &str, peer: &str, times: &[u64]) {
    for at in times {
        let mut seen = get(path, peer, START + at);
        seen.counts = accepted(2);
        seen.by(learner);
    }
}

#[track_caller]
fn is_left(learner: &Learner, op: &str, words: &str) {
    let why = why(learner, op, &Criteria::default());
    assert!(why.contains(words), "{op}: {why:?}");
}

#[track_caller]
fn is_believed(learner: &Learner, op: &str) {
    assert_eq!(why(learner, op, &Criteria::default()), "", "{op}");
}

#[test]
fn what_one_peer_asks_in_one_burst_is_not() {
    let mut learner = base(10);
    ask(&mut learner, "/x", ONE, &[DAY, DAY + 1, DAY + 2]);
    is_left(&learner, "GET /x", "seen from 1 peer in 1 hour of 1 day");
    let trusted = Criteria { trusted: true, ..Criteria::default() };
    assert_eq!(why(&learner, "GET /x", &trusted), "");
}

#[test]
fn what_one_peer_asks_on_three_days_is_not_and_on_four_it_is() {
    let mut learner = base(10);
    ask(&mut learner, "/x", ONE, &[0, DAY, DAY + 3 * HOUR, 2 * DAY]);
    is_left(&learner, "GET /x", "seen from 1 peer in 4 hours of 3 days");
    ask(&mut learner, "/x", ONE, &[7 * DAY]);
    is_believed(&learner, "GET /x");
}

#[test]
fn what_two_peers_ask_in_one_hour_is_not_and_in_two_it_is() {
    let mut learner = base(10);
    ask(&mut learner, "/x", ONE, &[DAY, DAY + 1]);
    ask(&mut learner, "/x", TWO, &[DAY + 2]);
    is_left(&learner, "GET /x", "seen from 2 peers in 1 hour of 1 day");
    ask(&mut learner, "/x", TWO, &[DAY + HOUR]);
    is_believed(&learner, "GET /x");
}

#[test]
fn what_is_new_together_with_much_else_is_not() {
    let mut learner = base(10);
    for n in 0..21 {
        let path = format!("/scan/x{n}y");
        ask(&mut learner, &path, ONE, &[DAY]);
        ask(&mut learner, &path, TWO, &[DAY + 1, DAY + 9 * HOUR]);
    }
    is_left(&learner, "GET /scan/x0y", "new on one day together with 20 others");
    // Unless it goes on.
    ask(&mut learner, "/scan/x0y", ONE, &[2 * DAY, 3 * DAY, 4 * DAY]);
    is_believed(&learner, "GET /scan/x0y");
}

#[test]
fn what_one_peer_asks_steadily_on_two_days_is() {
    let mut learner = base(1);
    let hours: Vec<u64> = (5..12).chain([25]).map(|hour| hour * HOUR).collect();
    ask(&mut learner, "/x", ONE, &hours[..7]);
    is_left(&learner, "GET /x", "seen from 1 peer in 7 hours of 1 day");
    ask(&mut learner, "/x", ONE, &hours[7..]);
    is_believed(&learner, "GET /x");
    // Eight hours of one day may be a scan that is repeated, and eight of many are not steady.
    let mut learner = base(1);
    ask(&mut learner, "/x", ONE, &(0..8).map(|hour| hour * HOUR).collect::<Vec<_>>());
    is_left(&learner, "GET /x", "seen from 1 peer in 8 hours of 1 day");
    let mut learner = base(3);
    ask(&mut learner, "/x", ONE, &hours);
    is_left(&learner, "GET /x", "seen from 1 peer in 8 hours of 2 days");
}

#[test]
fn what_one_peer_asks_steadily_together_with_much_else_is_not() {
    let mut learner = base(1);
    for n in 0..21 {
        let hours: Vec<u64> = (18..30).map(|hour| hour * HOUR).collect();
        ask(&mut learner, &format!("/scan/x{n}y"), ONE, &hours);
    }
    is_left(&learner, "GET /scan/x0y", "seen from 1 peer in 12 hours of 2 days");
}

#[test]
fn what_was_not_accepted_is_not() {
    let mut learner = base(1);
    let mut ask = |path: &str, counts| {
        let mut seen = get(path, ONE, START);
        seen.counts = counts;
        seen.by(&mut learner);
    };
    ask("/7", Counts { rejected: 5, ..Counts::default() });
    ask("/2026-11-01", Counts { outside: 4, accepted: 0, rejected: 0 });
    ask("/ada@example.org", accepted(2));
    is_left(&learner, "GET /{int}", "the server never accepted it");
    is_left(&learner, "GET /{date}", "4 times outside the policy");
    is_left(&learner, "GET /{email}", "accepted 2 times only");
}

#[test]
fn what_no_evidence_decides_is_not() {
    let mut learner = base(10);
    let http = |path: &[u8]| Asked::new(Protocol::Http, "GET", &[path]);
    let overridden = Asked { third: Some("X-Method".to_owned()), ..http(b"/o") };
    for asked in [http(b"/a/../b"), overridden] {
        for day in 0..10 {
            seen(Protocol::Http, asked.key().unwrap(), ONE, START + day * DAY).by(&mut learner);
        }
    }
    is_left(&learner, "GET /a/../b", "its path is ambiguous (dotSegments)");
    is_left(&learner, "GET /o", "x-method overrides what it is");
}

/// Names below `/users/`, each once, one after the other over a time.
fn names(learner: &mut Learner, n: u64, over: u64, peer: impl Fn(u64) -> String) {
    for i in 0..n {
        get(&format!("/users/n{i}me"), &peer(i), START + i * over / n).by(learner);
    }
}

#[track_caller]
fn is_variable(learner: &Learner, expected: bool) {
    let learned = learner.profile().learned(&Criteria::default());
    let rule = &learned.rules[0];
    let all = rule.entries.iter().chain(rule.left.iter().map(|(entry, _)| entry));
    let ops: Vec<&str> = all.map(|entry| entry.op.as_str()).collect();
    assert_eq!(ops.contains(&"GET /users/{}"), expected, "{ops:?}");
}

fn several(i: u64) -> String {
    format!("10.0.0.{}", 1 + i % 5)
}

#[test]
fn names_that_many_use_over_days_make_a_position_variable() {
    let mut learner = base(10);
    names(&mut learner, 500, 3 * DAY, several);
    is_variable(&learner, true);
    let entries = &learner.profile().learned(&Criteria::default()).rules[0].entries;
    let entry = entries.iter().find(|entry| entry.op == "GET /users/{}").unwrap();
    let step = &entry.evidence.steps[0];
    assert!(step.starts_with("{}: about ") && step.ends_with("from several peers"), "{step}");
}

#[test]
fn names_of_one_burst_do_not() {
    let mut learner = base(10);
    names(&mut learner, 500, 2 * HOUR, several);
    is_variable(&learner, false);
}

#[test]
fn names_that_one_uses_do_after_longer_than_anybody_scans() {
    let mut learner = base(10);
    names(&mut learner, 500, 3 * DAY, |_| ONE.to_owned());
    is_variable(&learner, false);
    let mut learner = base(10);
    names(&mut learner, 500, 8 * DAY, |_| ONE.to_owned());
    is_variable(&learner, true);
    // One that has nearly all is as good as one.
    let mut learner = base(10);
    let one = |i| if i % 50 == 0 { TWO.to_owned() } else { ONE.to_owned() };
    names(&mut learner, 500, 3 * DAY, one);
    is_variable(&learner, false);
}

/// Sixty methods of an RPC service, all of which are known on the first day.
#[test]
fn a_list_that_is_soon_complete_does_not() {
    let mut learner = base(10);
    for day in 0..10u64 {
        for i in 0..60 {
            let at = START + day * DAY + i * 1200;
            get(&format!("/users/Method{i}Do"), &several(i), at).by(&mut learner);
        }
    }
    is_variable(&learner, false);
    is_believed(&learner, "GET /users/Method7Do");
    // As many that keep coming do.
    let mut learner = base(10);
    names(&mut learner, 60, 10 * DAY, several);
    is_variable(&learner, true);
    // But not a few.
    let mut learner = base(10);
    names(&mut learner, 29, 10 * DAY, several);
    is_variable(&learner, false);
}

/// A position past its bound has lost its words: only what came over time makes it variable.
#[test]
fn a_saturated_position_needs_as_much() {
    for (over, expected) in [(2 * HOUR, false), (5 * DAY, true)] {
        let mut all = base(10);
        for half in 0..2 {
            let mut learner = learner(2 + half);
            for i in 0..100 {
                let path = format!("/users/n{}me", half * 100 + i);
                let mut seen = get(&path, &several(i), START + i * over / 100);
                seen.counts = accepted(3);
                seen.by(&mut learner);
            }
            all.join(learner.profile());
        }
        assert!(all.profile().to_yaml().contains("saturated: true"));
        is_variable(&all, expected);
    }
}

//! Learning against a simulated shop: ten days, a million operations, an injected clock.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod shop;

use std::collections::{BTreeSet, HashSet};

use shop::{
    DAY, Event, HOUR, Random, START, allows, compile, day, key_of, learner, observe, observe_as,
};
use weir_policy::profile::{Counts, Criteria, Estimate, Learner, Profile, Statistics};
use weir_policy::write::{Metadata, policy};

/// Operations a day of the whole shop: a million in ten days.
const A_DAY: u64 = 100_000;

fn refused<'a>(learner: &Learner, events: &'a [Event]) -> Vec<&'a Event> {
    let snapshot = compile(&learner.profile().learned(&Criteria::default()));
    events.iter().filter(|event| !allows(&snapshot, event)).collect()
}

/// What was told, and what the next day brought.
struct Told {
    statistics: Vec<Statistics>,
    refused: [usize; 2],
    all: usize,
    /// Hours of the next day with a shape that was in none before.
    new_hours: [usize; 2],
}

/// Hours with an operation that is neither known to the letter nor of a shape that was seen.
fn new_hours(learner: &Learner, seen: &mut HashSet<String>, events: &[Event]) -> [usize; 2] {
    let mut every = learner.profile().learned(&Criteria::default());
    for rule in &mut every.rules {
        rule.entries.extend(rule.left.drain(..).map(|(entry, _)| entry));
    }
    let snapshot = compile(&every);
    let mut hours = [BTreeSet::new(), BTreeSet::new()];
    for event in events {
        if seen.insert(key_of(event)) && !allows(&snapshot, event) {
            hours[usize::from(!event.http)].insert(event.at / HOUR);
        }
    }
    hours.map(|hours| hours.len())
}

/// Learns day after day, and notes before each day what was told of it.
fn run(days: u64) -> (Learner, Vec<Told>) {
    let (mut random, mut learner) = (Random(1), learner(1));
    let mut example = None;
    let mut seen = HashSet::new();
    let mut told = Vec::new();
    for d in 0..days {
        let events = day(d, A_DAY, &mut random);
        let new_hours = new_hours(&learner, &mut seen, &events);
        if d > 0 {
            let mut refused = refused(&learner, &events);
            // Probes are in no statistic.
            refused.retain(|event| !["GET /healthz", "GET /metrics"].contains(&&*event.text));
            let http = refused.iter().filter(|event| event.http).count();
            told.push(Told {
                statistics: learner.profile().statistics(&Criteria::default()),
                refused: [http, refused.len() - http],
                all: events.len(),
                new_hours,
            });
        }
        events.iter().for_each(|event| observe(&mut learner, event));
        if d == 9 {
            example = Some(policy(&learner.profile().learned(&Criteria::default()), &metadata()));
        }
    }
    is_the_example(&example.expect("ten days"));
    (learner, told)
}

fn metadata() -> Metadata {
    Metadata { name: "shop".to_owned(), namespace: Some("shop".to_owned()), mode: None }
}

/// The policy that ten days make is checked in, for people to read.
fn is_the_example(policy: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/examples/shop.yaml");
    if std::env::var_os("WEIR_UPDATE_EXAMPLE").is_some() {
        std::fs::write(path, policy).unwrap();
    }
    let example = std::fs::read_to_string(path).unwrap();
    assert_eq!(policy, example, "with WEIR_UPDATE_EXAMPLE=1 this test writes it anew");
}

/// The numbers: what the statistics said before each day is held against that day.
#[test]
fn the_statistics_hold_and_enforcing_after_them_refuses_next_to_nothing() {
    let (learner, told) = run(14);
    let holds = |estimate: &Estimate, value: f64, slack: f64| {
        estimate.low - slack <= value && value <= estimate.high + slack
    };
    let (mut within, mut all, mut ready_since) = (0, 0, None);
    for (i, day) in told.iter().enumerate() {
        let by_rule = day.statistics.iter().zip(day.refused.iter().zip(&day.new_hours));
        for (statistics, (refused, new_hours)) in by_rule {
            all += 2;
            // Counts of a day are whole numbers.
            within += usize::from(holds(&statistics.refusals_a_day, count(*refused), 1.0));
            within += usize::from(holds(&statistics.chance, count(*new_hours) / 24.0, 1.0 / 24.0));
        }
        let ready = day.statistics.iter().all(|statistics| statistics.is_ready(10_000.0));
        println!(
            "day {}: ready {ready}, refused {:?} of {}, hours with new shapes {:?}, told {:?}",
            i + 1,
            day.refused,
            day.all,
            day.new_hours,
            day.statistics.iter().map(|s| (s.refusals_a_day, s.chance)).collect::<Vec<_>>(),
        );
        if ready {
            ready_since.get_or_insert(i);
        }
        if ready_since.is_some() {
            let refused = day.refused.iter().sum::<usize>();
            assert!(refused * 10_000 <= day.all, "day {}: {refused} refused", i + 1);
        }
    }
    println!("{within} of {all} statements held");
    assert!(within * 20 >= all * 19, "{within} of {all} held");
    let ready_since = ready_since.expect("it never said that it is ready");
    assert!(ready_since < 9, "ready before the tenth day");
    assert!(!told[0].statistics.iter().all(|statistics| statistics.is_ready(10_000.0)));
    let yaml = learner.profile().to_yaml();
    println!("the profile has {} bytes", yaml.len());
    assert!(yaml.len() < 1 << 20, "{} bytes", yaml.len());
    assert_eq!(Profile::from_yaml("profile", &yaml).unwrap(), *learner.profile());
}

#[allow(clippy::cast_precision_loss)]
fn count(n: usize) -> f64 {
    n as f64
}

/// What a scanner asks: common names, and words of its own.
fn scan_paths() -> Vec<String> {
    let mut paths: Vec<String> = [
        "/.env",
        "/admin",
        "/admin/login",
        "/wp-login.php",
        "/phpmyadmin/index.php",
        "/.git/config",
        "/server-status",
        "/actuator/env",
        "/api/v1/users",
        "/backup.sql",
        "/console",
        "/debug/pprof",
        "/users",
        "/users/root/keys",
        "/products/admin",
        "/carts/all",
        "/7",
        "/42/edit",
    ]
    .map(str::to_owned)
    .to_vec();
    let mut random = Random(99);
    for n in 0..400 {
        let word = word(&mut random);
        paths.push(match n % 4 {
            0 => format!("/{word}"),
            1 => format!("/admin/{word}"),
            2 => format!("/{word}/config"),
            _ => format!("/api/v1/{word}"),
        });
    }
    paths
}

/// Whether the server has a page for everything, or for what it knows.
#[derive(Clone, Copy, PartialEq)]
enum Server {
    CatchAll,
    Honest,
    /// Weir refuses what is outside the policy.
    Guarded,
}

impl Server {
    fn answers(self, times: u64) -> Counts {
        match self {
            Server::CatchAll => Counts { accepted: times, ..Counts::default() },
            Server::Honest => Counts { rejected: times, ..Counts::default() },
            Server::Guarded => Counts { outside: times, ..Counts::default() },
        }
    }
}

fn word(random: &mut Random) -> String {
    (0..8).map(|_| char::from(b'a' + (random.next() % 26) as u8)).collect()
}

/// Six days of the shop, with a scanner in them on some days; each path is asked `times` times.
fn scanned(server: Server, days: &[u64], from: Option<&str>, times: u64) -> Learner {
    let (mut random, mut learner) = (Random(5), learner(2));
    for d in 0..6 {
        let mut events = day(d, 6000, &mut random);
        if let Some(gateway) = from {
            // All of the shop's customers come through one peer, and so does the scanner.
            events.iter_mut().filter(|e| e.http).for_each(|e| e.peer = gateway.parse().unwrap());
        }
        events.iter().for_each(|event| observe(&mut learner, event));
        if !days.contains(&d) {
            continue;
        }
        let peer = from.unwrap_or("10.0.66.6").parse().unwrap();
        for (i, path) in (0..).zip(scan_paths()) {
            let at = START + d * DAY + 15 * HOUR + i / 4;
            let event = Event { at, http: true, peer, text: format!("GET {path}") };
            observe_as(&mut learner, &event, server.answers(times));
        }
    }
    learner
}

#[track_caller]
fn admits_no_scan(learner: &Learner) {
    let learned = learner.profile().learned(&Criteria::default());
    let snapshot = compile(&learned);
    for peer in ["10.0.66.6", "10.0.1.2", "10.0.1.1"] {
        for path in scan_paths() {
            let event = Event {
                at: START,
                http: true,
                peer: peer.parse().unwrap(),
                text: format!("GET {path}"),
            };
            assert!(!allows(&snapshot, &event), "{peer} {path}");
        }
    }
    // And the shop is learned all the same.
    let entries: Vec<&str> =
        learned.rules[0].entries.iter().map(|entry| entry.op.as_str()).collect();
    for entry in ["GET /", "GET /products/{int}", "POST /internal/reindex", "GET /api/v1/stock"] {
        assert!(entries.contains(&entry), "{entry} is not in {entries:#?}");
    }
}

#[test]
fn a_scan_in_one_burst_is_not_learned() {
    for server in [Server::CatchAll, Server::Honest] {
        for times in [1, 5] {
            admits_no_scan(&scanned(server, &[2], None, times));
            admits_no_scan(&scanned(server, &[2], Some("10.0.1.1"), times));
        }
    }
}

#[test]
fn a_scan_over_three_days_from_one_peer_is_not_learned() {
    for server in [Server::CatchAll, Server::Honest] {
        for times in [1, 5] {
            admits_no_scan(&scanned(server, &[2, 3, 4], None, times));
            admits_no_scan(&scanned(server, &[2, 3, 4], Some("10.0.1.1"), times));
        }
    }
}

#[test]
fn a_scan_on_the_first_day_is_not_learned() {
    for from in [None, Some("10.0.1.1")] {
        admits_no_scan(&scanned(Server::CatchAll, &[0, 1, 2], from, 5));
    }
}

/// Six days of the shop in which random paths are asked every hour of some days, by these peers.
fn probed(server: Server, days: &[u64], peers: &[&str]) -> Learner {
    let (mut random, mut words, mut learner) = (Random(6), Random(7), learner(3));
    for d in 0..6 {
        day(d, 6000, &mut random).iter().for_each(|event| observe(&mut learner, event));
        for hour in 0..if days.contains(&d) { 24 } else { 0 } {
            let new: Vec<String> = (0..12).map(|_| format!("/{}", word(&mut words))).collect();
            for (i, path) in (0..).zip(scan_paths().into_iter().take(60).chain(new)) {
                let peer = peers[usize::try_from(i).unwrap() % peers.len()].parse().unwrap();
                let at = START + d * DAY + hour * HOUR + i;
                let event = Event { at, http: true, peer, text: format!("GET {path}") };
                observe_as(&mut learner, &event, server.answers(1));
            }
        }
    }
    learner
}

#[test]
fn what_is_never_accepted_makes_no_place_variable() {
    for server in [Server::Honest, Server::Guarded] {
        admits_no_scan(&probed(server, &[2, 3], &["10.0.66.6", "10.0.67.7"]));
    }
}

#[test]
fn a_scan_that_is_repeated_every_hour_is_not_learned() {
    admits_no_scan(&probed(Server::CatchAll, &[0, 1, 2], &["10.0.66.6"]));
    // A host of IPv6 has many addresses, and is one peer.
    admits_no_scan(&probed(Server::CatchAll, &[1], &["fd00:1::1", "fd00:1::2"]));
}

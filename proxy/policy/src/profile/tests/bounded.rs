//! Whatever comes, a profile stays small, and goes on learning.

use std::time::Instant;

use super::*;
use crate::profile::Criteria;

/// No profile that grows by learning is larger in YAML, in bytes.
const MOST: usize = 16 << 20;

#[track_caller]
fn is_bounded(learner: &Learner) {
    let settings = Settings::default();
    let profile = learner.profile();
    assert!(profile.nodes() <= settings.nodes, "{} nodes", profile.nodes());
    assert!(profile.hashes() <= 2 * settings.nodes, "{} hashes", profile.hashes());
    let bytes = profile.to_yaml().len();
    assert!(bytes <= MOST, "{bytes} bytes");
    let mut known = std::collections::HashSet::new();
    profile.words(&mut |word| _ = known.insert(Box::from(word)));
    assert_eq!(learner.account(), (profile.nodes(), profile.hashes(), &known));
}

fn random_word(random: &mut Random) -> String {
    (0..8).map(|_| char::from(b'g' + (random.next() % 16) as u8)).collect()
}

/// Paths of random words and depths, asked so often that each word is named.
fn flood(learner: &mut Learner, random: &mut Random, n: usize, day: u64) {
    let mut few: Vec<String> = (0..64).map(|_| random_word(random)).collect();
    for i in 0..n {
        let depth = 3 + random.below(6);
        let path: String = (0..depth)
            .map(|_| match random.below(3) {
                0 => format!("/{}", random_word(random)),
                _ => format!("/{}", few[usize::try_from(random.below(64)).unwrap()]),
            })
            .collect();
        let mut seen = get(&path, "10.0.66.6", START + day * DAY + i as u64 % DAY);
        seen.counts = accepted(2 + random.below(3));
        seen.by(learner);
        if i % 500 == 0 {
            few = (0..64).map(|_| random_word(random)).collect();
        }
    }
}

#[test]
fn a_flood_of_words_is_bounded_and_the_application_is_learned_after_it() {
    let (mut learner, mut random) = (learner(1), Random(1));
    for day in 0..3 {
        flood(&mut learner, &mut random, 15_000, day);
    }
    is_bounded(&learner);
    assert!(learner.bounded() > 0, "the flood reached the bound");
    for day in 3..20 {
        for hour in 0..12 {
            let peer = format!("10.0.0.{}", 1 + hour % 2);
            get("/orders/summary/today", &peer, START + day * DAY + hour * 3600).by(&mut learner);
        }
    }
    is_bounded(&learner);
    let learned = learner.profile().learned(&Criteria::default());
    let ops: Vec<&str> = learned.rules[0].entries.iter().map(|e| e.op.as_str()).collect();
    assert!(ops.contains(&"GET /orders/summary/today"), "{ops:?}");
}

/// At the bound what grew from a profile need not absorb it: what came on a few days and not
/// lately is gone, and comes back by merging.
#[test]
fn what_was_forgotten_comes_back_by_merging() {
    let (mut learner, mut random) = (learner(1), Random(1));
    get("/rare/report", "10.0.0.1", START).by(&mut learner);
    get("/rare/report", "10.0.0.1", START + DAY).by(&mut learner);
    get("/rare/report", "10.0.0.1", START + DAY).by(&mut learner);
    flood(&mut learner, &mut random, 12_000, 1);
    let before = learner.profile().clone();
    // A number is no word: the position of the words stays as full as it is.
    get("/7/8/9", "10.0.0.1", START + 9 * DAY).by(&mut learner);
    let after = learner.profile().clone();
    is_bounded(&learner);
    assert!(before.to_yaml().contains("/rare/report") && !after.to_yaml().contains("/rare/report"));
    assert!(after.nodes() < before.nodes() / 4, "{} of {}", after.nodes(), before.nodes());
    let mut both = before.clone();
    both.join(&after);
    let mut other = after.clone();
    other.join(&before);
    assert!(both.to_yaml().contains("/rare/report"));
    assert!(both == other);
    other.join(&before);
    assert!(both == other);
}

/// Every position has all its samples, on every day.
#[test]
fn hashes_are_bounded() {
    let (mut learner, mut random) = (learner(1), Random(1));
    for day in 0..4 {
        for i in 0..30_000u64 {
            let path = format!(
                "/{}/{}",
                i % 100,
                ["a", "b", "c", "d", "e"][usize::try_from(i % 5).unwrap()]
            );
            let text = format!("{path}/p{}/{}", i % 128, random_word(&mut random));
            let mut seen = get(&text, "10.0.0.1", START + day * DAY + i % DAY);
            seen.key = seen.key.replace("{int}", &format!("p{}", i % 100));
            seen.by(&mut learner);
        }
    }
    is_bounded(&learner);
}

#[test]
fn ports_servers_methods_and_long_keys_are_bounded() {
    let (mut learner, mut random) = (learner(1), Random(1));
    for i in 0..20_000u64 {
        let long = "x".repeat(200);
        let path = format!("/{long}{}/{long}", random.below(3000));
        let mut seen = get(&path, "10.0.0.1", START + i);
        seen.key = seen.key.replace("GET", &format!("M{}", random.below(500)));
        seen.side = if i % 3 == 0 { Side::Inbound } else { Side::Outbound };
        seen.port = u16::try_from(random.below(if i % 2 == 0 { 400 } else { 4 })).unwrap();
        seen.peer = IpAddr::from(u32::try_from(random.below(5000)).unwrap().to_be_bytes());
        seen.counts = accepted(3);
        seen.by(&mut learner);
        learner.unlearnable(Side::Outbound, seen.peer, seen.port, Protocol::Http, 1);
    }
    is_bounded(&learner);
    assert!(learner.profile().ports.len() <= 128);
    reads_back(learner.profile());
}

/// Ports that have no place leave none of their nodes behind in the account.
#[test]
fn ports_that_are_dropped_make_room() {
    let mut learner = learner(1);
    for port in (1..2000).rev() {
        let mut seen = get(&format!("/p{port}"), "10.0.0.1", START);
        (seen.port, seen.counts) = (port, accepted(3));
        seen.by(&mut learner);
    }
    is_bounded(&learner);
}

/// Times at the ends of their range, and a clock that goes back.
#[test]
fn any_time_is_fine() {
    let mut learner = learner(1);
    let times = [u64::MAX, 0, START, 1, u64::MAX - 1, START - 90 * DAY, 1 << 40, START + DAY];
    for (i, at) in times.into_iter().cycle().take(64).enumerate() {
        let mut seen = get(["/a", "/b/c", "/healthz"][i % 3], "10.0.0.1", at);
        seen.counts = if i % 5 == 0 {
            Counts { accepted: u64::MAX, rejected: u64::MAX, outside: u64::MAX }
        } else {
            Counts { rejected: 1, ..Counts::default() }
        };
        let (first, last) = (times[(i + 1) % 8], at);
        learner.observe(&Observation {
            side: seen.side,
            peer: seen.peer,
            port: seen.port,
            protocol: seen.protocol,
            database: None,
            key: &seen.key,
            counts: seen.counts,
            first,
            last,
        });
        let profile = learner.profile();
        reads_back(profile);
        for criteria in [Criteria::default(), Criteria { trusted: true, ..Criteria::default() }] {
            profile.statistics(&criteria).iter().for_each(|all| drop(all.to_string()));
            profile.learned(&criteria);
        }
    }
}

/// Not a test of speed: it says what one observation costs.
#[test]
#[ignore = "says a figure"]
fn what_an_observation_costs() {
    let (mut learner, mut random) = (learner(1), Random(1));
    let n = 200_000;
    let paths: Vec<Seen> =
        (0..50).map(|i| get(&format!("/p{i}/7/items"), "10.0.0.1", START)).collect();
    for round in ["first", "again"] {
        let begin = Instant::now();
        for i in 0..n {
            paths[i % 50].by(&mut learner);
        }
        println!("{round}: {} ns a known shape", begin.elapsed().as_nanos() / n as u128);
    }
    let begin = Instant::now();
    flood(&mut learner, &mut random, n, 1);
    println!("{} ns a random one", begin.elapsed().as_nanos() / n as u128);
    let begin = Instant::now();
    let yaml = learner.profile().to_yaml();
    println!("{} bytes written in {:?}", yaml.len(), begin.elapsed());
    let begin = Instant::now();
    Profile::from_yaml("p", &yaml).unwrap();
    println!("read in {:?}", begin.elapsed());
    let begin = Instant::now();
    learner.profile().learned(&Criteria::default());
    println!("learned in {:?}", begin.elapsed());
    is_bounded(&learner);
}

//! Merging is associative, commutative and idempotent, and what grew from a profile absorbs it.

use proptest::prelude::*;

use super::*;
use crate::profile::counter::WRITERS;

/// Words that are hard to write, and plain ones.
const ODD: [&str; 24] = [
    "a", "b", "carts", "", "{int}", "{new}", "{}", "*", "%2F", "a%2fb", "x,y", "x:y", "'q'",
    "\"q\"", "#c", "- x", "~", "null", "true", "7", "&k", "!t", "\\", "@a`",
];

/// How wide a stream of observations spreads.
#[derive(Clone, Copy, Debug)]
struct Spread {
    words: u64,
    peers: u64,
    ports: u64,
    days: u64,
    /// Observations between restarts and merges.
    chunk: u64,
    /// How many of eight steps are restarts.
    restarts: u64,
}

fn word(random: &mut Random, spread: Spread) -> String {
    match random.below(4) {
        0 => random.pick(&ODD).to_owned(),
        1 => random.below(1000).to_string(),
        _ => format!("w{}", random.below(spread.words)),
    }
}

fn asked(random: &mut Random, spread: Spread) -> Asked {
    let mut words = |most: u64, between: &str| {
        let n = 1 + random.below(most);
        (0..n).map(|_| word(random, spread)).collect::<Vec<_>>().join(between)
    };
    match words(1, "").len() % 4 {
        0 | 1 => {
            let path = format!("/{}", words(3, "/"));
            let mut asked = Asked::new(Protocol::Http, "GET", &[path.as_bytes()]);
            let rest = random.below(16);
            if rest > 12 {
                asked.name = random.pick(&["POST", "OPTIONS", "get", "M-SEARCH"]).to_owned();
            }
            match rest {
                0 => asked.second = Some("WebSocket".to_owned()),
                1 => asked.third = Some("X-HTTP-Method-Override".to_owned()),
                2 => asked = Asked::new(Protocol::Http, "CONNECT", &[b"db.shop:443"]),
                3 => asked = Asked::new(Protocol::Http, "OPTIONS", &[b"*"]),
                _ => {}
            }
            asked
        }
        2 => {
            let n = random.below(4);
            let keys: Vec<String> = (0..n)
                .map(|_| {
                    let n = 1 + random.below(3);
                    (0..n).map(|_| word(random, spread)).collect::<Vec<_>>().join(":")
                })
                .collect();
            let keys: Vec<&[u8]> = keys.iter().map(String::as_bytes).collect();
            let mut asked = Asked::new(Protocol::Redis, "MGET", &keys);
            match random.below(8) {
                0 => {
                    asked.name = "subscribe".to_owned();
                    asked.channels = true;
                }
                1 => (asked.name, asked.third) = ("FCALL".to_owned(), Some("f".to_owned())),
                2 => (asked.name, asked.second) = ("config".to_owned(), Some("get".to_owned())),
                3 => (asked.name, asked.unknown) = ("SORT".to_owned(), true),
                _ => {}
            }
            asked
        }
        _ if random.below(2) == 0 => Asked::new(Protocol::Opaque, "", &[]),
        _ => Asked::new(Protocol::Tls, "", &[random.pick(&["a.shop", "b.shop"]).as_bytes()]),
    }
}

fn random_seen(random: &mut Random, spread: Spread) -> Option<Seen> {
    let asked = asked(random, spread);
    let n = random.below(3);
    let counts = match random.below(6) {
        0 => Counts { rejected: 1 + n, ..Counts::default() },
        1 => Counts { outside: 1 + n, accepted: n, ..Counts::default() },
        _ => accepted(1 + n),
    };
    let peer = u32::try_from(random.below(spread.peers)).unwrap();
    let peer = 0x0a00_0000 | (peer.wrapping_mul(0x0101_0107) & 0x00ff_ffff);
    let side = if random.below(2) == 0 { Side::Inbound } else { Side::Outbound };
    Some(Seen {
        side,
        peer: IpAddr::from(peer.to_be_bytes()),
        port: u16::try_from(1000 + random.below(spread.ports)).unwrap(),
        protocol: asked.protocol,
        database: Some(u32::try_from(random.below(20)).unwrap()),
        key: asked.key()?,
        counts,
        at: START + random.below(spread.days * DAY),
    })
}

/// Profiles of replicas that learn, restart, and take each other's over.
fn history(seed: u64, spread: Spread, settings: Settings, steps: u64) -> Vec<Profile> {
    let mut random = Random(seed);
    let keys = [Key::new([7; 16]), Key::new([8; 16])];
    let mut writers = 0;
    let mut start = |profile: Profile, key: Key| {
        writers += 1;
        Learner::new(profile, key, writer(writers), settings)
    };
    let mut replicas: Vec<(Learner, Key)> =
        [0, 0, 1].map(|key: usize| (start(Profile::default(), keys[key]), keys[key])).into();
    let mut profiles = Vec::new();
    for _ in 0..steps {
        let one = usize::try_from(random.below(3)).unwrap();
        let before = replicas[one].0.profile().clone();
        match random.below(8) {
            n if n < spread.restarts => {
                let (_, key) = replicas[one];
                let yaml = before.to_yaml();
                replicas[one].0 = start(Profile::from_yaml("p", &yaml).unwrap(), key);
            }
            7 => {
                let other = replicas[(one + 1) % 3].0.profile().clone();
                replicas[one].0.join(&other);
            }
            _ => {
                for _ in 0..spread.chunk {
                    if let Some(seen) = random_seen(&mut random, spread) {
                        seen.by(&mut replicas[one].0);
                    } else {
                        let port = u16::try_from(1000 + random.below(spread.ports)).unwrap();
                        let peer = "10.9.9.9".parse().unwrap();
                        replicas[one].0.unlearnable(Side::Outbound, peer, port, Protocol::Http, 1);
                    }
                }
            }
        }
        let after = replicas[one].0.profile();
        assert!(joined(&before, after) == *after, "what grew from a profile absorbs it");
        profiles.push(after.clone());
    }
    profiles
}

fn joined(one: &Profile, other: &Profile) -> Profile {
    let mut all = one.clone();
    all.join(other);
    all
}

fn laws(profiles: &[Profile]) {
    let last = profiles.len() - 1;
    for (a, b, c) in [(last, last - 1, last - 2), (0, last / 2, last), (last / 3, last - 3, 1)] {
        let (a, b, c) = (&profiles[a], &profiles[b], &profiles[c]);
        assert!(joined(a, a) == *a, "idempotent");
        assert!(joined(a, b) == joined(b, a), "commutative");
        let (ab, bc) = (joined(a, b), joined(b, c));
        assert!(joined(&ab, c) == joined(a, &bc), "associative");
        assert!(joined(&ab, a) == ab && joined(&ab, b) == ab, "absorbing");
        reads_back(a);
        reads_back(&ab);
    }
}

const NARROW: Spread = Spread { words: 6, peers: 3, ports: 2, days: 2, chunk: 40, restarts: 1 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn few_words(seed in any::<u64>()) {
        laws(&history(seed, NARROW, Settings::default(), 10));
    }

    /// What is noted of days long past is forgotten at the bound, so all is on three days.
    #[test]
    fn small_trees(seed in any::<u64>(), nodes in 1usize..60, rule_nodes in 1usize..30) {
        let settings = Settings { rule_nodes, nodes, ..Settings::default() };
        laws(&history(seed, Spread { words: 40, days: 3, ..NARROW }, settings, 14));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2))]

    #[test]
    fn many_words_days_and_writers(seed in any::<u64>()) {
        let spread = Spread { words: 300, peers: 20, ports: 1, days: 60, chunk: 40, restarts: 1 };
        laws(&history(seed, spread, Settings::default(), 60));
    }

    #[test]
    fn many_ports_and_peers(seed in any::<u64>()) {
        let spread = Spread { words: 20, peers: 5000, ports: 260, days: 5, chunk: 40, restarts: 1 };
        laws(&history(seed, spread, Settings::default(), 24));
    }

    #[test]
    fn many_servers_of_one_port(seed in any::<u64>()) {
        let spread = Spread { words: 4, peers: 100, ports: 1, days: 5, chunk: 40, restarts: 1 };
        laws(&history(seed, spread, Settings::default(), 24));
    }
}

#[test]
fn more_writers_than_are_kept() {
    let profiles = history(3, Spread { chunk: 2, restarts: 4, ..NARROW }, Settings::default(), 200);
    let all = profiles.iter().fold(Profile::default(), |all, one| joined(&all, one));
    assert!(all.forgotten && all.writers.len() == WRITERS);
    laws(&profiles[profiles.len() - 8..]);
}

/// A process that has run for long, and whose profile others took over and went on with.
#[test]
fn the_oldest_writer_counts_on() {
    let mut old = learner(0);
    get("/a", "10.0.0.1", START).by(&mut old);
    for n in 1..40 {
        let mut young =
            Learner::new(old.profile().clone(), Key::new([7; 16]), writer(n), Settings::default());
        get("/a", "10.0.0.1", START).by(&mut young);
        old.join(young.profile());
    }
    let before = old.profile().clone();
    get("/a", "10.0.0.1", START).by(&mut old);
    assert!(before != *old.profile() && joined(&before, old.profile()) == *old.profile());
    reads_back(old.profile());
}

/// Replicas that know different words of one position, together more than are told apart.
#[test]
fn more_words_than_are_told_apart() {
    let names = |from: u32, way: &str| {
        let mut learner = learner(u64::from(from));
        for n in from..from + 60 {
            let mut seen =
                get(&format!("/users/w{n}/{way}"), "10.0.0.1", START + 3600 * u64::from(n));
            seen.counts = accepted(3);
            seen.by(&mut learner);
        }
        learner.profile().clone()
    };
    let profiles = [(0, "a"), (30, "a"), (60, "b"), (120, "b"), (150, "c")];
    let profiles = profiles.map(|(from, way)| names(from, way));
    let all = profiles.iter().fold(Profile::default(), |all, one| joined(&all, one));
    assert!(all.to_yaml().contains("saturated: true"));
    assert!(!joined(&profiles[0], &profiles[2]).to_yaml().contains("saturated: true"));
    for a in &profiles {
        for b in &profiles {
            for c in &profiles {
                assert!(joined(&joined(a, b), c) == joined(a, &joined(c, b)));
            }
        }
        assert!(joined(&all, a) == all);
    }
    // What is learned at a saturated position goes to all its words.
    let mut learner =
        Learner::new(all.clone(), Key::new([7; 16]), writer(999), Settings::default());
    for n in 0..10 {
        get("/users/w3/a", "10.0.0.1", START + n).by(&mut learner);
    }
    assert!(joined(&all, learner.profile()) == *learner.profile());
    laws(&[profiles[0].clone(), profiles[2].clone(), all, learner.profile().clone()]);
}

/// The other bounds are reached by the histories above.
#[test]
fn the_bounds_are_reached() {
    let narrow = Spread { words: 4, peers: 3, ports: 1, days: 60, chunk: 40, restarts: 1 };
    let reached = |spread: Spread, text: &str| {
        let profiles = history(3, spread, Settings::default(), 24);
        profiles.iter().any(|one| one.to_yaml().contains(text))
    };
    assert!(reached(Spread { ports: 260, ..narrow }, "droppedPorts: true"));
    assert!(reached(narrow, "anyDatabase: true"));
    assert!(reached(Spread { peers: 100, ..narrow }, "saturated: true"), "servers");
    assert!(reached(Spread { peers: 5000, ..narrow }, "peersJoined"));
}

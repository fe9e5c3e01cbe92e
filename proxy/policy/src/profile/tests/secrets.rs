//! A word that came in fewer than three operations is nowhere in what a profile says.

use super::*;
use crate::profile::Criteria;

const SECRET: &str = "hunterstwo";

/// All that a profile says.
fn said(profile: &Profile) -> String {
    let mut all = profile.to_yaml();
    profile.words(&mut |word| {
        all.push_str(word);
        all.push('\n');
    });
    for criteria in
        [Criteria::default(), Criteria { trusted: true, operations: 1, ..Criteria::default() }]
    {
        all.push_str(&format!("{:?}", profile.learned(&criteria)));
        profile.statistics(&criteria).iter().for_each(|one| all.push_str(&one.to_string()));
    }
    all
}

#[track_caller]
fn hides(learner: &Learner) {
    let said = said(learner.profile());
    assert!(!said.to_lowercase().contains(SECRET), "{said}");
}

/// Operations with the secret at every place that has room for one.
fn with_secret() -> Vec<Asked> {
    let http = |method: &str, path: &str| Asked::new(Protocol::Http, method, &[path.as_bytes()]);
    let redis = |command: &str, keys: &[&str]| {
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        Asked::new(Protocol::Redis, command, &keys)
    };
    let key = |text: &str| text.replace('$', SECRET);
    let s = Some(SECRET.to_owned());
    vec![
        http("GET", &key("/$")),
        http("GET", &key("/users/$/items")),
        http("GET", &key("/users/$/../items")),
        http("GET", &key("/a%2f$/7")),
        http(SECRET, "/"),
        http("CONNECT", &key("$.example:443")),
        Asked { second: s.clone(), ..http("GET", "/") },
        Asked { third: s.clone(), ..http("GET", "/") },
        Asked { third: s.clone(), ..http("OPTIONS", "*") },
        redis("GET", &[&key("cart:$:7")]),
        redis("MGET", &[&key("a:$"), &key("b:$"), &key("c:$:x"), &key("$")]),
        redis("MGET", &[&key("cart:$:a"), &key("cart:$:b"), &key("cart:$:c"), "x"]),
        redis(SECRET, &["a", "b", "c", "d"]),
        redis(SECRET, &[]),
        Asked { second: s.clone(), ..redis("CONFIG", &["a", "b", "c"]) },
        Asked { third: s, ..redis("FCALL", &["a", "b", "c"]) },
        Asked { channels: true, ..redis("SUBSCRIBE", &[&key("$:a"), &key("$:b"), &key("$:c")]) },
        Asked { unknown: true, ..redis(SECRET, &[]) },
        Asked::new(Protocol::Grpc, SECRET, &[b"AddItem"]),
        Asked::new(Protocol::Grpc, "shop.Cart", &[SECRET.as_bytes()]),
        Asked::new(Protocol::Grpc, &key("$.Cart"), &[key("Get$").as_bytes()]),
        Asked::new(Protocol::Tls, "", &[key("$.example").as_bytes()]),
    ]
}

fn ask(learner: &mut Learner, asked: &Asked, port: u16, at: u64, counts: Counts) {
    let mut seen = seen(asked.protocol, asked.key().unwrap(), "10.0.0.1", at);
    (seen.port, seen.counts) = (port, counts);
    seen.by(learner);
}

#[test]
fn what_two_operations_had_is_not_told() {
    for counts in [
        accepted(1),
        Counts { rejected: 1, ..Counts::default() },
        Counts { outside: 1, ..Counts::default() },
    ] {
        for asked in with_secret() {
            let mut learner = learner(1);
            for n in 0..2 {
                ask(&mut learner, &asked, 80, START + n * DAY, counts);
                hides(&learner);
            }
            // The third names it, which shows that the test would see it.
            ask(&mut learner, &asked, 80, START, counts);
            let said = said(learner.profile()).to_lowercase();
            assert!(said.contains(SECRET), "{asked:?}");
        }
    }
}

/// One that is at several places counts at each for itself.
#[test]
fn what_two_operations_had_is_not_told_wherever_they_had_it() {
    let mut learner = learner(1);
    for asked in with_secret().iter().take(4).chain(&with_secret()[9..12]) {
        ask(&mut learner, asked, 80, START, accepted(2));
        hides(&learner);
    }
}

/// Replicas each saw it once or twice, restarted, and were merged.
#[test]
fn merging_makes_one_operation_no_more_than_one() {
    for asked in with_secret() {
        let mut one = learner(1);
        ask(&mut one, &asked, 80, START, accepted(1));
        let yaml = one.profile().to_yaml();
        let again = Profile::from_yaml("p", &yaml).unwrap();
        let mut two = Learner::new(again, Key::new([7; 16]), writer(2), Settings::default());
        ask(&mut two, &asked, 80, START, accepted(1));
        for _ in 0..4 {
            one.join(two.profile());
            two.join(one.profile());
        }
        hides(&one);
        hides(&two);
        // Each saw it for itself: four operations, of which none is told before another one.
        let mut apart = learner(3);
        ask(&mut apart, &asked, 80, START + DAY, accepted(1));
        apart.join(one.profile());
        hides(&apart);
    }
}

/// A shape that came often names its own words only.
#[test]
fn a_shape_that_is_named_names_no_other() {
    let mut learner = learner(1);
    for n in 0..40 {
        get("/users/ada/items", "10.0.0.1", START + n).by(&mut learner);
        if n % 20 == 0 {
            get(&format!("/users/{SECRET}/items"), "10.0.0.1", START + n).by(&mut learner);
        }
    }
    assert!(said(learner.profile()).contains("/users/ada/items"));
    hides(&learner);
}

/// Nor does a position that becomes variable, nor one that has all the words it may have.
#[test]
fn variable_and_full_positions_do_not_tell() {
    let mut learner = learner(1);
    for n in 0..600u64 {
        let peer = format!("10.0.0.{}", 1 + n % 5);
        let mut seen = get(&format!("/users/user-n{}z/items", n / 2), &peer, START + n * 1800);
        seen.counts = accepted(1 + 2 * (n % 2));
        seen.by(&mut learner);
    }
    for n in 0..2 {
        get(&format!("/users/{SECRET}/items"), "10.0.0.1", START + 20 * DAY + n).by(&mut learner);
    }
    assert!(said(learner.profile()).contains("GET /users/{}/items"));
    hides(&learner);
}

//! What a profile says is a policy that can be read, and allows what was seen.

use proptest::prelude::*;

use super::*;
use crate::decide::{Decision, Snapshot};
use crate::op::Endpoint;
use crate::profile::Criteria;
use crate::write::{self, Metadata};
use crate::{Addresses, Date, Defaults};

fn compiled(profile: &Profile, criteria: &Criteria) -> (String, Snapshot) {
    let metadata = Metadata { name: "p".to_owned(), namespace: None, mode: None };
    let text = write::policy(&profile.learned(criteria), &metadata);
    let policies = crate::parse("p.yaml", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let defaults = Defaults { mode: Default::default(), today: Date::new(2026, 11, 28).unwrap() };
    let snapshot = Snapshot::compile(policies, &defaults, &Addresses::default());
    (text.clone(), snapshot.unwrap_or_else(|e| panic!("{e:?}\n{text}")))
}

fn allows(snapshot: &Snapshot, asked: &Asked, peer: &str) -> bool {
    let endpoint = Endpoint { side: Side::Inbound, peer: peer.parse().unwrap(), port: port(asked) };
    let rules = snapshot.admit(&endpoint).rules;
    asked.with(|operation| {
        matches!(snapshot.decide(&rules, &endpoint, operation), Decision::Allowed(_))
    })
}

/// A port has one protocol.
fn port(asked: &Asked) -> u16 {
    match asked.protocol {
        Protocol::Http => 80,
        Protocol::Grpc => 9090,
        Protocol::Redis => 6379,
        Protocol::Tls => 443,
        Protocol::Opaque => 5671,
    }
}

fn ask(learner: &mut Learner, asked: &Asked, peer: &str, at: u64) {
    if let Some(key) = asked.key() {
        let mut seen = seen(asked.protocol, key, peer, at);
        seen.port = port(asked);
        seen.by(learner);
    }
}

/// Whether an entry can allow the operation, and learning is to write it.
fn is_ordinary(asked: &Asked) -> bool {
    let text = asked.texts.first().map(Vec::as_slice).unwrap_or_default();
    match asked.protocol {
        Protocol::Http => {
            asked.third.is_none()
                && asked.second.as_deref().is_none_or(|token| token == "websocket")
                && (asked.name == "CONNECT" || crate::path::ambiguities(text).is_empty())
        }
        // An entry has no way to write an empty key; an empty channel is `&`.
        Protocol::Redis => {
            !asked.unknown && (asked.channels || asked.texts.iter().all(|key| !key.is_empty()))
        }
        _ => true,
    }
}

fn asked() -> impl Strategy<Value = Asked> {
    let part = || {
        prop_oneof![
            "[a-c]{1,2}",
            "[0-9]{1,4}",
            r#"[-!-~]{1,3}"#,
            Just(String::new()),
            Just("{int}".to_owned()),
            Just("{}".to_owned()),
        ]
    };
    let path = prop::collection::vec(part(), 1..4).prop_map(|parts| {
        let text = parts.join("/").replace(['?', '#'], "_");
        format!("/{text}").into_bytes()
    });
    let methods = prop::sample::select(vec!["GET", "POST", "M-SEARCH", "FOO"]);
    let http = (
        methods,
        path,
        prop::sample::select(vec![None, None, None, Some("websocket"), Some("h2c")]),
        prop::bool::weighted(0.1),
    )
        .prop_map(|(method, path, upgrade, overrides)| Asked {
            second: upgrade.map(str::to_owned),
            third: overrides.then(|| "X-HTTP-Method-Override".to_owned()),
            ..Asked::new(Protocol::Http, method, &[&path])
        });
    let key = prop_oneof![
        4 => prop::collection::vec(part(), 1..4).prop_map(|parts| parts.join(":").into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    let keys = prop::collection::vec(key, 0..4);
    let redis = (keys, 0..7usize).prop_map(|(keys, kind)| {
        let texts: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let redis = |name| Asked::new(Protocol::Redis, name, &texts);
        match kind {
            0 => Asked { channels: true, ..redis("SUBSCRIBE") },
            1 => Asked { third: Some("my_f".to_owned()), ..redis("FCALL") },
            2 => Asked {
                third: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
                ..redis("EVALSHA")
            },
            3 => Asked { second: Some("get".to_owned()), ..redis("config") },
            4 => Asked { unknown: true, ..redis("SORT") },
            _ => redis("mget"),
        }
    });
    let fixed = [
        Asked::new(Protocol::Http, "OPTIONS", &[b"*"]),
        Asked::new(Protocol::Http, "CONNECT", &[b"db.shop:443"]),
        Asked::new(Protocol::Http, "CONNECT", &[b"10.0.0.9:443"]),
        Asked::new(Protocol::Http, "GET", &[b"/"]),
        Asked::new(Protocol::Http, "GET", &[b"/carts/"]),
        Asked::new(Protocol::Grpc, "shop.Cart", &[b"AddItem"]),
        Asked::new(Protocol::Grpc, "shop.Cart", &[b"Get_7-x.Y"]),
        Asked::new(Protocol::Grpc, "7", &[b"0123456789abcdef"]),
        Asked::new(Protocol::Grpc, "shop.Cart", &[b"a/b"]),
        Asked::new(Protocol::Grpc, "shop.Cart", &[b""]),
        Asked::new(Protocol::Grpc, "shop.Cart", &[b"{int}"]),
        Asked::new(Protocol::Grpc, "..", &[b"AddItem"]),
        Asked::new(Protocol::Tls, "", &[b"Shop.Example"]),
        Asked::new(Protocol::Tls, "", &[b"10.0.0.1"]),
        Asked::new(Protocol::Tls, "", &[]),
        Asked::new(Protocol::Opaque, "", &[]),
    ];
    prop_oneof![4 => http, 4 => redis, 2 => prop::sample::select(fixed.to_vec())]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_was_seen_is_allowed_and_nothing_odd(all in prop::collection::vec(asked(), 1..10)) {
        let mut learner = learner(1);
        for hour in 0..3 {
            for asked in &all {
                ask(&mut learner, asked, "10.0.0.1", START + hour * 3600);
            }
        }
        let trusted = Criteria { trusted: true, ..Criteria::default() };
        let (text, snapshot) = compiled(learner.profile(), &trusted);
        for asked in &all {
            let allowed = allows(&snapshot, asked, "10.0.0.1");
            let key = asked.key();
            prop_assert_eq!(allowed, is_ordinary(asked) && key.is_some(), "{:?} {:?}\n{}", key, asked, text);
            prop_assert!(!allows(&snapshot, asked, "10.0.0.2"));
        }
        compiled(learner.profile(), &Criteria::default());
    }
}

/// Names that no grammar takes do not break the file, and are told of.
#[test]
fn what_no_entry_can_say_is_left_out() {
    let odd = [
        Asked::new(Protocol::Http, "get", &[b"/a"]),
        Asked::new(Protocol::Http, "A:B", &[b"/a"]),
        Asked::new(Protocol::Http, "GET", &[b"*"]),
        Asked::new(Protocol::Http, "CONNECT", &[b"nowhere"]),
        Asked::new(Protocol::Http, "CONNECT", &[b"a..b:0"]),
        Asked { second: Some("h2c".to_owned()), ..Asked::new(Protocol::Http, "GET", &[b"/a"]) },
        Asked::new(Protocol::Redis, "A:B", &[b"a"]),
        Asked::new(Protocol::Redis, "GET", &[b""]),
        Asked::new(Protocol::Redis, "EVALSHA", &[b"a"]),
        Asked { third: Some("a.b".to_owned()), ..Asked::new(Protocol::Redis, "FCALL", &[b"k"]) },
        Asked::new(Protocol::Tls, "", &[b"a..b"]),
        Asked::new(Protocol::Tls, "", &[b"1.2.3"]),
    ];
    for asked in odd {
        let mut learner = learner(1);
        for n in 0..20 {
            ask(&mut learner, &asked, "10.0.0.1", START + n * DAY / 2);
            let fine = match asked.protocol {
                Protocol::Http => Asked::new(Protocol::Http, "GET", &[b"/fine"]),
                Protocol::Redis => Asked::new(Protocol::Redis, "GET", &[b"fine"]),
                _ => Asked::new(Protocol::Tls, "", &[b"fine.example"]),
            };
            ask(&mut learner, &fine, "10.0.0.1", START + n * DAY / 2);
        }
        let (text, snapshot) = compiled(learner.profile(), &Criteria::default());
        assert!(text.contains("fine") && text.contains("# left out: "), "{text}");
        assert!(!allows(&snapshot, &asked, "10.0.0.1"), "{text}");
        let statistics = &learner.profile().statistics(&Criteria::default())[0];
        assert_eq!((statistics.shapes, statistics.left), (1, 0), "{text}");
        assert!(statistics.refusals_a_day.value > 1.5, "{statistics}");
    }
}

/// Servers that are asked the same but for an option are rules of their own.
#[test]
fn an_option_makes_another_entry() {
    let mut learner = learner(1);
    for (peer, upgrade) in [("10.0.0.1", None), ("10.0.0.2", Some("websocket".to_owned()))] {
        let asked = Asked { second: upgrade, ..Asked::new(Protocol::Http, "GET", &[b"/live"]) };
        for day in 0..5 {
            let mut seen = seen(Protocol::Http, asked.key().unwrap(), peer, START + day * DAY);
            (seen.side, seen.counts) = (Side::Outbound, accepted(3));
            seen.by(&mut learner);
        }
    }
    assert_eq!(learner.profile().learned(&Criteria::default()).rules.len(), 2);
}

//! gRPC calls: names are learned as names, however many there are.

use super::*;
use crate::decide::Decision;
use crate::op::Endpoint;
use crate::profile::Criteria;
use crate::write::{self, Metadata};
use crate::{Addresses, Date, Defaults, Snapshot};

fn call(service: &str, method: &str, peer: &str, at: u64) -> Seen {
    let key = Asked::new(Protocol::Grpc, service, &[method.as_bytes()]).key().unwrap();
    Seen { port: 9090, ..seen(Protocol::Grpc, key, peer, at) }
}

/// A service that is called for ten days, from two peers.
fn used(learner: &mut Learner, service: &str, method: &str) {
    for hour in 0..10 * 24 {
        let peer = format!("10.0.0.{}", 1 + hour % 2);
        call(service, method, &peer, START + hour * 3600).by(learner);
    }
}

fn entries(profile: &Profile) -> Vec<String> {
    let learned = profile.learned(&Criteria::default());
    learned.rules.iter().flat_map(|rule| &rule.entries).map(|entry| entry.op.clone()).collect()
}

#[test]
fn what_is_called_is_an_entry_and_comes_back() {
    let mut learner = learner(1);
    used(&mut learner, "shop.Cart", "AddItem");
    used(&mut learner, "grpc.health.v1.Health", "Check");
    call("shop.Cart", "Once", "10.0.0.1", START).by(&mut learner);
    reads_back(learner.profile());
    assert!(learner.profile().to_yaml().contains("at: shop.Cart/AddItem"));
    assert_eq!(entries(learner.profile()), ["grpc.health.v1.Health/Check", "shop.Cart/AddItem"]);
    let statistics = &learner.profile().statistics(&Criteria::default())[0];
    assert_eq!((statistics.shapes, statistics.operations), (1, 241), "probes are left out");
}

/// Of a service, the methods are a list, however many come over whatever time.
#[test]
fn no_place_becomes_variable() {
    let (mut learner, mut random) = (learner(1), Random(5));
    for hour in 0..10 * 24 {
        for _ in 0..4 {
            let method = format!("M{}", random.next());
            let peer = format!("10.0.0.{}", 1 + random.below(4));
            call("shop.Cart", &method, &peer, START + hour * 3600).by(&mut learner);
            call(&method, "Get", &peer, START + hour * 3600).by(&mut learner);
        }
    }
    used(&mut learner, "shop.Cart", "AddItem");
    assert_eq!(entries(learner.profile()), ["shop.Cart/AddItem"]);
    reads_back(learner.profile());
    for criteria in [Criteria::default(), Criteria { trusted: true, ..Criteria::default() }] {
        let learned = format!("{:?}", learner.profile().learned(&criteria));
        assert!(!learned.contains("shop.Cart/*") && !learned.contains("shop.Cart/{}"));
    }
}

/// A scanner asks for names that no server has: they are left to a person, and take little room.
#[test]
fn a_scan_is_bounded_and_not_believed() {
    let mut learner = learner(1);
    used(&mut learner, "shop.Cart", "AddItem");
    for n in 0..20_000 {
        let mut tried = call("shop.Cart", &format!("Method{n}"), "10.0.66.6", START + n);
        tried.counts = Counts { rejected: 4, ..Counts::default() };
        tried.by(&mut learner);
        tried = call(&format!("pkg.Service{n}"), "Get", "10.0.66.6", START + n);
        tried.counts = Counts { rejected: 4, ..Counts::default() };
        tried.by(&mut learner);
    }
    let profile = learner.profile();
    assert!(profile.nodes() <= Settings::default().rule_nodes, "{} nodes", profile.nodes());
    assert!(profile.to_yaml().len() < 1 << 20, "{} bytes", profile.to_yaml().len());
    assert_eq!(entries(profile), ["shop.Cart/AddItem"]);
    reads_back(profile);
}

/// A port has one protocol in a policy: with requests besides, a call is one of them.
#[test]
fn calls_are_requests_where_the_port_has_others() {
    let mut learner = learner(1);
    used(&mut learner, "shop.Cart", "AddItem");
    call("shop.Cart", "Rare", "10.0.0.1", START).by(&mut learner);
    call("shop.Cart", "Rare", "10.0.0.1", START).by(&mut learner);
    call("shop.Cart", "Rare", "10.0.0.1", START).by(&mut learner);
    for hour in 0..10 * 24 {
        let peer = format!("10.0.0.{}", 1 + hour % 2);
        let mut seen = get("/carts/7", &peer, START + hour * 3600);
        seen.port = 9090;
        seen.by(&mut learner);
    }
    let learned = learner.profile().learned(&Criteria::default());
    assert!(learned.rules.iter().all(|rule| rule.protocol == Protocol::Http), "{learned:?}");
    let metadata = Metadata { name: "p".to_owned(), namespace: None, mode: None };
    let text = write::policy(&learned, &metadata);
    assert!(text.contains("- POST /shop.Cart/AddItem"), "{text}");
    assert!(text.contains("# - POST /shop.Cart/Rare"), "{text}");
    assert!(text.contains("# gRPC calls, on a port that has other requests too"), "{text}");
    let defaults = Defaults { mode: Default::default(), today: Date::new(2026, 11, 28).unwrap() };
    let policies = crate::parse("p.yaml", &text).unwrap();
    let snapshot = Snapshot::compile(policies, &defaults, &Addresses::default()).unwrap();
    let endpoint = Endpoint { side: Side::Inbound, peer: [10, 0, 0, 1].into(), port: 9090 };
    for asked in [
        Asked::new(Protocol::Grpc, "shop.Cart", &[b"AddItem"]),
        Asked::new(Protocol::Http, "POST", &[b"/shop.Cart/AddItem"]),
        Asked::new(Protocol::Http, "GET", &[b"/carts/8"]),
    ] {
        let rules = snapshot.admit(&endpoint).rules;
        let decision = asked.with(|operation| snapshot.decide(&rules, &endpoint, operation));
        assert!(matches!(decision, Decision::Allowed(_)), "{asked:?}: {decision:?}\n{text}");
    }
}

/// What HTTP a port is only tried with does not make its calls requests.
#[test]
fn a_probe_in_http_changes_nothing() {
    let mut learner = learner(1);
    used(&mut learner, "shop.Cart", "AddItem");
    for n in 0..9 {
        let mut tried = get("/admin", "10.0.66.6", START + n * DAY);
        (tried.port, tried.counts) = (9090, Counts { rejected: 3, ..Counts::default() });
        tried.by(&mut learner);
    }
    assert_eq!(entries(learner.profile()), ["shop.Cart/AddItem"]);
}

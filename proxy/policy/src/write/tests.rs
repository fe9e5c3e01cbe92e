use proptest::prelude::*;

use super::scalar::{Place, flow, string};
use super::{Metadata, policy, rule, strategies};
use crate::decide::Mode;
use crate::entry::Entry;
use crate::file::tree::Tree;
use crate::file::yaml;
use crate::learned::{Evidence, Learned, LearnedEntry, LearnedRule};
use crate::model::{Peer, Rule};
use crate::op::{Protocol, Side};

fn metadata() -> Metadata {
    Metadata { name: "cart".into(), namespace: Some("shop".into()), mode: None }
}

fn tree(text: &str) -> Tree {
    let documents = yaml::documents(&"t".into(), text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    Tree::from(&documents[0])
}

/// The entry of a rule that was read is that which was given.
fn same_entry(read: &Entry, given: &LearnedEntry) -> bool {
    let headers: Vec<_> = given.override_headers.iter().map(|h| h.to_ascii_lowercase()).collect();
    read.text == given.op
        && read.upgrade == given.upgrade
        && read.permit == given.ambiguities()
        && read.override_headers == headers
}

fn same_rule(read: &Rule, given: &LearnedRule) -> bool {
    let cidr = |net: &ipnet::IpNet| Peer::Cidr { net: *net, except: Vec::new() };
    read.peers == given.peers.iter().map(cidr).collect::<Vec<_>>()
        && read.ports == [given.port..=given.port]
        && read.protocol == Some(given.protocol)
        && read.databases == given.databases
        && read.allow.len() == given.entries.len()
        && read.allow.iter().zip(&given.entries).all(|(read, given)| same_entry(read, given))
}

proptest! {
    #[test]
    fn any_string_reads_back(text in prop_oneof![any::<String>(), r#"[ -~]{0,12}"#, "[a-z:#,{ ]{0,6}"]) {
        let expected = Tree::List(vec![Tree::text(&text), Tree::text("z")]);
        let block = format!("- {}  # note\n- z\n", string(&text, Place::Block));
        prop_assert_eq!(tree(&block), expected.clone(), "{}", block);
        for json in [false, true] {
            let line = flow(&expected, json);
            prop_assert_eq!(tree(&line), expected.clone(), "{}", line);
        }
        let field = Tree::Map(vec![(text, Tree::text("z"))]);
        let line = flow(&field, false);
        prop_assert_eq!(tree(&line), field, "{}", line);
    }

    #[test]
    fn what_was_learned_reads_back(learned in strategies::learned()) {
        let text = policy(&learned, &metadata());
        let policies = crate::parse("p.yaml", &text);
        prop_assert!(policies.is_ok(), "{}\n{}", policies.unwrap_err(), text);
        let policy = &policies.unwrap()[0];
        prop_assert!(policy.warnings.is_empty(), "{:?}", policy.warnings);
        for side in [Side::Inbound, Side::Outbound] {
            let given: Vec<_> = learned.rules.iter().filter(|r| r.side == side).collect();
            let given: Vec<_> = given.into_iter().filter(|r| rule::undecided(r, &learned.rules).is_none()).collect();
            prop_assert_eq!(policy.rules(side).is_some(), !given.is_empty(), "{}", text);
            let read = policy.rules(side).unwrap_or_default();
            prop_assert_eq!(read.len(), given.len(), "{}", text);
            for (read, given) in read.iter().zip(given) {
                prop_assert!(same_rule(read, given), "{:?}\n{}", given, text);
            }
        }
    }

    /// Removing the "# " of what is left to a person gives a policy that has it.
    #[test]
    fn what_is_left_can_be_taken(learned in strategies::learned()) {
        let mut learned = learned;
        for rule in &mut learned.rules {
            rule.notes.clear();
            let all = rule.entries.iter_mut().chain(rule.left.iter_mut().map(|(entry, _)| entry));
            all.for_each(|entry| entry.evidence.steps.clear());
        }
        let all = learned.rules.clone();
        learned.rules.retain(|rule| rule::undecided(rule, &all).is_none());
        let text = policy(&learned, &metadata());
        let text = text.replace("# - ", "- ");
        let policies = crate::parse("p.yaml", &text);
        prop_assert!(policies.is_ok(), "{}\n{}", policies.unwrap_err(), text);
        let policy = &policies.unwrap()[0];
        let read: usize = [Side::Inbound, Side::Outbound]
            .into_iter()
            .flat_map(|side| policy.rules(side).unwrap_or_default())
            .map(|rule| rule.allow.len())
            .sum();
        let given: usize = learned.rules.iter().map(|r| r.entries.len() + r.left.len()).sum();
        prop_assert_eq!(read, given, "{}", text);
    }
}

fn entry(op: &str, operations: u64, steps: &[&str]) -> LearnedEntry {
    LearnedEntry {
        op: op.to_owned(),
        upgrade: false,
        permit: Vec::new(),
        override_headers: Vec::new(),
        evidence: Evidence {
            operations,
            at_least: operations > 5000,
            peers: 3,
            first: 1_793_491_200,
            last: 1_793_491_200 + 9 * 86_400,
            steps: steps.iter().map(|s| (*s).to_owned()).collect(),
        },
    }
}

fn learned_rule(side: Side, peers: &[&str], port: u16, protocol: Protocol) -> LearnedRule {
    LearnedRule {
        side,
        peers: peers.iter().map(|p| p.parse().unwrap()).collect(),
        port,
        protocol,
        databases: Vec::new(),
        notes: Vec::new(),
        entries: Vec::new(),
        left: Vec::new(),
    }
}

#[test]
fn a_policy_as_a_person_sees_it() {
    let mut http =
        learned_rule(Side::Inbound, &["10.0.0.0/16", "2001:db8::7/128"], 8080, Protocol::Http);
    http.notes = vec!["1,300 operations on 10 days".into()];
    http.entries = vec![
        entry("GET /carts/{int}", 1204, &["{int}: 64 or more numbers"]),
        entry("GET /live", 90, &[]),
    ];
    http.entries[1].upgrade = true;
    http.left = vec![(entry("GET /admin", 2, &[]), "never accepted".into())];
    let mut many = learned_rule(Side::Inbound, &[], 9090, Protocol::Http);
    many.entries = vec![entry("GET /metrics", 9000, &[])];
    let mut none = learned_rule(Side::Outbound, &["10.9.0.5/32"], 6379, Protocol::Redis);
    none.databases = vec![0];
    none.left = vec![(entry("KEYS *", 1, &[]), "never accepted".into())];
    let learned = Learned { rules: vec![http, many, none] };
    let metadata = Metadata { mode: Some(Mode::Monitor), ..metadata() };
    assert_eq!(policy(&learned, &metadata), GOLDEN);
    crate::parse("p.yaml", GOLDEN).unwrap();
    // What is left to a person loads once it is taken.
    let take = |line: &str| match line.split_once("# ") {
        Some(("  ", rest)) if rest.starts_with(['-', ' ']) => format!("  {rest}\n"),
        Some(("  ", rest)) if rest == "outbound:" => format!("  {rest}\n"),
        _ => format!("{line}\n"),
    };
    let taken: String = GOLDEN.lines().map(take).collect();
    let error = crate::parse("p.yaml", &taken).unwrap_err().to_string();
    assert!(error.contains("expected peers; everyone is [{any: true}]"), "{error}");
    let policies = crate::parse("p.yaml", &taken.replace("[]", "[{any: true}]")).unwrap();
    assert_eq!(policies[0].inbound.as_ref().map(Vec::len), Some(2));
    assert_eq!(policies[0].outbound.as_ref().map(Vec::len), Some(1));
    let empty = policy(&Learned::default(), &self::metadata());
    assert_eq!(empty, EMPTY);
    crate::parse("p.yaml", EMPTY).unwrap();
}

#[test]
fn one_protocol_on_a_port() {
    let mut http = learned_rule(Side::Inbound, &["10.0.0.0/16"], 8080, Protocol::Http);
    http.entries = vec![entry("GET /x", 3, &[])];
    let mut redis = learned_rule(Side::Inbound, &["10.1.0.0/16"], 8080, Protocol::Redis);
    redis.entries = vec![entry("PING", 4, &[])];
    let opaque = learned_rule(Side::Inbound, &["10.2.0.0/16"], 8080, Protocol::Opaque);
    let text = policy(&Learned { rules: vec![http, redis, opaque] }, &metadata());
    let policies = crate::parse("p.yaml", &text).unwrap();
    let rules = policies[0].inbound.as_ref().unwrap();
    assert_eq!(rules.len(), 1, "{text}");
    assert_eq!(rules[0].protocol, Some(Protocol::Redis), "{text}");
    assert!(text.contains("  # - from: [{cidr: 10.0.0.0/16}]\n  #   ports: [8080]\n"), "{text}");
}

const EMPTY: &str = "\
# What was seen, as a policy. The comment behind an entry says what it rests on.
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: cart, namespace: shop}
spec:
  unread: {bodyLimit: allow}  # the default: a spec must hold something
  # inbound is absent: it is not governed, and all of it passes.
  # outbound is absent: it is not governed, and all of it passes.
";

const GOLDEN: &str = r##"# What was seen, as a policy. The comment behind an entry says what it rests on.
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: cart, namespace: shop}
spec:
  mode: monitor
  inbound:
  # 1,300 operations on 10 days
  - from: [{cidr: 10.0.0.0/16}, {cidr: "2001:db8::7/128"}]
    ports: [8080]
    protocol: http
    allow:
    # {int}: 64 or more numbers
    - GET /carts/{int}                     # 1,204 operations, 3 peers, 2026-11-01 to 2026-11-10
    - {op: GET /live, upgrade: websocket}  # 90 operations, 3 peers, 2026-11-01 to 2026-11-10
    # Left to a person. To take an entry, remove the "# " before it:
    # - GET /admin                         # 2 operations, 3 peers, 2026-11-01 to 2026-11-10: never accepted
  # Left to a person: too many peers to tell. Say which in the brackets, such as {any: true},
  # and remove the "# " before each line:
  # - from: []
  #   ports: [9090]
  #   protocol: http
  #   allow:
  #   - GET /metrics  # at least 9,000 operations, 3 peers, 2026-11-01 to 2026-11-10
  # outbound is absent: it is not governed, and all of it passes.
  # It is governed once a rule is taken, and outbound: above it:
  # outbound:
  # Left to a person: without an entry the rule admits the connection and refuses every
  # operation on it. To take it, remove the "# " before each line:
  # - to: [{cidr: 10.9.0.5/32}]
  #   ports: [6379]
  #   protocol: redis
  #   databases: [0]
  #   allow:
  #   # Left to a person. To take an entry, remove the "# " before it:
  #   # - KEYS *  # 1 operation, 3 peers, 2026-11-01 to 2026-11-10: never accepted
"##;

//! Policy files through the public API: what loads, what does not and why, what is decided.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test's own helpers")]

use std::net::IpAddr;

use weir_policy::decide::{AdmissionVerdict, Decision, Mode, Refusal, RuleSet, Violation};
use weir_policy::op::{Endpoint, HttpOp, Keys, Operation, Protocol, RedisOp, Script, Side, TlsOp};
use weir_policy::{Addresses, Date, Defaults, Snapshot, parse};

const SHOP: &str = r#"
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: cart, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  mode: enforce
  inbound:
  - from: [{workload: frontend}, {cidr: 10.0.0.0/8}]
    ports: [8080]
    protocol: http
    allow: ["GET /carts/{int}", "POST /carts/{int}/items", {op: "GET /live", upgrade: websocket}]
  - from: [{any: true}]
    ports: [9090]
  outbound:
  - to: [{host: redis.shop.svc}]
    ports: [6379]
    protocol: redis
    databases: [0]
    allow: ["GET cart:{int}", "SET cart:{int}", PING]
    deny: ["CONFIG|*"]
  refusal: close
  unread: {unknownProtocol: refuse, bodyLimit: allow}
"#;

fn defaults() -> Defaults {
    Defaults { mode: Mode::Monitor, today: Date::new(2026, 1, 31).unwrap() }
}

fn compile(text: &str) -> Snapshot {
    let mut addresses = Addresses::default();
    addresses.insert("redis.shop.svc", vec!["10.9.0.5".parse().unwrap()]);
    let policies = parse("shop.yaml", text).unwrap_or_else(|e| panic!("{e}"));
    Snapshot::compile(policies, &defaults(), &addresses).unwrap_or_else(|e| panic!("{e}"))
}

fn errors(text: &str) -> String {
    match parse("p.yaml", text) {
        Err(errors) => errors.to_string(),
        Ok(policies) => match Snapshot::compile(policies, &defaults(), &Addresses::default()) {
            Err(errors) => errors.to_string(),
            Ok(_) => "it loads".to_owned(),
        },
    }
}

fn inbound(peer: &str, port: u16) -> Endpoint {
    Endpoint { side: Side::Inbound, peer: peer.parse().unwrap(), port }
}

fn http<'a>(method: &'a str, path: &'a str) -> Operation<'a> {
    Operation::Http(HttpOp {
        method: method.as_bytes(),
        authority: Some(b"cart.shop"),
        path: path.as_bytes(),
        upgrade: None,
        override_header: None,
    })
}

fn decide(snapshot: &Snapshot, endpoint: &Endpoint, operation: &Operation<'_>) -> String {
    let admission = snapshot.admit(endpoint);
    match snapshot.decide(&admission.rules, endpoint, operation) {
        Decision::Allowed(entry) => format!("allowed {}", snapshot.describe(entry).unwrap()),
        Decision::Ungoverned => "ungoverned".to_owned(),
        Decision::Violation(violation, _) => violation.label().to_owned(),
    }
}

#[test]
fn the_policy_of_the_docs_decides() {
    let shop = compile(SHOP);
    let peer = inbound("10.0.0.7", 8080);
    let admission = shop.admit(&peer);
    assert_eq!(admission.mode, Some(Mode::Enforce));
    assert_eq!(admission.protocol, Some(Protocol::Http));
    assert_eq!(admission.refusal, Some(Refusal::Close));
    assert_eq!(admission.verdict, AdmissionVerdict::Governed);
    assert_eq!(
        decide(&shop, &peer, &http("GET", "/carts/7")),
        "allowed shop/cart spec.inbound[0] \"GET /carts/{int}\""
    );
    assert_eq!(decide(&shop, &peer, &http("GET", "/carts/x")), "not_allowed");
    assert_eq!(decide(&shop, &peer, &http("DELETE", "/carts/7")), "not_allowed");
    assert_eq!(decide(&shop, &peer, &http("GET", "/carts/7/../8")), "ambiguous_path");
    assert_eq!(decide(&shop, &inbound("192.0.2.1", 8080), &http("GET", "/carts/7")), "no_rule");
    assert_eq!(decide(&shop, &inbound("10.0.0.7", 8081), &http("GET", "/carts/7")), "no_rule");
    assert_eq!(
        decide(&shop, &inbound("::ffff:10.0.0.7", 8080), &http("GET", "/carts/7")),
        "allowed shop/cart spec.inbound[0] \"GET /carts/{int}\""
    );
    let any = inbound("2001:db8::1", 9090);
    assert_eq!(shop.admit(&any).protocol, None);
    assert_eq!(decide(&shop, &any, &Operation::Connection), "allowed shop/cart spec.inbound[1]");
    assert_eq!(decide(&shop, &any, &http("GET", "/anything")), "allowed shop/cart spec.inbound[1]");
}

#[test]
fn redis_by_the_address_that_a_name_resolves_to() {
    let shop = compile(SHOP);
    let endpoint =
        |peer: &str| Endpoint { side: Side::Outbound, peer: peer.parse().unwrap(), port: 6379 };
    let keys: [&[u8]; 1] = [b"cart:7"];
    let none: [&[u8]; 0] = [];
    let op = |database: &'static [u32]| {
        Operation::Redis(RedisOp {
            databases: database,
            command: b"get",
            subcommand: None,
            keys: Keys::Known(&keys),
            channels: Keys::Known(&none),
            script: Script::None,
        })
    };
    let there = endpoint("10.9.0.5");
    assert!(decide(&shop, &there, &op(&[0])).starts_with("allowed"));
    assert_eq!(decide(&shop, &there, &op(&[1])), "database_not_allowed");
    assert_eq!(decide(&shop, &there, &op(&[0, 1])), "database_not_allowed");
    assert_eq!(decide(&shop, &endpoint("10.9.0.6"), &op(&[0])), "no_rule");
    assert_eq!(shop.hosts(), ["redis.shop.svc"]);

    let mut moved = Addresses::default();
    moved.insert("redis.shop.svc", vec!["10.9.0.6".parse::<IpAddr>().unwrap()]);
    let old = shop.admit(&there).rules;
    let shop = shop.with_addresses(&moved);
    assert!(decide(&shop, &endpoint("10.9.0.6"), &op(&[0])).starts_with("allowed"));
    // A handle of the snapshot before is looked up anew.
    assert_eq!(shop.decide(&old, &there, &op(&[0])), Decision::Violation(Violation::NoRule, None));
}

#[test]
fn nothing_governed_and_nothing_allowed() {
    let nothing = Snapshot::default();
    let peer = inbound("10.0.0.7", 80);
    assert_eq!(nothing.admit(&peer).verdict, AdmissionVerdict::Ungoverned);
    assert_eq!(
        nothing.decide(&RuleSet::default(), &peer, &Operation::Connection),
        Decision::Ungoverned
    );
    for empty in ["inbound: []", "inbound:", "inbound: ~"] {
        let closed = compile(&format!(
            "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: x}}\nspec:\n  {empty}\n"
        ));
        assert_eq!(closed.admit(&peer).verdict, AdmissionVerdict::NoRule, "{empty}");
        assert_eq!(closed.admit(&peer).mode, Some(Mode::Monitor));
        let out = Endpoint { side: Side::Outbound, ..peer };
        assert_eq!(closed.admit(&out).verdict, AdmissionVerdict::Ungoverned, "{empty}");
    }
}

fn rule(rule: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: x}}\nspec:\n  inbound:\n  - {}\n",
        rule.replace('\n', "\n    ")
    )
}

#[test]
fn errors_say_where_and_what() {
    let text = rule(
        "from: [{any: true}]\nports: [0, 80]\nprotocol: http\nallow: [\"get /\", \"GET carts\", \"GET /a/{number}\", 'GET /a*']\nalow: []",
    );
    assert_eq!(
        errors(&text),
        "p.yaml:7:13: spec.inbound[0].ports[0]: found 0, expected a port from 1 to 65535, or a range such as \"8000-8099\"\n\
         p.yaml:9:14: spec.inbound[0].allow[0]: found \"get\", expected \"GET\" (methods are case-sensitive)\n\
         p.yaml:9:27: spec.inbound[0].allow[1]: found \"carts\", expected a path that begins with /\n\
         p.yaml:9:43: spec.inbound[0].allow[2]: found {number}, expected {}, {int}, {uuid}, {hex}, {date}, {email} or {token}\n\
         p.yaml:9:61: spec.inbound[0].allow[3]: found \"*\", expected {} for one segment, a final /* for more, or \\*\n\
         p.yaml:10:5: spec.inbound[0].alow: found the field \"alow\", expected \"allow\""
    );
}

#[test]
fn what_a_later_build_enforces_is_refused() {
    for protocol in ["postgres", "mysql"] {
        let text = rule(&format!("from: [{{any: true}}]\nports: [80]\nprotocol: {protocol}"));
        let said = errors(&text);
        assert!(said.contains("p.yaml:8:15"), "{said}");
        assert!(said.contains("not supported by weir 0.1"), "{said}");
    }
    let text = SHOP.replace("  refusal: close", "  signatures: {sets: [builtin]}");
    assert!(errors(&text).contains("not supported by weir 0.1"));
    let text = rule("from: [{any: true}]\nports: [80]\nprotocol: redis\nusers: [x]");
    assert!(errors(&text).contains("not supported by weir 0.1"));
}

#[test]
fn different_protocols_on_one_port() {
    let text = format!(
        "{}  - from: [{{any: true}}]\n    ports: [\"8000-8100\"]\n    protocol: redis\n",
        rule("from: [{any: true}]\nports: [8080]\nprotocol: http\nallow: [GET /]")
    );
    assert_eq!(
        errors(&text),
        "p.yaml:10:5: spec.inbound[1]: found protocol redis on port 8080, \
         expected protocol http, as on the same port at p.yaml:6:5"
    );
}

#[test]
fn tls_by_name() {
    let text = rule(
        "from: [{any: true}]\nports: [443]\nprotocol: tls\nallow: [sni shop.example, \"sni *.shop.example\", sni none]\ndeny: [sni old.shop.example]",
    );
    let snapshot = compile(&text);
    let peer = inbound("10.0.0.1", 443);
    let sni = |name: Option<&'static str>| {
        decide(&snapshot, &peer, &Operation::Tls(TlsOp { sni: name.map(str::as_bytes) }))
    };
    assert!(sni(Some("Shop.Example.")).starts_with("allowed"));
    assert!(sni(Some("a.shop.example")).starts_with("allowed"));
    assert!(sni(None).starts_with("allowed"));
    assert_eq!(sni(Some("old.shop.example")), "denied");
    assert_eq!(sni(Some("b.a.shop.example")), "not_allowed");
}

#[test]
fn explains_what_matched_and_what_came_near() {
    let shop = compile(SHOP);
    let explained = |text: &str| {
        let op: weir_policy::text::OpText = text.parse().unwrap();
        weir_policy::explain::explain(&shop, &op.endpoint, &op.op.operation()).to_string()
    };
    assert_eq!(
        explained("inbound 10.0.0.7 :8080 http cart.shop GET /carts/seven"),
        "shop.yaml:2:1: shop/cart governs inbound with 2 rules\n\
         shop.yaml:9:5: spec.inbound[0] applies: protocol http, 3 allowed and 0 denied entries\n\
         shop.yaml:13:5: spec.inbound[1] does not apply: port 8080 is not among 9090\n\
         shop.yaml:12:13: spec.inbound[0].allow[0] \"GET /carts/{int}\" comes near: \
         segment 2 is \"seven\", no {int}\n\
         shop.yaml:12:33: spec.inbound[0].allow[1] \"POST /carts/{int}/items\" comes near: \
         segment 2 is \"seven\", no {int}\n\
         shop.yaml:12:60: spec.inbound[0].allow[2] \"GET /live\" comes near: \
         segment 1 is \"carts\", not \"live\"\n\
         refused: no entry allows it (not_allowed)"
    );
    let said = explained("outbound 10.9.0.9 :6379 redis db0 GET cart:7");
    assert!(said.contains("10.9.0.9 is none of redis.shop.svc (10.9.0.5)"), "{said}");
    let said = explained("inbound 192.0.2.9 :8080 http - GET /carts/7");
    assert!(said.contains("workload: frontend (known in a cluster only), 10.0.0.0/8"), "{said}");
    let said = explained("inbound 10.0.0.7 :8080 http - GET /carts/7");
    assert!(said.ends_with("allowed by shop/cart spec.inbound[0] \"GET /carts/{int}\""), "{said}");
}

#[test]
fn differences_in_what_is_allowed() {
    let diff = |old: &str, new: &str| {
        let (old, new) = (parse("old", old).unwrap(), parse("new", new).unwrap());
        let diff = weir_policy::diff::diff(&old, &new, Mode::Monitor);
        let mut lines: Vec<String> = diff.changes.iter().map(ToString::to_string).collect();
        lines.extend(diff.settings.iter().cloned());
        (diff.is_empty(), lines.join("\n"))
    };
    assert_eq!(diff(SHOP, SHOP), (true, String::new()));
    // Another spelling, and other ports around it, change nothing.
    let old = rule("from: [{any: true}]\nports: [80, 81]\nprotocol: http\nallow: [GET /%61/b]");
    let new = rule("from: [{any: true}]\nports: ['80-81']\nprotocol: http\nallow: [GET /a/b]");
    assert_eq!(diff(&old, &new), (true, String::new()));
    let new = rule(
        "from: [{any: true}]\nports: [80]\nprotocol: http\nallow: ['GET /{}/b', POST /x]\ndeny: ['* /admin/*']",
    );
    let (same, said) = diff(&old, &new);
    assert!(!same);
    assert_eq!(
        said,
        "- inbound :81 http from any: GET /a/b\n\
         + inbound :80 http from any: GET /{}/b\n\
         + inbound :80 http from any: POST /x\n\
         + inbound :80 http from any: deny * /admin/*\n\
         - inbound :80 http from any: GET /a/b (no difference: new:9:13 has :80 http from any: GET /{}/b)"
    );
    let (same, said) = diff(SHOP, &SHOP.replace("mode: enforce", "mode: learn"));
    assert!(!same);
    assert_eq!(said, "inbound mode: enforce becomes learn\noutbound mode: enforce becomes learn");
    let (_, said) = diff(
        SHOP,
        &SHOP
            .replace("  inbound:", "  outbound_:")
            .replace("outbound_", "inbound")
            .replace("10.0.0.0/8", "10.0.0.0/16"),
    );
    assert!(said.contains("- inbound :8080 http from 10.0.0.0/8: GET /carts/{int}\n"), "{said}");
    assert!(said.contains("(no difference: old:12:13 has"), "{said}");
}

#[test]
fn every_example_of_the_docs_loads() {
    let docs = include_str!("../../../docs/policy.md");
    let block = |name: &str| -> Vec<String> {
        let fence = format!("```{name}\n");
        let parts = docs.split(&fence).skip(1);
        parts.map(|part| part.split("```").next().unwrap_or_default().to_owned()).collect()
    };
    let policies = block("yaml");
    assert!(!policies.is_empty());
    for text in &policies {
        compile(text);
    }
    let operations = block("text");
    assert!(!operations.is_empty());
    for line in operations.iter().flat_map(|text| text.lines()) {
        line.parse::<weir_policy::text::OpText>().unwrap_or_else(|e| panic!("{line}: {e}"));
    }
}

mod properties {
    use proptest::prelude::*;
    use weir_policy::parse;

    proptest! {
        #[test]
        fn any_text_loads_or_is_refused_with_a_place(text in "\\PC{0,200}") {
            let _ = parse("p", &text);
        }

        #[test]
        fn a_policy_with_anything_in_it_loads_or_is_refused_with_a_place(
            at in 0usize..2000, len in 0usize..30, with in "([\\PC\n]{0,20}|  - \\{|: \\[|&a|\\*a|\"|null|~)"
        ) {
            let mut text = super::SHOP.to_owned();
            let at = text.floor_char_boundary(at.min(text.len()));
            let end = text.floor_char_boundary((at + len).min(text.len()));
            text.replace_range(at..end, &with);
            if let Err(errors) = parse("p", &text) {
                prop_assert!(!errors.0.is_empty());
                prop_assert!(errors.0.iter().all(|e| e.at.line > 0 && e.at.column > 0));
            }
        }
    }
}

mod several {
    use super::*;

    /// A policy with these lines of spec.
    fn named(name: &str, spec: &str) -> String {
        let spec = spec.replace('\n', "\n  ");
        format!(
            "---\napiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n"
        )
    }

    const RULE: &str = "inbound:\n- from: [{any: true}]\n  ports: [80]\n  protocol: http\n";

    #[test]
    fn allows_add_up_and_deny_wins() {
        let text = named("a", &format!("{RULE}  allow: [GET /a, GET /b]"))
            + &named("b", &format!("{RULE}  allow: [GET /c]\n  deny: [GET /b]"));
        let both = compile(&text);
        let peer = inbound("10.0.0.1", 80);
        assert_eq!(
            decide(&both, &peer, &http("GET", "/a")),
            "allowed a spec.inbound[0] \"GET /a\""
        );
        assert_eq!(
            decide(&both, &peer, &http("GET", "/c")),
            "allowed b spec.inbound[0] \"GET /c\""
        );
        assert_eq!(decide(&both, &peer, &http("GET", "/b")), "denied");
    }

    #[test]
    fn a_setting_that_nothing_enforces_is_refused() {
        let text = named("a", "unread: {bodyLimit: refuse}\ninbound: []");
        let error = parse("p.yaml", &text).unwrap_err().to_string();
        assert!(error.contains("spec.unread.bodyLimit: found"), "{error}");
        assert!(error.contains("not supported by weir 0.1"), "{error}");
    }

    #[test]
    fn the_strictest_wins() {
        let text = named(
            "a",
            &format!("mode: monitor\nrefusal: answer\nunread: {{encrypted: allow}}\n{RULE}"),
        ) + &named(
            "b",
            "mode: enforce\nrefusal: reset\nunread: {bodyLimit: allow, unknownProtocol: allow}\ninbound: []",
        );
        let admission = compile(&text).admit(&inbound("10.0.0.1", 80));
        // No rule of b matches: it counts with its own mode.
        assert_eq!(admission.mode, Some(Mode::Enforce));
        assert_eq!(admission.refusal, Some(Refusal::Reset));
        assert!(admission.unread.refuse_encrypted);
        assert!(admission.unread.refuse_unknown);
        // The default is `answer` on HTTP/2 and `close` elsewhere: it stands between the two.
        for (one, other, expected) in [
            ("", "", None),
            ("refusal: answer\n", "", None),
            ("refusal: answer\n", "refusal: answer\n", Some(Refusal::Answer)),
            ("refusal: close\n", "", Some(Refusal::Close)),
            ("refusal: close\n", "refusal: answer\n", Some(Refusal::Close)),
        ] {
            for (one, other) in [(one, other), (other, one)] {
                let text = named("a", &format!("{one}{RULE}"))
                    + &named("b", &format!("{other}inbound: []"));
                let admission = compile(&text).admit(&inbound("10.0.0.1", 80));
                assert_eq!(admission.refusal, expected, "{one}{other}");
            }
        }
        // A policy that does not govern the side has no say in it.
        let text = named("a", &format!("mode: monitor\n{RULE}"))
            + &named("b", "mode: enforce\noutbound: []");
        assert_eq!(compile(&text).admit(&inbound("10.0.0.1", 80)).mode, Some(Mode::Monitor));
    }

    #[test]
    fn a_rule_s_mode_goes_before_its_policy_s() {
        let text = named(
            "a",
            &format!("mode: enforce\n{RULE}  mode: learn\n- from: [{{any: true}}]\n  ports: [81]"),
        );
        let snapshot = compile(&text);
        assert_eq!(snapshot.admit(&inbound("10.0.0.1", 80)).mode, Some(Mode::Learn));
        assert_eq!(snapshot.admit(&inbound("10.0.0.1", 81)).mode, Some(Mode::Enforce));
        assert_eq!(snapshot.admit(&inbound("10.0.0.1", 82)).mode, Some(Mode::Enforce));
    }

    #[test]
    fn two_of_one_name_are_an_error() {
        let text = named("a", "inbound: []") + &named("a", "inbound: []");
        assert_eq!(
            errors(&text),
            "p.yaml:8:1: metadata.name: found \"a\" a second time, \
             expected another name than the policy at p.yaml:2:1"
        );
    }

    #[test]
    fn a_key_given_twice_is_named() {
        let said = errors(&named("a", &format!("{RULE}  deny: [GET /a]\n  deny: []")));
        assert!(said.contains("(duplicate mapping key: deny)"), "{said}");
    }

    #[test]
    fn entries_expire_while_a_snapshot_is_in_force() {
        let text = named("a", &format!("{RULE}  allow: [{{op: GET /a, expires: 2026-01-31}}]"));
        let snapshot = compile(&text);
        let on = |day| Defaults { today: Date::new(2026, 2, day).unwrap(), ..defaults() };
        assert!(snapshot.on(&defaults()).unwrap().is_none());
        let next = snapshot.on(&on(1)).unwrap().unwrap();
        assert_eq!(next.warnings().len(), 1);
        assert!(next.on(&on(2)).unwrap().is_none());
        assert!(next.on(&defaults()).unwrap().unwrap().warnings().is_empty());
    }

    #[test]
    fn what_is_probably_not_meant_is_said() {
        let text = named(
            "a",
            &format!(
                "{RULE}  allow:\n  - {{op: GET /old, expires: 2026-01-30, reason: moved}}\n  - {{op: GET /new, expires: 2026-01-31}}\n\
                 - from: [{{workload: web, kind: Deployment}}, {{node: true}}]\n  ports: [81]\n  protocol: redis"
            ),
        );
        let snapshot = compile(&text);
        let said: Vec<String> = snapshot.warnings().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "shop.yaml:11:7: spec.inbound[0].allow: \"GET /old\" expired after 2026-01-30: it allows nothing",
                "shop.yaml:13:5: spec.inbound[1]: no allow entry: the rule admits no operation",
                "shop.yaml:13:12: spec.inbound[1].from[0]: workload: web, kind: Deployment is known in a cluster only: matches nothing here",
                "shop.yaml:13:47: spec.inbound[1].from[1]: node is known in a cluster only: matches nothing here",
            ]
        );
        let peer = inbound("10.0.0.1", 80);
        assert_eq!(decide(&snapshot, &peer, &http("GET", "/old")), "not_allowed");
        assert!(decide(&snapshot, &peer, &http("GET", "/new")).starts_with("allowed"));
    }
}

//! Suggestions, written into the file.

use proptest::prelude::*;

use super::{Nothing, Suggestion, suggest};
use crate::compile::tests::{
    GRPC_ENTRY, GRPC_OP, HTTP_ENTRY, HTTP_OP, HTTP_PERMITTING, PEER, REDIS_DENY, REDIS_ENTRY,
    REDIS_OP, compile, policy, rules,
};
use crate::decide::{Decision, Violation};
use crate::entry::grpc::is_name;
use crate::op::{Keys, Operation, Protocol};
use crate::text::OpText;

/// The file, in block style, with the suggestion in it.
fn with(text: &str, suggestion: &Suggestion) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let mut at = suggestion.at.line as usize;
    let mut new = suggestion.lines.clone();
    let of_rule = !suggestion.field.ends_with("bound");
    if new[0] == "allow:" {
        new.remove(0);
        at += lines[at..].iter().position(|line| line == "    allow:").expect("a list") + 1;
    }
    if !of_rule {
        at = lines.len();
    }
    let indent = if of_rule { "    " } else { "  " };
    let new: Vec<String> = new.iter().map(|line| format!("{indent}{line}")).collect();
    lines.splice(at..at, new);
    lines.join("\n") + "\n"
}

fn try_it(text: &str, op: &str) -> Result<(), TestCaseError> {
    let snapshot = compile(text);
    let op: OpText = op.parse().map_err(|e| TestCaseError::fail(format!("{op}: {e}")))?;
    let operation = op.op.operation();
    let decide = |snapshot: &crate::Snapshot| {
        let rules = snapshot.admit(&op.endpoint).rules;
        snapshot.decide(&rules, &op.endpoint, &operation)
    };
    let before = decide(&snapshot);
    match suggest(&snapshot, &op.endpoint, &operation) {
        Ok(suggestion) => {
            let after = with(text, &suggestion);
            let said = format!("{op:?}\n{suggestion}\n{after}");
            let decision = decide(&compile(&after));
            prop_assert!(matches!(before, Decision::Violation(..)), "{}", said);
            prop_assert!(matches!(decision, Decision::Allowed(_)), "{:?} {}", decision, said);
        }
        Err(Nothing::Allowed) => prop_assert!(!matches!(before, Decision::Violation(..))),
        Err(Nothing::Denied(_)) => {
            prop_assert!(matches!(before, Decision::Violation(Violation::Denied, _)));
        }
        Err(why) => {
            // What no entry can name.
            let empty_key = match &operation {
                Operation::Redis(op) => [&op.keys, &op.channels].iter().any(|keys| {
                    matches!(keys, Keys::Known(keys) if !keys.all(&mut |key| !key.is_empty()))
                }),
                _ => false,
            };
            let nameless = match &operation {
                Operation::Grpc(op) => !is_name(op.service) || !is_name(op.method),
                _ => false,
            };
            let odd = nameless || empty_key || format!("{op:?}").contains("h2c");
            prop_assert!(odd, "{} {:?}\n{}", why, op, text);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn requests(rules in rules(HTTP_PERMITTING, HTTP_ENTRY), peer in PEER, port in 79u16..83, op in HTTP_OP) {
        try_it(&policy(Protocol::Http, &rules), &format!("inbound {peer} :{port} http {op}"))?;
    }

    #[test]
    fn calls(rules in rules(GRPC_ENTRY, GRPC_ENTRY), peer in PEER, port in 79u16..83, op in GRPC_OP) {
        try_it(&policy(Protocol::Grpc, &rules), &format!("inbound {peer} :{port} grpc {op}"))?;
    }

    #[test]
    fn commands(rules in rules(REDIS_ENTRY, REDIS_DENY), peer in PEER, port in 79u16..83, op in REDIS_OP) {
        try_it(&policy(Protocol::Redis, &rules), &format!("inbound {peer} :{port} redis {op}"))?;
    }
}

fn said(rule: &str, op: &str) -> String {
    let snapshot = compile(&format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: p}}\nspec:\n  \
         inbound:\n  - {rule}\n    ports: [80]\n"
    ));
    let op: OpText = op.parse().expect("an operation");
    match suggest(&snapshot, &op.endpoint, &op.op.operation()) {
        Ok(suggestion) => suggestion.to_string(),
        Err(why) => why.to_string(),
    }
}

#[test]
fn shapes_are_suggested_where_they_belong() {
    let rule = "from: [{cidr: 10.0.0.0/8}]\n    protocol: http\n    hosts: [a.b]\n    \
                allow: ['GET /x']\n    deny: ['GET /y']";
    let http = |op: &str| said(rule, &format!("inbound 10.0.0.1 :80 http {op}"));
    assert_eq!(
        http("a.b DELETE /carts/7"),
        "this would allow it, in spec.inbound[0].allow of p (p:9:13):\n    \
         - \"DELETE /carts/{int}\""
    );
    let live = http("a.b GET /live upgrade=websocket");
    assert!(
        live.contains("\n    - {op: \"GET /live\", upgrade: websocket}\n  know what you do: once"),
        "{live}"
    );
    let odd = http("a.b GET /x/..%2fy override=X-Original-URL");
    let expected = "- {op: \"GET /x/..%2Fy\", permit: [encodedSlash, dotSegments], overrideHeaders: [X-Original-URL]}";
    assert!(odd.contains(expected), "{odd}");
    assert_eq!(http("a.b GET /live upgrade=h2c"), "no entry can allow it");
    assert!(
        http("a.b GET /y").starts_with("no allow entry helps against a deny entry: narrow p spec")
    );
    let brace = http("a.b GET /{x}");
    assert!(brace.ends_with(r"- 'GET /\{x\}'"), "{brace}");
}

#[test]
fn a_rule_is_suggested_where_none_is_for_the_operation() {
    let rule =
        "from: [{cidr: 10.0.0.0/8}]\n    protocol: http\n    hosts: [a.b]\n    allow: ['GET /x']";
    let expected = "this would allow it, in spec.inbound of p (p:6:5):\n    \
                    - from: [{cidr: 192.0.2.1/32}]\n      ports: [80]\n      protocol: http\n      \
                    hosts: [\"c.d\"]\n      allow:\n      - \"GET /carts/{int}\"";
    assert_eq!(said(rule, "inbound 192.0.2.1 :80 http C.d:80 GET /carts/7"), expected);
    let other = said(rule, "inbound 10.0.0.1 :80 redis db0 PING");
    assert!(other.contains("another protocol (p:6:5)"), "{other}");
    let opaque = said(rule, "inbound ::1 :81 opaque");
    assert!(
        opaque
            .ends_with("- from: [{cidr: \"::1/128\"}]\n      ports: [81]\n      protocol: opaque"),
        "{opaque}"
    );
}

#[test]
fn a_call_is_suggested_as_its_port_has_it() {
    let rule = |protocol: &str, entry: &str| {
        format!("from: [{{any: true}}]\n    protocol: {protocol}\n    allow: ['{entry}']")
    };
    let call = "inbound 10.0.0.1 :80 grpc cart.shop shop.Cart/AddItem";
    let grpc = said(&rule("grpc", "shop.Cart/Get"), call);
    assert!(grpc.ends_with("allow of p (p:8:13):\n    - \"shop.Cart/AddItem\""), "{grpc}");
    let http = said(&rule("http", "GET /"), call);
    assert!(http.ends_with("- \"POST /shop.Cart/AddItem\""), "{http}");
    assert_eq!(said(&rule("http", "POST /shop.Cart/*"), call), "it is allowed");
    let odd = said(&rule("grpc", "shop.Cart/Get"), "inbound 10.0.0.1 :80 grpc - shop.Cart/a!");
    assert_eq!(odd, "no entry can allow it");
    let alone = said(&rule("grpc", "shop.Cart/Get"), "inbound ::1 :81 grpc a.b shop.Cart/Get");
    let expected =
        "protocol: grpc\n      hosts: [\"a.b\"]\n      allow:\n      - \"shop.Cart/Get\"";
    assert!(alone.ends_with(expected), "{alone}");
}

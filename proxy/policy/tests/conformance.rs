//! Runs conformance.yaml through the public API.

#![expect(clippy::unwrap_used, reason = "a test's own helpers")]

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_policy::decide::{Decision, Mode};
use weir_policy::op::{Endpoint, Protocol, Side};
use weir_policy::text::OwnedOp;
use weir_policy::{Addresses, Date, Defaults, Errors, Snapshot, parse};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    rule: String,
    #[serde(default)]
    cases: BTreeMap<String, String>,
    error: Option<String>,
}

fn groups() -> Vec<Group> {
    serde_saphyr::from_str(include_str!("../conformance.yaml")).unwrap()
}

fn compile(rule: &str) -> Result<Snapshot, Errors> {
    let rule = rule.trim_end().replace('\n', "\n    ");
    let text = format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: x}}\n\
         spec:\n  inbound:\n  - from: [{{any: true}}]\n    ports: [1]\n    {rule}\n"
    );
    let defaults = Defaults { mode: Mode::Enforce, today: Date::new(2026, 1, 31).unwrap() };
    Snapshot::compile(parse("conformance.yaml", &text)?, &defaults, &Addresses::default())
}

#[test]
fn every_operation_has_its_verdict() {
    let endpoint = Endpoint { side: Side::Inbound, peer: [192, 0, 2, 1].into(), port: 1 };
    let mut wrong = Vec::new();
    let mut cases = 0;
    for group in groups().iter().filter(|group| group.error.is_none()) {
        let snapshot = compile(&group.rule).unwrap_or_else(|e| panic!("{}\n{e}", group.rule));
        let admission = snapshot.admit(&endpoint);
        let protocol = admission.protocol.unwrap_or(Protocol::Opaque);
        for (text, expected) in &group.cases {
            let op = OwnedOp::parse(protocol, text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let found = match snapshot.decide(&admission.rules, &endpoint, &op.operation()) {
                Decision::Allowed(_) => "allowed",
                Decision::Ungoverned => "ungoverned",
                Decision::Violation(violation, _) => violation.label(),
            };
            cases += 1;
            if found != expected {
                wrong.push(format!("{text}: {found}, not {expected}, by\n{}", group.rule));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases >= 150, "only {cases} cases were read");
}

#[test]
fn every_faulty_entry_is_refused_with_its_reason() {
    for group in groups() {
        let Some(words) = group.error else { continue };
        match compile(&group.rule) {
            Ok(_) => panic!("it loads:\n{}", group.rule),
            Err(errors) => {
                assert!(errors.to_string().contains(&words), "{errors}\nnot {words}");
            }
        }
    }
}

//! Runs conformance.yaml through the public API.

#![expect(clippy::unwrap_used, reason = "a test's own helpers")]

use std::collections::BTreeMap;

use serde::Deserialize;
use weir_policy::decide::{Decision, Mode};
use weir_policy::masked::{Doubt, Judgement, KeysTold, Masked, Place, Record, Told};
use weir_policy::op::{Endpoint, Keys, Operation, Protocol, Script, Side};
use weir_policy::suggest::{Nothing, suggest};
use weir_policy::text::OwnedOp;
use weir_policy::{Addresses, Date, Defaults, Errors, Separators, Snapshot, parse, shape};

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

/// The `op` and `detail` of a record in full, and whether it shows the keys.
fn logged(operation: &Operation<'_>) -> (String, String, KeysTold) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match operation {
        Operation::Http(http) => {
            let mut path = Vec::new();
            match (http.method, http.authority) {
                (b"CONNECT", Some(authority)) => path.extend_from_slice(authority),
                _ => shape::http_path(http.path, &mut path),
            }
            let op = format!("{} {}", text(http.method), text(&path));
            (op.trim_end().to_owned(), text(http.path), KeysTold::All)
        }
        Operation::Redis(redis) => {
            let mut op = text(redis.command).to_ascii_uppercase();
            if let Some(sub) = redis.subcommand {
                op = format!("{op}|{}", text(sub).to_ascii_uppercase());
            }
            match redis.script {
                Script::None => {}
                Script::Sha1(hex) => op = format!("{op} sha1:{}", text(&hex)),
                Script::Function(name) => op = format!("{op} {}", text(name)),
            }
            let mut detail = op.clone();
            for (keys, mark) in [(&redis.keys, ""), (&redis.channels, "&")] {
                let Keys::Known(keys) = keys else { continue };
                keys.all(&mut |key| {
                    let mut shape = Vec::new();
                    shape::redis_key(key, Separators::default(), &mut shape);
                    op = format!("{op} {mark}{}", text(&shape));
                    detail = format!("{detail} {}", text(key));
                    true
                });
            }
            let unknown = matches!(redis.keys, Keys::Unknown);
            (op, detail, if unknown { KeysTold::Unknown } else { KeysTold::All })
        }
        Operation::Grpc(grpc) => {
            let op = format!("{}/{}", text(grpc.service), text(grpc.method));
            (op.clone(), op, KeysTold::All)
        }
        _ => (String::new(), String::new(), KeysTold::All),
    }
}

/// What is said of the operation's record.
fn replayed(snapshot: &Snapshot, protocol: Protocol, operation: &Operation<'_>) -> Judgement {
    let (op, detail, keys) = logged(operation);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (mut texts, mut database) = ([None, None, None], String::new());
    match operation {
        Operation::Http(http) => {
            texts = [http.authority, http.upgrade, http.override_header].map(|t| t.map(text));
        }
        Operation::Grpc(grpc) => texts[0] = grpc.authority.map(text),
        Operation::Tls(tls) => texts[0] = tls.sni.map(text),
        Operation::Redis(redis) => {
            let numbers: Vec<_> = redis.databases.iter().map(ToString::to_string).collect();
            database = numbers.join(",");
        }
        Operation::Connection => {}
    }
    let [host, upgrade, override_header] =
        texts.each_ref().map(|text| text.as_deref().map_or(Told::None, Told::This));
    let database = Told::This(&database);
    let detail = Some(detail.as_str());
    let record = Record {
        host,
        database,
        op: &op,
        detail,
        upgrade,
        override_header,
        keys,
        ambiguities: None,
    };
    let masked = Masked::read(protocol, &record).unwrap();
    let place = Place { side: Side::Inbound, peer: Some([192, 0, 2, 1].into()), port: 1 };
    weir_policy::masked::decide(snapshot, &place, &masked)
}

#[test]
fn every_operation_has_its_verdict_in_a_log_in_full() {
    let mut wrong = Vec::new();
    for group in groups().iter().filter(|group| group.error.is_none()) {
        let snapshot = compile(&group.rule).unwrap();
        let endpoint = Endpoint { side: Side::Inbound, peer: [192, 0, 2, 1].into(), port: 1 };
        let protocol = snapshot.admit(&endpoint).protocol.unwrap_or(Protocol::Opaque);
        for (text, expected) in &group.cases {
            let op = OwnedOp::parse(protocol, text).unwrap();
            let found = match replayed(&snapshot, protocol, &op.operation()) {
                Judgement::Allowed => "allowed".to_owned(),
                Judgement::Ungoverned => "ungoverned".to_owned(),
                Judgement::Refused(why) => why.label().to_owned(),
                // The log writes `%` as `%25`, unless it is seen to be in full.
                Judgement::Undecidable(why)
                    if why.doubt == Doubt::Ambiguity && text.contains("%25") =>
                {
                    continue;
                }
                Judgement::Undecidable(why) => why.to_string(),
            };
            if found != *expected {
                wrong.push(format!("{text}: {found}, not {expected}, by\n{}", group.rule));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_would_allow_an_operation_does() {
    let endpoint = Endpoint { side: Side::Inbound, peer: [192, 0, 2, 1].into(), port: 1 };
    let (mut suggested, mut nothing) = (0, Vec::new());
    for group in groups().iter().filter(|group| group.error.is_none()) {
        let snapshot = compile(&group.rule).unwrap();
        let protocol = snapshot.admit(&endpoint).protocol.unwrap_or(Protocol::Opaque);
        for (text, verdict) in &group.cases {
            let op = OwnedOp::parse(protocol, text).unwrap();
            match suggest(&snapshot, &endpoint, &op.operation()) {
                Err(Nothing::Allowed) => assert_eq!(verdict, "allowed", "{text}"),
                Err(Nothing::Denied(_)) => assert_eq!(verdict, "denied", "{text}"),
                Err(_) => nothing.push(text.clone()),
                // As a rule of its own beside that of the group, in one more policy.
                Ok(suggestion) => {
                    let lines: Vec<String> = match suggestion.lines.as_slice() {
                        [entry] => vec![format!("allow:\n    {entry}")],
                        lines => lines.to_vec(),
                    };
                    suggested += 1;
                    let rule = lines.join("\n    ");
                    if suggestion.field == "spec.inbound" {
                        continue;
                    }
                    let limits = group.rule.lines().filter(|line| {
                        ["protocol", "hosts", "databases", "separators"]
                            .iter()
                            .any(|field| line.starts_with(field))
                    });
                    let limits: Vec<&str> = limits.collect();
                    let alone = compile(&format!(
                        "{}\n{}",
                        limits.join("\n"),
                        rule.replace("\n    ", "\n")
                    ));
                    let alone = alone.unwrap_or_else(|e| panic!("{text}: {suggestion}\n{e}"));
                    let rules = alone.admit(&endpoint).rules;
                    let decision = alone.decide(&rules, &endpoint, &op.operation());
                    assert!(matches!(decision, Decision::Allowed(_)), "{text}: {suggestion}");
                }
            }
        }
    }
    assert!(suggested >= 100, "{suggested}");
    assert_eq!(nothing, NOTHING);
}

/// Operations of the file that no entry can name.
const NOTHING: &[&str] = &[
    "cart.shop GET *",
    "cart.shop get /carts",
    "cart.shop GET *",
    "x GET /live upgrade=h2c",
    "db.shop CONNECT",
    "- grpc.health.v1.Health/",
    "- grpc.health.v1.Health/a/b",
    "- shop.Cart/",
    "- shop.Cart/%41ddItem",
    "- shop.Cart/*",
    "- shop.Cart/AddItem/",
    "- shop.Cart/AddItem/x",
    "- x/shop.Cart/AddItem",
];

//! What is said of a record against what is said of the operation that it stands for.

use proptest::prelude::*;

use super::{Judgement, KeysTold, Masked, Place, Record, Refused, Told, decide};
use crate::compile::Snapshot;
use crate::compile::tests::{
    GRPC_ENTRY, GRPC_OP, HTTP_ENTRY, HTTP_OP, HTTP_PERMITTING, PEER, REDIS_DENY, REDIS_ENTRY,
    REDIS_OP, compile, policy, rules,
};
use crate::decide::Decision;
use crate::entry::grpc::is_name;
use crate::op::{GrpcOp, HttpOp, Keys, Operation, Protocol, RedisOp, Script};
use crate::pattern::Separators;
use crate::shape::{http_path, redis_key};
use crate::text::OpText;

/// What the log hides, by bits: words as `{new}` (as many as bits), then the rest.
type Hides = u16;
const UPGRADE: Hides = 1 << 8;
const OVERRIDE: Hides = 1 << 9;
const HOST: Hides = 1 << 10;
const PEER_HIDDEN: Hides = 1 << 11;
const DETAIL: Hides = 1 << 12;
const KEYS: Hides = 1 << 13;
/// All is in the log: the detail is in full.
const NOTHING: Hides = 0;

/// The texts of a record.
#[derive(Debug, Default)]
struct Logged {
    host: Option<String>,
    database: String,
    op: String,
    detail: Option<String>,
    keys: KeysTold,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("tests speak UTF-8")
}

/// A shape with some of its words hidden.
fn with_new(shape: &str, separator: char, hides: Hides) -> String {
    let parts = shape.split(separator).enumerate().map(|(i, part)| {
        let word = !part.is_empty() && !part.contains(['{', ';']);
        if word && hides & (1 << (i % 8)) != 0 { "{new}" } else { part }
    });
    parts.collect::<Vec<_>>().join(&separator.to_string())
}

fn http(op: &HttpOp<'_>, hides: Hides) -> Logged {
    let mut shape = Vec::new();
    http_path(op.path, &mut shape);
    // The log takes the values of parameters away.
    let shape = text(&shape).replace(";v", ";{}");
    let detail = if hides & DETAIL == 0 { text(op.path) } else { shape.clone() };
    Logged {
        host: op.authority.map(text),
        op: format!("{} {}", text(op.method), with_new(&shape, '/', hides)),
        detail: Some(format!("{detail}?q=1")),
        ..Logged::default()
    }
}

fn grpc(op: &GrpcOp<'_>, hides: Hides) -> Logged {
    let sent = format!("{}/{}", text(op.service), text(op.method));
    let pieces = sent.split('/').enumerate().map(|(i, piece)| {
        match (piece.is_empty() || hides & (1 << (i % 8)) == 0, is_name(piece.as_bytes())) {
            (true, _) => piece.replace('{', "\\{").replace('}', "\\}"),
            (false, true) => "{new}".to_owned(),
            (false, false) => "{}".to_owned(),
        }
    });
    let op_text = pieces.collect::<Vec<_>>().join("/");
    let detail = if hides & DETAIL == 0 { sent } else { op_text.clone() };
    Logged { host: op.authority.map(text), op: op_text, detail: Some(detail), ..Logged::default() }
}

fn redis(op: &RedisOp<'_>, hides: Hides) -> Logged {
    let mut name = text(op.command).to_ascii_uppercase();
    if let Some(sub) = op.subcommand {
        name = format!("{name}|{}", text(sub).to_ascii_uppercase());
    }
    match op.script {
        Script::Sha1(hex) => name = format!("{name} sha1:{}", text(&hex)),
        Script::Function(function) => name = format!("{name} {}", text(function)),
        Script::None => {}
    }
    let (mut words, mut detail) = (Vec::new(), name.clone());
    for (keys, mark) in [(&op.keys, ""), (&op.channels, "&")] {
        let Keys::Known(keys) = keys else { continue };
        keys.all(&mut |key| {
            let mut shape = Vec::new();
            redis_key(key, Separators::default(), &mut shape);
            let word = format!("{mark}{}", with_new(&text(&shape), ':', hides));
            if !words.contains(&word) {
                words.push(word);
            }
            detail = format!("{detail} {}", text(key));
            true
        });
    }
    let keys = match (&op.keys, words.is_empty()) {
        (Keys::Unknown, _) | (_, true) if hides & KEYS != 0 => KeysTold::NoneOrUnknown,
        (Keys::Unknown, _) => KeysTold::Unknown,
        (_, false) if hides & KEYS != 0 => KeysTold::Some,
        _ => KeysTold::All,
    };
    let databases: Vec<_> = op.databases.iter().map(ToString::to_string).collect();
    Logged {
        database: databases.join(","),
        op: words.iter().fold(name, |op, word| format!("{op} {word}")),
        detail: (hides & DETAIL == 0).then_some(detail),
        keys,
        ..Logged::default()
    }
}

/// What is said of the operation's record.
fn judged(snapshot: &Snapshot, op: &OpText, hides: Hides) -> Judgement {
    let operation = op.op.operation();
    let (protocol, logged) = match &operation {
        Operation::Http(http_op) => (Protocol::Http, http(http_op, hides)),
        Operation::Grpc(grpc_op) => (Protocol::Grpc, grpc(grpc_op, hides)),
        Operation::Redis(redis_op) => (Protocol::Redis, redis(redis_op, hides)),
        Operation::Tls(tls) => {
            let host = tls.sni.map(text);
            (Protocol::Tls, Logged { host, ..Logged::default() })
        }
        Operation::Connection => (Protocol::Opaque, Logged::default()),
    };
    let told = |what: Option<&[u8]>, bit: Hides, room: &mut String| match what {
        _ if hides & bit != 0 => false,
        Some(what) => {
            room.push_str(&text(what));
            true
        }
        None => true,
    };
    let asked = match &operation {
        Operation::Http(http) => [http.upgrade, http.override_header],
        _ => [None, None],
    };
    let mut rooms = [String::new(), String::new()];
    let known = [told(asked[0], UPGRADE, &mut rooms[0]), told(asked[1], OVERRIDE, &mut rooms[1])];
    let answer = |i: usize| match (known[i], rooms[i].as_str()) {
        (false, _) => Told::Untold,
        (true, "") => Told::None,
        (true, token) => Told::This(token),
    };
    let host = match &logged.host {
        _ if hides & HOST != 0 => Told::Untold,
        Some(host) => Told::This(host),
        None => Told::None,
    };
    let record = Record {
        host,
        database: if hides & HOST != 0 { Told::Untold } else { Told::This(&logged.database) },
        op: &logged.op,
        detail: logged.detail.as_deref(),
        upgrade: answer(0),
        override_header: answer(1),
        keys: logged.keys,
        ambiguities: None,
    };
    let masked = Masked::read(protocol, &record).expect("a record");
    let peer = (hides & PEER_HIDDEN == 0).then_some(op.endpoint.peer);
    let place = Place { side: op.endpoint.side, peer, port: op.endpoint.port };
    decide(snapshot, &place, &masked)
}

fn agree(policy: &str, op: &str, hides: Hides) -> Result<(), TestCaseError> {
    let snapshot = compile(policy);
    let op: OpText = op.parse().map_err(|e| TestCaseError::fail(format!("{op}: {e}")))?;
    let admission = snapshot.admit(&op.endpoint);
    let decision = snapshot.decide(&admission.rules, &op.endpoint, &op.op.operation());
    for hides in [hides, NOTHING] {
        let found = judged(&snapshot, &op, hides);
        let said = format!("{op:?} hides {hides:#x}: {found:?}, {decision:?}\n{policy}");
        match (&found, decision) {
            (Judgement::Allowed, Decision::Allowed(_))
            | (Judgement::Ungoverned, Decision::Ungoverned) => {}
            (Judgement::Refused(Refused::Policy(why)), Decision::Violation(violation, _)) => {
                prop_assert!(hides != NOTHING || *why == violation, "{}", said);
            }
            (Judgement::Undecidable(_), _) => prop_assert!(hides != NOTHING, "{}", said),
            _ => prop_assert!(false, "{}", said),
        }
    }
    Ok(())
}

/// Which hidden bits a case takes: all kinds together hide so much that little is decided.
fn hides() -> impl Strategy<Value = Hides> {
    (any::<u8>(), any::<u8>(), 0u16..64).prop_map(|(a, b, rest)| {
        let some = Hides::from(a & b);
        let rest = if rest < 32 { 1 << (rest % 8) } else { rest };
        some | (rest << 8) | DETAIL
    })
}

const KEY_LIKE: &str = "(a|b|7|a\\*|0123456789abcdef|x\\.7|2024-01-31|a\\.b@c\\.d|a\\?@c\\.d|)\
    (:(a|7|x|12345678)){0,2}";
const SEPARATED: &str = "'(GET|DEL|\\*|PSUBSCRIBE)( &?((a|x|\\{\\}|\\{int\\}|\\{hex\\}|\\{email\\})([.:-](a|7|31|12345678|\\{\\}|\\{int\\})){0,2}([.:-]\\*|)|(a|2024|x\\.)\\*)){1,2}'";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn http_records(
        rules in rules(HTTP_ENTRY, HTTP_ENTRY), peer in PEER, port in 79u16..83, op in HTTP_OP,
        hides in hides()
    ) {
        agree(&policy(Protocol::Http, &rules), &format!("inbound {peer} :{port} http {op}"), hides)?;
    }

    #[test]
    fn http_records_with_options(
        rules in rules(HTTP_PERMITTING, HTTP_ENTRY), peer in PEER, port in 79u16..83, op in HTTP_OP,
        hides in hides()
    ) {
        agree(&policy(Protocol::Http, &rules), &format!("inbound {peer} :{port} http {op}"), hides)?;
    }

    #[test]
    fn grpc_records(
        rules in rules(GRPC_ENTRY, GRPC_ENTRY), peer in PEER, port in 79u16..83, op in GRPC_OP,
        hides in hides()
    ) {
        agree(&policy(Protocol::Grpc, &rules), &format!("inbound {peer} :{port} grpc {op}"), hides)?;
    }

    #[test]
    fn grpc_records_under_http(
        rules in rules(HTTP_ENTRY, HTTP_ENTRY), peer in PEER, port in 79u16..83,
        op in "- (a|b|7)/(a|b|7)", hides in hides()
    ) {
        agree(&policy(Protocol::Http, &rules), &format!("inbound {peer} :{port} grpc {op}"), hides)?;
    }

    #[test]
    fn redis_records(
        rules in rules(REDIS_ENTRY, REDIS_DENY), peer in PEER, port in 79u16..83, op in REDIS_OP,
        hides in hides()
    ) {
        agree(&policy(Protocol::Redis, &rules), &format!("inbound {peer} :{port} redis {op}"), hides)?;
    }

    #[test]
    fn records_of_keys_with_other_separators(
        rules in rules(SEPARATED, SEPARATED), separators in "(:|\\.|:\\.|\\.-)",
        command in "db(0|1|0,1) (GET|DEL|PSUBSCRIBE|SORT)", mark in "&?",
        keys in proptest::collection::vec(KEY_LIKE, 0..3), hides in hides()
    ) {
        let first = separators.get(..1).unwrap_or_default();
        let fits = |entry: String| entry.replace(|c: char| ".:-".contains(c) && !separators.contains(c), first);
        let rules: Vec<_> = rules.into_iter().map(|(peer, port, limit, allow, deny)| {
            (peer, port, limit, allow.into_iter().map(fits).collect(), deny.into_iter().map(fits).collect())
        }).collect();
        let list: Vec<_> = separators.chars().map(|c| format!("'{c}'")).collect();
        let policy = policy(Protocol::Redis, &rules).replace(
            "protocol: redis",
            &format!("protocol: redis\n    separators: [{}]", list.join(", ")),
        );
        let op = keys.iter().fold(command, |op, key| match (mark.as_str(), key.as_str()) {
            ("", "") => op,
            _ => format!("{op} {mark}{key}"),
        });
        agree(&policy, &format!("inbound 10.0.0.1 :80 redis {op}"), hides)?;
    }
}

/// What is said of these texts under one rule.
fn says(rule: &str, protocol: Protocol, record: &Record<'_>) -> String {
    let snapshot = compile(&format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: p}}\nspec:\n  \
         inbound:\n  - {rule}\n    ports: [80]\n"
    ));
    let place =
        Place { side: crate::op::Side::Inbound, peer: Some([10, 0, 0, 1].into()), port: 80 };
    let record = Masked::read(protocol, record).expect("a record");
    match decide(&snapshot, &place, &record) {
        Judgement::Allowed => "allowed".to_owned(),
        Judgement::Ungoverned => "ungoverned".to_owned(),
        Judgement::Refused(why) => why.label().to_owned(),
        Judgement::Undecidable(why) => why.to_string(),
    }
}

#[test]
fn values_decide_only_where_they_matter() {
    let rule = "from: [{any: true}]\n    protocol: http\n    \
                allow: ['GET /carts/{int}', 'GET /files/{hex}', 'GET /a/{}']\n    \
                deny: ['GET /carts/13']";
    let http = |op| says(rule, Protocol::Http, &Record { op, ..Record::default() });
    assert_eq!(
        http("GET /carts/{int}"),
        "the log hides a value that decides deny \"GET /carts/13\" (p:9:12)"
    );
    assert_eq!(http("POST /carts/{int}"), "not_allowed");
    assert_eq!(http("GET /carts/{uuid}"), "not_allowed");
    assert!(http("GET /files/{int}").starts_with("the log hides a value that decides allow"));
    assert_eq!(http("GET /files/{hex}"), "allowed");
    assert_eq!(http("GET /a/{token}"), "allowed");
    assert!(http("GET /a/{new}").starts_with("what the log hides may make the path ambiguous"));
    let record =
        Record { op: "GET /a/{new}", ambiguities: Some(Default::default()), ..Record::default() };
    assert_eq!(says(rule, Protocol::Http, &record), "allowed");
    let record = Record { op: "GET /carts/{int}", detail: Some("/carts/7"), ..Record::default() };
    assert_eq!(says(rule, Protocol::Http, &record), "allowed");
    let record = Record { upgrade: Told::Untold, ..record };
    assert!(says(rule, Protocol::Http, &record).contains("does not tell of an upgrade"));
}

#[test]
fn what_is_cut_may_go_on() {
    let rule = "from: [{any: true}]\n    protocol: http\n    allow: ['GET /a/*', 'POST /a/b']";
    let long = format!("/a/{}…", "b".repeat(1100));
    let http = |op: &str| says(rule, Protocol::Http, &Record { op, ..Record::default() });
    assert!(http(&format!("GET {long}")).starts_with("what the log hides may make"));
    assert_eq!(http(&format!("POST {long}")), "not_allowed");
    let rule = "from: [{any: true}]\n    protocol: redis\n    \
                allow: ['GET a:*', 'DEL *']\n    deny: ['DEL b']";
    let redis = |op: &str| says(rule, Protocol::Redis, &Record { op, ..Record::default() });
    assert!(redis("GET a:{int} …").starts_with("the log may not show all keys"));
    assert_eq!(redis("GET a:{int} b …"), "not_allowed");
    assert!(redis("DEL a …").contains("decides deny \"DEL b\""), "{}", redis("DEL a …"));
    assert_eq!(redis("DEL b …"), "denied");
}

#[test]
fn names_and_protocols_of_the_rules() {
    let record = Record { op: "GET /", ..Record::default() };
    let host = "from: [{host: a.b}]\n    protocol: http\n    allow: ['GET /']";
    let said = says(host, Protocol::Http, &record);
    assert_eq!(said, "names are not resolved here: host a.b (p:6:5)");
    assert_eq!(says(host, Protocol::Http, &Record { op: "PUT /", ..record }), "not_allowed");
    let any = "from: [{any: true}]";
    assert_eq!(says(any, Protocol::Http, &record), "allowed");
    assert_eq!(says(any, Protocol::Tls, &Record::default()), "unread.encrypted");
    assert_eq!(
        says(any, Protocol::Opaque, &Record::default()),
        "the log does not tell what was spoken"
    );
    let redis = "from: [{any: true}]\n    protocol: redis\n    allow: [PING]";
    assert_eq!(says(redis, Protocol::Http, &record), "other_protocol");
    let opaque = "from: [{any: true}]\n    protocol: opaque";
    assert_eq!(says(opaque, Protocol::Http, &record), "allowed");
    let narrow = "from: [{cidr: 10.9.0.0/16}]\n    protocol: http\n    allow: ['GET /']";
    assert_eq!(says(narrow, Protocol::Http, &record), "no_rule");
}

#[test]
fn calls_with_hidden_names() {
    let rule = "from: [{any: true}]\n    protocol: grpc\n    \
                allow: ['shop.Cart/*', 'shop.Stock/Get']\n    deny: ['shop.Cart/Drop']";
    let grpc = |op| says(rule, Protocol::Grpc, &Record { op, ..Record::default() });
    assert_eq!(grpc("shop.Cart/AddItem"), "allowed");
    let new = grpc("shop.Cart/{new}");
    assert_eq!(new, "the log hides a value that decides deny \"shop.Cart/Drop\" (p:9:12)");
    assert!(grpc("shop.Stock/{new}").contains("decides allow \"shop.Stock/Get\""));
    assert_eq!(grpc("shop.Cart/{}"), "not_allowed");
    assert_eq!(grpc("other/{new}"), "not_allowed");
    assert_eq!(grpc(&format!("shop.Cart/{}…", "a".repeat(1100))), "not_allowed");
    let full = Record { op: "{new}/{new}", detail: Some("shop.Stock/Get"), ..Record::default() };
    assert_eq!(says(rule, Protocol::Grpc, &full), "allowed");
    // It may have been one before its port had this protocol.
    let post = Record { op: "POST /shop.Cart/AddItem", ..Record::default() };
    assert_eq!(says(rule, Protocol::Http, &post), "the log does not tell what was spoken");
    let get = Record { op: "GET /shop.Cart/AddItem", ..Record::default() };
    assert_eq!(says(rule, Protocol::Http, &get), "other_protocol");
    let http = "from: [{any: true}]\n    protocol: http\n    allow: ['POST /shop.Cart/{}']";
    let call = |op| says(http, Protocol::Grpc, &Record { op, ..Record::default() });
    assert_eq!(call("shop.Cart/AddItem"), "allowed");
    assert_eq!(call("shop.Stock/Get"), "not_allowed");
    let long = call(&format!("shop.Cart/{}…", "a".repeat(1100)));
    assert!(long.starts_with("the log has cut the text"), "{long}");
    let nameless = Record { op: "shop", ..Record::default() };
    assert!(Masked::read(Protocol::Grpc, &nameless).is_err());
}

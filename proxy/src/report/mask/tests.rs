use proptest::prelude::*;
use weir_policy::op::{Endpoint, Operation, Side};
use weir_policy::{Addresses, Defaults, Snapshot};

use super::*;

fn http(method: &'static [u8], path: &'static [u8]) -> HttpOp<'static> {
    HttpOp { method, authority: None, path, upgrade: None, override_header: None }
}

fn shape(path: &'static str) -> String {
    let mut out = Vec::new();
    http_shape(&http(b"GET", path.as_bytes()), None, &mut out);
    String::from_utf8(out).unwrap()
}

fn detail(path: &str, query: &str, detail: LogDetail) -> String {
    let mut out = Vec::new();
    target(path.as_bytes(), Some(query.as_bytes()), detail, None, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn paths_lose_their_variable_parts() {
    assert_eq!(
        shape("/carts/7/items/0f8fad5b-d9cb-469f-a165-70867728950e"),
        "GET /carts/{int}/items/{uuid}"
    );
    assert_eq!(shape("/users/%31%32/ada%40example.org"), "GET /users/{int}/{email}");
    assert_eq!(shape("/a/"), "GET /a/");
    assert_eq!(shape("/{int}/*/b\\"), r"GET /\{int\}/\*/b\\");
    assert_eq!(shape("/login;jsessionid=4f3a9c/x"), "GET /login;jsessionid={}/x");
    assert_eq!(shape("/%2e%2e%2fetc"), "GET /..%2Fetc");
    assert_eq!(shape("*"), "GET *");
}

#[test]
fn names_of_calls_are_no_values_and_are_shown_once_known() {
    let shape = |service: &str, method: &str, known: &[&str]| {
        let words: Known = known.iter().map(|word| Box::from(word.as_bytes())).collect();
        let known = (!known.is_empty()).then_some(&words);
        let (service, method) = (service.as_bytes(), method.as_bytes());
        let mut out = Vec::new();
        call(&GrpcOp { service, method, authority: None }, known, &mut out);
        String::from_utf8(out).unwrap()
    };
    assert_eq!(shape("shop.Cart", "0123456789abcdef", &[]), "shop.Cart/0123456789abcdef");
    assert_eq!(shape("shop.Cart", "*", &[]), r"shop.Cart/\*");
    assert_eq!(shape("{new}", "a b", &[]), r"\{new\}/a b");
    let known = ["shop.Cart", "AddItem"];
    assert_eq!(shape("shop.Cart", "AddItem", &known), "shop.Cart/AddItem");
    assert_eq!(shape("shop.Cart", "hunter2", &known), "shop.Cart/{new}");
    assert_eq!(shape("hunter2", "AddItem", &known), "{new}/AddItem");
    assert_eq!(shape("shop.Cart", "hunter 2", &known), "shop.Cart/{}");
    assert_eq!(shape("shop.Cart", "AddItem/7", &known), "shop.Cart/AddItem/{new}");
    assert_eq!(shape("", "", &known), "/");
}

#[test]
fn a_tunnel_names_its_end() {
    let mut out = Vec::new();
    let connect = HttpOp { authority: Some(b"db.shop:443"), ..http(b"CONNECT", b"") };
    http_shape(&connect, None, &mut out);
    assert_eq!(out, b"CONNECT db.shop:443");
}

#[test]
fn values_of_a_query_are_masked() {
    let masked = |query| detail("/s", query, LogDetail::Masked);
    assert_eq!(masked("q=red+shoes&page=2"), "/s?q={}&page={int}");
    assert_eq!(masked("hunter2"), "/s?{}");
    assert_eq!(masked("a=b=c&&d="), "/s?a={}&&d=");
    assert_eq!(masked("ada@example.org=1"), "/s?{email}={int}");
    assert_eq!(masked(""), "/s?");
}

#[test]
fn secrets_of_a_query_are_masked_even_in_full() {
    let full = |query| detail("/s/7", query, LogDetail::Full);
    assert_eq!(full("q=shoes&Api-Key=abc&x"), "/s/7?q=shoes&Api-Key={}&x");
    assert_eq!(full("X-Amz-Signature=ab&sessionId=1"), "/s/7?X-Amz-Signature={}&sessionId={}");
}

#[test]
fn secrets_in_other_places_are_masked_even_in_full() {
    let full = |path, query| detail(path, query, LogDetail::Full);
    assert_eq!(full("/s;jsessionid=ab;v=1/x", "q=1"), "/s;jsessionid={};v=1/x?q=1");
    assert_eq!(full("/s", "a=1;p%61ssword=hunter2&b=2"), "/s?a=1;p%61ssword={}&b=2");
    assert_eq!(full("/s", "next=https://ada:pw@h/&b"), "/s?next={}&b");
    assert_eq!(full("/s", "next=https%3A%2F%2Fada%3apw%40h"), "/s?next={}");
    assert_eq!(full("/s", "https://ada:pw@h/?a=b"), "/s?{}");
    assert_eq!(full("/get/https://ada:pw@h/x", "b@c=:"), "/get/https://{}/x?b@c=:");
    let masked = |path, query| detail(path, query, LogDetail::Masked);
    assert_eq!(masked("/get/https://ada:pw@h/x", "y=1"), "/get/https://{}/x?y={int}");
    assert_eq!(masked("/get/ada%3Apw%40h", "https://ada:pw@h/?a=b"), "/get/{}?{}={}");
}

fn redis<'a>(command: &'a str, keys: &'a [&'a [u8]], channels: &'a [&'a [u8]]) -> RedisOp<'a> {
    RedisOp {
        databases: &[0],
        command: command.as_bytes(),
        subcommand: None,
        keys: Keys::Known(Box::leak(Box::new(Slice(keys.iter().map(|k| k.to_vec()).collect())))),
        channels: Keys::Known(Box::leak(Box::new(Slice(
            channels.iter().map(|k| k.to_vec()).collect(),
        )))),
        script: Script::None,
    }
}

struct Slice(Vec<Vec<u8>>);

impl KeySource for Slice {
    fn all(&self, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().all(|key| visit(key))
    }
}

fn shape_of(op: &RedisOp<'_>) -> String {
    let mut out = Vec::new();
    redis_shape(op, None, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn keys_lose_their_variable_parts() {
    assert_eq!(shape_of(&redis("get", &[b"cart:7"], &[])), "GET cart:{int}");
    let many: [&[u8]; 4] = [b"cart:7", b"user:x", b"cart:8", b"cart:{a}"];
    assert_eq!(shape_of(&redis("mget", &many, &[])), r"MGET cart:{int} user:x cart:\{a\}");
    assert_eq!(shape_of(&redis("SUBSCRIBE", &[], &[b"news:7"])), "SUBSCRIBE &news:{int}");
    let odd: [&[u8]; 1] = [b"a b\x00\xff\xc3\xa9"];
    assert_eq!(shape_of(&redis("SET", &odd, &[])), r"SET a\ b\x00\xffé");
    let script = RedisOp { script: Script::Sha1([b'a'; 40]), ..redis("EVAL", &[b"k"], &[]) };
    assert_eq!(shape_of(&script), format!("EVAL sha1:{} k", "a".repeat(40)));
    let function = RedisOp { script: Script::Function(b"f"), ..redis("fcall", &[b"k"], &[]) };
    assert_eq!(shape_of(&function), "FCALL f k");
    let sub = RedisOp { subcommand: Some(b"set"), ..redis("config", &[], &[]) };
    assert_eq!(shape_of(&sub), "CONFIG|SET");
}

#[test]
fn a_shape_is_bounded() {
    let keys: Vec<Vec<u8>> = (0..10_000).map(|i| format!("key{i}x{i}").into_bytes()).collect();
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let shape = shape_of(&redis("MGET", &keys, &[]));
    assert!(shape.len() < SHAPE + 40 && shape.ends_with('…'), "{}", shape.len());
    let same: Vec<&[u8]> = vec![b"cart:7"; 10_000];
    assert_eq!(shape_of(&redis("MGET", &same, &[])), "MGET cart:{int} …");
}

#[test]
fn words_that_nothing_names_are_new_where_a_profile_is_kept() {
    let known: Known =
        [&b"carts"[..], b"caf%C3%A9", b"{x}", b"cart"].map(Box::from).into_iter().collect();
    let known = Some(&known);
    let shown = |path: &str| {
        let mut out = Vec::new();
        http_shape(
            &http(b"GET", Box::leak(path.to_owned().into_boxed_str()).as_bytes()),
            known,
            &mut out,
        );
        String::from_utf8(out).unwrap()
    };
    assert_eq!(shown("/carts/7/hunter2/"), "GET /carts/{int}/{new}/");
    assert_eq!(shown("/c%61rts/caf%c3%a9//{x}"), r"GET /carts/caf%C3%A9//\{x\}");
    assert_eq!(shown("/carts;hunter2=hunter2;v=1"), "GET /carts;{new}={};{new}={int}");
    assert_eq!(shown("*"), "GET *");
    let mut out = Vec::new();
    target(b"/carts/hunter2", Some(b"q=red&page=2"), LogDetail::Masked, known, &mut out);
    assert_eq!(out, b"/carts/{new}?q={}&page={int}");
    let mut out = Vec::new();
    let op = redis("mget", &[b"cart:7", b"hunter2:x y"], &[b"cart:news"]);
    redis_shape(&op, known, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "MGET cart:{int} {new}:{new} &cart:{new}");
    let mut out = Vec::new();
    command(&op, LogDetail::Masked, known, 1024, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), "MGET cart:{int} {new}:{new} cart:{new}");
}

/// Whether a policy with this one entry allows the operation.
fn allows(protocol: &str, entry: &str, operation: &Operation<'_>) -> bool {
    let file = serde_json::json!({
        "apiVersion": "weir.dev/v1alpha1", "kind": "TrafficPolicy", "metadata": {"name": "p"},
        "spec": {"inbound": [{
            "from": [{"any": true}], "ports": [1], "protocol": protocol, "allow": [entry],
        }]},
    });
    let policies = weir_policy::parse("p.yaml", &file.to_string()).unwrap();
    let today = weir_policy::Date::new(2026, 1, 1).unwrap();
    let defaults = Defaults { mode: weir_policy::decide::Mode::Enforce, today };
    let snapshot = Snapshot::compile(policies, &defaults, &Addresses::default()).unwrap();
    let endpoint = Endpoint { side: Side::Inbound, peer: [10, 0, 0, 7].into(), port: 1 };
    let admission = snapshot.admit(&endpoint);
    let decision = snapshot.decide(&admission.rules, &endpoint, operation);
    matches!(decision, weir_policy::decide::Decision::Allowed(_))
}

proptest! {
    /// What the log shows of an operation can be an entry, and that entry allows it.
    #[test]
    fn a_path_shape_is_an_entry(segments in proptest::collection::vec("[a-zA-Z0-9{}*~=@:!-]{1,12}|[0-9]{1,9}|%7B|é", 1..5)) {
        let path: String = segments.iter().flat_map(|s| ["/", s]).collect();
        prop_assert!(weir_policy::path::ambiguities(path.as_bytes()).is_empty());
        let op = HttpOp { method: b"GET", authority: None, path: path.as_bytes(), upgrade: None, override_header: None };
        let mut entry = Vec::new();
        http_shape(&op, None, &mut entry);
        let entry = String::from_utf8(entry).unwrap();
        prop_assert!(allows("http", &entry, &Operation::Http(op)), "{path} {entry}");
    }

    #[test]
    fn a_key_shape_is_an_entry(key in proptest::collection::vec(any::<u8>(), 1..12), text in "[a-z0-9:]{1,12}") {
        for key in [key.as_slice(), text.as_bytes()] {
            let op = redis("GET", std::slice::from_ref(&key), &[]);
            let entry = shape_of(&op);
            prop_assert!(allows("redis", &entry, &Operation::Redis(op)), "{key:?} {entry}");
        }
    }
}

/// A policy of these entries.
fn policy(protocol: &str, deny: &str, entries: &[String]) -> Snapshot {
    let list = entries.iter().map(|e| format!("\n    - {e}")).collect::<String>();
    let text = format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: p}}\nspec:\n  \
         inbound:\n  - from: [{{any: true}}]\n    ports: [80]\n    protocol: {protocol}\n    \
         deny: [{deny}]\n    allow:{list}\n"
    );
    let defaults = Defaults {
        mode: weir_policy::decide::Mode::Enforce,
        today: weir_policy::Date::new(2026, 1, 1).unwrap(),
    };
    let policies = weir_policy::parse("p", &text).unwrap();
    Snapshot::compile(policies, &defaults, &Addresses::default()).unwrap()
}

const ENTRY: &str = "('GET (/(a|b|\\{\\}|\\{int\\}|\\{hex\\}|x-y)){1,3}(/\\*)?'|\
    \\{op: 'GET (/(a|\\{\\})){1,2}', permit: \\[(badEscape|parameters, encodedSlash|doubleEncoding, invalidUtf8)\\]\\})";
const PATH: &str = "(/(a|b|7|13|12345678|x%2dy|%31|a%2fb|a%25|a%|%2541|a;k=v|a;k=7|a;token=v|%ff|\\{int\\}|\\{new\\}|u:p@h|\\.\\.|)){1,3}";

proptest! {
    /// What replay says of a record is what was said of the request.
    #[test]
    fn a_masked_request_is_not_taken_for_another(
        entries in proptest::collection::vec(ENTRY, 1..6), path in PATH, full in any::<bool>(), hides in any::<bool>()
    ) {
        use weir_policy::masked::{self, Judgement, Masked, Place, Record};
        let snapshot = policy("http", "'GET /a/13', '* /b/x'", &entries);
        let http = HttpOp { method: b"GET", authority: None, path: path.as_bytes(), upgrade: None, override_header: None };
        let (mut op, mut shown) = (Vec::new(), Vec::new());
        let known = known_where(hides && !full);
        http_shape(&http, known.as_ref(), &mut op);
        target(http.path, None, if full { LogDetail::Full } else { LogDetail::Masked }, known.as_ref(), &mut shown);
        let (op, shown) = (String::from_utf8(op).unwrap(), String::from_utf8_lossy(&shown).into_owned());
        let record = Record { op: &op, detail: Some(&shown), ..Record::default() };
        let masked = Masked::read(weir_policy::op::Protocol::Http, &record).unwrap();
        let endpoint = Endpoint { side: Side::Inbound, peer: [10, 0, 0, 7].into(), port: 80 };
        let place = Place { side: endpoint.side, peer: Some(endpoint.peer), port: 80 };
        let found = masked::decide(&snapshot, &place, &masked);
        let rules = snapshot.admit(&endpoint).rules;
        let decision = snapshot.decide(&rules, &endpoint, &Operation::Http(http));
        let allowed = matches!(decision, weir_policy::decide::Decision::Allowed(_));
        let said = format!("{path} {op} {shown}: {found:?} {decision:?} {entries:?}");
        match found {
            Judgement::Allowed => prop_assert!(allowed, "{}", said),
            Judgement::Undecidable(_) => {
                let hides = op.contains('{') || op.contains("%25");
                prop_assert!(hides, "{}", said);
            }
            _ => prop_assert!(!allowed, "{}", said),
        }
    }
}

/// Few words, where a profile is kept.
fn known_where(kept: bool) -> Option<Known> {
    kept.then(|| [&b"a"[..], b"x y"].map(Box::from).into_iter().collect())
}

const COMMAND: &str = "'(GET|DEL|PSUBSCRIBE|\\*)( &?(a|b|x y|\\{\\}|\\{int\\}|\\{email\\})(:(a|\\{\\}|\\{int\\})){0,2}(:\\*|)){0,2}'";
const KEY: &str = "(a|b|7|13|x y|\u{e9}|\u{85}|&a|a\\*|\\{int\\}|\\{new\\}|\\\\|x@y\\.z|)(:(a|7|12345678|\\*)){0,2}";

proptest! {
    /// What replay says of a record is what was said of the command.
    #[test]
    fn a_masked_command_is_not_taken_for_another(
        entries in proptest::collection::vec(COMMAND, 1..6), name in "(GET|del|PSUBSCRIBE)",
        keys in proptest::collection::vec(KEY, 0..4), full in any::<bool>(),
        hides in any::<bool>()
    ) {
        use weir_policy::masked::{self, Judgement, Masked, Place, Record, Told};
        let entries: Vec<String> = entries.iter().map(|e| e.replace("x y", "x\\ y")).collect();
        let snapshot = policy("redis", "'GET a:7', 'PSUBSCRIBE &b:*', 'DEL 13'", &entries);
        let texts: Vec<&[u8]> = keys.iter().map(|key| key.as_bytes()).collect();
        let (given, none): (&[&[u8]], &[&[u8]]) = (&texts, &[]);
        let (given, none) = (Listed(given), Listed(none));
        let channels = name == "PSUBSCRIBE";
        let redis = RedisOp {
            databases: &[0],
            command: name.as_bytes(),
            subcommand: None,
            keys: Keys::Known(if channels { &none } else { &given }),
            channels: Keys::Known(if channels { &given } else { &none }),
            script: Script::None,
        };
        let (mut op, mut shown) = (Vec::new(), Vec::new());
        let known = known_where(hides && !full);
        redis_shape(&redis, known.as_ref(), &mut op);
        command(&redis, if full { LogDetail::Full } else { LogDetail::Masked }, known.as_ref(), 1024, &mut shown);
        let [op, shown] = [op, shown].map(|text| String::from_utf8_lossy(&text).into_owned());
        let record = Record { op: &op, detail: Some(&shown), database: Told::This("0"), ..Record::default() };
        let masked = Masked::read(weir_policy::op::Protocol::Redis, &record).unwrap();
        let endpoint = Endpoint { side: Side::Inbound, peer: [10, 0, 0, 7].into(), port: 80 };
        let place = Place { side: endpoint.side, peer: Some(endpoint.peer), port: 80 };
        let found = masked::decide(&snapshot, &place, &masked);
        let rules = snapshot.admit(&endpoint).rules;
        let decision = snapshot.decide(&rules, &endpoint, &Operation::Redis(redis));
        let allowed = matches!(decision, weir_policy::decide::Decision::Allowed(_));
        let said = format!("{keys:?} {op} {shown}: {found:?} {decision:?} {entries:?}");
        match found {
            Judgement::Allowed => prop_assert!(allowed, "{}", said),
            Judgement::Undecidable(_) => prop_assert!(op.contains('{'), "{}", said),
            _ => prop_assert!(!allowed, "{}", said),
        }
    }
}

struct Listed<'a>(&'a [&'a [u8]]);

impl KeySource for Listed<'_> {
    fn all(&self, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().all(|key| visit(key))
    }
}

/// What is shown of operations of one key is one text, so that it need be rendered but once.
fn one_key_one_text<'a>(operations: impl Iterator<Item = Operation<'a>>) {
    let known: Known =
        ["a", "b", "x:y@z", "%7B"].iter().map(|word| word.as_bytes().into()).collect();
    let mut seen: std::collections::HashMap<String, Vec<u8>> = std::collections::HashMap::new();
    for operation in operations.filter(crate::learn::is_whole) {
        let (mut key, mut op) = (Vec::new(), Vec::new());
        let extent = weir_policy::profile::key::write(&operation, &mut key);
        if extent != Ok(weir_policy::profile::key::Extent::One) {
            continue;
        }
        match &operation {
            Operation::Http(http) => http_shape(http, Some(&known), &mut op),
            Operation::Redis(redis) => redis_shape(redis, Some(&known), &mut op),
            _ => continue,
        }
        let key = String::from_utf8(key).unwrap();
        if crate::learn::tells(&key) {
            let shown = seen.entry(key.clone()).or_insert_with(|| op.clone());
            assert_eq!(String::from_utf8_lossy(shown), String::from_utf8_lossy(&op), "{key}");
        }
    }
}

struct Few<'a>(Vec<&'a [u8]>);

impl KeySource for Few<'_> {
    fn all(&self, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().all(|key| visit(key))
    }
}

const PART: &str = "[ab]|c?|[0-9]{1,2}|%6[12]|%3[ab1]|a%3Ab|x:y@z|u:p%40b\\.c|a@b\\.c|[a-f0-9]{8}|\\{b\\}|                    %7[bB]|\\*|\u{e4}|;a=1|[.]{1,2}|&a| ";

proptest! {
    #[test]
    fn paths_of_one_key_are_shown_alike(
        paths in proptest::collection::vec(proptest::collection::vec(PART, 1..4), 1..120)
    ) {
        let paths: Vec<String> = paths.iter().map(|parts| format!("/{}", parts.join("/"))).collect();
        for method in ["GET", "CONNECT"] {
            one_key_one_text(paths.iter().enumerate().map(|(n, path)| Operation::Http(HttpOp {
                method: method.as_bytes(),
                authority: Some(if n % 2 == 0 { b"a:1" } else { b"b:2" }),
                path: path.as_bytes(),
                upgrade: None,
                override_header: None,
            })));
        }
    }

    #[test]
    fn commands_of_one_key_are_shown_alike(
        keys in proptest::collection::vec(proptest::collection::vec(PART, 1..4), 1..120)
    ) {
        let keys: Vec<String> = keys.iter().map(|parts| parts.join(":")).collect();
        let none: [&[u8]; 0] = [];
        for count in 0..3 {
            let all: Vec<Few<'_>> = keys
                .windows(3)
                .map(|keys| Few(keys.iter().take(count).map(|key| key.as_bytes()).collect()))
                .collect();
            one_key_one_text(all.iter().enumerate().map(|(n, keys)| Operation::Redis(RedisOp {
                databases: &[0],
                command: if n % 2 == 0 { b"get" } else { b"GET" },
                subcommand: None,
                keys: Keys::Known(keys),
                channels: Keys::Known(&none),
                script: Script::None,
            })));
        }
    }
}

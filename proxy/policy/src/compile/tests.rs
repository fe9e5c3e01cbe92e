//! The compiled matcher against the plain reading of the same policy.

use std::fmt::Write;

use proptest::prelude::*;

use super::{Defaults, Snapshot};
use crate::date::Date;
use crate::decide::{Decision, Mode, Violation};
use crate::entry::List;
use crate::miss::covers;
use crate::model::{Addresses, Rule};
use crate::op::{Operation, Protocol};
use crate::peers::{number, ranges};
use crate::text::OpText;

pub(crate) fn compile(text: &str) -> Snapshot {
    let defaults = Defaults { mode: Mode::Enforce, today: Date::new(2026, 1, 1).expect("a date") };
    let policies = crate::parse("p", text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    Snapshot::compile(policies, &defaults, &Addresses::default()).expect("it compiles")
}

fn applies(rule: &Rule, op: &OpText) -> bool {
    let peer = number(op.endpoint.peer);
    rule.ports.iter().any(|ports| ports.contains(&op.endpoint.port))
        && ranges(&rule.peers, &Addresses::default())
            .iter()
            .any(|(from, to)| (*from..=*to).contains(&peer))
}

/// What the policy says, entry by entry: denied, allowed, or (none) neither.
fn plainly(snapshot: &Snapshot, op: &OpText, operation: &Operation<'_>) -> Option<List> {
    let rules = snapshot
        .policies()
        .iter()
        .flat_map(|policy| policy.rules(op.endpoint.side).unwrap_or_default())
        .filter(|rule| applies(rule, op));
    let mut verdict = None;
    for rule in rules {
        if rule.deny.iter().any(|e| covers(rule, List::Deny, e, operation).is_ok()) {
            return Some(List::Deny);
        }
        if rule.allow.iter().any(|e| covers(rule, List::Allow, e, operation).is_ok()) {
            verdict = Some(List::Allow);
        }
    }
    verdict
}

fn agree(text: &str, op: &str) -> Result<(), TestCaseError> {
    let snapshot = compile(text);
    let op: OpText = op.parse().map_err(|e| TestCaseError::fail(format!("{op}: {e}")))?;
    let operation = op.op.operation();
    let admission = snapshot.admit(&op.endpoint);
    let decision = snapshot.decide(&admission.rules, &op.endpoint, &operation);
    let fast = match decision {
        Decision::Allowed(_) => Some(List::Allow),
        Decision::Violation(Violation::Denied, _) => Some(List::Deny),
        Decision::Violation(..) => None,
        Decision::Ungoverned => return Err(TestCaseError::fail("ungoverned")),
    };
    prop_assert_eq!(fast, plainly(&snapshot, &op, &operation), "{:?} {:?}\n{}", op, decision, text);
    // The entry that is named is one that covers it.
    if let Decision::Allowed(entry) | Decision::Violation(Violation::Denied, Some(entry)) = decision
    {
        let named = snapshot.describe(entry).expect("an entry of this snapshot");
        let (list, entry) = named.entry.expect("an entry, not a rule");
        prop_assert_eq!(covers(named.rule, list, entry, &operation), Ok(()));
    }
    Ok(())
}

/// One rule: peers, ports, limits, entries.
pub(crate) type Parts = (usize, usize, usize, Vec<String>, Vec<String>);

pub(crate) fn policy(protocol: Protocol, rules: &[Parts]) -> String {
    const PEERS: [&str; 4] = [
        "{any: true}",
        "{cidr: 10.0.0.0/8}",
        "{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}",
        "{cidr: '2001:db8::/32'}",
    ];
    const PORTS: [&str; 4] = ["80", "80, 81", "'79-90'", "81"];
    const HOSTS: [&str; 3] = ["", "hosts: [cart.shop]", "hosts: ['*.shop', '10.9.9.9']"];
    const DATABASES: [&str; 3] = ["", "databases: [0]", "databases: [1, 2]"];
    let mut text = String::from(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: p}\nspec:\n  inbound:\n",
    );
    for (peer, port, limit, allow, deny) in rules {
        let limit = match protocol {
            Protocol::Redis => DATABASES[*limit],
            _ => HOSTS[*limit],
        };
        let lists = [("allow", allow), ("deny", deny)];
        let _ = write!(
            text,
            "  - from: [{}]\n    ports: [{}]\n    protocol: {protocol}\n    {limit}\n",
            PEERS[*peer], PORTS[*port]
        );
        for (name, entries) in lists {
            let _ = writeln!(text, "    {name}:");
            for entry in entries {
                let _ = writeln!(text, "    - {entry}");
            }
        }
    }
    text
}

pub(crate) fn rules(entry: &'static str, deny: &'static str) -> impl Strategy<Value = Vec<Parts>> {
    let part = (
        0usize..4,
        0usize..4,
        0usize..3,
        proptest::collection::vec(entry, 0..12),
        proptest::collection::vec(deny, 0..3),
    );
    proptest::collection::vec(part, 1..4)
}

pub(crate) const PEER: &str =
    "(10\\.0\\.0\\.1|10\\.1\\.0\\.1|192\\.0\\.2\\.1|::ffff:10\\.0\\.0\\.1|2001:db8::1)";

pub(crate) const HTTP_ENTRY: &str =
    "'(GET|POST|\\*) (/(a|b|7|x%2dy|\\{\\}|\\{int\\}|\\{hex\\})){0,4}(/|/a|/\\*)'";
pub(crate) const HTTP_PERMITTING: &str = "('(GET|\\*) (/(a|b|\\{\\}|\\{int\\})){0,3}(/a|/\\*)'|\
    \\{op: '(GET|\\*) (/(a|\\{\\})){0,2}(/a|/\\*)', permit: \\[(dotSegments|encodedSlash|emptySegments, parameters)\\]\\}|\
    \\{op: 'GET (/a){0,2}/\\*', upgrade: websocket, overrideHeaders: \\[X-M\\]\\})";
pub(crate) const HTTP_OP: &str = "(cart\\.shop|CART\\.shop:80|web\\.shop|10\\.9\\.9\\.9|-) (GET|POST) \
    (/(a|b|7|42|%61|x-y|x%2Dy|deadbeef|\\.\\.|\\.|a%2fb|;v|)){1,5}( upgrade=(websocket|h2c))?( override=X-(M|N))?";

pub(crate) const REDIS_ENTRY: &str = "'(GET|DEL|\\*|CONFIG\\|GET|CONFIG\\|\\*|CONFIG|SORT|PSUBSCRIBE|FCALL f|EVALSHA sha1:\\*)\
    ( &?((a|b|\\{\\}|\\{int\\})(:(a|7|\\{\\}|\\{int\\})){0,2}(:|:\\*|)|(a|a:b|)\\*)){0,2}( \\*)?'";
pub(crate) const REDIS_DENY: &str =
    "'((GET|\\*|CONFIG|CONFIG\\|\\*|DEL)( &?(a|\\{int\\})(:a|:\\*)?)?|EVAL)'";
pub(crate) const REDIS_OP: &str = "db(0|1|0,1) (get|GET|DEL|CONFIG|CONFIG\\|get|CONFIG\\|SET|SORT|FLUSHALL|PSUBSCRIBE)\
    ( &?(a|b|7|a\\*|)(:(a|7|x|\\*)){0,3}| \\?){0,3}";

pub(crate) const GRPC_ENTRY: &str = "'(a\\.)?(A|B)/(A|B|7|\\*)'";
pub(crate) const GRPC_OP: &str = "(cart\\.shop|CART\\.shop:80|web\\.shop|10\\.9\\.9\\.9|-) (a\\.)?(A|B|C|x!)/(A|B|7|A/B|\\{int\\}|)";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn http(rules in rules(HTTP_ENTRY, HTTP_ENTRY), peer in PEER, port in 79u16..83, op in HTTP_OP) {
        agree(&policy(Protocol::Http, &rules), &format!("inbound {peer} :{port} http {op}"))?;
    }

    #[test]
    fn http_with_options(
        rules in rules(HTTP_PERMITTING, HTTP_ENTRY), peer in PEER, port in 79u16..83, op in HTTP_OP
    ) {
        agree(&policy(Protocol::Http, &rules), &format!("inbound {peer} :{port} http {op}"))?;
    }

    #[test]
    fn grpc(rules in rules(GRPC_ENTRY, GRPC_ENTRY), peer in PEER, port in 79u16..83, op in GRPC_OP) {
        agree(&policy(Protocol::Grpc, &rules), &format!("inbound {peer} :{port} grpc {op}"))?;
    }

    #[test]
    fn grpc_under_http(
        rules in rules("'(GET|POST|\\*) /((a\\.)?(A|B)|\\{\\})/(A|B|\\{\\}|\\{int\\}|\\*)'", HTTP_ENTRY),
        peer in PEER, port in 79u16..83, op in GRPC_OP
    ) {
        let policy = policy(Protocol::Http, &rules);
        agree(&policy, &format!("inbound {peer} :{port} grpc {op}"))?;
        // It is no other than the request that it is.
        let (host, call) = op.split_once(' ').expect("two words");
        let snapshot = compile(&policy);
        let decided = |op: &str| {
            let op: OpText = op.parse().expect("an operation");
            let rules = snapshot.admit(&op.endpoint).rules;
            snapshot.decide(&rules, &op.endpoint, &op.op.operation())
        };
        prop_assert_eq!(
            decided(&format!("inbound {peer} :{port} grpc {op}")),
            decided(&format!("inbound {peer} :{port} http {host} POST /{call}"))
        );
    }

    #[test]
    fn redis(rules in rules(REDIS_ENTRY, REDIS_DENY), peer in PEER, port in 79u16..83, op in REDIS_OP) {
        agree(&policy(Protocol::Redis, &rules), &format!("inbound {peer} :{port} redis {op}"))?;
    }

    #[test]
    fn tls(
        rules in rules("sni (cart\\.shop|'\\*'|none|web\\.shop)", "sni (none|web\\.shop)"),
        peer in PEER, port in 79u16..83, op in "sni (cart\\.shop|web\\.SHOP\\.|none|x)"
    ) {
        let rules: Vec<Parts> = rules.into_iter().map(|mut rule| {
            let unquoted = |entry: &String| format!("'{}'", entry.replace('\'', ""));
            rule.3 = rule.3.iter().map(unquoted).collect();
            rule
        }).collect();
        agree(&policy(Protocol::Tls, &rules), &format!("inbound {peer} :{port} tls {op}"))?;
    }
}

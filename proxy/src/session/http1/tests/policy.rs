//! Under a policy.

use weir_policy::decide::Mode;
use weir_policy::{Addresses, Date, Defaults, Snapshot, parse};

use super::*;

const POLICY: &str = r#"
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: cart}
spec:
  mode: enforce
  inbound:
  - from: [{any: true}]
    ports: [8080]
    protocol: http
    hosts: [a]
    allow: ["GET /carts/{int}", "POST /carts/{int}", "GET /old", {op: "GET /live", upgrade: websocket}]
    deny: ["GET /carts/13"]
  refusal: answer
"#;

fn governed(judge: bool) -> Driver<Http1> {
    let defaults = Defaults { mode: Mode::Monitor, today: Date::new(2026, 1, 31).unwrap() };
    let policies = parse("cart.yaml", POLICY).unwrap_or_else(|errors| panic!("{errors}"));
    let mut driver = Driver::new(Http1::new());
    driver.policy = Snapshot::compile(policies, &defaults, &Addresses::default()).unwrap();
    driver.admission = driver.policy.admit(&driver.endpoint);
    driver.judge = judge;
    driver
}

/// Each request with what enforce says of it.
fn cases() -> Vec<(String, &'static str)> {
    let with = |method: &str, path: &str, fields: &str| {
        format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}\r\n")
    };
    let upgrade = |token| format!("Connection: upgrade\r\nUpgrade: {token}\r\n");
    vec![
        (with("GET", "/carts/7?x=/evil", ""), "entry"),
        (with("GET", "http://a/carts/7", ""), "entry"),
        (with("GET", "/admin", ""), "not_allowed"),
        (with("DELETE", "/carts/7", ""), "not_allowed"),
        (with("get", "/carts/7", ""), "not_allowed"),
        (with("GET", "/carts/13", ""), "denied"),
        (with("GET", "/carts/%2e%2e/admin", ""), "ambiguous_path"),
        (with("GET", "/carts/7", "X-HTTP-Method-Override: DELETE\r\n"), "override_header"),
        (with("GET", "/carts/7", "").replace("Host: a", "Host: b"), "host_not_allowed"),
        (with("OPTIONS", "*", ""), "not_allowed"),
        (with("GET", "/old", &upgrade("websocket")), "upgrade_not_permitted"),
        (with("GET", "/live", &upgrade("h2c")), "upgrade_not_permitted"),
        (with("GET", "/live", &upgrade("websocket, h2c")), "upgrade_not_permitted"),
        (with("GET", "/live", "Upgrade: h2c\r\n"), "upgrade_not_permitted"),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "not_allowed"),
    ]
}

#[test]
fn each_operation_is_judged_alone() {
    let mut driver = governed(true);
    for (request, reason) in cases() {
        let (before, answered) = (driver.to_server(), driver.to_client());
        driver.client(&request);
        if reason == "entry" {
            assert_eq!(driver.to_server(), before + &request);
            driver.server(OK);
            assert_eq!(driver.to_client(), answered + OK);
        } else {
            assert_eq!(driver.to_server(), before, "{request}");
            assert!(driver.to_client().starts_with(&format!("{answered}HTTP/1.1 403 ")));
        }
        let record = driver.records.ended.last().unwrap();
        assert_eq!(record.reason.label(), reason, "{request}");
        let expected = if reason == "entry" { Verdict::Allowed } else { Verdict::Refused };
        assert_eq!(record.verdict, expected);
    }
    assert_eq!(driver.ended, Ended::default());
}

#[test]
fn monitor_says_what_enforce_would_do() {
    let mut driver = governed(false);
    let mut all = String::new();
    for (request, reason) in cases() {
        driver.client(&request);
        driver
            .server(OK.replace("200", if request.starts_with("CONNECT") { "403" } else { "200" }));
        let record = driver.records.ended.last().unwrap();
        assert_eq!(record.reason.label(), reason, "{request}");
        let expected = if reason == "entry" { Verdict::Allowed } else { Verdict::WouldRefuse };
        assert_eq!(record.verdict, expected);
        all += &request;
    }
    assert_eq!(driver.to_server(), all);
    assert!(!driver.opaque);
}

#[test]
fn a_permitted_websocket_passes() {
    let mut driver = governed(true);
    driver.client(
        "GET /live HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n",
    );
    driver.server("HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nframe");
    assert!(driver.opaque && driver.to_client().ends_with("frame"));
    let started = driver.records.started[0].clone();
    assert_eq!((started.verdict, started.entry.is_some()), (Verdict::Unread, true));
}

#[test]
fn a_changed_policy_reaches_the_next_operation() {
    let mut driver = governed(true);
    driver.client(get("/carts/1"));
    driver.server(OK);
    let changed = POLICY.replace("\"GET /carts/{int}\", ", "");
    let defaults = Defaults { mode: Mode::Monitor, today: Date::new(2026, 1, 31).unwrap() };
    driver.policy =
        Snapshot::compile(parse("p", &changed).unwrap(), &defaults, &Addresses::default()).unwrap();
    driver.admission = driver.policy.admit(&driver.endpoint);
    driver.client(get("/carts/1"));
    assert!(driver.to_client().contains("403 Forbidden"));
}

//! Under a policy.

use weir_policy::decide::{Mode, Violation};
use weir_policy::{Addresses, Date, Defaults, Snapshot, parse};

use super::*;

/// `return 1`
const DIGEST: &str = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";

const POLICY: &str = r#"
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: cart}
spec:
  mode: enforce
  inbound:
  - from: [{any: true}]
    ports: [8080]
    protocol: redis
    databases: [0, 1]
    allow:
    - "GET cart:{int}"
    - "SET cart:{int}"
    - "MSET cart:{int} item:{int}"
    - "COPY cart:{int}"
    - "DEL cart:{int}"
    - "DEL item:{int}"
    - "UNLINK cart:{int} item:{int}"
    - "EVAL sha1:DIGEST cart:{int}"
    - "EVALSHA sha1:DIGEST cart:{int}"
    - "SUBSCRIBE &news.*"
    - "PUBLISH &news.*"
    - "CONFIG|GET"
    - "CLIENT|REPLY"
    - "SORT *"
    - SELECT
    - PING
    - MULTI
    - EXEC
    deny: ["SET cart:13"]
  refusal: answer
"#;

fn governed(judge: bool) -> Driver<Redis> {
    let defaults = Defaults { mode: Mode::Monitor, today: Date::new(2026, 1, 31).unwrap() };
    let policies = parse("cart.yaml", &POLICY.replace("DIGEST", DIGEST))
        .unwrap_or_else(|errors| panic!("{errors}"));
    let mut driver = driver(Refusal::Answer);
    driver.policy = Snapshot::compile(policies, &defaults, &Addresses::default()).unwrap();
    driver.admission = driver.policy.admit(&driver.endpoint);
    driver.judge = judge;
    driver
}

/// Each command with what enforce says of it.
fn cases() -> Vec<(String, &'static str)> {
    let big = "v".repeat(1 << 17);
    let cases = [
        ("GET cart:7", "entry"),
        ("get cart:7", "entry"),
        ("GET cart:x", "not_allowed"),
        ("GET item:7", "not_allowed"),
        ("GET", "not_allowed"),
        ("SET cart:7 item:7", "entry"),
        ("SET cart:13 v", "denied"),
        ("MSET cart:1 v item:2 v", "entry"),
        ("MSET cart:1 v item:2 v other:3 v", "not_allowed"),
        ("COPY cart:1 cart:2", "entry"),
        ("COPY cart:1 cart:2 DB 1", "entry"),
        ("COPY cart:1 cart:2 DB 5", "database_not_allowed"),
        ("MOVE cart:1 1", "not_allowed"),
        ("SELECT 1", "entry"),
        ("SELECT 2", "database_not_allowed"),
        ("EVAL \"return 1\" 1 cart:1", "entry"),
        ("EVAL \"return 1\" 1 item:1", "not_allowed"),
        ("EVAL \"return 2\" 1 cart:1", "not_allowed"),
        ("EVALSHA E0E1F9FABFC9D4800C877A703B823AC0578FF8DB 0", "entry"),
        ("EVALSHA 0000000000000000000000000000000000000000 0", "not_allowed"),
        ("SUBSCRIBE news.a news.b", "entry"),
        ("SUBSCRIBE news.a secret", "not_allowed"),
        ("PUBLISH news.a x", "entry"),
        ("PUBLISH secret x", "not_allowed"),
        ("CONFIG GET maxmemory", "entry"),
        ("config get maxmemory", "entry"),
        ("CONFIG SET dir /tmp", "not_allowed"),
        ("CONFIG NOSUCH", "not_allowed"),
        ("CONFIG", "not_allowed"),
        ("SORT any BY other", "entry"),
        ("SORT_RO any", "not_allowed"),
        ("KEYS *", "not_allowed"),
        ("NOSUCH cart:7", "not_allowed"),
        ("FLUSHALL", "not_allowed"),
    ];
    let big_cases = [
        (format!("SET cart:7 {big}"), "entry"),
        (format!("SET cart:x {big}"), "not_allowed"),
        (format!("SET cart:13 {big}"), "denied"),
        (format!("MSET cart:1 {big} item:2 v"), "entry"),
        (format!("MSET cart:1 {big} other:2 v"), "not_allowed"),
        (format!("EVAL {big} 1 cart:1"), "not_allowed"),
        (format!("CONFIG SET dir {big}"), "not_allowed"),
        (format!("SORT any BY {big}"), "entry"),
        (format!("NOSUCH {big}"), "not_allowed"),
        (format!("GET {big}"), "judging_bytes"),
        (format!("DEL {}", "cart:1 ".repeat(20_000)), "entry"),
        (format!("DEL {}", "item:1 ".repeat(20_000)), "entry"),
        (format!("DEL {} item:1", "cart:1 ".repeat(20_000)), "not_allowed"),
        (format!("DEL {} other", "cart:1 ".repeat(20_000)), "not_allowed"),
        (format!("UNLINK {} {}", "cart:1 ".repeat(20_000), "item:1 ".repeat(20_000)), "entry"),
    ];
    let cases = cases.map(|(line, reason)| (line.to_owned(), reason));
    cases.into_iter().chain(big_cases).map(|(line, reason)| (resp(&line), reason)).collect()
}

#[test]
fn each_command_is_judged_alone() {
    for (command, reason) in cases() {
        for judge in [true, false] {
            for step in [1, 7, command.len()] {
                // A byte at a time through a big value tells nothing more.
                let step = if command.len() > 100_000 { step.max(1000) } else { step };
                let mut d = governed(judge);
                command.as_bytes().chunks(step).for_each(|chunk| d.client(chunk));
                let head = &command[..command.len().min(60)];
                let allowed = reason == "entry";
                if judge && !allowed {
                    assert_ne!(d.to_server(), command, "{head}");
                } else {
                    assert_eq!(d.to_server(), command, "{head}");
                }
                let records = d.close();
                assert_eq!(records.len(), 1, "{head}");
                assert_eq!(records[0].reason.label(), reason, "{head}");
                let against = if judge { Verdict::Refused } else { Verdict::WouldRefuse };
                let verdict = if allowed { Verdict::Allowed } else { against };
                assert_eq!(records[0].verdict, verdict, "{head}");
            }
        }
    }
}

#[test]
fn the_database_is_judged_before_it_is_certain() {
    // Unanswered, SELECT 2 would be possible; it is refused, and nothing changes.
    let mut d = governed(true);
    d.client(resp("SELECT 2;GET cart:1"));
    assert_eq!(d.to_server(), format!("{SUBSTITUTE}{}", resp("GET cart:1")));
    // Observing, the command behind it may run there.
    let mut d = governed(false);
    d.client(resp("SELECT 2;GET cart:1"));
    d.server("+OK\r\n");
    d.client(resp("SELECT 1;GET cart:1"));
    d.server("$-1\r\n+OK\r\n$-1\r\n");
    let reasons = reasons(d.close());
    let outside = Reason::Policy(Violation::DatabaseNotAllowed);
    assert_eq!(reasons[..2], [outside; 2]);
    d = governed(false);
    d.client(resp("SELECT 2"));
    d.server("-ERR out of range\r\n");
    d.client(resp("GET cart:1"));
    d.server("$-1\r\n");
    assert_eq!(d.close()[1].reason, Reason::Entry);
}

#[test]
fn a_changed_policy_reaches_the_next_command() {
    let mut d = governed(true);
    d.client(resp("GET cart:1"));
    d.server("$-1\r\n");
    d.policy = Snapshot::default();
    d.admission = d.policy.admit(&d.endpoint);
    d.client(resp("FLUSHALL"));
    d.server("+OK\r\n");
    let fresh = governed(true);
    (d.policy, d.admission) = (fresh.policy, fresh.admission);
    d.client(resp("FLUSHALL"));
    assert!(d.to_server().ends_with(SUBSTITUTE));
    let reasons: Vec<_> = d.close().iter().map(|r| r.reason.label()).collect();
    assert_eq!(reasons, ["entry", "ungoverned", "not_allowed"]);
}

/// The client's own sidecar refuses by the server's error, and the server's sidecar is between.
#[test]
fn a_refusal_of_another_sidecar_is_left_to_the_server() {
    let mut d = governed(true);
    d.client(format!("{SUBSTITUTE}{}", resp("GET cart:7")));
    assert_eq!(d.to_server(), format!("{SUBSTITUTE}{}", resp("GET cart:7")));
    d.server(format!("{UNKNOWN}$-1\r\n"));
    assert_eq!(d.to_client(), format!("{UNKNOWN}$-1\r\n"));
    let records = d.close();
    assert_eq!(reasons(records), [Reason::Substitute, Reason::Entry]);
    assert_eq!(records[0].verdict, Verdict::Allowed);
    // What only looks like it is a command like any other.
    for other in ["weir-0123456789abcdef x", "weir-0123456789abcde", "weir-0123456789abcdeF"] {
        let mut d = governed(true);
        d.client(resp(other));
        assert_eq!(d.to_server(), SUBSTITUTE, "{other}");
    }
}

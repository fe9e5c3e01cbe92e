//! What deciding costs: admitting the peer, and deciding on host, method and path (or command
//! and keys) among ten thousand entries. The goal for a parsed HTTP request is 300 ns.

use std::fmt::Write;
use std::hint::black_box;

use criterion::Criterion;
use weir_policy::decide::{Decision, Mode};
use weir_policy::text::OpText;
use weir_policy::{Addresses, Date, Defaults, Snapshot, parse};

const ENTRIES: usize = 10_000;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let snapshot = compile(&policy());
    http(&mut criterion, &snapshot);
    redis(&mut criterion, &snapshot);
    reload(&mut criterion);
    criterion.final_summary();
}

/// Two hundred prefixes, three hosts, and the entries in four forms.
fn policy() -> String {
    let mut text = String::from(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: many}\nspec:\n  inbound:\n",
    );
    text.push_str("  - from:\n");
    for i in 0..200 {
        let _ = writeln!(text, "    - {{cidr: 10.{i}.0.0/16, except: [10.{i}.7.0/24]}}");
    }
    text.push_str("    ports: [8080]\n    protocol: http\n");
    text.push_str("    hosts: [cart.shop, '*.cart.shop', cart]\n    allow:\n");
    for i in 0..ENTRIES / 4 {
        let _ = writeln!(text, "    - 'GET /api/v1/service{i}/carts/{{int}}/items'");
        let _ = writeln!(text, "    - 'POST /api/v1/service{i}/carts/{{int}}/items/{{uuid}}'");
        let _ = writeln!(text, "    - 'GET /static/{i}/*'");
        let _ = writeln!(text, "    - 'DELETE /api/v2/{{}}/thing{i}'");
    }
    text.push_str("    deny: ['* /api/v1/{}/admin/*']\n");
    text.push_str("  - from: [{any: true}]\n    ports: [6379]\n    protocol: redis\n    allow:\n");
    for i in 0..ENTRIES / 2 {
        let _ = writeln!(text, "    - 'GET service{i}:cart:{{int}}'");
        let _ = writeln!(text, "    - 'SET service{i}:cart:{{int}} other:*'");
    }
    text.push_str("    deny: ['CONFIG|*', 'DEL secret:*']\n");
    text
}

fn compile(text: &str) -> Snapshot {
    let Ok(today) = Date::new(2026, 1, 1) else { return Snapshot::default() };
    let defaults = Defaults { mode: Mode::Enforce, today };
    parse("bench.yaml", text)
        .and_then(|policies| Snapshot::compile(policies, &defaults, &Addresses::default()))
        .unwrap_or_default()
}

/// Admits and decides; a wrong decision would be fast for the wrong reason.
fn measure(criterion: &mut Criterion, name: &str, snapshot: &Snapshot, op: &str, allowed: bool) {
    let Ok(op) = op.parse::<OpText>() else { return };
    let operation = op.op.operation();
    let decide = || {
        let admission = snapshot.admit(black_box(&op.endpoint));
        snapshot.decide(&admission.rules, &op.endpoint, black_box(&operation))
    };
    assert_eq!(matches!(decide(), Decision::Allowed(_)), allowed, "{name}: {:?}", decide());
    criterion.bench_function(name, |bencher| bencher.iter(decide));
}

fn http(criterion: &mut Criterion, snapshot: &Snapshot) {
    let mut go = |name: &str, rest: &str, allowed| {
        let op = format!("inbound 10.77.1.2 :8080 http {rest}");
        measure(criterion, &format!("policy/http/{name}"), snapshot, &op, allowed);
    };
    go("short", "cart.shop GET /static/7/a", true);
    go("class", "cart.shop:8080 GET /api/v1/service1234/carts/42/items", true);
    let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
    go("uuid", &format!("a.cart.shop POST /api/v1/service99/carts/42/items/{uuid}"), true);
    go("escaped", "cart.shop GET /api/v1/service1234/carts/42/%69tems", true);
    go("refused", "cart.shop GET /api/v1/service1234/carts/42/other", false);
    go("denied", "cart.shop GET /api/v1/service1234/admin/x", false);
    go("traversal", "cart.shop GET /static/7/..%2f..%2fetc/passwd", false);
}

fn redis(criterion: &mut Criterion, snapshot: &Snapshot) {
    let mut go = |name: &str, rest: &str, allowed| {
        let op = format!("inbound 10.77.1.2 :6379 redis db0 {rest}");
        measure(criterion, &format!("policy/redis/{name}"), snapshot, &op, allowed);
    };
    go("get", "GET service1234:cart:42", true);
    go("two_keys", "SET service1234:cart:42 other:x", true);
    go("refused", "GET service1234:basket:42", false);
    go("denied", "CONFIG|SET", false);
}

/// Off the data path; here so that a reload of a large file stays a matter of milliseconds.
fn reload(criterion: &mut Criterion) {
    let text = policy();
    let mut group = criterion.benchmark_group("policy/reload");
    group.sample_size(10);
    group.bench_function("parse_and_compile", |bencher| bencher.iter(|| compile(&text)));
    group.finish();
}

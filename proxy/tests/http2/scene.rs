//! The ways from a client to a server, and policies for them.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::support::Weir;

/// How long one way of a scenario may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(18);

/// What policies allow of [`crate::web`]: all but `/private`.
pub(crate) const WEB: &str = "['GET /ok', 'HEAD /ok', 'GET /ok/*', 'POST /ok/*', 'POST /echo', \
    'POST /echo/*', 'POST /hold/*', 'GET /hold/*', 'GET /bytes/{int}', 'GET /status/{int}', \
    'GET /trailers/{int}']";
/// What policies allow of [`crate::echo`]: all but `Admin`.
pub(crate) const ECHO: &str = "[weir.test.Echo/Unary, weir.test.Echo/ServerStream, \
    weir.test.Echo/ClientStream, weir.test.Echo/Bidi, weir.test.Echo/Fail, \
    weir.test.Echo/BigTrailers, weir.test.Echo/Slow]";

/// A policy for a server, with further lines for the spec: `refusal: close`.
pub(crate) fn policy(
    mode: &str,
    protocol: &str,
    allow: &str,
    at: SocketAddr,
    more: &str,
) -> String {
    format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: t}}\nspec:\n\
         \x20 mode: {mode}\n{more}  inbound:\n  - from: [{{any: true}}]\n    ports: [{}]\n\
         \x20   protocol: {protocol}\n    allow: {allow}\n",
        at.port()
    )
}

/// A sidecar that enforces a web server's policy.
pub(crate) fn guard_web(at: SocketAddr) -> Weir {
    Weir::start("monitor", &policy("enforce", "http", WEB, at, ""), at)
}

/// A sidecar that enforces the echo service's policy.
pub(crate) fn guard_echo(at: SocketAddr) -> Weir {
    Weir::start("monitor", &policy("enforce", "grpc", ECHO, at, ""), at)
}

/// The same with as many refusals as one likes.
pub(crate) fn guard_patiently(protocol: &str, allow: &str, at: SocketAddr) -> Weir {
    let policy = policy("enforce", protocol, allow, at, "");
    Weir::start_with("monitor", &policy, &[at], &["--limit", "http2-refusals=1000000"])
}

/// The ways that scenarios go: directly, through a sidecar that observes, and through one that
/// judges; or what `HTTP2_WAYS` has of them, with commas.
pub(crate) fn ways() -> Vec<String> {
    let ways = std::env::var("HTTP2_WAYS").unwrap_or_else(|_| "direct,monitor,enforce".to_owned());
    ways.split(',').map(str::to_owned).collect()
}

/// The sidecar that a way has, before this server.
pub(crate) fn guard(way: &str, protocol: &str, server: SocketAddr) -> Option<Weir> {
    eprintln!("way: {way}");
    let allow = if protocol == "http" { WEB } else { ECHO };
    let policy = policy(way, protocol, allow, server, "");
    (way != "direct").then(|| Weir::start("learn", &policy, server))
}

/// Runs a scenario of which nothing is refused each way.
pub(crate) fn each_way<F: Future<Output = ()>>(
    protocol: &str,
    server: SocketAddr,
    scenario: impl Fn(SocketAddr) -> F,
) {
    for way in ways() {
        let weir = guard(&way, protocol, server);
        run(scenario(weir.as_ref().map_or(server, Weir::at)));
        if let Some(weir) = weir {
            weir.record("read", |r| r["verdict"] == "allowed");
            let blamed = not_allowed(&weir);
            assert!(blamed.is_empty(), "{way}: {blamed:#?}\n{}", weir.stderr());
        }
    }
}

/// The record of a refusal whose id is in this text.
pub(crate) fn logged(weir: &Weir, text: &str) -> Value {
    weir.record(text, |record| {
        let named = record["id"].as_str().is_some_and(|id| text.contains(id));
        named && record["verdict"] == "refused"
    })
}

/// The records of what was refused, would be, or was not read.
pub(crate) fn not_allowed(weir: &Weir) -> Vec<Value> {
    let mut records = weir.records();
    records.retain(|record| record["verdict"] != "allowed");
    records
}

/// Runs this to its end, within the deadline.
pub(crate) fn run<F: Future>(work: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(DEADLINE, work).await.expect("in time") })
}

/// Runs a server in a thread of its own: its future is made there from a listener.
pub(crate) fn in_thread<F: Future<Output = ()>>(
    serve: impl FnOnce(tokio::net::TcpListener) -> F + Send + 'static,
) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime
            .block_on(async { serve(tokio::net::TcpListener::from_std(listener).unwrap()).await });
    });
    at
}

/// Bytes of no regularity that a mistake would keep, different for each seed.
pub(crate) fn noise(seed: u64, length: usize) -> bytes::Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut all = Vec::with_capacity(length + 8);
    while all.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        all.extend_from_slice(&state.to_le_bytes());
    }
    all.truncate(length);
    all.into()
}

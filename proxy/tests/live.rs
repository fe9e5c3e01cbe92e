//! Policy and mode change under live connections.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use support::{Weir, read_all, read_until, serve};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An HTTP server that answers every read with one answer, or switches protocols and echoes.
fn server() -> SocketAddr {
    serve(|mut stream| {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = stream.read(&mut chunk) {
            let text = String::from_utf8_lossy(&chunk[..n]).into_owned();
            if text.contains("Upgrade: websocket") {
                let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
                stream.write_all(switched.as_bytes()).unwrap();
            } else if text.starts_with("GET ") {
                stream.write_all(ANSWER).unwrap();
            } else {
                stream.write_all(&chunk[..n]).unwrap();
            }
        }
    })
}

fn policy(mode: &str, upstream: SocketAddr, allow: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: t}}\nspec:\n{mode}\
         \x20 inbound:\n  - from: [{{any: true}}]\n    ports: [{}]\n    protocol: http\n    allow: {allow}\n",
        upstream.port()
    )
}

fn get(stream: &mut TcpStream, path: &str) -> bool {
    // In one piece: the server answers every read.
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: shop\r\n\r\n").as_bytes()).unwrap();
    let head = read_until(stream, b"\r\n\r\n");
    if head.starts_with(b"HTTP/1.1 200") {
        stream.read_exact(&mut [0; 2]).unwrap();
        return true;
    }
    assert!(head.starts_with(b"HTTP/1.1 403"), "{}", head.escape_ascii());
    false
}

#[test]
fn a_changed_policy_reaches_the_next_operation_of_a_live_connection() {
    let upstream = server();
    let weir = Weir::start("enforce", &policy("", upstream, "['GET /a', 'GET /b']"), upstream);
    let mut stream = weir.connect();
    assert!(get(&mut stream, "/a"));
    assert!(get(&mut stream, "/b"));
    weir.reload(&policy("", upstream, "['GET /a']"));
    assert!(get(&mut stream, "/a"));
    assert!(!get(&mut stream, "/b"));
}

#[test]
fn a_connection_that_the_new_policy_forbids_is_closed() {
    let upstream = server();
    let weir = Weir::start("enforce", &policy("", upstream, "['GET /a']"), upstream);
    let mut stream = weir.connect();
    assert!(get(&mut stream, "/a"));
    let elsewhere = policy("", upstream, "['GET /a']").replace("{any: true}", "{cidr: 10.0.0.0/8}");
    weir.reload(&elsewhere);
    assert_eq!(read_all(&mut stream), b"", "an idle connection ends");
    let record = weir.record("recorded", |record| record["verdict"] == "refused");
    assert_eq!(record["reason"], "no_rule");
}

#[test]
fn a_silent_connection_speaks_what_the_new_policy_requires() {
    let upstream = server();
    let first = policy("", upstream, "['GET /a']");
    let open = first.replace("    protocol: http\n    allow: ['GET /a']\n", "");
    let weir = Weir::start("enforce", &open, upstream);
    let mut stream = weir.connect();
    weir.until("accepted", || weir.metric("weir_connections_open") == 1.0);
    weir.reload(&first);
    assert!(get(&mut stream, "/a"));
    assert!(!get(&mut stream, "/b"));
}

#[test]
fn a_bad_file_leaves_the_policy_in_force_and_says_so() {
    let upstream = server();
    let weir = Weir::start("enforce", &policy("", upstream, "['GET /a']"), upstream);
    let mut stream = weir.connect();
    std::fs::write(weir.dir().join("policy.yaml"), "spec:\n  mode: strict\n").unwrap();
    weir.signal("HUP");
    weir.until("said", || weir.stderr().contains("policy.yaml:"));
    assert!(weir.metric("weir_policy_reloads_total failure") > 0.0);
    assert!(get(&mut stream, "/a"));
    assert!(!get(&mut stream, "/b"));
}

#[test]
fn what_a_policy_says_and_a_forward_does_not_do_is_said() {
    let upstream = server();
    let text = policy("", upstream, "['GET /a']")
        + "  outbound:\n  - {to: [{host: redis.shop.svc}], ports: [6379], protocol: redis, allow: [PING]}\n";
    let weir = Weir::start("enforce", &text, upstream);
    assert!(weir.stderr().contains("`outbound` is not enforced"), "{}", weir.stderr());
    assert!(weir.stderr().contains("redis.shop.svc"), "{}", weir.stderr());
}

#[test]
fn an_upgraded_connection_lives_as_long_as_the_policy_permits_it() {
    let upstream = server();
    let permits = "[{op: 'GET /ws', upgrade: websocket}]";
    let weir = Weir::start("enforce", &policy("", upstream, permits), upstream);
    let mut stream = weir.connect();
    let request =
        "GET /ws HTTP/1.1\r\nHost: shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    assert!(read_until(&mut stream, b"\r\n\r\n").starts_with(b"HTTP/1.1 101"));
    let echo = |stream: &mut TcpStream| {
        stream.write_all(b"ping").unwrap();
        let mut back = [0; 4];
        stream.read_exact(&mut back).map(|()| back == *b"ping").unwrap_or(false)
    };
    assert!(echo(&mut stream));
    weir.reload(&policy("", upstream, "['GET /other', {op: 'GET /ws', upgrade: websocket}]"));
    assert!(echo(&mut stream), "a reload that permits it leaves it alone");
    weir.reload(&policy("", upstream, "['GET /other']"));
    assert_eq!(read_all(&mut stream), b"");
    let cut =
        weir.record("recorded", |record| record["op"] == "GET /ws" && record["phase"].is_null());
    assert_eq!(cut["complete"], false);
}

fn mode(weir: &Weir, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .arg("mode")
        .arg("--socket")
        .arg(weir.dir().join("weir.sock"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_live_mode_goes_before_all_others_and_ends_with_its_time() {
    let upstream = server();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("weir.sock");
    let text = policy("  mode: enforce\n", upstream, "['GET /a']");
    let socket_flag = ["--socket", socket.to_str().unwrap()];
    let weir = Weir::start_with("learn", &text, &[upstream], &socket_flag);
    std::os::unix::fs::symlink(&socket, weir.dir().join("weir.sock")).unwrap();
    // Refused in the middle of a keep-alive connection, and answered on.
    let mut stream = weir.connect();
    assert!(get(&mut stream, "/a"));
    mode(&weir, &["monitor", "--for", "3s", "--reason", "a test"]);
    assert!(get(&mut stream, "/b"), "monitor lets it pass");
    assert!(mode(&weir, &["show"]).contains("monitor"));
    weir.record("recorded", |record| record["verdict"] == "would-refuse");
    weir.until("over", || !mode(&weir, &["show"]).contains("monitor"));
    assert!(!get(&mut stream, "/b"), "enforce is back");
}

#[test]
fn a_request_that_was_half_forwarded_when_enforcing_began_is_cut() {
    let (upstream_told, got) = std::sync::mpsc::channel();
    let upstream = serve(move |mut stream| {
        let _ = upstream_told.send(read_all(&mut stream));
    });
    let weir = Weir::start("monitor", &policy("", upstream, "['GET /a']"), upstream);
    let mut stream = weir.connect();
    stream.write_all(b"GET /forbidden HTTP/1.1\r\n").unwrap();
    weir.until("observed", || weir.metric("weir_bytes_total client received") >= 25.0);
    weir.reload(&policy("  mode: enforce\n", upstream, "['GET /a']"));
    stream.write_all(b"Host: shop\r\n\r\n").unwrap();
    let answer = read_all(&mut stream);
    assert!(answer.starts_with(b"HTTP/1.1 403"), "{}", answer.escape_ascii());
    let got = got.recv_timeout(support::PATIENCE).unwrap();
    assert_eq!(got, b"GET /forbidden HTTP/1.1\r\n", "the server saw no whole request");
}

//! TLS that is not terminated, judged by its server name: curl through a sidecar.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::Read;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use support::{Weir, program, serve};

/// A server that tells the first bytes of each connection, and ends it.
fn server() -> (SocketAddr, Receiver<Vec<u8>>) {
    let (told, got) = channel();
    let at = serve(move |mut stream| {
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).unwrap_or(0);
        let _ = told.send(chunk[..n].to_vec());
    });
    (at, got)
}

fn policy(upstream: SocketAddr, rest: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: t}}\nspec:\n\
         \x20 mode: enforce\n  inbound:\n  - from: [{{any: true}}]\n    ports: [{}]\n{rest}",
        upstream.port()
    )
}

/// What curl says of `https://{name}/` through the sidecar.
fn curl(weir: &Weir, name: &str) -> Option<String> {
    let to = format!("{name}:443:127.0.0.1:{}", weir.at().port());
    let output = Command::new(program("curl")?)
        .args(["-sS", "-k", "-m", "10", "--connect-to", &to, &format!("https://{name}/")])
        .output()
        .unwrap();
    Some(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_server_name_outside_the_policy_gets_an_alert_and_reaches_nobody() {
    let (upstream, got) = server();
    let rule = "    protocol: tls\n    allow: ['sni allowed.test']\n";
    let weir = Weir::start("learn", &policy(upstream, rule), upstream);
    let Some(said) = curl(&weir, "forbidden.test") else { return };
    assert!(said.contains("access denied"), "{said}");
    let record = weir.record("logged", |record| record["verdict"] == "refused");
    assert_eq!(record["protocol"], "tls");
    // The server was dialled, as it might have spoken first, and heard nothing.
    assert_eq!(got.recv_timeout(support::PATIENCE).unwrap(), b"");

    curl(&weir, "allowed.test");
    let hello = got.recv_timeout(support::PATIENCE).unwrap();
    assert_eq!(hello.first(), Some(&0x16), "a ClientHello passes as it came");
    weir.record("logged", |record| record["verdict"] == "allowed" && record["protocol"] == "tls");
}

#[test]
fn encrypted_bytes_pass_only_where_the_policy_lets_them_pass_unread() {
    let (upstream, got) = server();
    let weir = Weir::start("learn", &policy(upstream, ""), upstream);
    let Some(said) = curl(&weir, "any.test") else { return };
    assert!(said.contains("access denied"), "{said}");
    assert_eq!(got.recv_timeout(support::PATIENCE).unwrap(), b"");
    let record = weir.record("logged", |record| record["verdict"] == "refused");
    assert_eq!(record["reason"], "encrypted");

    weir.reload(
        &policy(upstream, "").replace("  inbound", "  unread: {encrypted: allow}\n  inbound"),
    );
    curl(&weir, "any.test");
    assert_eq!(got.recv_timeout(support::PATIENCE).unwrap().first(), Some(&0x16));
    weir.record("logged", |record| record["verdict"] == "unread");
}

#[test]
fn what_is_not_tls_is_refused_where_tls_is_required() {
    let (upstream, got) = server();
    let rule = "    protocol: tls\n    allow: ['sni allowed.test']\n";
    let weir = Weir::start("learn", &policy(upstream, rule), upstream);
    let mut stream = weir.connect();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: allowed.test\r\n\r\n")
        .unwrap();
    assert_eq!(support::read_all(&mut stream), b"");
    assert_eq!(got.recv_timeout(support::PATIENCE).unwrap(), b"");
    let record = weir.record("logged", |record| record["verdict"] == "refused");
    assert_eq!(record["reason"], "http");
}

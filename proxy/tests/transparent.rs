//! The transparent sidecar in pods of its own, behind the real redirect.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use serde_json::Value;
use support::netns::{Families, Network, Pod};
use support::{PATIENCE, Weir, read_all, read_until};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const REQUEST: &[u8] = b"GET /carts/7 HTTP/1.1\r\nHost: cart.shop\r\n\r\n";

/// A web server of the pod that answers each request, and tells who connects.
fn web(pod: &Pod, port: u16) -> mpsc::Receiver<IpAddr> {
    let (told, clients) = mpsc::channel();
    pod.serve(port, move |mut stream| {
        let _ = told.send(stream.peer_addr().unwrap().ip().to_canonical());
        let mut chunk = [0; 4096];
        while let Ok(1..) = stream.read(&mut chunk) {
            if stream.write_all(ANSWER).is_err() {
                break;
            }
        }
    });
    clients
}

/// Asks over a connection from `pod`, and answers the connection's own address.
fn ask(pod: &Pod, to: SocketAddr) -> SocketAddr {
    let mut stream = pod.connect(to);
    stream.write_all(REQUEST).unwrap();
    assert_eq!(read_until(&mut stream, ANSWER), ANSWER, "{to}");
    stream.local_addr().unwrap()
}

/// Connects from `pod`, and has to be reset without having got anything.
fn is_reset(pod: &Pod, to: SocketAddr) {
    // The handshake succeeds always, but the reset may come before anyone has looked.
    let read = pod.try_connect(to).and_then(|mut stream| {
        stream.write_all(REQUEST)?;
        stream.read(&mut [0; 16])
    });
    let kind = read.expect_err("an answer").kind();
    let reset = [std::io::ErrorKind::ConnectionReset, std::io::ErrorKind::BrokenPipe];
    assert!(reset.contains(&kind), "{to}: {kind}");
}

fn refused_as(weir: &Weir, kind: &str) -> f64 {
    weir.metric(&format!("weir_refusals_total verdict=\"refused\" kind=\"{kind}\""))
}

fn from(client: SocketAddr) -> impl Fn(&Value) -> bool {
    move |record| record["client"] == client.to_string()
}

#[test]
fn both_sides_and_both_families_are_taken() {
    let Some(network) = Network::new() else { return };
    let (pod, peer) = (network.pod(), network.pod());
    let (own_clients, peer_clients) = (web(&pod, 8080), web(&peer, 9090));
    let weir = pod.guarded("");
    for (to, expected) in
        [(pod.at(8080), IpAddr::from(pod.v4)), (pod.at6(8080), IpAddr::from(pod.v6))]
    {
        let client = ask(&peer, to);
        let seen = own_clients.recv_timeout(PATIENCE).unwrap();
        assert_eq!(seen, expected, "the application's client is the pod's own address");
        let record = weir.record("inbound", from(client));
        assert_eq!(record["side"], "inbound");
        assert_eq!(record["server"], to.to_string());
        assert_eq!(record["port"], 8080);
        assert_eq!(record["peer"], client.ip().to_string());
        assert_eq!(record["op"], "GET /carts/{int}");
    }
    for (to, pod_address) in
        [(peer.at(9090), IpAddr::from(pod.v4)), (peer.at6(9090), IpAddr::from(pod.v6))]
    {
        let client = ask(&pod, to);
        assert_eq!(peer_clients.recv_timeout(PATIENCE).unwrap(), pod_address);
        let record = weir.record("outbound", from(client));
        assert_eq!(record["side"], "outbound");
        assert_eq!(client.ip(), pod_address);
        assert_eq!(record["server"], to.to_string());
        assert_eq!(record["peer"], to.ip().to_string());
        assert_eq!(record["port"], 9090);
    }
    // What the pod says to itself is outbound alone.
    let client = ask(&pod, pod.at(8080));
    own_clients.recv_timeout(PATIENCE).unwrap();
    assert_eq!(weir.record("to itself", from(client))["side"], "outbound");
    let closed = |side: &str| {
        weir.metric(&format!("weir_connections_total side=\"{side}\" outcome=\"closed\""))
    };
    weir.until("closed", || closed("inbound") == 2.0 && closed("outbound") == 3.0);
    // Loopback is nobody's business.
    ask(&pod, (Ipv4Addr::LOCALHOST, 8080).into());
    assert_eq!(own_clients.recv_timeout(PATIENCE).unwrap(), IpAddr::from(Ipv4Addr::LOCALHOST));
    assert_eq!(closed("inbound") + closed("outbound"), 5.0);
}

#[test]
fn what_dials_weir_itself_is_refused() {
    let Some(network) = Network::new() else { return };
    let (pod, peer) = (network.pod(), network.pod());
    let weir = pod.guarded("");
    let v4: fn(&Pod, u16) -> SocketAddr = Pod::at;
    for at in [v4, Pod::at6] {
        let before = (refused_as(&weir, "not_redirected"), refused_as(&weir, "own_port"));
        is_reset(&peer, at(&pod, 15906));
        is_reset(&peer, at(&pod, 15901));
        is_reset(&pod, at(&pod, 15906));
        is_reset(&pod, at(&pod, 15901));
        is_reset(&pod, at(&pod, 15902));
        weir.until("counted", || {
            (refused_as(&weir, "not_redirected"), refused_as(&weir, "own_port"))
                == (before.0 + 1.0, before.1 + 4.0)
        });
    }
    for port in [15906, 15901] {
        is_reset(&pod, (Ipv4Addr::LOCALHOST, port).into());
    }
    weir.until("counted", || refused_as(&weir, "not_redirected") == 4.0);
    let record = weir.record("of a peer's", |r| r["client"].as_str().unwrap().contains("10.0.0.2"));
    assert_eq!((&record["verdict"], &record["side"]), (&"refused".into(), &"inbound".into()));
    // The metrics of the peer's sidecar are a server like any other.
    web(&peer, 15902);
    ask(&pod, peer.at(15902));
    assert_eq!(weir.metric("weir_dials_total result=\"connected\""), 1.0);
}

const POLICY: &str = "
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: cart}
spec:
  mode: enforce
  inbound:
  - from: [{cidr: 10.0.0.2/32}, {cidr: 'fd00::2/128'}]
    ports: [8080]
    protocol: http
    allow: ['GET /carts/{int}']
  outbound:
  - to: [{cidr: 10.0.0.2/32}, {cidr: 'fd00::2/128'}]
    ports: [9090]
    protocol: http
    allow: ['GET /carts/{int}']
";

#[test]
fn a_policy_holds_for_addresses_and_ports_before_anything_is_dialled() {
    let Some(network) = Network::new() else { return };
    let (pod, friend, other) = (network.pod(), network.pod(), network.pod());
    let seen: Vec<_> =
        [(&pod, 8080), (&pod, 8081), (&friend, 9090), (&friend, 9091), (&other, 9090)]
            .map(|(pod, port)| web(pod, port))
            .into();
    let weir = pod.guarded(POLICY);
    ask(&friend, pod.at(8080));
    ask(&friend, pod.at6(8080));
    ask(&pod, friend.at(9090));
    ask(&pod, friend.at6(9090));
    for (who, to) in [
        (&other, pod.at(8080)),
        (&other, pod.at6(8080)),
        (&friend, pod.at(8081)),
        (&pod, friend.at(9091)),
        (&pod, other.at(9090)),
        (&pod, other.at6(9090)),
    ] {
        is_reset(who, to);
    }
    weir.until("counted", || refused_as(&weir, "no_rule") == 6.0);
    assert_eq!(weir.metric("weir_dials_total result=\"connected\""), 4.0);
    let counts: Vec<_> = seen.iter().map(|clients| clients.try_iter().count()).collect();
    assert_eq!(counts, [2, 0, 2, 0, 0], "who was refused was not seen");
    assert!(!weir.stderr().contains("is not enforced"), "{}", weir.stderr());
    // What an admitted peer may not do is refused in the protocol.
    let mut stream = pod.connect(friend.at(9090));
    stream.write_all(b"DELETE /carts/7 HTTP/1.1\r\nHost: cart.shop\r\n\r\n").unwrap();
    assert!(read_all(&mut stream).starts_with(b"HTTP/1.1 403 "));
    let record =
        weir.record("refused", |r| r["detail"] == "/carts/{int}" && r["verdict"] == "refused");
    assert_eq!(record["decided_by"], "cart spec.outbound[0]");
    assert_eq!((&record["side"], &record["peer"]), (&"outbound".into(), &"10.0.0.2".into()));
}

#[test]
fn a_server_that_is_not_there_resets_the_client() {
    let Some(network) = Network::new() else { return };
    let (pod, peer) = (network.pod(), network.pod());
    let weir = pod.guarded("");
    is_reset(&peer, pod.at(8080));
    is_reset(&pod, peer.at6(8080));
    is_reset(&pod, "10.0.0.99:80".parse().unwrap());
    weir.until("counted", || weir.metric("weir_dials_total result=\"refused\"") == 2.0);
    assert_eq!(weir.metric("weir_dials_total result=\"unreachable\""), 1.0);
    weir.record("refused", |r| r["reason"] == "dial_refused" && r["side"] == "inbound");
    weir.record("unreachable", |r| r["reason"] == "dial_unreachable");
}

#[test]
fn probes_tell_of_the_application_itself() {
    let Some(network) = Network::new() else { return };
    let (pod, peer) = (network.pod(), network.pod());
    pod.init(&[]);
    let weir = pod.weir("enforce", "", &["--probe-ports", "8080,8081", "--limit", "probe-rate=3"]);
    // It listens at the pod's address alone.
    let listener = pod.enter(|| std::net::TcpListener::bind(pod.at(8080))).unwrap();
    let probe = |to: SocketAddr, path: &str| {
        let mut stream = peer.connect(to);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: weir\r\n\r\n").unwrap();
        let answer = String::from_utf8(read_all(&mut stream)).unwrap();
        let status: u16 = answer[9..12].parse().unwrap();
        (status, answer.rsplit("\r\n").next().unwrap().to_owned())
    };
    assert_eq!(probe(pod.at(15902), "/probe/tcp/8080"), (200, "open\n".to_owned()));
    let refused = (503, "not open: refused\n".to_owned());
    assert_eq!(probe(pod.at6(15902), "/probe/tcp/8080"), refused);
    assert_eq!(probe(pod.at(15902), "/probe/tcp/8081"), refused);
    assert_eq!(probe(pod.at(15902), "/probe/tcp/22").0, 404);
    drop(listener);
    weir.until("gone", || probe(pod.at(15902), "/probe/tcp/8080").0 == 503);
    let before = Instant::now();
    while weir.metric("weir_limit_reached_total limit=\"probe_rate\"") == 0.0 {
        assert!(before.elapsed() < PATIENCE);
        assert_eq!(probe(pod.at(15902), "/probe/tcp/8080"), refused, "the last result stands in");
    }
    assert_eq!(weir.metric("weir_connections_open side=\"inbound\""), 0.0);
    assert_eq!(weir.records().len(), 0, "probes are no traffic");
}

#[test]
fn ports_in_time_wait_are_taken_over() {
    let Some(network) = Network::new() else { return };
    let (pod, peer) = (network.pod(), network.pod());
    let served = Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    pod.serve(8080, move |mut stream| {
        count.fetch_add(1, Relaxed);
        // The client's side closes first: the port that is used up is Weir's.
        let _ = stream.read_to_end(&mut Vec::new());
        let _ = stream.write_all(b"bye");
    });
    let weir = pod.guarded("");
    // Else the kernel takes ports over by itself after a second, as this is within one host.
    pod.sysctl("net/ipv4/tcp_tw_reuse", "0");
    pod.sysctl("net/ipv4/ip_local_port_range", "40000 40019");
    for to in [pod.at(8080), pod.at6(8080)] {
        for i in 0..60 {
            let mut stream = peer.connect(to);
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(read_all(&mut stream), b"bye", "{to}, connection {i}: {}", weir.stderr());
        }
    }
    assert_eq!(served.load(Relaxed), 120);
    assert!(weir.metric("weir_dial_port_retries_total") >= 80.0);
    assert_eq!(weir.metric("weir_dials_total result=\"connected\""), 120.0);
}

#[test]
fn ports_that_are_in_use_are_an_error_and_no_endless_search() {
    let Some(network) = Network::new() else { return };
    let (pod, peer) = (network.pod(), network.pod());
    pod.serve(8080, |mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let weir = pod.guarded("");
    pod.sysctl("net/ipv4/ip_local_port_range", "40000 40003");
    let _held: Vec<_> = (0..4).map(|_| peer.connect(pod.at(8080))).collect();
    weir.until("held", || weir.metric("weir_dials_total result=\"connected\"") == 4.0);
    is_reset(&peer, pod.at(8080));
    weir.record("exhausted", |r| r["reason"] == "dial_exhausted");
    assert!(weir.metric("weir_dial_port_retries_total") <= 5.0 * 8.0);
}

/// Starts `weir run` as root, whose connections nobody exempts.
fn run_as_root(pod: &Pod, more: &[&str]) -> Command {
    let mut command = pod.command(env!("CARGO_BIN_EXE_weir"));
    std::os::unix::process::CommandExt::uid(&mut command, 0).args(["run"]);
    command.args(["--traffic-log", "off"]).args(more).stdin(Stdio::null());
    command
}

#[test]
fn a_redirect_of_weirs_own_connections_is_an_error_at_start() {
    let Some(network) = Network::new() else { return };
    for families in [Families::V4, Families::V6] {
        let pod = network.pod_with(families);
        pod.init(&[]);
        let output = pod.output(&mut run_as_root(&pod, &["--socket", "off"]));
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("run it as the user that `weir init --proxy-uid` exempts"), "{said}");
    }
}

#[test]
fn a_redirect_of_weirs_own_connections_is_found_while_it_runs() {
    let Some(network) = Network::new() else { return };
    let (pod, peer) = (network.pod(), network.pod());
    let _clients = web(&peer, 9090);
    let weir = pod.weir("enforce", "", &["--max-connections", "50"]);
    let exempt_nobody = ["--proxy-uid", "4242"];
    pod.init(&exempt_nobody);
    // Comes back to Weir again and again, until it is noticed: in the end all are reset.
    let mut stream = pod.connect(peer.at(9090));
    let _ = stream.write_all(REQUEST);
    assert!(stream.read(&mut [0; 16]).is_err(), "an answer");
    weir.until("noticed", || weir.stderr().contains("redirected to itself"));
    weir.until("all gone", || weir.metric("weir_connections_open side=\"outbound\"") == 0.0);
    is_reset(&pod, peer.at(9090));
    assert!(refused_as(&weir, "looping") >= 1.0);
    pod.init(&[]);
    weir.until("mended", || weir.stderr().contains("no longer redirected"));
    ask(&pod, peer.at(9090));
    let errors = weir.stderr().matches("until then connections from the pod").count();
    assert_eq!(errors, 1, "it is said once: {}", weir.stderr());
}

#[test]
fn one_family_is_enough_and_none_is_an_error() {
    let Some(network) = Network::new() else { return };
    let (v4, v6) = (network.pod_with(Families::V4), network.pod_with(Families::V6));
    let _clients = (web(&v4, 8080), web(&v6, 8080));
    let peer = network.pod();
    let weir = v4.guarded("");
    ask(&peer, v4.at(8080));
    assert_eq!(weir.stderr().matches("\"IPv6\"").count(), 1, "{}", weir.stderr());
    let weir = v6.guarded("");
    ask(&peer, v6.at6(8080));
    assert!(!weir.stderr().contains("lacks it"), "{}", weir.stderr());
    drop(weir);
    v6.run("ip", &["link", "set", "lo", "down"]);
    v6.run("ip", &["addr", "flush", "dev", "lo"]);
    let output = v6.output(&mut run_as_root(&v6, &["--socket", "off"]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot listen at 127.0.0.1:15901 for --outbound-port"), "{said}");
    assert!(said.contains("hint: the loopback interface is down"), "{said}");
}

#[test]
fn it_runs_without_rights_and_without_a_socket_that_nobody_asked_for() {
    let Some(network) = Network::new() else { return };
    let pod = network.pod();
    let dir = tempfile::tempdir().unwrap();
    let taken = dir.path().join("file");
    std::fs::write(&taken, "").unwrap();
    let asked = taken.join("weir.sock");
    let output = pod.output(&mut run_as_root(&pod, &["--socket", asked.to_str().unwrap()]));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot make the socket"), "{said}");
    // Root keeps its other rights; what would let it change the redirect is gone from the start.
    let weir = pod.spawn(run_as_root(&pod, &["--admin", "127.0.0.1:15902"]).stderr(Stdio::null()));
    let (admin, end) = ((Ipv4Addr::LOCALHOST, 15902).into(), Instant::now() + PATIENCE);
    while pod.try_connect(admin).is_err() {
        assert!(Instant::now() < end, "it does not start");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let threads = std::fs::read_dir(format!("/proc/{}/task", weir.id())).unwrap();
    let mut count = 0;
    for thread in threads {
        let status = std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim_start_matches(':').trim().to_owned()
        };
        assert_eq!(field("NoNewPrivs"), "1", "{status}");
        for set in ["CapPrm", "CapEff", "CapInh", "CapAmb"] {
            let bits = u64::from_str_radix(&field(set), 16).unwrap();
            assert_eq!(bits & (1 << 12), 0, "{set} has NET_ADMIN");
        }
        count += 1;
    }
    assert!(count > 1, "threads that were started have none either");
}

#[test]
fn a_drain_goes_on_accepting_until_the_connections_are_gone() {
    let Some(network) = Network::new() else { return };
    let (pod, peer) = (network.pod(), network.pod());
    let _clients = (web(&pod, 8080), web(&peer, 9090));
    pod.init(&[]);
    let mut weir = pod.weir("enforce", "", &["--grace", "15s"]);
    let mut held = peer.connect(pod.at(8080));
    held.write_all(REQUEST).unwrap();
    read_until(&mut held, ANSWER);
    weir.signal("TERM");
    weir.until("not ready", || !weir.is_ready());
    ask(&pod, peer.at(9090));
    ask(&peer, pod.at(8080));
    // The last request of a connection that was there before is answered too.
    held.write_all(REQUEST).unwrap();
    read_until(&mut held, ANSWER);
    drop(held);
    assert_eq!(weir.wait(), Some(0));
    assert!(!weir.stderr().contains("\"connections_cut\":1"), "{}", weir.stderr());
    // Nobody is there any more: fail closed.
    let refused = peer.try_connect(pod.at(8080)).map(drop).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    weir.restart();
    ask(&peer, pod.at(8080));
}

#[test]
fn the_socket_tells_the_settings() {
    let Some(network) = Network::new() else { return };
    let pod = network.pod();
    let weir = pod.weir("monitor", "", &["--probe-ports", "8080"]);
    let config = weir::admin::client::get(&weir.dir().join("weir.sock"), "/config").unwrap();
    assert_eq!(config["forward"], Value::Array(Vec::new()));
    assert_eq!((&config["inbound-port"], &config["outbound-port"]), (&15906.into(), &15901.into()));
    assert_eq!((&config["admin"], &config["mode"]), (&"15902".into(), &"monitor".into()));
    assert_eq!(config["connections"], 0);
    assert_eq!(config["probe-ports"], serde_json::json!([8080]));
}

//! Names as peers of policies, against a real DNS server.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use support::dns::{Dns, Says};
use support::netns::{Network, Pod};
use support::{PATIENCE, Weir, serve};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// An HTTP server that answers every read with one answer.
fn server() -> SocketAddr {
    serve(answer)
}

fn answer(mut stream: TcpStream) {
    let mut chunk = [0; 4096];
    while let Ok(1..) = stream.read(&mut chunk) {
        if stream.write_all(ANSWER).is_err() {
            return;
        }
    }
}

/// A policy that lets these peers in.
fn policy(upstream: SocketAddr, peers: &str) -> String {
    format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: t}}\nspec:\n\
         \x20 inbound:\n  - from: [{peers}]\n    ports: [{}]\n    protocol: http\n    \
         allow: ['GET /a']\n",
        upstream.port()
    )
}

/// A sidecar with this policy that asks this server.
fn start(dns: &Dns, upstream: SocketAddr, peers: &str, more: &[&str]) -> Weir {
    let conf = dns.resolv_conf();
    let socket = format!("{conf}.socket");
    let more = [&["--resolv-conf", &conf, "--socket", &socket], more].concat();
    Weir::start_with("enforce", &policy(upstream, peers), &[upstream], &more)
}

/// What the sidecar's socket tells of its names.
fn hosts(dns: &Dns) -> Vec<Value> {
    let socket = format!("{}.socket", dns.resolv_conf());
    let policy = weir::admin::client::get(socket.as_ref(), "/policy").unwrap();
    policy["hosts"].as_array().unwrap().clone()
}

/// A connection to the sidecar from this address.
fn connect_from(address: &str, to: SocketAddr) -> TcpStream {
    let address: IpAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::new(address, 0).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Whether a request on this connection is answered.
fn get(stream: &mut TcpStream) -> bool {
    let mut answer = vec![0; ANSWER.len()];
    stream.write_all(b"GET /a HTTP/1.1\r\nHost: shop\r\n\r\n").is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer == ANSWER
}

fn admitted(weir: &Weir, from: &str) -> bool {
    get(&mut connect_from(from, weir.at()))
}

#[test]
fn a_name_is_resolved_before_the_first_connection() {
    let (dns, upstream) = (Dns::start(), server());
    dns.addresses("shop.test", &["127.0.0.1", "127.0.0.3", "::1"], 300);
    let v6 = std::net::TcpListener::bind("[::1]:0").map(|free| free.local_addr().unwrap()).ok();
    let forward = v6.map(|at| format!("{at}={upstream}"));
    let more: Vec<_> = forward.iter().flat_map(|forward| ["--forward", forward]).collect();
    let weir = start(&dns, upstream, "{host: Shop.test.}", &more);
    assert!(admitted(&weir, "127.0.0.1"));
    assert!(admitted(&weir, "127.0.0.3"));
    assert!(!admitted(&weir, "127.0.0.2"));
    match v6 {
        Some(at) => assert!(get(&mut connect_from("::1", at))),
        None => support::skip("there is no IPv6 here"),
    }
    let hosts = hosts(&dns);
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts[0]["name"], "shop.test");
    assert_eq!(hosts[0]["addresses"], serde_json::json!(["127.0.0.1", "127.0.0.3", "::1"]));
    assert_eq!((&hosts[0]["error"], &hosts[0]["failures"]), (&Value::Null, &0.into()));
}

#[test]
fn a_name_is_followed_and_live_connections_stay() {
    let (dns, upstream) = (Dns::start(), server());
    // A TTL of none means five seconds.
    dns.addresses("shop.test", &["127.0.0.1", "127.0.0.2"], 0);
    let weir = start(&dns, upstream, "{host: shop.test}", &["--limit", "host-grace=0ms"]);
    let mut pooled = connect_from("127.0.0.2", weir.at());
    assert!(get(&mut pooled));
    dns.addresses("shop.test", &["127.0.0.3"], 0);
    weir.until("following", || admitted(&weir, "127.0.0.3"));
    weir.until("forgotten", || !admitted(&weir, "127.0.0.1"));
    assert!(get(&mut pooled), "a rotation closes nothing");
    // A reload that changes nothing for it does not close it either.
    weir.reload(&policy(upstream, "{host: shop.test}, {cidr: 10.0.0.0/8}"));
    assert!(get(&mut pooled));
    drop(pooled);
    weir.until("forgotten", || !admitted(&weir, "127.0.0.2"));
    assert_eq!(weir.metric("weir_resolve_failures_total"), 0.0);
}

#[test]
fn an_address_stands_for_its_grace() {
    let (dns, upstream) = (Dns::start(), server());
    dns.addresses("shop.test", &["127.0.0.1"], 0);
    let weir = start(&dns, upstream, "{host: shop.test}", &[]);
    assert!(admitted(&weir, "127.0.0.1"));
    dns.addresses("shop.test", &["127.0.0.2"], 0);
    weir.until("following", || admitted(&weir, "127.0.0.2"));
    assert!(admitted(&weir, "127.0.0.1"), "other answers may still have it");
}

#[test]
fn a_failure_keeps_the_last_answer_and_no_such_name_does_not() {
    let (dns, upstream) = (Dns::start(), server());
    dns.addresses("shop.test", &["127.0.0.1"], 0);
    let weir = start(&dns, upstream, "{host: shop.test}", &["--limit", "host-grace=0ms"]);
    dns.set("shop.test", Says::Fails);
    weir.until("failed", || weir.metric("weir_resolve_failures_total") > 0.0);
    assert!(admitted(&weir, "127.0.0.1"));
    let host = &hosts(&dns)[0];
    assert!(host["error"].as_str().unwrap().contains("SERVFAIL"), "{host}");
    weir.until("logged", || weir.stderr().contains("was not resolved"));
    dns.set("shop.test", Says::NoName(0));
    weir.until("gone", || !admitted(&weir, "127.0.0.1"));
    weir.until("logged", || weir.stderr().contains("has no address"));
    dns.addresses("shop.test", &["127.0.0.1"], 300);
    weir.until("back", || admitted(&weir, "127.0.0.1"));
}

#[test]
fn a_silent_server_does_not_hold_up_the_start() {
    let (dns, upstream) = (Dns::start(), server());
    dns.configure(&format!(
        "nameserver [127.0.0.1]:{}\noptions timeout:10 attempts:3\n",
        dns.at.port()
    ));
    dns.set("shop.test", Says::Silent);
    let weir = start(&dns, upstream, "{host: shop.test}, {cidr: 127.0.0.9/32}", &[]);
    assert_eq!(dns.asked("shop.test").len(), 2);
    let host = &hosts(&dns)[0];
    assert_eq!((&host["age_seconds"], &host["error"]), (&Value::Null, &Value::Null), "under way");
    assert!(admitted(&weir, "127.0.0.9"), "what needs no name");
    assert!(!admitted(&weir, "127.0.0.1"));
    weir.until("logged", || {
        let log = weir.stderr();
        log.lines().any(|line| line.contains("not resolved yet") && line.contains("shop.test"))
    });
    dns.addresses("shop.test", &["127.0.0.1"], 300);
    weir.until("resolved", || admitted(&weir, "127.0.0.1"));
}

#[test]
fn a_server_that_is_down_or_fails_is_passed_over() {
    let (failing, dns, upstream) = (Dns::start(), Dns::start(), server());
    failing.set("shop.test", Says::Fails);
    dns.addresses("shop.test", &["127.0.0.1"], 300);
    let down = support::free_port().port();
    let servers = [down, failing.at.port(), dns.at.port()];
    let lines = servers.map(|port| format!("nameserver [127.0.0.1]:{port}\n"));
    dns.configure(&lines.concat());
    let weir = start(&dns, upstream, "{host: shop.test}", &[]);
    assert!(admitted(&weir, "127.0.0.1"));
    assert_eq!(weir.metric("weir_resolve_failures_total"), 0.0);
}

/// As glibc has it: who asks for a name does not get another one because the first was lost.
#[test]
fn a_name_of_which_nobody_says_anything_is_not_passed_over() {
    let (dns, upstream) = (Dns::start(), server());
    let servers = format!("nameserver [127.0.0.1]:{}\n", dns.at.port());
    dns.configure(&format!("{servers}search a.test b.test\noptions timeout:1 attempts:1\n"));
    dns.set("shop.a.test", Says::Silent);
    dns.addresses("shop.b.test", &["127.0.0.1"], 0);
    let weir = start(&dns, upstream, "{host: shop}", &[]);
    weir.until("failed", || weir.metric("weir_resolve_failures_total") >= 1.0);
    assert!(!admitted(&weir, "127.0.0.1"));
    // A server that has no answer to give says something.
    dns.set("shop.a.test", Says::Fails);
    weir.until("passed over", || admitted(&weir, "127.0.0.1"));
}

/// A long search list takes longer than there is time if each name of it waits for that server.
#[test]
fn a_silent_server_is_waited_for_once() {
    let (dns, upstream) = (Dns::start(), server());
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let servers = [silent.local_addr().unwrap(), dns.at].map(|at| at.port());
    let lines = servers.map(|port| format!("nameserver [127.0.0.1]:{port}\n")).concat();
    dns.configure(&format!("{lines}search a.test b.test c.test d.test e.test f.test\n"));
    dns.addresses("shop.f.test", &["127.0.0.1"], 300);
    let weir = start(&dns, upstream, "{host: shop}", &[]);
    weir.until("resolved", || admitted(&weir, "127.0.0.1"));
}

#[test]
fn a_server_that_refers_to_others_has_not_answered() {
    let (elsewhere, dns, upstream) = (Dns::start(), Dns::start(), server());
    elsewhere.set("shop.test", Says::Refers);
    dns.addresses("shop.test", &["127.0.0.1"], 300);
    let servers =
        [elsewhere.at, dns.at].map(|at| format!("nameserver [127.0.0.1]:{}\n", at.port()));
    dns.configure(&servers.concat());
    let weir = start(&dns, upstream, "{host: shop.test}", &[]);
    assert!(admitted(&weir, "127.0.0.1"));
}

#[test]
fn search_lists_and_aliases_lead_to_the_address() {
    let (dns, upstream) = (Dns::start(), server());
    let server = format!("nameserver [127.0.0.1]:{}\n", dns.at.port());
    dns.configure(&format!("{server}search a.test b.test\noptions ndots:2\n"));
    dns.set("cart.shop.b.test", Says::Cname("cart.other.test".into(), 300));
    dns.set("cart.other.test", Says::Cname("cart.end.test".into(), 7));
    dns.addresses("cart.end.test", &["127.0.0.1"], 300);
    dns.addresses("cart.shop", &["127.0.0.2"], 300);
    let weir = start(&dns, upstream, "{host: cart.shop}", &[]);
    assert!(admitted(&weir, "127.0.0.1"));
    assert!(!admitted(&weir, "127.0.0.2"), "the search list goes first");
    assert_eq!(dns.asked("cart.shop.a.test").len(), 2);
    assert_eq!(dns.asked("cart.shop").len(), 0);
    // The shortest of the chain's TTLs, not the address's own.
    weir.until("asked again", || dns.asked("cart.shop.b.test").len() > 2);
}

/// Addresses are given to others: whoever has one now and may connect to another port does not
/// keep it in the name.
#[test]
fn a_connection_to_another_port_keeps_no_address() {
    let (dns, named, open) = (Dns::start(), server(), server());
    dns.addresses("shop.test", &["127.0.0.1", "127.0.0.2"], 0);
    let policy = format!(
        "{}  - {{from: [{{any: true}}], ports: [{}]}}\n",
        policy(named, "{host: shop.test}"),
        open.port()
    );
    let conf = dns.resolv_conf();
    let more = ["--resolv-conf", &conf, "--limit", "host-grace=0ms"];
    let forward = support::free_port();
    let other = format!("{forward}={open}");
    let more = [&more[..], &["--forward", &other]].concat();
    let weir = Weir::start_with("enforce", &policy, &[named], &more);
    assert!(admitted(&weir, "127.0.0.2"));
    let mut stranger = connect_from("127.0.0.2", forward);
    assert!(get(&mut stranger));
    dns.addresses("shop.test", &["127.0.0.1"], 0);
    weir.until("forgotten", || !admitted(&weir, "127.0.0.2"));
    assert!(admitted(&weir, "127.0.0.1"));
    assert!(get(&mut stranger));
}

#[test]
fn long_answers_come_by_tcp_and_are_bounded() {
    let (dns, upstream) = (Dns::start(), server());
    let many: Vec<_> =
        (1..=8).flat_map(|i| (1..=250).map(move |j| format!("127.1.{i}.{j}"))).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    dns.addresses("shop.test", &many, 300);
    let weir = start(&dns, upstream, "{host: shop.test}", &[]);
    assert!(admitted(&weir, "127.1.1.1"));
    assert!(!admitted(&weir, "127.1.8.250"));
    let asked = dns.asked("shop.test");
    assert_eq!(asked.iter().filter(|asked| asked.kind == "A" && asked.tcp).count(), 1, "{asked:?}");
    assert_eq!(hosts(&dns)[0]["addresses"].as_array().unwrap().len(), 256);
    assert_eq!(weir.metric("weir_limit_reached_total limit=\"host_addresses\""), 1.0);
}

#[test]
fn a_server_that_does_not_know_edns_is_asked_without() {
    let (dns, upstream) = (Dns::start(), server());
    dns.set("shop.test", Says::Old(vec!["127.0.0.1".parse().unwrap()]));
    let weir = start(&dns, upstream, "{host: shop.test}", &[]);
    assert!(admitted(&weir, "127.0.0.1"));
    assert_eq!(dns.asked("shop.test").len(), 4);
}

#[test]
fn forged_answers_are_passed_over() {
    let (dns, upstream) = (Dns::start(), server());
    dns.set("shop.test", Says::Forged(vec!["127.0.0.1".parse().unwrap()]));
    let weir = start(&dns, upstream, "{host: shop.test}", &[]);
    assert!(admitted(&weir, "127.0.0.1"));
    assert!(!admitted(&weir, "127.0.0.2"));
}

#[test]
fn a_reload_resolves_a_new_name_before_it_is_in_force() {
    let (dns, upstream) = (Dns::start(), server());
    dns.addresses("new.test", &["127.0.0.1"], 300);
    let weir = start(&dns, upstream, "{cidr: 127.0.0.1/32}", &[]);
    assert_eq!(hosts(&dns), Vec::<Value>::new());
    let mut live = connect_from("127.0.0.1", weir.at());
    assert!(get(&mut live));
    weir.reload(&policy(upstream, "{host: new.test}"));
    assert!(get(&mut live), "it was never outside the policy");
    assert!(admitted(&weir, "127.0.0.1"));
    weir.reload(&policy(upstream, "{host: other.test}"));
    assert!(!get(&mut live), "the name is no longer in the policy");
    let names: Vec<_> = hosts(&dns).iter().map(|host| host["name"].clone()).collect();
    assert_eq!(names, ["other.test"]);
}

#[test]
fn who_is_ahead_of_the_sidecar_gets_in_soon_after() {
    let (dns, upstream) = (Dns::start(), server());
    dns.addresses("shop.test", &["127.0.0.1"], 300);
    let weir = start(&dns, upstream, "{host: shop.test}", &[]);
    dns.addresses("shop.test", &["127.0.0.1", "127.0.0.2"], 300);
    assert_eq!(dns.asked("shop.test").len(), 2);
    assert!(!admitted(&weir, "127.0.0.2"), "by the TTL there are minutes left");
    weir.until("looked up again", || admitted(&weir, "127.0.0.2"));
    // However many are refused.
    let (begin, before) = (Instant::now(), dns.asked("shop.test").len());
    while begin.elapsed() < Duration::from_secs(7) {
        assert!(!admitted(&weir, "127.0.0.9"));
    }
    let asked = dns.asked("shop.test").len() - before;
    let most = 2 * (begin.elapsed().as_secs() / 5 + 1);
    assert!((2..=most).contains(&(asked as u64)), "{asked}");
}

#[test]
fn a_machine_without_servers_says_so() {
    let (dns, upstream) = (Dns::start(), server());
    std::fs::remove_file(dns.resolv_conf()).unwrap();
    let weir = start(&dns, upstream, "{host: shop.test}, {host: localhost}", &[]);
    // By hosts(5), which needs no server.
    assert!(admitted(&weir, "127.0.0.1"));
    let error = hosts(&dns)[1]["error"].clone();
    assert!(error.as_str().unwrap().contains("cannot read"), "{error}");
    assert!(weir.metric("weir_resolve_failures_total") >= 1.0);
}

/// A name in `to` is the destination's address, whatever the client calls it, and the sidecar's
/// own questions are not redirected.
#[test]
fn a_name_guards_what_leaves_a_pod() {
    let Some(network) = Network::new() else { return };
    let (client, store, other, resolver) =
        (network.pod(), network.pod(), network.pod(), network.pod());
    let dns = resolver.enter(|| Dns::start_at(resolver.v4));
    let of_pod = |pod: &Pod| [pod.v4.to_string(), pod.v6.to_string()];
    let known = of_pod(&store);
    dns.addresses("store.test", &known.each_ref().map(String::as_str), 300);
    for pod in [&store, &other] {
        pod.serve(6000, answer);
    }
    client.init(&[]);
    let policy = "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: t}\nspec:\n\
        \x20 outbound:\n  - to: [{host: store.test}]\n    ports: [6000]\n    protocol: http\n    \
        allow: ['GET /a']\n";
    let weir = client.weir("enforce", policy, &["--resolv-conf", &dns.resolv_conf()]);
    let reached = |to| client.try_connect(to).is_ok_and(|mut stream| get(&mut stream));
    assert!(reached(store.at(6000)));
    assert!(reached(store.at6(6000)));
    assert!(!reached(other.at(6000)));
    assert!(!reached(other.at6(6000)));
    let both = [known, of_pod(&other)].concat();
    dns.addresses("store.test", &both.iter().map(String::as_str).collect::<Vec<_>>(), 300);
    weir.until("looked up again", || reached(other.at(6000)) && reached(other.at6(6000)));
}

//! Weir is nobody's way to another machine, and knows each address of its own.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};
use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use support::netns::Network;

/// A peer on the link sends what is for somebody else to the pod: without Weir the pod's kernel
/// throws it away, so Weir must not carry it there.
#[test]
fn what_a_peer_sends_through_the_pod_goes_nowhere() {
    let Some(network) = Network::new() else { return };
    let (pod, peer, elsewhere) = (network.pod(), network.pod(), network.pod());
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    elsewhere.serve(8080, move |_| {
        count.fetch_add(1, SeqCst);
    });
    pod.init(&[]);
    let weir = pod.weir("learn", "", &[]);
    let (to, to6) = (elsewhere.at(8080), elsewhere.at6(8080));
    for (ip, via) in [(to, pod.at(0)), (to6, pod.at6(0))] {
        let (ip, via) = (ip.ip().to_string(), via.ip().to_string());
        peer.run("ip", &["route", "add", &ip, "via", &via]);
    }
    for to in [to, to6] {
        // The reset may come before connect(2) has returned.
        let read = peer.try_connect(to).and_then(|mut stream| stream.read(&mut [0]));
        assert!(read.is_err(), "{to}: not reset");
    }
    assert_eq!(seen.load(SeqCst), 0);
    for to in [to, to6] {
        let to = to.to_string();
        let record = weir.record(&to, |record| record["server"] == *to);
        assert_eq!(record["verdict"], "refused", "{record}");
        assert_eq!(record["reason"], "not_local", "{record}");
    }
}

/// The addresses that are of a link alone are the pod's own like others (RFC 3927, RFC 4291).
#[test]
fn a_link_local_address_is_the_pod_s_own() {
    let Some(network) = Network::new() else { return };
    let (pod, peer) = (network.pod(), network.pod());
    for (number, pod) in [(1, &pod), (2, &peer)] {
        pod.run("ip", &["addr", "add", &format!("169.254.0.{number}/16"), "dev", "eth0"]);
        pod.run("ip", &["addr", "add", &format!("fe80::{number}/64"), "dev", "eth0", "nodad"]);
    }
    pod.serve(8080, |mut stream| stream.write_all(b"served").unwrap());
    let weir = pod.guarded("");
    let link = peer.run("cat", &["/proc/net/if_inet6"]);
    let link = link.lines().find(|line| line.starts_with("fe80")).unwrap();
    let scope = u32::from_str_radix(link.split(' ').nth(1).unwrap(), 16).unwrap();
    let at = |port| {
        let v6 = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
        [
            SocketAddr::from(([169, 254, 0, 1], port)),
            SocketAddr::V6(SocketAddrV6::new(v6, port, 0, scope)),
        ]
    };
    for to in at(8080) {
        let mut answer = String::new();
        peer.connect(to).read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "served", "{to}");
    }
    // And Weir's own ports are there too.
    let [admin, _] = at(weir::defaults::ADMIN_PORT);
    assert!(pod.try_connect(admin).and_then(|mut stream| stream.read(&mut [0])).is_err());
    let record = weir.record("own port", |record| record["server"] == admin.to_string());
    assert_eq!(record["reason"], "own_port", "{record}");
}

/// An address that has moved to another pod is no longer this one's.
#[test]
fn an_address_that_is_gone_is_not_the_pod_s_any_more() {
    let Some(network) = Network::new() else { return };
    let (pod, peer, heir) = (network.pod(), network.pod(), network.pod());
    for (pod, word) in [(&pod, b"old"), (&heir, b"new")] {
        pod.serve(8080, move |mut stream| stream.write_all(word).unwrap());
    }
    let weir = pod.guarded("");
    let address = ["10.0.1.1/32", "dev", "eth0"];
    pod.run("ip", &[&["addr", "add"], &address[..]].concat());
    peer.run("ip", &["route", "add", "10.0.1.1", "via", &pod.v4.to_string()]);
    let ask = || {
        let mut answer = String::new();
        let mut stream = peer.try_connect(SocketAddr::from(([10, 0, 1, 1], 8080)))?;
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    assert_eq!(ask().unwrap(), "old");
    pod.run("ip", &[&["addr", "del"], &address[..]].concat());
    heir.run("ip", &[&["addr", "add"], &address[..]].concat());
    pod.run("ip", &["route", "add", "10.0.1.1", "via", &heir.v4.to_string()]);
    weir.until("refused", || ask().is_err());
    let record = weir.record("refused", |record| record["verdict"] == "refused");
    assert_eq!(record["reason"], "not_local", "{record}");
}

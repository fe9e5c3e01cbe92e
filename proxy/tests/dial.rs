//! How servers are dialled behind the real redirect, where the ports are odd.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{ErrorKind, Read, Write};

use support::netns::Network;

/// The kernel may choose the very port that is dialled: the connection is then one with itself,
/// and what is written comes back.
#[test]
fn a_dial_to_a_port_where_nobody_listens_is_refused_whatever_port_it_is_from() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    pod.sysctl("net/ipv4/ip_local_port_range", "40000 40000");
    let weir = pod.guarded("");
    for to in [pod.at(40000), pod.at6(40000)] {
        let read = peer.try_connect(to).and_then(|mut stream| {
            stream.write_all(b"who is there")?;
            stream.read(&mut [0; 64])
        });
        let kinds = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        assert!(read.as_ref().is_err_and(|error| kinds.contains(&error.kind())), "{to}: {read:?}");
        let to = to.to_string();
        let record = weir.record(&to, |record| record["server"] == *to);
        assert_eq!(record["reason"], "dial_refused", "{record}");
    }
    // Nothing of it is left that would keep the server from its port.
    drop(pod.enter(|| std::net::TcpListener::bind(pod.at(40000))).unwrap());
}

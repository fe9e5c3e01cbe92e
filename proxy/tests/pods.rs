//! Pods side by side, each behind the real redirect, with real servers and clients in them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};

use support::netns::Network;

/// Clients on one pod reach servers on another by both families, and not while it is cut off.
#[test]
fn pods_reach_each_other_over_the_bridge() {
    let Some(network) = Network::new() else { return };
    let (client, server) = (network.pod(), network.pod());
    server.serve(7000, |mut stream| {
        let mut text = [0; 4];
        stream.read_exact(&mut text).unwrap();
        stream.write_all(&text).unwrap();
    });
    for to in [server.at(7000), server.at6(7000)] {
        let mut stream = client.connect(to);
        stream.write_all(b"ping").unwrap();
        let mut text = [0; 4];
        stream.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"ping");
        assert_eq!(stream.local_addr().unwrap().ip() == client.v4, to.is_ipv4());
    }
    let uid = client.output(client.command("id").arg("-u"));
    assert_eq!(uid.stdout, b"1000\n");
}

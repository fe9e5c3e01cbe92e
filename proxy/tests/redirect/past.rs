//! Ways past the redirect, and that they are shut.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::raw::{ACK, RST, Raw, SYN};
use crate::scene::{
    APPLICATION, SILENCE, application, ask, ask_within, counted, stand_in_for_weir,
};
use crate::support::PATIENCE;
use crate::support::netns::{Network, Pod};

const PAST: &str = "would go past Weir";
const INVALID: &str = "belongs to no connection";

/// A signature (RFC 2385) that nobody has asked for: the kernel drops such a packet in silence,
/// where it would answer another with RST, and connection tracking would forget it by that.
const SIGNATURE: [u8; 20] = [19, 18, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 1, 1];

/// Sends an ACK, which connection tracking takes for the middle of a connection and binds to no
/// redirect, then a SYN on the same addresses and ports. Answers the flags of what comes back.
fn ack_then_syn(peer: &Pod, port: u16, to: SocketAddr, patience: Duration) -> Option<u8> {
    let mut raw = Raw::new(peer, port, to);
    raw.send_with(ACK, 1000, 2000, &SIGNATURE);
    assert_eq!(raw.flags(SILENCE), None);
    raw.send(SYN, 5000, 0);
    raw.flags(patience)
}

#[test]
fn a_connection_that_tracking_took_up_in_its_middle_is_no_way_past() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    application(&pod, &[APPLICATION]);
    pod.init(&[]);
    // Nobody listens at Weir's port, so a SYN that is redirected is answered with RST. One that
    // reaches the application is answered with SYN and ACK.
    for (number, to) in [pod.at(APPLICATION), pod.at6(APPLICATION)].into_iter().enumerate() {
        let mut honest = Raw::new(&peer, 30000, to);
        honest.send(SYN, 5000, 0);
        assert_eq!(honest.flags(PATIENCE), Some(RST | ACK), "{to}");
        assert_eq!(ack_then_syn(&peer, 31000, to, SILENCE), None, "{to}");
        assert_eq!(counted(&pod, "input", PAST), number as u64 + 1);
    }
    // The attack is a real one: without the filter's rule it gets through.
    without_the_filter(&pod);
    for to in [pod.at(APPLICATION), pod.at6(APPLICATION)] {
        assert_eq!(ack_then_syn(&peer, 32000, to, PATIENCE), Some(SYN | ACK), "{to}");
    }
}

/// The same without raw sockets: a connection that is older than the redirect is reset by the
/// application, and another opened from the same port while the kernel remembers the first.
#[test]
fn the_successor_of_an_older_connection_is_no_way_past() {
    let Some(net) = Network::new() else { return };
    for filter in [true, false] {
        let (pod, peer) = (net.pod(), net.pod());
        let listener = pod.listen(APPLICATION);
        let to = pod.at(APPLICATION);
        let mut near = peer.enter(|| connect_from(33000, to, PATIENCE)).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        pod.init(&[]);
        stand_in_for_weir(&pod);
        if !filter {
            without_the_filter(&pod);
        }
        near.write_all(b"x").unwrap();
        far.read_exact(&mut [0]).unwrap();
        SockRef::from(&far).set_linger(Some(Duration::ZERO)).unwrap();
        drop(far);
        assert!(near.read(&mut [0]).is_err());
        drop(near);
        let second =
            peer.enter(|| connect_from(33000, to, if filter { SILENCE } else { PATIENCE }));
        match second {
            Err(error) if filter => assert_eq!(error.kind(), ErrorKind::TimedOut),
            // The attack is a real one.
            Ok(_) if !filter => drop(listener.accept().unwrap()),
            other => panic!("with the filter: {filter}: {other:?}"),
        }
        assert!(!filter || counted(&pod, "input", PAST) > 0);
    }
}

/// Removes the rule that these tests are about.
fn without_the_filter(pod: &Pod) {
    let rules = pod.run("nft", &["-a", "list", "chain", "inet", "weir", "input"]);
    let rule = rules.lines().find(|line| line.contains(PAST)).unwrap();
    let handle = rule.rsplit(' ').next().unwrap();
    pod.run("nft", &["delete", "rule", "inet", "weir", "input", "handle", handle]);
}

/// Connects from this port.
fn connect_from(port: u16, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    socket.connect_timeout(&to.into(), patience)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

#[test]
fn packets_of_no_connection_are_dropped() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    application(&pod, &[APPLICATION]);
    let to = pod.at(APPLICATION);
    // Without the redirect the listener answers a SYN with ACK by RST.
    let mut raw = Raw::new(&peer, 30000, to);
    raw.send(SYN | ACK, 1000, 2000);
    assert_eq!(raw.flags(PATIENCE), Some(RST));
    pod.init(&[]);
    for (number, to) in [to, pod.at6(APPLICATION)].into_iter().enumerate() {
        let mut raw = Raw::new(&peer, 31000, to);
        raw.send(SYN | ACK, 1000, 2000);
        assert_eq!(raw.flags(SILENCE), None, "{to}");
        assert_eq!(counted(&pod, "input", INVALID), number as u64 + 1);
    }
}

/// Another program's NAT that comes first does not lead past Weir either.
#[test]
fn another_table_cannot_lead_past_weir_by_chance() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    application(&pod, &[APPLICATION]);
    stand_in_for_weir(&pod);
    pod.init(&[]);
    let table = format!(
        "table inet mesh {{ chain prerouting {{ type nat hook prerouting priority -150;
         tcp dport 80 redirect to :{APPLICATION}; }}; }}\n"
    );
    pod.feed("nft", &["-f", "-"], &table);
    assert_eq!(peer.enter(|| ask_within(pod.at(80), SILENCE)), "TimedOut");
    assert!(counted(&pod, "input", PAST) > 0);
    let to = pod.at(APPLICATION);
    assert_eq!(peer.enter(|| ask(to)), format!("inbound {to}"));
}

/// Weir's own ports are reached from outside only as destinations that Weir then refuses.
#[test]
fn weirs_own_ports_are_redirected_too() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    stand_in_for_weir(&pod);
    pod.init(&[]);
    for port in [weir::defaults::INBOUND_PORT, weir::defaults::OUTBOUND_PORT] {
        for to in [pod.at(port), pod.at6(port)] {
            assert_eq!(peer.enter(|| ask(to)), format!("inbound {to}"));
        }
    }
}

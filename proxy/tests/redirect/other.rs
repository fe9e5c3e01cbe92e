//! `--other refuse`: what is not TCP.

use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::scene::{APPLICATION, SILENCE, application, as_user, ask, stand_in_for_weir};
use crate::support::PATIENCE;
use crate::support::netns::{APPLICATION_UID, Network, PROXY_UID, Pod};

const DNS: u16 = 53;
const NTP: u16 = 123;

/// Answers every datagram with `answer`.
fn answering(pod: &Pod, at: SocketAddr) {
    let socket = pod.enter(|| UdpSocket::bind(at)).unwrap();
    std::thread::spawn(move || {
        let mut room = [0; 64];
        while let Ok((_, from)) = socket.recv_from(&mut room) {
            let _ = socket.send_to(b"answer", from);
        }
    });
}

/// The same at a port of both addresses of the pod.
fn answering_both(pod: &Pod, port: u16) {
    both(pod, port).into_iter().for_each(|at| answering(pod, at));
}

/// Sends a datagram and reads the answer.
fn question(to: SocketAddr, patience: Duration) -> io::Result<String> {
    let unspecified = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(unspecified)?;
    socket.set_read_timeout(Some(patience))?;
    socket.connect(to)?;
    socket.send(b"question")?;
    let mut room = [0; 64];
    let len = socket.recv(&mut room)?;
    Ok(String::from_utf8_lossy(&room[..len]).into_owned())
}

fn both(pod: &Pod, port: u16) -> [SocketAddr; 2] {
    [pod.at(port), pod.at6(port)]
}

/// A packet of a protocol that nobody speaks (RFC 3692's 253), or an echo request.
fn send_raw(to: IpAddr, protocol: Protocol, packet: &[u8]) -> io::Result<()> {
    let to = SocketAddr::new(to, 0);
    let socket = Socket::new(Domain::for_address(to), Type::RAW, Some(protocol))?;
    socket.send_to(packet, &to.into()).map(drop)
}

const ECHO_REQUEST: &[u8] = &[8, 0, 0xf7, 0xff, 0, 0, 0, 0];

#[test]
fn what_is_not_tcp_passes_unless_told() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    pod.init(&[]);
    for one in [&pod, &peer] {
        answering_both(one, NTP);
    }
    for (from, to) in [(&pod, &peer), (&peer, &pod)] {
        for at in both(to, NTP) {
            assert_eq!(from.enter(|| question(at, PATIENCE)).unwrap(), "answer");
        }
    }
}

#[test]
fn datagrams_are_refused_at_once_both_ways() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    for one in [&pod, &peer] {
        answering_both(one, NTP);
        answering_both(one, DNS);
    }
    pod.init(&["--other", "refuse", "--dns-server", "10.0.0.99"]);
    for port in [NTP, DNS] {
        for at in both(&peer, port) {
            let error = as_user(&pod, APPLICATION_UID, || question(at, PATIENCE)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{at}: {error}");
        }
        for at in both(&pod, port) {
            // An ICMP error comes, and not silence.
            let error = peer.enter(|| question(at, PATIENCE)).unwrap_err();
            let kinds = [io::ErrorKind::HostUnreachable, io::ErrorKind::PermissionDenied];
            assert!(kinds.contains(&error.kind()), "{at}: {error}");
        }
    }
}

#[test]
fn other_protocols_are_refused_both_ways() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    let unknown = Protocol::from(253);
    assert!(peer.enter(|| echo(pod.v4, PATIENCE)));
    pod.enter(|| send_raw(peer.v4.into(), unknown, b"x")).unwrap();
    pod.init(&["--other", "refuse", "--dns-server", "10.0.0.99"]);
    for to in [IpAddr::from(peer.v4), peer.v6.into()] {
        let error = pod.enter(|| send_raw(to, unknown, b"x")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{to}: {error}");
    }
    assert!(!peer.enter(|| echo(pod.v4, SILENCE)));
    let error = pod.enter(|| send_raw(peer.v4.into(), Protocol::ICMPV4, ECHO_REQUEST)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
}

/// Whether an echo request is answered.
fn echo(to: Ipv4Addr, patience: Duration) -> bool {
    let to = SocketAddr::new(to.into(), 0);
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)).unwrap();
    socket.set_read_timeout(Some(patience)).unwrap();
    socket.send_to(ECHO_REQUEST, &to.into()).unwrap();
    let mut bytes = [0; 128];
    loop {
        match (&socket).read(&mut bytes) {
            // Type 0 is the answer.
            Ok(len) if len >= 28 && bytes[20] == 0 => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
    }
}

#[test]
fn what_is_needed_passes() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    for one in [&pod, &peer] {
        answering_both(one, NTP);
        answering_both(one, DNS);
    }
    answering(&pod, SocketAddr::from((Ipv4Addr::LOCALHOST, NTP)));
    let resolvers = format!("{},{}", peer.v4, peer.v6);
    pod.init(&["--other", "refuse", "--dns-server", &resolvers]);
    let refused =
        |to: SocketAddr| as_user(&pod, APPLICATION_UID, || question(to, PATIENCE)).is_err();
    let answered = |uid, to: SocketAddr| {
        let answer = as_user(&pod, uid, || question(to, PATIENCE));
        assert_eq!(answer.unwrap_or_else(|error| error.to_string()), "answer", "{to}");
    };
    // The resolver, by DNS and not otherwise.
    for to in both(&peer, DNS) {
        answered(APPLICATION_UID, to);
    }
    assert!(both(&peer, NTP).into_iter().all(refused));
    // Weir itself.
    for to in both(&peer, NTP) {
        answered(PROXY_UID, to);
    }
    // Loopback, and the pod's own addresses, which are behind it.
    answered(APPLICATION_UID, SocketAddr::from((Ipv4Addr::LOCALHOST, NTP)));
    for to in both(&pod, NTP) {
        answered(APPLICATION_UID, to);
    }
}

#[test]
fn skipped_ranges_are_left_alone_and_skipped_ports_are_of_tcp() {
    let Some(net) = Network::new() else { return };
    let (pod, friend, stranger) = (net.pod(), net.pod(), net.pod());
    for one in [&pod, &friend, &stranger] {
        answering_both(one, NTP);
    }
    let ranges = format!("{},{}", friend.v4, friend.v6);
    let mut args = vec!["--other", "refuse", "--dns-server", "10.0.0.99"];
    args.extend(["--skip-inbound-ranges", &ranges, "--skip-outbound-ranges", &ranges]);
    args.extend(["--skip-inbound-ports", "123", "--skip-outbound-ports", "123"]);
    pod.init(&args);
    for (from, to, passes) in [
        (&pod, &friend, true),
        (&friend, &pod, true),
        (&pod, &stranger, false),
        (&stranger, &pod, false),
    ] {
        for at in both(to, NTP) {
            assert_eq!(from.enter(|| question(at, PATIENCE)).is_ok(), passes, "{at}");
        }
    }
}

/// Neighbours are found over ICMPv6, and ICMP errors say what became of known packets.
#[test]
fn what_tcp_and_ipv6_live_on_passes() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    application(&peer, &[APPLICATION]);
    stand_in_for_weir(&pod);
    pod.init(&["--other", "refuse", "--dns-server", "10.0.0.99"]);
    for _ in 0..2 {
        for one in [&pod, &peer] {
            one.run("ip", &["neigh", "flush", "all"]);
        }
        let to = peer.at6(APPLICATION);
        assert_eq!(as_user(&pod, PROXY_UID, || ask(to)), "application");
        let to = pod.at6(APPLICATION);
        assert_eq!(peer.enter(|| ask(to)), format!("inbound {to}"));
    }
    // The peer's kernel says that nobody listens, which is an error about a known packet.
    for to in both(&peer, NTP) {
        let error = as_user(&pod, PROXY_UID, || question(to, PATIENCE)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{to}");
    }
}

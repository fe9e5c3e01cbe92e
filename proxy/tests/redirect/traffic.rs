//! What the redirect takes and what it leaves alone.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use crate::scene::{APPLICATION, SILENCE, application, as_user, ask, stand_in_for_weir};
use crate::support::netns::{APPLICATION_UID, Network, PROXY_UID, Pod};
use crate::support::{self, PATIENCE};

#[test]
fn both_families_are_redirected_and_tell_their_destination() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    pod.init(&[]);
    stand_in_for_weir(&pod);
    application(&pod, &[APPLICATION]);
    application(&peer, &[APPLICATION]);
    for (own, other) in
        [(pod.at(APPLICATION), peer.at(APPLICATION)), (pod.at6(APPLICATION), peer.at6(APPLICATION))]
    {
        assert_eq!(peer.enter(|| ask(own)), format!("inbound {own}"));
        assert_eq!(pod.enter(|| ask(other)), format!("outbound {other}"));
        // A call to the pod's own address is outbound, and that alone.
        assert_eq!(pod.enter(|| ask(own)), format!("outbound {own}"));
    }
    pod.init(&["--remove"]);
    assert_eq!(peer.enter(|| ask(pod.at(APPLICATION))), "application");
    assert_eq!(pod.enter(|| ask(peer.at6(APPLICATION))), "application");
}

/// The same without root: as a plain user in a user namespace of its own.
#[test]
fn a_user_namespace_is_enough() {
    const INSIDE: &str = "traffic::both_families_are_redirected_and_tell_their_destination";
    let dir = tempfile::tempdir().unwrap();
    let Some(mut command) = crate::rights::in_user_namespace(dir.path()) else { return };
    let output = command.arg(INSIDE).args(["--exact", "--nocapture"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    if text.contains("skipped:") {
        support::skip(&text);
    }
}

#[test]
fn the_proxys_user_is_exempt_and_nobody_else() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    pod.init(&[]);
    stand_in_for_weir(&pod);
    application(&pod, &[APPLICATION]);
    application(&peer, &[APPLICATION]);
    for to in [peer.at(APPLICATION), peer.at6(APPLICATION)] {
        assert_eq!(as_user(&pod, PROXY_UID, || ask(to)), "application");
        for uid in [APPLICATION_UID, PROXY_UID + 1, 0] {
            assert_eq!(as_user(&pod, uid, || ask(to)), format!("outbound {to}"), "{uid}");
        }
    }
    // Towards the application of its own pod.
    for to in [pod.at(APPLICATION), pod.at6(APPLICATION)] {
        assert_eq!(as_user(&pod, PROXY_UID, || ask(to)), "application");
    }
    pod.init(&["--proxy-uid", "1000"]);
    let to = peer.at(APPLICATION);
    assert_eq!(as_user(&pod, 1000, || ask(to)), "application");
    assert_eq!(as_user(&pod, PROXY_UID, || ask(to)), format!("outbound {to}"));
}

#[test]
fn loopback_is_left_alone() {
    let Some(net) = Network::new() else { return };
    let pod = net.pod();
    pod.init(&[]);
    stand_in_for_weir(&pod);
    application(&pod, &[APPLICATION]);
    for to in [
        SocketAddr::from((Ipv4Addr::LOCALHOST, APPLICATION)),
        SocketAddr::from((Ipv4Addr::new(127, 8, 9, 10), APPLICATION)),
        SocketAddr::from((Ipv6Addr::LOCALHOST, APPLICATION)),
    ] {
        assert_eq!(as_user(&pod, APPLICATION_UID, || ask(to)), "application", "{to}");
    }
}

#[test]
fn what_is_skipped_is_left_alone_and_nothing_else() {
    let Some(net) = Network::new() else { return };
    let (pod, friend, stranger) = (net.pod(), net.pod(), net.pod());
    let ports = [22, 9000, 9010, 9011, 25, APPLICATION, weir::defaults::ADMIN_PORT];
    for one in [&pod, &friend, &stranger] {
        application(one, &ports);
    }
    stand_in_for_weir(&pod);
    let ranges = format!("{},{}", friend.v4, friend.v6);
    pod.init(&[
        "--skip-inbound-ports",
        "22,9000-9010",
        "--skip-outbound-ports",
        "25",
        "--skip-inbound-ranges",
        &ranges,
        "--skip-outbound-ranges",
        &ranges,
    ]);
    for at in [Pod::at, Pod::at6] {
        for port in ports {
            let (own, other) = (at(&pod, port), at(&stranger, port));
            let skipped = [22, 9000, 9010, weir::defaults::ADMIN_PORT].contains(&port);
            let redirected = format!("inbound {own}");
            let expected = if skipped { "application" } else { &redirected };
            assert_eq!(stranger.enter(|| ask(own)), expected, "{own}");
            let redirected = format!("outbound {other}");
            let expected = if port == 25 { "application" } else { &redirected };
            assert_eq!(pod.enter(|| ask(other)), expected, "{other}");
            assert_eq!(friend.enter(|| ask(own)), "application", "{own}");
            assert_eq!(pod.enter(|| ask(at(&friend, port))), "application", "{port}");
        }
    }
}

/// What is bound to an interface cannot reach Weir at the loopback one. It does not go past either.
#[test]
fn what_is_bound_to_an_interface_connects_only_where_it_is_skipped() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    application(&peer, &[APPLICATION]);
    stand_in_for_weir(&pod);
    let bound = |to: SocketAddr, patience| {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        socket.bind_device(Some(b"eth0")).unwrap();
        socket.connect_timeout(&to.into(), patience)
    };
    let both = [peer.at(APPLICATION), peer.at6(APPLICATION)];
    for to in both {
        assert!(pod.enter(|| bound(to, PATIENCE)).is_ok(), "{to}");
    }
    pod.init(&[]);
    for to in both {
        let error = pod.enter(|| bound(to, SILENCE)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{to}");
    }
    pod.init(&["--skip-outbound-ranges", &format!("{},{}", peer.v4, peer.v6)]);
    for to in both {
        assert!(pod.enter(|| bound(to, PATIENCE)).is_ok(), "{to}");
    }
}

#[test]
fn prefixes_of_any_length_mean_what_they_say() {
    let Some(net) = Network::new() else { return };
    // The pods are 10.0.0.1 and 10.0.0.2, fd00::1 and fd00::2.
    let (pod, peer) = (net.pod(), net.pod());
    application(&peer, &[APPLICATION]);
    stand_in_for_weir(&pod);
    for (ranges, v4, v6) in [
        ("10.0.0.2/31,fd00::2/127", true, true),
        ("10.0.0.0/31,fd00::/127", false, false),
        ("10.0.0.0/29", true, false),
        ("8.0.0.0/6,f000::/4", true, true),
        ("0.0.0.0/0", true, false),
        ("::/0", false, true),
        ("10.0.0.0/16,fd00::/64", true, true),
        ("10.1.0.0/16,fd01::/16", false, false),
    ] {
        pod.init(&["--skip-outbound-ranges", ranges]);
        for (to, skipped) in [(peer.at(APPLICATION), v4), (peer.at6(APPLICATION), v6)] {
            let redirected = format!("outbound {to}");
            let expected = if skipped { "application" } else { &redirected };
            assert_eq!(pod.enter(|| ask(to)), expected, "{ranges}");
        }
    }
}

#[test]
fn connections_go_on_that_are_older_than_the_redirect() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    let mut legs = Vec::new();
    for (server, client) in [(&pod, &peer), (&peer, &pod)] {
        let listener = server.listen(7000);
        for to in [server.at(7000), server.at6(7000)] {
            let near = client.connect(to);
            let far = listener.accept().unwrap().0;
            far.set_read_timeout(Some(PATIENCE)).unwrap();
            legs.push((near, far));
        }
    }
    stand_in_for_weir(&pod);
    // Over a namespace that tracked nothing before, one that did, and one where nothing is left.
    for args in [&[][..], &["--other", "refuse", "--dns-server", "10.0.0.9"], &["--remove"]] {
        pod.init(args);
        for (near, far) in &legs {
            say(near, far);
            say(far, near);
        }
        let to = peer.at(7001);
        let expected =
            if args == ["--remove"] { "ConnectionRefused" } else { &format!("outbound {to}") };
        assert_eq!(pod.enter(|| ask(to)), expected);
    }
}

fn say(mut from: &TcpStream, mut to: &TcpStream) {
    let mut there = [0; 4];
    from.write_all(b"ping").unwrap();
    to.read_exact(&mut there).unwrap();
    assert_eq!(&there, b"ping");
}

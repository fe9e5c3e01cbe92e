//! How servers are dialled behind the real redirect, where the ports are odd.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use support::PATIENCE;
use support::netns::{Network, Pod};

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

/// One connection after the other, each with a word and its echo, closed by the client first: so
/// Weir's dials to the server are closed by Weir first, and keep their ports.
fn exchange(pod: &Pod, peer: &Pod, count: usize) {
    pod.serve(8080, |mut stream| {
        let mut word = [0; 4];
        while stream.read_exact(&mut word).is_ok() {
            stream.write_all(&word).unwrap();
        }
    });
    peer.enter(|| {
        for number in 0..count {
            let mut stream = std::net::TcpStream::connect(pod.at(8080)).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(b"word").unwrap();
            let mut word = [0; 4];
            stream.read_exact(&mut word).unwrap_or_else(|error| panic!("{number}: {error}"));
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut word).unwrap(), 0, "{number}");
        }
    });
}

/// How many connections of the pod's are in `TIME_WAIT`.
fn time_wait(pod: &Pod) -> usize {
    let stat = pod.run("cat", &["/proc/net/sockstat"]);
    let mut words = stat.split_whitespace().skip_while(|word| *word != "tw");
    words.nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_ports_of_ended_dials_are_used_again_before_they_are_many() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    let weir = pod.weir("monitor", "", &[]);
    pod.init(&[]);
    exchange(&pod, &peer, 5500);
    let kept = time_wait(&pod);
    assert!((1000..4500).contains(&kept), "{kept} connections in TIME_WAIT");
    assert!(weir.metric("weir_dial_port_retries_total") < 1.0);
}

#[test]
fn where_no_port_is_left_one_of_an_ended_dial_is_taken() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    pod.sysctl("net/ipv4/ip_local_port_range", "40000 40399");
    let weir = pod.weir("monitor", "", &[]);
    pod.init(&[]);
    exchange(&pod, &peer, 1500);
    assert!(weir.metric("weir_dial_port_retries_total") >= 1000.0);
}

/// What an administrator keeps for servers to listen at is not for dialling from (ip-sysctl).
#[test]
fn reserved_ports_are_not_named_when_the_others_are_used_up() {
    let Some(net) = Network::new() else { return };
    let (pod, peer) = (net.pod(), net.pod());
    pod.sysctl("net/ipv4/ip_local_port_range", "40000 40007");
    pod.sysctl("net/ipv4/ip_local_reserved_ports", "40001,40003-40007");
    let (closed, closes) = std::sync::mpsc::channel();
    pod.serve(80, move |mut stream| {
        let port = stream.peer_addr().unwrap().port();
        stream.write_all(&port.to_be_bytes()).unwrap();
        // Weir is to close first, and to have the port in TIME_WAIT then.
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        drop(stream);
        closed.send(()).unwrap();
    });
    let weir = pod.guarded("");
    for _ in 0..20 {
        let mut port = [0; 2];
        peer.connect(pod.at(80)).read_exact(&mut port).unwrap();
        let port = u16::from_be_bytes(port);
        assert!([40000, 40002].contains(&port), "{port}");
        closes.recv_timeout(PATIENCE).unwrap();
    }
    assert!(weir.metric("weir_dial_port_retries_total") >= 18.0);
}

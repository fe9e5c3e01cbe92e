//! What becomes of connections, old and new, when something fails behind the real redirect: the
//! server, the network, the order in which things start, Weir itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;
use support::netns::{Families, Network, Pod, end_of};
use support::read_until;

/// Admits every connection to port 7000, both ways, and reads none.
const OPAQUE: &str = "apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: t}
spec:
  inbound:
  - {from: [{any: true}], ports: [7000], protocol: opaque}
  outbound:
  - {to: [{any: true}], ports: [7000], protocol: opaque}
";

/// The connections to a server that sends back what it gets.
#[derive(Clone, Default)]
struct Echo {
    reached: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Echo {
    fn start(pod: &Pod) -> Self {
        let echo = Self::default();
        let count = echo.clone();
        pod.serve(7000, move |mut stream| {
            count.reached.fetch_add(1, Ordering::SeqCst);
            stream.set_read_timeout(None).unwrap();
            let mut bytes = [0; 4096];
            while let Ok(n @ 1..) = stream.read(&mut bytes) {
                if stream.write_all(&bytes[..n]).is_err() {
                    break;
                }
            }
            count.ended.fetch_add(1, Ordering::SeqCst);
        });
        echo
    }

    /// How many have reached it.
    fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }

    /// Waits until so many are left open.
    fn until_open(&self, open: usize) {
        let end = Instant::now() + support::PATIENCE;
        while self.reached() - self.ended.load(Ordering::SeqCst) != open {
            assert!(Instant::now() < end, "not {open} of {} are left", self.reached());
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Says something and waits until it comes back.
fn heard(stream: &mut TcpStream, text: &str) -> Result<()> {
    stream.write_all(text.as_bytes())?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back)?;
    if back == text.as_bytes() { Ok(()) } else { Err(Error::other("something else came back")) }
}

/// Connects and is heard.
fn call(from: &Pod, to: SocketAddr) -> Result<()> {
    heard(&mut from.try_connect(to)?, "hello")
}

fn reason(record: &serde_json::Value, side: &str) -> String {
    assert_eq!(record["side"], side, "{record}");
    record["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_server_that_is_down_resets_its_client_at_once() {
    let Some(network) = Network::new() else { return };
    let (client, guarded, bare) = (network.pod(), network.pod(), network.pod());
    let outbound = client.guarded(OPAQUE);
    let inbound = guarded.guarded(OPAQUE);
    for to in [guarded.at(7000), guarded.at6(7000), bare.at(7000), bare.at6(7000)] {
        let begun = Instant::now();
        assert_eq!(client.refusal(to), ErrorKind::ConnectionReset, "{to}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{to}: {:?}", begun.elapsed());
    }
    let record = inbound.record("logged", |record| record["reason"] == "dial_refused");
    assert_eq!(reason(&record, "inbound"), "dial_refused");
    outbound.until("logged", || {
        let refused = |r: &&serde_json::Value| r["reason"] == "dial_refused";
        outbound.records().iter().filter(refused).count() == 2
    });
}

#[test]
fn a_server_that_drops_packets_resets_its_client_after_the_dial_timeout() {
    let Some(network) = Network::new() else { return };
    let (client, silent, gone) = (network.pod(), network.pod(), network.pod());
    client.init(&[]);
    let weir = client.weir("enforce", OPAQUE, &["--limit", "dial-timeout=500ms"]);
    let echo = Echo::start(&silent);
    silent.fault("tcp dport 7000 drop");
    network.cut(&gone);
    for to in [silent.at(7000), silent.at6(7000), gone.at(7000)] {
        assert_eq!(client.refusal(to), ErrorKind::ConnectionReset, "{to}");
    }
    weir.until("logged", || {
        weir.records().iter().filter(|r| r["reason"] == "dial_timeout").count() == 3
    });
    assert_eq!(echo.reached(), 0);
    silent.heal();
    call(&client, silent.at(7000)).unwrap();
}

#[test]
fn a_host_that_is_gone_resets_its_client_as_soon_as_the_kernel_knows() {
    let Some(network) = Network::new() else { return };
    let (client, gone) = (network.pod(), network.pod());
    client.init(&[]);
    let weir = client.weir("enforce", OPAQUE, &["--limit", "dial-timeout=30s"]);
    network.cut(&gone);
    assert_eq!(client.refusal(gone.at(7000)), ErrorKind::ConnectionReset);
    weir.record("logged", |record| record["reason"] == "dial_unreachable");
}

#[test]
fn a_firewall_that_rejects_mid_stream_ends_both_sides() {
    let Some(network) = Network::new() else { return };
    let (client, server) = (network.pod(), network.pod());
    let _weir = client.guarded(OPAQUE);
    Echo::start(&server);
    let mut stream = client.connect(server.at(7000));
    heard(&mut stream, "before").unwrap();
    server.fault("tcp dport 7000 reject with tcp reset");
    assert_eq!(heard(&mut stream, "after").unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(client.refusal(server.at(7000)), ErrorKind::ConnectionReset);
}

#[test]
fn a_reset_is_passed_on_to_the_other_side_behind_what_came_before_it() {
    let Some(network) = Network::new() else { return };
    let (client, server) = (network.pod(), network.pod());
    let sidecars = [client.guarded(OPAQUE), server.guarded(OPAQUE)];
    let (ended, end) = std::sync::mpsc::channel();
    server.serve(7000, move |mut stream| {
        let mut who = [0; 1];
        stream.read_exact(&mut who).unwrap();
        if who[0] == b's' {
            stream.write_all(b"partial").unwrap();
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        } else {
            let mut rest = [0; 7];
            stream.read_exact(&mut rest).unwrap();
            ended.send(end_of(&mut stream)).unwrap();
        }
    });
    for to in [server.at(7000), server.at6(7000)] {
        let mut stream = client.connect(to);
        stream.write_all(b"s").unwrap();
        assert_eq!(read_until(&mut stream, b"partial"), b"partial");
        assert_eq!(end_of(&mut stream), ErrorKind::ConnectionReset);

        let mut stream = client.connect(to);
        stream.write_all(b"cpartial").unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        drop(stream);
        assert_eq!(end.recv_timeout(support::PATIENCE), Ok(ErrorKind::ConnectionReset));
    }
    for weir in &sidecars {
        weir.until("told apart from an end", || {
            weir.metric("weir_connections_total outcome=\"reset\"") == 4.0
        });
    }
}

#[test]
fn a_pod_with_one_address_family_is_guarded_in_that_family() {
    let Some(network) = Network::new() else { return };
    for families in [Families::V4, Families::V6] {
        let (client, server) = (network.pod_with(families), network.pod_with(families));
        let (outbound, inbound) = (client.guarded(OPAQUE), server.guarded(OPAQUE));
        Echo::start(&server);
        let v4 = families == Families::V4;
        let to = if v4 { server.at(7000) } else { server.at6(7000) };
        call(&client, to).unwrap_or_else(|error| panic!("{families:?}: {error}"));
        for weir in [&outbound, &inbound] {
            weir.record("logged", |record| record["server"] == to.to_string().as_str());
        }
    }
}

#[test]
fn connections_that_were_there_before_init_go_on_unread_and_new_ones_are_taken() {
    let Some(network) = Network::new() else { return };
    let (client, server) = (network.pod(), network.pod());
    Echo::start(&server);
    let mut old = [server.at(7000), server.at6(7000)].map(|to| client.connect(to));
    old.iter_mut().for_each(|old| heard(old, "before").unwrap());
    let ports = old.each_ref().map(|old| old.local_addr().unwrap().port());
    let (outbound, inbound) = (client.guarded(OPAQUE), server.guarded(OPAQUE));
    old.iter_mut().for_each(|old| heard(old, "after").unwrap());
    for (to, from) in
        [(server.at(7000), IpAddr::from(client.v4)), (server.at6(7000), client.v6.into())]
    {
        call(&client, to).unwrap();
        let whose = |r: &serde_json::Value| r["client"].as_str().unwrap().parse().unwrap();
        for weir in [&outbound, &inbound] {
            weir.record("taken", |r| SocketAddr::ip(&whose(r)) == from);
            assert!(weir.records().iter().all(|r| !ports.contains(&whose(r).port())));
        }
    }
    // Nor does a second init end anything, whether read or not.
    let mut taken = client.connect(server.at(7000));
    heard(&mut taken, "before").unwrap();
    server.init(&[]);
    client.init(&[]);
    for stream in old.iter_mut().chain([&mut taken]) {
        heard(stream, "still").unwrap();
    }
}

/// Calls without end, from several threads, each on a new connection, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    workers: Vec<thread::JoinHandle<Result<()>>>,
}

impl Load {
    fn start(client: &Pod, to: SocketAddr) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let work = || {
            let (stop, done, place) = (stop.clone(), done.clone(), (**client).clone());
            thread::spawn(move || {
                place.enter(|| {
                    while !stop.load(Ordering::SeqCst) {
                        let mut stream = TcpStream::connect_timeout(&to, support::PATIENCE)?;
                        stream.set_read_timeout(Some(support::PATIENCE))?;
                        heard(&mut stream, "hello")?;
                        done.fetch_add(1, Ordering::SeqCst);
                        thread::sleep(Duration::from_millis(1));
                    }
                    Ok(())
                })
            })
        };
        Self { workers: (0..2).map(|_| work()).collect(), stop, done }
    }

    /// Waits until so many more calls are done.
    fn more(&self, calls: usize) {
        let (goal, end) =
            (self.done.load(Ordering::SeqCst) + calls, Instant::now() + support::PATIENCE);
        while self.done.load(Ordering::SeqCst) < goal {
            assert!(Instant::now() < end && !self.workers.iter().any(|w| w.is_finished()));
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn end(self) -> Result<()> {
        self.stop.store(true, Ordering::SeqCst);
        self.workers.into_iter().try_for_each(|worker| worker.join().unwrap())
    }
}

#[test]
fn init_under_load_fails_no_connection_however_often_it_runs() {
    let Some(network) = Network::new() else { return };
    let (client, server) = (network.pod(), network.pod());
    let echo = Echo::start(&server);
    let load = Load::start(&client, server.at(7000));
    load.more(20);
    // Weir first, so that whatever is redirected finds it.
    let inbound = server.weir("enforce", OPAQUE, &[]);
    let outbound = client.weir("enforce", OPAQUE, &[]);
    for _ in 0..10 {
        server.init(&[]);
        load.more(20);
        client.init(&[]);
        load.more(20);
    }
    let calls = load.done.clone();
    load.end().unwrap();
    let taken = inbound.metric("weir_dials_total result=\"connected\"");
    assert!(taken >= 380.0, "{taken} of {calls:?}");
    assert!(outbound.metric("weir_dials_total result=\"connected\"") >= 360.0);
    assert!(echo.reached() as f64 >= taken);
}

#[test]
fn when_weir_is_killed_connections_end_and_none_passes_until_it_is_back() {
    let Some(network) = Network::new() else { return };
    let (client, server, bare) = (network.pod(), network.pod(), network.pod());
    let (mut outbound, mut inbound) = (client.guarded(OPAQUE), server.guarded(OPAQUE));
    let (inside, outside) = (Echo::start(&server), Echo::start(&bare));
    let all = [server.at(7000), server.at6(7000), bare.at(7000), bare.at6(7000)];
    for (is_outbound, weir) in [(true, &mut outbound), (false, &mut inbound)] {
        let mut old = all.map(|to| client.connect(to));
        old.iter_mut().for_each(|stream| heard(stream, "before").unwrap());
        let before = (inside.reached(), outside.reached());
        weir.signal("KILL");
        assert_eq!(weir.wait(), None);
        // The servers hear of the end, too.
        inside.until_open(0);
        outside.until_open(if is_outbound { 0 } else { 2 });
        for (to, mut old) in all.into_iter().zip(old) {
            if !is_outbound && [bare.at(7000), bare.at6(7000)].contains(&to) {
                heard(&mut old, "not in its way").unwrap();
                continue;
            }
            assert!(heard(&mut old, "after").is_err(), "{to} lives on");
            // Where the client's own sidecar lives it takes the connection, and then resets it.
            let expected =
                if is_outbound { ErrorKind::ConnectionRefused } else { ErrorKind::ConnectionReset };
            assert_eq!(client.refusal(to), expected, "{to}");
        }
        assert_eq!((inside.reached(), outside.reached()), before);
        weir.restart();
        for to in all {
            call(&client, to).unwrap_or_else(|error| panic!("{to}: {error}"));
        }
    }
}

//! The process's budget: many connections, then less room than they need.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};
use support::{Weir, connect};

const CONNECTIONS: usize = 8000;

/// A server that keeps every connection, and answers one byte on each with itself: no thread for
/// each, as there are thousands.
fn keeper() -> (std::net::SocketAddr, std::sync::mpsc::Receiver<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    let (kept, streams) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if kept.send(stream).is_err() {
                return;
            }
        }
    });
    (at, streams)
}

/// Passes a byte each way, so that the connection is known to be relayed.
fn exchange(client: &mut TcpStream, server: &mut TcpStream) {
    client.write_all(b"x").unwrap();
    let mut byte = [0];
    server.set_read_timeout(Some(support::PATIENCE)).unwrap();
    server.read_exact(&mut byte).unwrap();
    server.write_all(&byte).unwrap();
    client.read_exact(&mut byte).unwrap();
}

#[test]
fn accepting_pauses_without_room_and_resumes_with_it() {
    let own = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: own.maximum, ..own }).unwrap();
    let needed = 2 * CONNECTIONS as u64 + 512;
    if own.maximum.is_some_and(|most| most < needed) {
        support::skip(&format!("needs {needed} descriptors, the hard limit is {:?}", own.maximum));
        return;
    }
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(config.path(), "memory: 1GiB\n").unwrap();
    let (at, streams) = keeper();
    let path = config.path().to_str().unwrap();
    let weir = Weir::start_with("learn", "", &[at], &["--config", path]);
    let rest = weir.resident();

    let mut held = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let mut client = connect(weir.at());
        let mut server = streams.recv_timeout(support::PATIENCE).unwrap();
        exchange(&mut client, &mut server);
        held.push((client, server));
    }
    let each = (weir.resident() - rest) / CONNECTIONS as u64;
    assert!(each < 8 << 10, "an idle connection takes {each} bytes");
    assert_eq!(weir.metric("weir_accept_pauses_total"), 0.0);

    // Hardly more descriptors than are open: the next connection waits, the present ones go on,
    // and what Weir keeps back for itself still serves the admin endpoint.
    let pid = Pid::from_raw(i32::try_from(weir.pid()).unwrap()).unwrap();
    let open = std::fs::read_dir(format!("/proc/{}/fd", weir.pid())).unwrap().count() as u64;
    let limit = Rlimit { current: Some(open + 8), maximum: own.maximum };
    let limit = prlimit(Some(pid), Resource::Nofile, limit);
    let before = limit.unwrap();
    let _last = pause(&weir, "descriptors");
    let mut waiting = connect(weir.at());
    waiting.write_all(b"w").unwrap();
    for (client, server) in held.iter_mut().step_by(997) {
        exchange(client, server);
    }
    let _first = streams.recv_timeout(support::PATIENCE).unwrap();
    let more = streams.recv_timeout(Duration::from_millis(300));
    assert!(more.is_err(), "accepted without descriptors");
    prlimit(Some(pid), Resource::Nofile, before).unwrap();
    answered(&weir, &mut waiting, &streams);

    // Less memory than is in use.
    std::fs::write(config.path(), "memory: 2MiB\n").unwrap();
    weir.signal("HUP");
    let _last = pause(&weir, "memory");
    let mut waiting = connect(weir.at());
    waiting.write_all(b"w").unwrap();
    // It resumes when connections end, too: no reload is needed.
    held.truncate(100);
    answered(&weir, &mut waiting, &streams);

    // What thousands of connections took comes back.
    drop(held);
    weir.until("shrunk", || weir.resident() < rest + (12 << 20));
}

/// Waits until the sidecar has looked at its limits, and makes the one connection more that it
/// was already waiting for.
fn pause(weir: &Weir, cause: &str) -> TcpStream {
    std::thread::sleep(Duration::from_millis(1500));
    let last = connect(weir.at());
    weir.until("paused", || weir.metric(&format!("weir_accept_pauses_total {cause}")) > 0.0);
    last
}

/// The byte that the waiting connection sent comes through, once it is accepted.
fn answered(weir: &Weir, waiting: &mut TcpStream, streams: &std::sync::mpsc::Receiver<TcpStream>) {
    weir.until("resumed", || {
        let Ok(mut server) = streams.recv_timeout(Duration::from_millis(200)) else {
            return false;
        };
        let mut byte = [0];
        // The connection that made the pause visible came first, and says nothing.
        server.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        matches!(server.read(&mut byte), Ok(1)) && server.write_all(&byte).is_ok()
    });
    waiting.read_exact(&mut [0]).unwrap();
}

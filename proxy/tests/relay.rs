//! The relay against real sockets: what passes, how ends pass, and what never happens.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::mpsc;
use std::time::Duration;

use support::{PATIENCE, Weir, connect, read_all, serve};

/// A server that answers each byte with itself.
fn echo() -> SocketAddr {
    serve(|mut stream| {
        let mut chunk = [0; 65536];
        while let Ok(n @ 1..) = stream.read(&mut chunk) {
            if stream.write_all(&chunk[..n]).is_err() {
                return;
            }
        }
    })
}

/// Lets every protocol pass to this server, as a connection.
fn any_protocol(upstream: SocketAddr) -> String {
    format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: t}}\nspec:\n\
         \x20 mode: enforce\n  unread: {{unknownProtocol: allow, unsupportedProtocol: allow}}\n\
         \x20 inbound:\n  - from: [{{any: true}}]\n    ports: [{}]\n",
        upstream.port()
    )
}

/// Sends `bytes` one at a time, each only after the one before has come back.
fn lock_step(weir: &Weir, bytes: &[u8]) {
    let mut stream = weir.connect();
    for (index, byte) in bytes.iter().enumerate() {
        stream.write_all(&[*byte]).unwrap();
        let mut back = [0];
        let read = stream.read_exact(&mut back);
        assert!(
            read.is_ok(),
            "byte {index} of {:?} did not pass",
            bytes.escape_ascii().to_string()
        );
        assert_eq!(back[0], *byte);
    }
}

#[test]
fn observing_holds_nothing_back() {
    let http = b"POST /a HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\nT: v\r\n\r\nGET / HTTP/1.1\r\n";
    let garbage: Vec<u8> = (0..=255).cycle().take(2048).collect();
    let redis = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\nPING\r\n*1\r\n$4\r\nPING\r\n";
    let tls = b"\x16\x03\x01\x00\x10\x01\x00\x00\x0c\x03\x03garbage";
    for mode in ["learn", "monitor"] {
        let weir = Weir::start(mode, "", echo());
        for bytes in [&http[..], &garbage, redis, tls, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"] {
            lock_step(&weir, bytes);
        }
    }
}

#[test]
fn a_long_observed_head_is_never_held_up() {
    let weir = Weir::start("learn", "", echo());
    let mut stream = weir.connect();
    let head = [&b"GET / HTTP/1.1\r\nX: "[..], &vec![b'a'; 300 << 10]].concat();
    let mut writer = stream.try_clone().unwrap();
    let sent = head.clone();
    let writing = std::thread::spawn(move || writer.write_all(&sent).unwrap());
    let mut back = vec![0; head.len()];
    stream.read_exact(&mut back).unwrap();
    writing.join().unwrap();
    assert!(back == head);
}

#[test]
fn a_client_of_a_server_that_is_down_is_reset() {
    let weir = Weir::start("learn", "", support::free_port());
    let mut stream = weir.connect();
    let read = stream.read(&mut [0; 16]);
    assert!(
        matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset),
        "{read:?}"
    );
    weir.record("recorded", |record| record["reason"] == "dial_refused");
    weir.until("counted", || weir.metric("weir_dials_total") > 0.0);
}

#[test]
fn a_server_that_speaks_first_is_not_waited_for() {
    let at = serve(|mut stream| {
        stream.write_all(b"220 mail ESMTP\r\n").unwrap();
        let mut line = [0; 64];
        let _ = stream.read(&mut line);
        stream.write_all(b"250 hello\r\n").unwrap();
    });
    for (mode, policy) in [("learn", String::new()), ("enforce", any_protocol(at))] {
        let weir = Weir::start(mode, &policy, at);
        let mut stream = weir.connect();
        // The clock of a slow head is at 60 s; a greeting that waited for it would fail this read.
        assert_eq!(support::read_until(&mut stream, b"\r\n"), b"220 mail ESMTP\r\n");
        stream.write_all(b"EHLO me\r\n").unwrap();
        assert_eq!(read_all(&mut stream), b"250 hello\r\n");
    }
}

#[test]
fn a_half_close_is_passed_on() {
    let at = serve(|mut stream| {
        let all = read_all(&mut stream);
        write!(stream, "got {}", all.len()).unwrap();
    });
    let weir = Weir::start("learn", "", at);
    let mut stream = weir.connect();
    stream.write_all(&[b'x'; 100_000]).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"got 100000");
}

/// Behind a request to switch protocols the session reads nothing before the answer.
#[test]
fn a_half_close_behind_an_unanswered_offer_is_passed_on() {
    let at = serve(|mut stream| {
        let all = read_all(&mut stream);
        write!(stream, "got {}", all.len()).unwrap();
    });
    let weir = Weir::start("learn", "", at);
    let mut stream = weir.connect();
    let offer =
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nmore";
    stream.write_all(offer).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), format!("got {}", offer.len()).as_bytes());
}

#[test]
fn a_reset_is_passed_on_after_what_came_before_it() {
    let (told, ended) = mpsc::channel();
    let at = serve(move |mut stream| {
        let mut got = Vec::new();
        let mut chunk = [0; 4096];
        let end = loop {
            match stream.read(&mut chunk) {
                Ok(0) => break "fin",
                Ok(n) => got.extend_from_slice(&chunk[..n]),
                Err(_) => break "reset",
            }
        };
        told.send((got, end)).unwrap();
    });
    let weir = Weir::start("learn", "", at);
    let mut stream = weir.connect();
    stream.write_all(b"before the reset").unwrap();
    std::thread::sleep(Duration::from_millis(200));
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
    let (got, end) = ended.recv_timeout(PATIENCE).unwrap();
    assert_eq!(got, b"before the reset");
    assert_eq!(end, "reset");
}

#[test]
fn a_reset_by_the_server_reaches_the_client_after_its_last_bytes() {
    let at = serve(|mut stream| {
        let _ = stream.read(&mut [0; 16]);
        stream.write_all(b"last words").unwrap();
        std::thread::sleep(Duration::from_millis(200));
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let weir = Weir::start("learn", "", at);
    let mut stream = weir.connect();
    stream.write_all(b"hello").unwrap();
    let mut got = [0; 10];
    stream.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"last words");
    let end = stream.read(&mut got);
    assert!(
        matches!(&end, Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset),
        "{end:?}"
    );
}

#[test]
fn a_slow_reader_does_not_grow_memory() {
    const SENT: usize = 256 << 20;
    let at = serve(|mut stream| {
        let _ = stream.read(&mut [0]);
        let chunk = vec![b'x'; 1 << 20];
        for _ in 0..SENT >> 20 {
            if stream.write_all(&chunk).is_err() {
                return;
            }
        }
    });
    let weir = Weir::start("learn", "", at);
    let before = weir.resident();
    let mut stream = weir.connect();
    stream.write_all(b"?").unwrap();
    let mut total = stream.read(&mut [0; 1024]).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let during = weir.resident();
    assert!(during < before + (4 << 20), "grew from {before} to {during} bytes");
    let mut chunk = vec![0; 1 << 20];
    while let Ok(n @ 1..) = stream.read(&mut chunk) {
        total += n;
    }
    assert_eq!(total, SENT);
}

#[test]
fn many_connections_come_and_go_and_leave_nothing() {
    let weir = Weir::start("learn", "", echo());
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", weir.pid())).unwrap().count();
    lock_step(&weir, b"warm up");
    let before = descriptors();
    for round in 0..300 {
        let mut stream = connect(weir.at());
        stream.write_all(b"hi").unwrap();
        match round % 3 {
            0 => stream.shutdown(Shutdown::Write).unwrap(),
            1 => socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap(),
            _ => {}
        }
    }
    weir.until("all closed", || descriptors() <= before);
}

#[test]
fn a_port_in_use_is_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["run", "--admin", "off", "--forward", &format!("{at}=127.0.0.1:9")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&at.to_string()) && said.contains("in use"), "{said}");
}

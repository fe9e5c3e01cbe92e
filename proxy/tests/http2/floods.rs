//! Floods of frames that cost their sender nothing: the connection ends, and nobody is harmed.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::frames::*;
use crate::raw::{Event, Raw};
use crate::scene::{WEB, guard_patiently};
use crate::support::{Weir, serve};

/// As many times a flood is repeated. All of it is less than what is read behind the end of a
/// connection, so that the goodbye arrives.
const MANY: u32 = 7000;

/// A server that bears everything, and answers each request: how many came for `/ok/flood`.
fn patient() -> (SocketAddr, Arc<AtomicUsize>) {
    let reached = Arc::<AtomicUsize>::default();
    let copy = reached.clone();
    let at = serve(move |stream| {
        let Some(mut raw) = Raw::accept(stream, &[]) else { return };
        loop {
            match raw.until(|_| true) {
                Event::Head { stream, flags, fields } => {
                    let flood = fields.iter().any(|(_, value)| value == "/ok/flood");
                    copy.fetch_add(usize::from(flood), Ordering::Relaxed);
                    if flags & END_STREAM != 0 {
                        raw.head(stream, &block(&[(":status", "200")]), false);
                        raw.send(DATA, END_STREAM, stream, b"ok");
                    }
                }
                Event::End => return,
                _ => {}
            }
        }
    });
    (at, reached)
}

/// Sends a flood while its answers are read: the code that the connection ended with.
fn flood(weir: &Weir, frames: impl Fn(u32) -> Vec<u8> + Send + 'static) -> Option<u32> {
    let mut raw = Raw::connect(weir.at(), &[]);
    // Before the server has said hello nobody may speak for it.
    raw.settle(1);
    raw.polite = false;
    raw.post(1, "/echo/flooded");
    let mut writer = raw.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || {
        for n in 0..MANY {
            if writer.write_all(&frames(n)).is_err() {
                return;
            }
        }
    });
    // A connection that bears it all would be read without an end.
    raw.stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let code = raw.goaway();
    let ended = raw.until(|_| false);
    assert_eq!(ended, Event::End);
    drop(raw);
    sender.join().unwrap();
    code
}

/// The same, with what is expected of every flood.
fn is_stopped(frames: impl Fn(u32) -> Vec<u8> + Send + 'static) -> usize {
    let (server, reached) = patient();
    let weir = guard_patiently("http", WEB, server);
    let mut other = Raw::connect(weir.at(), &[]);
    other.get(1, "/ok/other");
    assert_eq!(other.answer(1).body, b"ok");
    let before = weir.resident();
    let code = flood(&weir, frames);
    assert_eq!(code, Some(code::ENHANCE_YOUR_CALM));
    let after = weir.resident();
    assert!(after < before + (16 << 20), "{before} bytes resident before, {after} after");
    other.get(3, "/ok/other");
    assert_eq!(other.answer(3).body, b"ok");
    weir.record("the flood", |record| record["verdict"] == "refused");
    reached.load(Ordering::Relaxed)
}

/// A hundred of a frame at once.
fn hundred(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(kind, flags, stream, payload).repeat(100)
}

#[test]
fn continuations_without_an_end_are_stopped() {
    for payload in [&b""[..], b"\0\x01x\x01y"] {
        let reached = is_stopped(move |n| {
            let head = block(&request("GET", "/ok/flood", &[]));
            let begin = if n == 0 { frame(HEADERS, END_STREAM, 3, &head) } else { Vec::new() };
            [begin, hundred(CONTINUATION, 0, 3, payload)].concat()
        });
        assert_eq!(reached, 0);
    }
}

#[test]
fn streams_that_are_reset_at_once_are_stopped() {
    let reached = is_stopped(|n| {
        let head = block(&request("GET", "/ok/flood", &[]));
        let reset = code::CANCEL.to_be_bytes();
        let pair = |stream| {
            let whole = frame(HEADERS, END_HEADERS | END_STREAM, stream, &head);
            [whole, frame(RST_STREAM, 0, stream, &reset)].concat()
        };
        (0..10).flat_map(|m| pair(20 * n + 2 * m + 3)).collect()
    });
    assert!(reached < 15_000, "{reached} reached the server");
}

#[test]
fn floods_of_settings_are_stopped() {
    is_stopped(|_| hundred(SETTINGS, 0, 0, &settings(&[(INITIAL_WINDOW_SIZE, 65_535)])));
}

#[test]
fn floods_of_pings_are_stopped() {
    is_stopped(|_| hundred(PING, 0, 0, &[1; 8]));
}

#[test]
fn floods_of_empty_data_are_stopped() {
    is_stopped(|_| hundred(DATA, 0, 1, &[]));
}

#[test]
fn floods_of_padding_alone_are_stopped_or_paid_for() {
    let weir = guard_patiently("http", WEB, patient().0);
    // Padding takes of the window, so a sender without room breaks the rules at last.
    let code = flood(&weir, |_| hundred(DATA, PADDED, 1, &padded(b"", 0)));
    assert!(
        [code::FLOW_CONTROL_ERROR, code::ENHANCE_YOUR_CALM].contains(&code.unwrap()),
        "{code:?}"
    );
}

//! What breaks the whole connection: it ends with the right word, and nothing of it reaches the
//! server.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::frames::*;
use crate::raw::{Event, Raw};
use crate::scene::{WEB, guard_patiently, not_allowed, ways};
use crate::support::{Weir, serve};
use crate::web::Web;

struct Case {
    what: &'static str,
    frames: Vec<u8>,
    /// The codes that RFC 9113 has for it.
    codes: &'static [u32],
}

/// What goes wrong behind `GET /ok` on stream 1, which is closed by then.
fn cases() -> Vec<Case> {
    const PROTOCOL: &[u32] = &[code::PROTOCOL_ERROR];
    const CLOSED: &[u32] = &[code::STREAM_CLOSED, code::PROTOCOL_ERROR];
    const SIZE: &[u32] = &[code::FRAME_SIZE_ERROR, code::PROTOCOL_ERROR];
    const FLOW: &[u32] = &[code::FLOW_CONTROL_ERROR];
    const COMPRESSION: &[u32] = &[code::COMPRESSION_ERROR];
    let get = |path: &'static str| block(&request("GET", path, &[]));
    let whole = END_HEADERS | END_STREAM;
    let unfinished = |next: Vec<u8>| [frame(HEADERS, END_STREAM, 3, &get("/ok")), next].concat();
    let cases: Vec<(&'static str, Vec<u8>, &'static [u32])> = vec![
        ("a stream's id again", frame(HEADERS, whole, 1, &get("/ok/again")), CLOSED),
        (
            "an id below another",
            [frame(HEADERS, whole, 9, &get("/ok")), frame(HEADERS, whole, 7, &get("/ok/again"))]
                .concat(),
            CLOSED,
        ),
        ("an even id", frame(HEADERS, whole, 2, &get("/ok/again")), PROTOCOL),
        ("a head on stream 0", frame(HEADERS, whole, 0, &get("/ok/again")), PROTOCOL),
        ("data on stream 0", frame(DATA, 0, 0, b"x"), PROTOCOL),
        ("data on a stream that nobody opened", frame(DATA, 0, 3, b"x"), PROTOCOL),
        ("a reset of a stream that nobody opened", frame(RST_STREAM, 0, 3, &[0; 4]), PROTOCOL),
        (
            "room for a stream that nobody opened",
            frame(WINDOW_UPDATE, 0, 3, &[0, 0, 0, 1]),
            PROTOCOL,
        ),
        ("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 3, &get("/ok")), PROTOCOL),
        ("a frame within a field section", unfinished(frame(PING, 0, 0, &[0; 8])), PROTOCOL),
        (
            "a continuation on another stream",
            unfinished(frame(CONTINUATION, END_HEADERS, 5, &get("/ok"))),
            PROTOCOL,
        ),
        ("a promise by the client", frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]), PROTOCOL),
        ("a frame that is too long", frame(DATA, 0, 3, &[0; 16_385]), SIZE),
        ("settings of no length", frame(SETTINGS, 0, 0, &[0; 5]), SIZE),
        ("settings on a stream", frame(SETTINGS, 0, 3, &[]), PROTOCOL),
        ("an acknowledgement with settings", frame(SETTINGS, ACK, 0, &[0; 6]), SIZE),
        (
            "a window beyond all",
            frame(SETTINGS, 0, 0, &settings(&[(INITIAL_WINDOW_SIZE, 1 << 31)])),
            FLOW,
        ),
        (
            "frames smaller than the smallest",
            frame(SETTINGS, 0, 0, &settings(&[(MAX_FRAME_SIZE, 100)])),
            PROTOCOL,
        ),
        ("a push that is neither", frame(SETTINGS, 0, 0, &settings(&[(ENABLE_PUSH, 2)])), PROTOCOL),
        ("a ping of seven bytes", frame(PING, 0, 0, &[0; 7]), SIZE),
        ("a ping on a stream", frame(PING, 0, 3, &[0; 8]), PROTOCOL),
        ("a goodbye on a stream", frame(GOAWAY, 0, 3, &[0; 8]), PROTOCOL),
        ("room for nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), PROTOCOL),
        ("room of three bytes", frame(WINDOW_UPDATE, 0, 0, &[0; 3]), SIZE),
        ("room beyond all", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]), FLOW),
        ("more padding than frame", frame(HEADERS, whole | PADDED, 3, &[200, 0x82]), PROTOCOL),
        ("an entry of no table", frame(HEADERS, whole, 3, &[0x80]), COMPRESSION),
        ("an entry beyond the table", frame(HEADERS, whole, 3, &[0xff, 0xff, 0x03]), COMPRESSION),
        (
            "a table beyond what is allowed",
            frame(HEADERS, whole, 3, &[0x3f, 0xff, 0xff, 0x7f]),
            COMPRESSION,
        ),
        (
            "a field section that is cut off",
            frame(HEADERS, whole, 3, &[0x40, 5, b'x']),
            COMPRESSION,
        ),
        (
            "a Huffman code of padding alone",
            frame(HEADERS, whole, 3, &[0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0]),
            COMPRESSION,
        ),
    ];
    cases.into_iter().map(|(what, frames, codes)| Case { what, frames, codes }).collect()
}

/// What goes otherwise in these cases. `general` is what may stand for any code.
fn wrong(at: SocketAddr, cases: &[Case], general: Option<u32>) -> Vec<String> {
    use std::io::Write as _;
    let mut wrong = Vec::new();
    for Case { what, frames, codes } in cases {
        let mut raw = Raw::connect(at, &[]);
        raw.get(1, "/ok/first");
        assert_eq!(raw.answer(1).body, b"ok", "{what}");
        raw.stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        raw.stream.write_all(frames).unwrap();
        // Behind it, so that it is never taken for the end.
        raw.send(PING, 0, 0, &[7; 8]);
        raw.get(101, "/ok/behind");
        let code = raw.goaway();
        if !code.is_some_and(|code| codes.contains(&code) || general == Some(code)) {
            wrong.push(format!("{what}: {code:?}, not {codes:?}"));
        } else if raw.until(|_| false) != Event::End {
            wrong.push(format!("{what}: the connection does not end"));
        }
    }
    wrong
}

#[test]
fn broken_connections_end_with_the_right_code() {
    for way in ways() {
        // Who observes changes nothing: then it is the server that ends them, and h2 has one word
        // for much.
        let web = Web::start();
        let weir = crate::scene::guard(&way, "http", web.at);
        let at = weir.as_ref().map_or(web.at, Weir::at);
        let wrong = wrong(at, &cases(), Some(code::PROTOCOL_ERROR));
        assert!(wrong.is_empty(), "{way}: {wrong:#?}");
    }
}

#[test]
fn nothing_of_a_broken_connection_reaches_the_server() {
    let web = Web::start();
    let weir = guard_patiently("http", WEB, web.at);
    let wrong = wrong(weir.at(), &cases(), None);
    assert!(wrong.is_empty(), "{wrong:#?}");
    for received in web.received() {
        assert!(["/ok/first", "/ok"].contains(&&*received.path), "{received:?}");
    }
    weir.until("all logged", || not_allowed(&weir).len() >= cases().len());
}

/// A server that answers the first request with these frames.
fn answering(frames: Vec<u8>) -> (SocketAddr, Arc<Mutex<Option<u32>>>) {
    use std::io::Write as _;
    let told = Arc::<Mutex<Option<u32>>>::default();
    let copy = told.clone();
    let at = serve(move |stream| {
        let Some(mut raw) = Raw::accept(stream, &[]) else { return };
        raw.until(|event| matches!(event, Event::Head { .. }));
        raw.stream.write_all(&frames).unwrap();
        *copy.lock().unwrap() = raw.goaway();
    });
    (at, told)
}

#[test]
fn broken_answers_reach_no_client() {
    let mut passed = Vec::new();
    let ok = block(&[(":status", "200")]);
    let whole = END_HEADERS | END_STREAM;
    for (what, frames) in [
        ("no status", frame(HEADERS, whole, 1, &block(&[("x", "y")]))),
        ("a status that is none", frame(HEADERS, whole, 1, &block(&[(":status", "2x0")]))),
        ("two", frame(HEADERS, whole, 1, &block(&[(":status", "200"), (":status", "404")]))),
        ("an upper-case name", frame(HEADERS, whole, 1, &block(&[(":status", "200"), ("X", "y")]))),
        (
            "a line break",
            frame(HEADERS, whole, 1, &block(&[(":status", "200"), ("x", "a\r\nb: c")])),
        ),
        (
            "a connection's field",
            frame(HEADERS, whole, 1, &block(&[(":status", "200"), ("connection", "close")])),
        ),
        ("data before the head", frame(DATA, END_STREAM, 1, b"x")),
        ("a head on another stream", frame(HEADERS, whole, 3, &ok)),
        (
            "a push",
            frame(
                PUSH_PROMISE,
                END_HEADERS,
                1,
                &[&[0, 0, 0, 2], &block(&request("GET", "/ok", &[]))[..]].concat(),
            ),
        ),
    ] {
        let (server, _told) = answering(frames);
        let weir = guard_patiently("http", WEB, server);
        let mut raw = Raw::connect(weir.at(), &[]);
        raw.get(1, "/ok");
        let event = raw.until(|event| {
            matches!(event, Event::Head { .. } | Event::Data { .. } | Event::Reset { .. })
                || matches!(event, Event::GoAway { .. } | Event::Other { .. })
        });
        let kept_back = match &event {
            Event::Head { fields, .. } => fields[0].1 == "502",
            Event::Reset { stream, .. } => *stream == 1,
            event => matches!(event, Event::GoAway { .. } | Event::End),
        };
        if !kept_back {
            passed.push(format!("{what}: {event:?}"));
        }
    }
    assert!(passed.is_empty(), "{passed:#?}");
}

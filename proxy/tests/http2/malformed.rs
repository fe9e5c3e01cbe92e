//! Requests that no two parsers should have to agree upon: their stream is reset, nothing of them
//! reaches the server, and the other streams go on.

use crate::frames::*;
use crate::raw::Raw;
use crate::scene::{WEB, guard_patiently, noise, not_allowed};
use crate::web::Web;

/// A section of field lines that may be anything.
fn section(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        literal(&mut out, Line::Plain, name, value);
    }
    out
}

/// `GET /ok` with further field lines.
fn with(more: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut fields: Vec<(&[u8], &[u8])> = vec![
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":authority", b"a"),
        (b":path", b"/ok"),
    ];
    fields.extend(more);
    section(&fields)
}

/// `GET /ok` without one of its pseudo-fields, or with another value for it.
fn but(name: &str, value: Option<&str>) -> Vec<u8> {
    let mut fields = request("GET", "/ok", &[]);
    match value {
        Some(value) => fields.iter_mut().filter(|(n, _)| *n == name).for_each(|f| f.1 = value),
        None => fields.retain(|(n, _)| *n != name),
    }
    block(&fields)
}

/// What is wrong, and the field section that is.
fn sections() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("an upper-case name", with(&[(b"X-Upper", b"y")])),
        ("an empty name", with(&[(b"", b"y")])),
        ("a name with a space", with(&[(b"x y", b"y")])),
        ("a name with a colon", with(&[(b"x:y", b"y")])),
        ("a name with a control character", with(&[(b"x\r\ny", b"y")])),
        ("a name that is not ASCII", with(&[(b"caf\xe9", b"y")])),
        ("CR in a value", with(&[(b"x", b"a\rb")])),
        ("LF in a value", with(&[(b"x", b"a\nb")])),
        ("NUL in a value", with(&[(b"x", b"a\0b")])),
        ("a request within a value", with(&[(b"x", b"a\r\nhost: b\r\n\r\nGET /private")])),
        ("a value that begins with a space", with(&[(b"x", b" a")])),
        ("a value that ends with a tab", with(&[(b"x", b"a\t")])),
        ("connection", with(&[(b"connection", b"close")])),
        ("keep-alive", with(&[(b"keep-alive", b"timeout=5")])),
        ("proxy-connection", with(&[(b"proxy-connection", b"close")])),
        ("transfer-encoding", with(&[(b"transfer-encoding", b"chunked")])),
        ("upgrade", with(&[(b"upgrade", b"h2c")])),
        ("te beside trailers", with(&[(b"te", b"gzip")])),
        ("a host unlike the authority", with(&[(b"host", b"b")])),
        ("two hosts", with(&[(b"host", b"a"), (b"host", b"b")])),
        ("two lengths", with(&[(b"content-length", b"0"), (b"content-length", b"1")])),
        ("a length that is none", with(&[(b"content-length", b"+0")])),
        ("a length without a body", with(&[(b"content-length", b"5")])),
        ("no method", but(":method", None)),
        ("no scheme", but(":scheme", None)),
        ("no path", but(":path", None)),
        ("an empty path", but(":path", Some(""))),
        ("a path without a slash", but(":path", Some("ok"))),
        ("a path with a space", but(":path", Some("/ok HTTP/1.1"))),
        ("a method with a space", but(":method", Some("GET /private"))),
        ("a user in the authority", but(":authority", Some("user@a"))),
        ("two paths", with(&[(b":path", b"/private")])),
        ("a pseudo-field behind fields", with(&[(b"x", b"y"), (b":path", b"/private")])),
        ("an unknown pseudo-field", with(&[(b":other", b"y")])),
        ("an answer's pseudo-field", with(&[(b":status", b"200")])),
    ]
}

/// A connection with a stream that is under way, before and after.
struct Busy {
    raw: Raw,
    next: u32,
}

impl Busy {
    fn begin(weir: &crate::support::Weir) -> Self {
        let mut raw = Raw::connect(weir.at(), &[]);
        raw.post(1, "/echo/good");
        raw.send(DATA, 0, 1, &noise(1, 500));
        raw.settle(1);
        Self { raw, next: 3 }
    }

    fn stream(&mut self) -> u32 {
        self.next += 2;
        self.next - 2
    }

    /// Whether a stream is reset for what is wrong with it, and nothing else comes.
    fn is_reset(&mut self, stream: u32) -> bool {
        let answer = self.raw.answer(stream);
        (&*answer.status, answer.reset) == ("", Some(code::PROTOCOL_ERROR))
    }

    fn finish(mut self) {
        self.raw.send(DATA, END_STREAM, 1, &noise(2, 500));
        assert_eq!(self.raw.answer(1).body, [noise(1, 500), noise(2, 500)].concat());
    }
}

#[test]
fn malformed_heads_reset_their_stream_and_reach_nobody() {
    let web = Web::start();
    let weir = guard_patiently("http", WEB, web.at);
    let mut busy = Busy::begin(&weir);
    let mut passed = Vec::new();
    for (what, section) in sections() {
        let stream = busy.stream();
        busy.raw.head(stream, &section, true);
        if !busy.is_reset(stream) {
            passed.push(what);
        }
    }
    assert!(passed.is_empty(), "{passed:?}");
    busy.finish();
    assert_eq!(web.received().len(), 1, "{:?}", web.received());
    weir.until("all logged", || not_allowed(&weir).len() == sections().len());
}

#[test]
fn a_body_unlike_its_length_is_not_completed() {
    let web = Web::start();
    let weir = guard_patiently("http", WEB, web.at);
    let mut busy = Busy::begin(&weir);
    for (path, length, sent) in [
        ("/echo/short", "5", &b"abc"[..]),
        ("/echo/long", "5", b"abcdefgh"),
        ("/echo/none", "5", b""),
    ] {
        let stream = busy.stream();
        let head = block(&request("POST", path, &[("content-length", length)]));
        busy.raw.head(stream, &head, false);
        busy.raw.send(DATA, END_STREAM, stream, sent);
        let answer = busy.raw.answer(stream);
        assert_eq!(answer.reset, Some(code::PROTOCOL_ERROR), "{path}");
    }
    busy.finish();
    for received in web.received().iter().skip(1) {
        assert_ne!(received.end, Some(Ok(())), "{received:?}");
    }
}

#[test]
fn malformed_trailers_are_not_delivered() {
    let web = Web::start();
    let weir = guard_patiently("http", WEB, web.at);
    let mut busy = Busy::begin(&weir);
    for (what, section, end) in [
        ("a pseudo-field", section(&[(b":path", b"/private")]), true),
        ("an upper-case name", section(&[(b"X", b"y")]), true),
        ("a line break", section(&[(b"x", b"a\r\nb")]), true),
        ("no end", section(&[(b"x", b"y")]), false),
    ] {
        let stream = busy.stream();
        busy.raw.post(stream, "/echo/trailers");
        busy.raw.send(DATA, 0, stream, b"body");
        busy.raw.head(stream, &section, end);
        let answer = busy.raw.answer(stream);
        assert_eq!(answer.reset, Some(code::PROTOCOL_ERROR), "{what}");
    }
    busy.finish();
    for received in web.received().iter().skip(1) {
        assert!(received.end != Some(Ok(())) && received.trailers.is_empty(), "{received:?}");
    }
}

#[test]
fn a_head_over_the_limit_is_answered_and_no_more() {
    let web = Web::start();
    let weir = guard_patiently("http", WEB, web.at);
    let mut busy = Busy::begin(&weir);
    for bytes in [70_000, 200_000] {
        let stream = busy.stream();
        let value = "y".repeat(bytes / 20);
        let more: Vec<_> = (0..20).map(|_| ("x-long", &*value)).collect();
        busy.raw.head(stream, &block(&request("GET", "/ok", &more)), true);
        assert_eq!(busy.raw.answer(stream).status, "431", "{bytes}");
    }
    let stream = busy.stream();
    busy.raw.get(stream, "/ok");
    assert_eq!(busy.raw.answer(stream).body, b"ok");
    busy.finish();
    assert_eq!(web.received().len(), 2);
}

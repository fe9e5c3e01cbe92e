//! What must be read, and how.

use super::*;

fn ok(head: &str) -> RequestHead<'_> {
    let mut scan = HeadScan::default();
    let found = scan.find(head.as_bytes(), HeadKind::Request, 65536);
    assert_eq!(found, Ok(Some(head.len())), "{head:?}");
    request(head.as_bytes()).unwrap()
}

fn answer(head: &str, to: RequestKind) -> ResponseHead<'_> {
    let mut scan = HeadScan::default();
    let found = scan.find(head.as_bytes(), HeadKind::Response, 65536);
    assert_eq!(found, Ok(Some(head.len())), "{head:?}");
    response(head.as_bytes(), to).unwrap()
}

#[test]
fn a_request_as_browsers_send_it() {
    let head = ok("POST /carts/7%2F?q=[a]&b=%&c=a|b HTTP/1.1\r\nHost: cart.shop:8080\r\n\
        X-Empty:\r\nX-Tab:\ta \t b\t \r\nCookie: \u{e9}=1\r\nContent-Length: 12\r\n\
        traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n");
    assert_eq!(head.method, b"POST");
    assert_eq!(head.path(), b"/carts/7%2F");
    assert_eq!(head.target.query(), Some(&b"q=[a]&b=%&c=a|b"[..]));
    assert_eq!(head.authority, Some(&b"cart.shop:8080"[..]));
    assert_eq!(head.body, BodyLength::Length(12));
    assert!(head.keep_alive && !head.expect_continue);
    assert!(head.traceparent.is_some());
    let fields: Vec<_> = head.fields.clone().collect();
    assert_eq!(fields.len(), 6);
    assert_eq!(fields[1], (&b"X-Empty"[..], &b""[..]));
    assert_eq!(fields[2], (&b"X-Tab"[..], &b"a \t b"[..]));
    assert_eq!(head.fields.all("x-tab").count(), 1);
}

#[test]
fn the_four_target_forms() {
    let head = ok("GET HTTP://a.b/x?y HTTP/1.1\r\nHost: A.b:80\r\n\r\n");
    assert_eq!(head.authority, Some(&b"a.b"[..]));
    assert_eq!((head.path(), head.target.query()), (&b"/x"[..], Some(&b"y"[..])));
    let head = ok("GET https://[::1]?y HTTP/1.1\r\nHost: [::1]:443\r\n\r\n");
    assert_eq!(head.path(), b"/");
    assert_eq!(ok("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").path(), b"*");
    let head = ok("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n");
    assert_eq!((head.target, head.path()), (Target::Asterisk, &b"*"[..]));
    let head = ok("CONNECT a.b:443 HTTP/1.1\r\nHost: a.b\r\n\r\n");
    assert_eq!((head.target, head.path()), (Target::Authority(b"a.b:443"), &b""[..]));
    assert_eq!(head.authority, Some(&b"a.b:443"[..]));
}

#[test]
fn connection_management() {
    assert!(!ok("GET / HTTP/1.0\r\n\r\n").keep_alive);
    assert_eq!(ok("GET / HTTP/1.0\r\n\r\n").authority, None);
    assert!(ok("GET / HTTP/1.0\r\nConnection: foo, Keep-Alive\r\n\r\n").keep_alive);
    assert!(!ok("GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n").keep_alive);
    let head =
        ok("GET / HTTP/1.1\r\nHost: a\r\nConnection: , Upgrade,\r\nUpgrade: websocket, a/1\r\n\
        Expect: 100-Continue\r\nX_HTTP_Method-Override: PUT\r\n\r\n");
    let tokens: Vec<_> = head.upgrade_tokens().collect();
    assert_eq!(tokens, [&b"websocket"[..], b"a/1"]);
    assert!(head.expect_continue);
    assert_eq!(head.override_header, Some(&b"X_HTTP_Method-Override"[..]));
}

#[test]
fn responses_end_as_their_request_and_status_say() {
    use RequestKind::{Connect, Head, Normal};
    let body = |head, to| answer(head, to).body;
    let with_length = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    assert_eq!(body(with_length, Normal), ResponseBody::Length(5));
    assert_eq!(body(with_length, Head), ResponseBody::None);
    assert_eq!(
        body("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", Normal),
        ResponseBody::None
    );
    assert_eq!(body("HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n", Normal), ResponseBody::None);
    assert_eq!(body("HTTP/1.1 103\r\nLink: a\r\n\r\n", Normal), ResponseBody::None);
    assert_eq!(
        body("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", Normal),
        ResponseBody::Chunked
    );
    assert_eq!(body("HTTP/1.1 200 Yes\r\n\r\n", Connect), ResponseBody::None);
    assert_eq!(
        body("HTTP/1.1 407 No\r\nContent-Length: 3\r\n\r\n", Connect),
        ResponseBody::Length(3)
    );
    let open = answer("HTTP/1.1 200 \u{fc}\r\n\r\n", Normal);
    assert_eq!((open.body, open.keep_alive), (ResponseBody::UntilClose, false));
    assert_eq!(open.reason, "\u{fc}".as_bytes());
    let switch =
        answer("HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", Normal);
    assert_eq!((switch.status, switch.upgrade), (101, Some(&b"websocket"[..])));
}

#[test]
fn a_pipeline_with_chunks_extensions_and_trailers() {
    let stream = b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;a=b;c=\"d\\\"\r\n\
        e\"\r\nhello\r\n";
    assert_eq!(error(HeadKind::Request, stream), Some(Reason::ChunkExtensionInvalid));
    let stream = b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;a=b;c=\"d\\\";\";e\r\nhello\r\n0000A\r\n0123456789\r\n0;x\r\nX-Sum: 1\r\n\r\n\
        GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let events = whole(HeadKind::Request, stream);
    let kinds: String = events
        .iter()
        .map(|event| match event {
            Event::Head(_) => 'h',
            Event::Data(_) => 'd',
            Event::Framing(_) => 'f',
            Event::Trailers(_) => 't',
            Event::End => '.',
            Event::Error(_) => '!',
        })
        .collect();
    assert_eq!(kinds, "hfdffdfft.h.");
    assert!(events.contains(&Event::Trailers(b"X-Sum: 1\r\n\r\n".to_vec())));
}

#[test]
fn the_end_of_the_connection_ends_some_bodies() {
    let eof = |body: ResponseBody, bytes: &[u8]| {
        let mut body = Body::from(body);
        let mut at = 0;
        while let Ok(BodyPart::Data(n) | BodyPart::Framing(n)) = body.next(&bytes[at..], 100) {
            at += n;
        }
        body.eof()
    };
    assert_eq!(eof(ResponseBody::None, b""), Ok(()));
    assert_eq!(eof(ResponseBody::UntilClose, b"x"), Ok(()));
    assert_eq!(eof(ResponseBody::Length(2), b"x"), Err(Reason::Truncated));
    assert_eq!(eof(ResponseBody::Length(2), b"xy"), Ok(()));
    assert_eq!(eof(ResponseBody::Chunked, b"1\r\nx\r\n"), Err(Reason::Truncated));
}

#[test]
fn the_limit_is_exact() {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let find = |limit| HeadScan::default().find(head, HeadKind::Request, limit);
    assert_eq!(find(head.len()), Ok(Some(head.len())));
    assert_eq!(find(head.len() - 1), Err(Reason::HeadTooLong));
}

#[test]
fn readers_are_small() {
    assert!(size_of::<HeadScan>() <= 16);
    assert!(size_of::<Body>() <= 32);
}

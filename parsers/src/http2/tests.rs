//! Heads, case by case.

use super::hpack::{FieldList, Representation};
use super::*;

fn list(fields: &[(&str, &str)]) -> FieldList {
    let mut list = FieldList::new();
    for (name, value) in fields {
        list.push(name.as_bytes(), value.as_bytes(), Representation::Without);
    }
    list
}

const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "shop"), (":path", "/a?b")];

/// Why a GET with these fields behind is refused.
fn with(fields: &[(&str, &str)]) -> Option<Reason> {
    request(&list(&[&GET, fields].concat()), Metadata::Encoded).err()
}

/// Why a GET with one pseudo-header field changed is refused.
fn but(name: &str, value: &str) -> Option<Reason> {
    let fields = GET.map(|field| if field.0 == name { (name, value) } else { field });
    request(&list(&fields), Metadata::Encoded).err()
}

fn error(fields: &[(&str, &str)]) -> Option<Reason> {
    request(&list(fields), Metadata::Encoded).err()
}

#[test]
fn a_request() {
    let fields = list(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", "Shop:8443"),
        (":path", "/cart/7?x=%41"),
        ("te", "trailers"),
        ("host", "shop:8443"),
        ("content-type", "application/grpc"),
        ("content-length", "12"),
        ("expect", "100-continue"),
        ("traceparent", "00-1"),
        ("traceparent", "00-2"),
        ("x-http-method-override", "DELETE"),
        ("cookie", "a"),
        ("cookie", "b"),
    ]);
    let head = RequestHead {
        method: b"POST",
        authority: Some(b"Shop:8443"),
        path: b"/cart/7",
        query: Some(b"x=%41"),
        scheme: Some(b"https"),
        protocol: None,
        content_type: Some(b"application/grpc"),
        content_length: Some(12),
        override_header: Some(b"x-http-method-override"),
        traceparent: Some(b"00-1"),
        expect_continue: true,
    };
    assert_eq!(request(&fields, Metadata::Encoded), Ok(head));
}

#[test]
fn pseudo_header_fields() {
    assert_eq!(with(&[("a", "b"), (":method", "GET")]), Some(Reason::PseudoAfterField));
    assert_eq!(with(&[(":method", "GET")]), Some(Reason::PseudoRepeated));
    assert_eq!(with(&[(":path", "/")]), Some(Reason::PseudoRepeated));
    assert_eq!(with(&[(":foo", "/")]), Some(Reason::PseudoUnknown));
    assert_eq!(with(&[(":Method", "GET")]), Some(Reason::PseudoUnknown));
    assert_eq!(with(&[(":", "")]), Some(Reason::PseudoUnknown));
    assert_eq!(with(&[(":status", "200")]), Some(Reason::PseudoMisplaced));
    assert_eq!(error(&[]), Some(Reason::MethodMissing));
    assert_eq!(error(&GET[1..]), Some(Reason::MethodMissing));
    assert_eq!(error(&GET[..1]), Some(Reason::SchemeMissing));
    assert_eq!(error(&GET[..3]), Some(Reason::PathMissing));
    assert_eq!(but(":method", ""), Some(Reason::MethodInvalid));
    assert_eq!(but(":method", "GE T"), Some(Reason::MethodInvalid));
    assert_eq!(but(":method", "GET "), Some(Reason::ValueWhitespace));
    assert_eq!(but(":scheme", "ftp"), Some(Reason::SchemeUnsupported));
    assert_eq!(but(":scheme", "HTTP"), None);
    assert_eq!(with(&[(":protocol", "websocket")]), Some(Reason::ProtocolWithoutConnect));
}

#[test]
fn paths() {
    assert_eq!(but(":path", ""), Some(Reason::PathEmpty));
    assert_eq!(but(":path", "a"), Some(Reason::PathForm));
    assert_eq!(but(":path", "*"), Some(Reason::PathForm));
    assert_eq!(but(":path", "http://shop/"), Some(Reason::PathForm));
    assert_eq!(but(":path", "/a#b"), Some(Reason::PathFragment));
    assert_eq!(but(":path", "/a?b#c"), Some(Reason::PathFragment));
    assert_eq!(but(":path", "/a b"), Some(Reason::PathInvalid));
    assert_eq!(but(":path", "/%zz"), Some(Reason::PathInvalid));
    assert_eq!(but(":path", "/\u{e9}"), Some(Reason::PathInvalid));
    assert_eq!(but(":path", "/a?\"b"), Some(Reason::PathInvalid));
    let options = list(&[(":method", "OPTIONS"), (":scheme", "http"), (":path", "*")]);
    let head = request(&options, Metadata::Encoded).unwrap();
    assert_eq!((head.path, head.query, head.authority), (&b"*"[..], None, None));
}

#[test]
fn connect() {
    let method = (":method", "CONNECT");
    let fields = list(&[method, (":authority", "db:5432")]);
    let head = request(&fields, Metadata::Encoded).unwrap();
    assert_eq!((head.path, head.scheme), (&b""[..], None));
    assert_eq!(head.authority, Some(&b"db:5432"[..]));
    assert_eq!(error(&[method]), Some(Reason::ConnectForm));
    assert_eq!(error(&[method, (":authority", "db")]), Some(Reason::ConnectForm));
    let authority = (":authority", "db:1");
    assert_eq!(error(&[method, authority, (":path", "/")]), Some(Reason::ConnectForm));
    assert_eq!(error(&[method, authority, (":scheme", "http")]), Some(Reason::ConnectForm));
    assert_eq!(error(&[method, authority, ("content-length", "0")]), Some(Reason::ConnectWithBody));
    let protocol = (":protocol", "websocket");
    assert_eq!(error(&[method, authority, protocol]), Some(Reason::SchemeMissing));
    let extended = [method, protocol, (":scheme", "https"), (":path", "/chat"), ("host", "shop")];
    let fields = list(&extended);
    let head = request(&fields, Metadata::Encoded).unwrap();
    assert_eq!((head.protocol, head.path), (Some(&b"websocket"[..]), &b"/chat"[..]));
    let odd = [method, (":protocol", "web socket"), extended[2], extended[3]];
    assert_eq!(error(&odd), Some(Reason::ProtocolInvalid));
}

#[test]
fn authorities() {
    assert_eq!(but(":authority", "me@shop"), Some(Reason::UserInfo));
    for bad in ["", ":80", "a b", "a:b", "a:99999", "[::1", "a/b", "a,b", "%61", "[::1%25eth0]"] {
        assert_eq!(but(":authority", bad), Some(Reason::AuthorityInvalid), "{bad}");
    }
    for good in ["shop:80", "[::1]:80", "10.0.0.1", "a_b.c"] {
        assert_eq!(but(":authority", good), None, "{good}");
    }
    assert_eq!(with(&[("host", "SHOP")]), None);
    assert_eq!(with(&[("host", "shop:443")]), Some(Reason::HostMismatch));
    assert_eq!(with(&[("host", "")]), Some(Reason::HostMismatch));
    assert_eq!(with(&[("host", "shop"), ("host", "shop")]), Some(Reason::HostRepeated));
    let host = |value| error(&[GET[0], GET[1], GET[3], ("host", value)]);
    assert_eq!(host("shop"), None);
    assert_eq!(host("me@shop"), Some(Reason::UserInfo));
    assert_eq!(host("a b"), Some(Reason::HostInvalid));
}

#[test]
fn names_and_values() {
    assert_eq!(with(&[("", "x")]), Some(Reason::EmptyFieldName));
    assert_eq!(with(&[("X-a", "x")]), Some(Reason::FieldNameUpper));
    for bad in ["a b", "a:", "a\0", "a\r\nb", "\u{e9}", "a(", " a", "a\t"] {
        assert_eq!(with(&[(bad, "x")]), Some(Reason::FieldNameInvalid), "{bad:?}");
    }
    assert_eq!(with(&[("a", "b\rc")]), Some(Reason::Cr));
    assert_eq!(with(&[("a", "b\r\nc: d")]), Some(Reason::Cr));
    assert_eq!(with(&[("a", "b\n")]), Some(Reason::Lf));
    assert_eq!(with(&[("a", "\0")]), Some(Reason::Nul));
    assert_eq!(with(&[("a", "b\x7f")]), Some(Reason::ControlByte));
    for bad in [" b", "b ", "\tb", "b\t", " "] {
        assert_eq!(with(&[("a", bad)]), Some(Reason::ValueWhitespace), "{bad:?}");
    }
    assert_eq!(with(&[("a", ""), ("a", "b\tc d"), ("a", "\u{e9}")]), None);
}

#[test]
fn fields_with_rules() {
    for name in ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"] {
        assert_eq!(with(&[(name, "x")]), Some(Reason::ConnectionField), "{name}");
    }
    assert_eq!(with(&[("te", "gzip")]), Some(Reason::TeInvalid));
    assert_eq!(with(&[("te", "trailers, gzip")]), Some(Reason::TeInvalid));
    assert_eq!(with(&[("te", "")]), Some(Reason::TeInvalid));
    assert_eq!(with(&[("te", "trailers")]), None);
    let length = "content-length";
    assert_eq!(with(&[(length, "1"), (length, "1")]), Some(Reason::ContentLengthRepeated));
    assert_eq!(with(&[(length, "+1")]), Some(Reason::ContentLengthInvalid));
    assert_eq!(with(&[(length, "")]), Some(Reason::ContentLengthInvalid));
    assert_eq!(with(&[(length, "9223372036854775808")]), Some(Reason::ContentLengthOverflow));
    assert_eq!(with(&[("content_length", "1")]), Some(Reason::FramingLookAlike));
    assert_eq!(with(&[("transfer_encoding", "x")]), Some(Reason::FramingLookAlike));
    let kind = ("content-type", "a/b");
    assert_eq!(with(&[kind, kind]), Some(Reason::ContentTypeRepeated));
    assert_eq!(with(&[("expect", "x")]), Some(Reason::ExpectUnknown));
    let overrides = [("x-original-url", "/"), ("x_rewrite-url", "/")];
    assert_eq!(with(&overrides), Some(Reason::OverrideRepeated));
}

#[test]
fn responses() {
    let fields = list(&[
        (":status", "200"),
        ("content-type", "application/grpc"),
        ("content-length", "0"),
        ("grpc-status", "7"),
    ]);
    let head = response(&fields, Metadata::Encoded).unwrap();
    assert_eq!((head.status, head.grpc_status, head.content_length), (200, Some(7), Some(0)));
    assert_eq!(head.content_type, Some(&b"application/grpc"[..]));
    let error = |fields: &[(&str, &str)]| response(&list(fields), Metadata::Encoded).err();
    assert_eq!(error(&[]), Some(Reason::StatusMissing));
    for bad in ["", "20", "2000", "099", "2x0", "101", "+20"] {
        assert_eq!(error(&[(":status", bad)]), Some(Reason::StatusInvalid), "{bad}");
    }
    let ok = (":status", "200");
    assert_eq!(error(&[ok, ok]), Some(Reason::PseudoRepeated));
    assert_eq!(error(&[ok, (":path", "/")]), Some(Reason::PseudoMisplaced));
    assert_eq!(error(&[ok, ("upgrade", "h2c")]), Some(Reason::ConnectionField));
    assert_eq!(error(&[ok, ("grpc-status", "x")]), None);
}

/// An answer's head with one field more, once and twice, and its trailers: why they are refused.
fn answers(name: &str, value: &str) -> [Option<Reason>; 4] {
    let field = (name, value);
    let head = [(":status", "200"), field, field];
    let once = response(&list(&head[..2]), Metadata::Encoded).err();
    let twice = response(&list(&head), Metadata::Encoded).err();
    let trailers = |fields: &[_]| response_trailers(&list(fields), Metadata::Encoded).err();
    [once, twice, trailers(&[field]), trailers(&[field, field])]
}

#[test]
fn fields_that_mean_nothing_in_answers() {
    for (name, value) in [
        ("te", "gzip"),
        ("expect", "a-ct"),
        ("host", "a b"),
        ("x-http-method", "PUT"),
        ("x-original-url", "/"),
        ("content_length", "5"),
        ("transfer_encoding", "chunked"),
        ("traceparent", "00-1"),
    ] {
        assert_eq!(answers(name, value), [None; 4], "{name}");
    }
    for name in ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"] {
        assert_eq!(answers(name, "x"), [Some(Reason::ConnectionField); 4], "{name}");
    }
    // What describes content does so in a head.
    let kind = answers("content-type", "a/b");
    assert_eq!(kind, [None, Some(Reason::ContentTypeRepeated), None, None]);
    let length = answers("content-length", "5");
    assert_eq!(length, [None, Some(Reason::ContentLengthRepeated), None, None]);
    let invalid = Some(Reason::ContentLengthInvalid);
    assert_eq!(answers("content-length", "x"), [invalid, invalid, None, None]);
}

#[test]
fn fields_that_mean_nothing_in_a_request_s_trailers() {
    // None of them may come there, whatever it says (RFC 9110 §6.5.1).
    for name in ["te", "expect", "host", "x-http-method", "content-length", "content_length"] {
        let fields = list(&[(name, "x"), (name, "x")]);
        let error = trailers(&fields, Metadata::Encoded).err();
        assert_eq!(error, Some(Reason::ForbiddenTrailer), "{name}");
    }
    let fields = list(&[("connection", "x")]);
    assert_eq!(trailers(&fields, Metadata::Encoded).err(), Some(Reason::ConnectionField));
}

#[test]
fn whitespace_around_the_values_of_an_answer() {
    for value in [" x", "x ", "\tx", "x\t", " ", " \t x\t "] {
        assert_eq!(answers("server", value), [None; 4], "{value:?}");
        let fields = list(&[("server", value)]);
        let error = trailers(&fields, Metadata::Encoded).err();
        assert_eq!(error, Some(Reason::ValueWhitespace), "{value:?}");
    }
    for (value, reason) in [(" \r", Reason::Cr), ("\n", Reason::Lf), ("\0 ", Reason::Nul)] {
        assert_eq!(answers("server", value), [Some(reason); 4]);
    }
    assert_eq!(answers("server", "\x0b"), [Some(Reason::ControlByte); 4]);
    // It is no part of what they say; a pseudo-header field is no such field.
    let fields = list(&[
        (":status", "200"),
        ("content-type", "application/grpc "),
        ("content-length", " 7"),
        ("grpc-status", "\t5"),
    ]);
    let head = ResponseHead {
        status: 200,
        content_type: Some(b"application/grpc"),
        content_length: Some(7),
        grpc_status: Some(5),
    };
    assert_eq!(response(&fields, Metadata::Encoded), Ok(head));
    let fields = list(&[("grpc-status", "5 ")]);
    let trailers = response_trailers(&fields, Metadata::Encoded);
    assert_eq!(trailers, Ok(Trailers { grpc_status: Some(5) }));
    let fields = list(&[(":status", "200 ")]);
    assert_eq!(response(&fields, Metadata::Encoded), Err(Reason::StatusInvalid));
}

#[test]
fn trailer_sections() {
    let read = |fields: &[(&str, &str)]| trailers(&list(fields), Metadata::Encoded);
    let status = ("grpc-status", "0");
    assert_eq!(read(&[]), Ok(Trailers { grpc_status: None }));
    assert_eq!(read(&[status, ("grpc-message", "")]), Ok(Trailers { grpc_status: Some(0) }));
    assert_eq!(read(&[(":status", "200")]), Err(Reason::PseudoInTrailers));
    assert_eq!(read(&[status, (":path", "/")]), Err(Reason::PseudoInTrailers));
    assert_eq!(read(&[("content-length", "1")]), Err(Reason::ForbiddenTrailer));
    assert_eq!(read(&[("x-forwarded-for", "1")]), Err(Reason::ForbiddenTrailer));
    assert_eq!(read(&[("Upper", "1")]), Err(Reason::FieldNameUpper));
    assert_eq!(read(&[("a", "b\n")]), Err(Reason::Lf));
}

#[test]
fn settings_and_their_values() {
    let payload = [0, 1, 0, 0, 0x20, 0, 0, 3, 0, 0, 0x13, 0x88, 9];
    assert_eq!(settings(&payload).collect::<Vec<_>>(), [(1, 8192), (3, 5000)]);
    for (id, value, reason) in [
        (setting::ENABLE_PUSH, 2, Some(Reason::SettingInvalid)),
        (setting::ENABLE_PUSH, 1, None),
        (setting::INITIAL_WINDOW_SIZE, 1 << 31, Some(Reason::InitialWindowTooLarge)),
        (setting::INITIAL_WINDOW_SIZE, (1 << 31) - 1, None),
        (setting::MAX_FRAME_SIZE, 16383, Some(Reason::SettingInvalid)),
        (setting::MAX_FRAME_SIZE, 16384, None),
        (setting::MAX_FRAME_SIZE, (1 << 24) - 1, None),
        (setting::MAX_FRAME_SIZE, 1 << 24, Some(Reason::SettingInvalid)),
        (setting::ENABLE_CONNECT_PROTOCOL, 2, Some(Reason::SettingInvalid)),
        (0x99, u32::MAX, None),
    ] {
        assert_eq!(check_setting(id, value).err(), reason, "{id} {value}");
    }
}

#[test]
fn data_divides() {
    let header = |length, flags| FrameHeader { length, kind: FrameKind::Data, flags, stream: 1 };
    let layout = |before, content, padding| Some(Ok(DataLayout { before, content, padding }));
    assert_eq!(data_layout(&header(5, 0), None), layout(0, 5, 0));
    assert_eq!(data_layout(&header(0, 0), None), layout(0, 0, 0));
    assert_eq!(data_layout(&header(5, flag::PADDED), None), None);
    assert_eq!(data_layout(&header(5, flag::PADDED), Some(0)), layout(1, 4, 0));
    assert_eq!(data_layout(&header(5, flag::PADDED), Some(4)), layout(1, 0, 4));
    let long = Some(Err(Reason::PaddingTooLong));
    assert_eq!(data_layout(&header(5, flag::PADDED), Some(5)), long);
    assert_eq!(data_layout(&header(0, flag::PADDED), None), Some(Err(Reason::FrameTooShort)));
}

#[test]
fn binary_metadata_only_where_it_was_asked_for() {
    let fields = list(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/a.B/C"),
        (":authority", "a"),
        ("trace-bin", "\0\r\n"),
    ]);
    assert_eq!(request(&fields, Metadata::Encoded).err(), Some(Reason::Nul));
    assert!(request(&fields, Metadata::Binary).is_ok());
    let fields = list(&[("trace", "\0")]);
    assert_eq!(trailers(&fields, Metadata::Binary).err(), Some(Reason::Nul));
    let fields = list(&[("trace-bin", "x\n")]);
    assert_eq!(trailers(&fields, Metadata::Binary).err(), Some(Reason::Lf));
}

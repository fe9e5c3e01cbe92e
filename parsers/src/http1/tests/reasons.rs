//! One or more streams for each reason.

use super::*;
use std::collections::HashSet;

const H: &str = "GET / HTTP/1.1\r\nHost: a\r\n";
const R: &str = "HTTP/1.1 200 OK\r\n";
const C: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

fn requests() -> Vec<(Reason, String)> {
    use Reason::*;
    let mut cases: Vec<(Reason, String)> = vec![
        (EmptyLine, "\r\nGET / HTTP/1.1\r\n".into()),
        (BareLf, "\nGET / HTTP/1.1\r\n".into()),
        (RequestLine, "hello\r\n".into()),
        (RequestLine, "GET /\r\n".into()),
        (RequestLine, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        (RequestLine, "GET / a HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        (RequestLine, "GET / HTTP/1.1 \r\n".into()),
        (RequestLine, "GET / http/1.1\r\n".into()),
        (MethodInvalid, "G(T / HTTP/1.1\r\n".into()),
        (MethodInvalid, "\x16\x03\x01".into()),
        (MethodInvalid, " GET / HTTP/1.1\r\n".into()),
        (Version, "GET / HTTP/1.2\r\n".into()),
        (Version, "GET / HTTP/2.0\r\n".into()),
        (Version, "GET / HTTP/0.9\r\n".into()),
        (Http2, "PRI * HTTP/2.0\r\n".into()),
        (BareCr, "GET /\rx HTTP/1.1\r\n".into()),
        (BareLf, "GET / HTTP/1.1\nHost: a\n\n".into()),
        (Nul, "GET /\0 HTTP/1.1\r\n".into()),
        (WhitespaceBeforeField, "GET / HTTP/1.1\r\n Host: a\r\n\r\n".into()),
        (HostMissing, "GET / HTTP/1.1\r\n\r\n".into()),
        (HostMismatch, "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        (HostMismatch, "GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n".into()),
        (HostMismatch, "CONNECT a:80 HTTP/1.1\r\nHost: a:81\r\n\r\n".into()),
        (ConnectWithBody, "CONNECT a:80 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".into()),
        (
            ConnectWithBody,
            "CONNECT a:80 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        ),
        (
            TransferEncodingInHttp10,
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        ),
    ];
    for (reason, target) in [
        (TargetInvalid, "/a\"b"),
        (TargetInvalid, "/a\\b"),
        (TargetInvalid, "/%2"),
        (TargetInvalid, "/%zz"),
        (TargetInvalid, "/\u{e9}"),
        (TargetInvalid, "/?\u{e9}"),
        (TargetInvalid, "/?<"),
        (TargetFragment, "/#a"),
        (TargetFragment, "/?a#a"),
        (TargetFragment, "http://a#a"),
        (TargetForm, "*"),
        (TargetForm, "a"),
        (TargetForm, "a:80"),
        (TargetForm, "1http://a"),
        (SchemeUnsupported, "ftp://a/"),
        (UserInfo, "http://u:p@a/"),
        (AuthorityInvalid, "http:///"),
        (AuthorityInvalid, "http://a:/"),
        (AuthorityInvalid, "http://a%2fb/"),
    ] {
        cases.push((reason, format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")));
    }
    for (reason, target) in
        [(TargetForm, "a"), (TargetForm, "/"), (UserInfo, "u@a:1"), (AuthorityInvalid, "a:70000")]
    {
        cases.push((reason, format!("CONNECT {target} HTTP/1.1\r\nHost: a\r\n\r\n")));
    }
    for host in
        ["a b", "a:", "a:b", "a:65536", ":80", "a,b", "a/b", "a%41", "[::1", "[::g]", "\u{e9}"]
    {
        cases.push((HostInvalid, format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")));
    }
    for (reason, lines) in [
        (UserInfo, "Host: u@a"),
        (HostRepeated, "Host: a\r\nhOST: a"),
        (ExpectUnknown, "Host: a\r\nExpect: 200-ok"),
        (OverrideRepeated, "Host: a\r\nX-HTTP-Method: PUT\r\nX-Original-URL: /"),
        (UpgradeRepeated, "Host: a\r\nUpgrade: a\r\nUpgrade: b"),
        (UpgradeInvalid, "Host: a\r\nUpgrade: a b"),
        (UpgradeInvalid, "Host: a\r\nUpgrade:"),
        (HeadTooLong, &format!("Host: a\r\nX: {}", "x".repeat(70000))),
    ] {
        cases.push((reason, format!("GET / HTTP/1.1\r\n{lines}\r\n\r\n")));
    }
    for (reason, body) in [
        (ChunkSizeInvalid, "\r\n"),
        (ChunkSizeInvalid, ";a\r\n"),
        (ChunkSizeInvalid, "0x5\r\n"),
        (ChunkSizeInvalid, "-1\r\n"),
        (ChunkSizeInvalid, "5 \r\n"),
        (ChunkSizeInvalid, "5 ;a\r\n"),
        (ChunkSizeOverflow, "8000000000000000\r\n"),
        (ChunkSizeOverflow, "00000000000000005\r\n"),
        (ChunkExtensionInvalid, "5; a\r\n"),
        (ChunkExtensionInvalid, "5;a=\r\n"),
        (ChunkExtensionInvalid, "5;a=\"\x01\"\r\n"),
        (ChunkExtensionInvalid, "5;\r\n"),
        (BareLf, "5\nhello"),
        (BareLf, "5;a\nhello"),
        (BareCr, "5\rhello"),
        (Nul, "5;a\0\r\n"),
        (ChunkEnd, "5\r\nhello!\r\n"),
        (ChunkEnd, "5\r\nhello\n0\r\n\r\n"),
        (ChunkLineTooLong, &format!("5;{}\r\n", "x".repeat(70000))),
        (TrailersTooLong, &format!("0\r\nX: {}\r\n\r\n", "x".repeat(70000))),
        (ForbiddenTrailer, "0\r\nContent-Length: 5\r\n\r\n"),
        (ForbiddenTrailer, "0\r\ntransfer_encoding: chunked\r\n\r\n"),
        (ForbiddenTrailer, "0\r\nHost: b\r\n\r\n"),
        (ForbiddenTrailer, "0\r\nX: y\r\nAuthorization: b\r\n\r\n"),
        (ForbiddenTrailer, "0\r\nX-Original-URL: /admin\r\n\r\n"),
        (ForbiddenTrailer, "0\r\nX-Forwarded-For: ::1\r\n\r\n"),
        (BareLf, "0\r\nX: y\n\r\n"),
        (WhitespaceBeforeField, "0\r\n X: y\r\n\r\n"),
        (MissingColon, "0\r\nx\r\n\r\n"),
    ] {
        cases.push((reason, format!("{C}{body}")));
    }
    cases
}

/// Field lines that neither a request nor a response may have.
fn lines() -> Vec<(Reason, &'static str)> {
    use Reason::*;
    vec![
        (BareCr, "X: a\rb"),
        (BareCr, "X: a\r"),
        (BareLf, "X: a\nY: b"),
        (Nul, "X: a\0b"),
        (ControlByte, "X: a\x0bb"),
        (ControlByte, "X: a\x7fb"),
        (ObsFold, "X: a\r\n b"),
        (ObsFold, "X: a\r\n\tb: c"),
        (SpaceBeforeColon, "X : a"),
        (SpaceBeforeColon, "X\t: a"),
        (EmptyFieldName, ": a"),
        (FieldNameInvalid, "X Y: a"),
        (FieldNameInvalid, "X(: a"),
        (FieldNameInvalid, "\u{e9}: a"),
        (MissingColon, "X"),
        (ContentLengthInvalid, "Content-Length: "),
        (ContentLengthInvalid, "Content-Length: +5"),
        (ContentLengthInvalid, "Content-Length: 0x5"),
        (ContentLengthInvalid, "Content-Length: 5, 5"),
        (ContentLengthInvalid, "Content-Length: 5 5"),
        (ContentLengthOverflow, "Content-Length: 9223372036854775808"),
        (ContentLengthOverflow, "Content-Length: 00000000000000000005"),
        (ContentLengthRepeated, "Content-Length: 5\r\nContent-Length: 5"),
        (ContentLengthRepeated, "Content-Length: 5\r\nContent-Length: 6"),
        (ContentLengthWithTransferEncoding, "Content-Length: 5\r\nTransfer-Encoding: chunked"),
        (TransferEncodingRepeated, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        (TransferEncodingUnsupported, "Transfer-Encoding: gzip, chunked"),
        (TransferEncodingUnsupported, "Transfer-Encoding: chunked, chunked"),
        (TransferEncodingUnsupported, "Transfer-Encoding: identity"),
        (TransferEncodingUnsupported, "Transfer-Encoding: xchunked"),
        (TransferEncodingUnsupported, "Transfer-Encoding:"),
        (FramingLookAlike, "Content_Length: 5"),
        (FramingLookAlike, "Transfer_Encoding: chunked"),
        (ConnectionInvalid, "Connection: a b"),
        (ConnectionConflict, "Connection: close\r\nConnection: keep-alive"),
        (ConnectionNominates, "Connection: close, Content-Length"),
        (ConnectionNominates, "Connection: host"),
    ]
}

fn responses() -> Vec<(Reason, String)> {
    use Reason::*;
    let mut cases: Vec<(Reason, String)> = [
        (EmptyLine, "\r\n"),
        (Version, "HTTP/2 200\r\n\r\n"),
        (Version, "HTTP/1.2 200\r\n\r\n"),
        (StatusLine, "+OK\r\n"),
        (StatusLine, "HTTP/1.x 200\r\n\r\n"),
        (StatusLine, "HTTP/1.1 20\r\n\r\n"),
        (StatusLine, "HTTP/1.1 099 a\r\n\r\n"),
        (StatusLine, "HTTP/1.1 2000\r\n\r\n"),
        (StatusLine, "HTTP/1.1  200\r\n\r\n"),
        (BodyNotAllowed, "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n"),
        (BodyNotAllowed, "HTTP/1.1 100 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (TransferEncodingInHttp10, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (WhitespaceBeforeField, "HTTP/1.1 200 OK\r\n X: a\r\n\r\n"),
        (UpgradeRepeated, "HTTP/1.1 101 S\r\nUpgrade: a\r\nUpgrade: b\r\n\r\n"),
    ]
    .map(|(reason, bytes)| (reason, bytes.to_owned()))
    .into();
    cases.extend(lines().into_iter().map(|(reason, line)| (reason, format!("{R}{line}\r\n\r\n"))));
    cases
}

fn all_requests() -> Vec<(Reason, String)> {
    let mut cases = requests();
    cases.extend(lines().into_iter().map(|(reason, line)| (reason, format!("{H}{line}\r\n\r\n"))));
    cases
}

#[test]
fn each_is_found() {
    let mut seen = HashSet::new();
    for (kind, cases) in [(HeadKind::Request, all_requests()), (HeadKind::Response, responses())] {
        for (reason, bytes) in cases {
            assert_eq!(error(kind, bytes.as_bytes()), Some(reason), "{bytes:?}");
            seen.insert(reason);
        }
    }
    // Only the end of the connection can tell that a message is truncated.
    seen.insert(Reason::Truncated);
    let missing: Vec<_> = Reason::ALL.iter().filter(|r| !seen.contains(r)).collect();
    assert!(missing.is_empty(), "untested: {missing:?}");
}

#[test]
fn each_is_found_one_byte_at_a_time() {
    for (kind, cases) in [(HeadKind::Request, all_requests()), (HeadKind::Response, responses())] {
        for (_, bytes) in cases.iter().filter(|(_, bytes)| bytes.len() < 1000) {
            let bytes = bytes.as_bytes();
            assert_eq!(read(kind, 65536, bytes.chunks(1)), whole(kind, bytes), "{bytes:?}");
        }
    }
}

/// A head function alone, without the scan before it, is as strict.
#[test]
fn heads_are_checked_without_the_scan() {
    for (_, bytes) in all_requests() {
        let Some(end) = bytes.find("\r\n\r\n") else { continue };
        if bytes.starts_with(C) || bytes.len() > 1000 {
            continue;
        }
        assert!(request(&bytes.as_bytes()[..end + 4]).is_err(), "{bytes:?}");
    }
    for (_, bytes) in responses() {
        let end = bytes.find("\r\n\r\n").map_or(bytes.len(), |end| end + 4);
        assert!(response(&bytes.as_bytes()[..end], RequestKind::Normal).is_err(), "{bytes:?}");
    }
}

//! However a stream is cut, it reads the same; and no stream breaks the reader.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[A-Za-z-]{1,12}: ?[ -~]{0,40}",
        1 => Just("Host: a".into()),
        1 => Just("Connection: close".into()),
        1 => Just("X: a\r\n b".into()),
        1 => Just("X: \0".into()),
    ]
}

fn body() -> impl Strategy<Value = (String, String)> {
    prop_oneof![
        Just((String::new(), String::new())),
        "[a-z\r\n]{1,30}".prop_map(|b| (format!("Content-Length: {}\r\n", b.len()), b)),
        (vec("[a-z\r\n]{1,20}", 0..4), prop_oneof![Just(""), Just("X: y\r\n"), Just("X : y\r\n")])
            .prop_map(|(chunks, trailers)| {
                let mut body = String::new();
                for chunk in chunks {
                    body += &format!("{:x};a=\"b\"\r\n{chunk}\r\n", chunk.len());
                }
                ("Transfer-Encoding: chunked\r\n".into(), body + "0\r\n" + trailers + "\r\n")
            }),
    ]
}

fn message(start: &'static str) -> impl Strategy<Value = String> {
    (vec(line(), 0..4), body()).prop_map(move |(lines, (framing, body))| {
        let lines: String = lines.into_iter().map(|line| line + "\r\n").collect();
        format!("{start}{framing}{lines}\r\n{body}")
    })
}

fn stream(kind: HeadKind) -> impl Strategy<Value = Vec<u8>> {
    let start = match kind {
        HeadKind::Request => "GET /a?b HTTP/1.1\r\nHost: a\r\n",
        HeadKind::Response => "HTTP/1.1 200 OK\r\nServer: a\r\n",
    };
    let flip = proptest::option::of((any::<prop::sample::Index>(), any::<u8>()));
    (vec(message(start), 1..5), flip).prop_map(|(messages, flip)| {
        let mut bytes = messages.concat().into_bytes();
        if let Some((at, byte)) = flip {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

fn cut(bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut parts = vec![];
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (part, after) = rest.split_at((*size).min(rest.len()));
        parts.push(part.to_vec());
        rest = after;
    }
    parts
}

proptest! {
    #[test]
    fn requests(bytes in stream(HeadKind::Request), sizes in vec(1..40usize, 1..8)) {
        check(HeadKind::Request, &bytes, &sizes)?;
    }

    #[test]
    fn responses(bytes in stream(HeadKind::Response), sizes in vec(1..40usize, 1..8)) {
        check(HeadKind::Response, &bytes, &sizes)?;
    }

    #[test]
    fn garbage(bytes in vec(any::<u8>(), 0..200), sizes in vec(1..40usize, 1..8)) {
        check(HeadKind::Request, &bytes, &sizes)?;
        check(HeadKind::Response, &bytes, &sizes)?;
    }
}

fn check(kind: HeadKind, bytes: &[u8], sizes: &[usize]) -> Result<(), TestCaseError> {
    for limit in [48, 65536] {
        let expected = read(kind, limit, std::iter::once(bytes));
        let parts = cut(bytes, sizes);
        prop_assert_eq!(&read(kind, limit, parts.iter().map(Vec::as_slice)), &expected);
        prop_assert_eq!(&read(kind, limit, bytes.chunks(1)), &expected);
    }
    Ok(())
}

/// A stream cut short says the same up to there, and never more.
#[test]
fn every_truncation() {
    let requests = b"PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
        GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let responses = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc\
        HTTP/1.1 204\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    for (kind, stream) in [(HeadKind::Request, &requests[..]), (HeadKind::Response, &responses[..])]
    {
        let full = whole(kind, stream);
        assert!(!full.iter().any(|event| matches!(event, Event::Error(_))), "{full:?}");
        for end in 0..stream.len() {
            let mut events = whole(kind, &stream[..end]);
            if let Some(Event::Data(part)) = events.last() {
                let Event::Data(all) = &full[events.len() - 1] else { panic!("{events:?}") };
                assert!(all.starts_with(part));
                events.pop();
            }
            assert!(full.starts_with(&events), "{events:?}");
        }
    }
}

//! What Weir itself says to a client, and the one thing that it changes in what a server says.

use bytes::Bytes;
use weir_parsers::http1::Reason;

use super::pending::Own;
use crate::report::Report;

/// The status that tells a client of a malformed request.
pub(super) fn status_of(reason: Reason) -> u16 {
    match reason {
        Reason::TransferEncodingUnsupported => 501,
        Reason::Version | Reason::Http2 => 505,
        Reason::HeadTooLong | Reason::TrailersTooLong => 431,
        _ => 400,
    }
}

fn phrase(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}

/// An answer as a problem document (RFC 9457) with the transaction's id, and nothing of the
/// policy.
pub(super) fn render(own: Own, seq: u64, report: &dyn Report) -> Bytes {
    let (status, phrase) = (own.status, phrase(own.status));
    let mut id = Vec::with_capacity(48);
    report.id(seq, &mut id);
    let id = String::from_utf8_lossy(&id);
    let body =
        format!(r#"{{"type":"about:blank","title":"{phrase}","status":{status},"id":"{id}"}}"#);
    let connection = if own.close { "Connection: close\r\n" } else { "" };
    let length = body.len();
    let content = if own.head_only { "" } else { body.as_str() };
    Bytes::from(format!(
        "HTTP/1.1 {status} {phrase}\r\nContent-Type: application/problem+json\r\n\
         Content-Length: {length}\r\n{connection}\r\n{content}"
    ))
}

/// A response head that says `Connection: close`: the value of the first Connection field is
/// replaced and further ones left out, or the field is added; the rest stays as it is.
pub(super) fn with_close(head: &[u8]) -> Bytes {
    let mut new = Vec::with_capacity(head.len() + 24);
    let mut said = false;
    for line in head.split_inclusive(|&b| b == b'\n') {
        let name = line.split(|&b| b == b':').next().unwrap_or_default();
        if name.eq_ignore_ascii_case(b"connection") {
            if !std::mem::replace(&mut said, true) {
                new.extend_from_slice(name);
                new.extend_from_slice(b": close\r\n");
            }
            continue;
        }
        if line == b"\r\n" && !said {
            new.extend_from_slice(b"Connection: close\r\n");
        }
        new.extend_from_slice(line);
    }
    Bytes::from(new)
}

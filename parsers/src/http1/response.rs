//! Responses (RFC 9112 §4), whose framing depends on what was asked.

use super::fields::Known;
use super::scan::{LineEnd, line_end};
use super::{Fields, Reason, ResponseBody, Version};

/// What a response's framing needs to know of its request (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Any other method.
    Normal,
    /// HEAD: the answer never has a body.
    Head,
    /// CONNECT: after a 2xx the connection is a tunnel.
    Connect,
}

impl RequestKind {
    /// The kind of a request with this method.
    pub fn of(method: &[u8]) -> Self {
        match method {
            b"HEAD" => RequestKind::Head,
            b"CONNECT" => RequestKind::Connect,
            _ => RequestKind::Normal,
        }
    }
}

/// A response's head, borrowed from its bytes.
#[derive(Clone, Debug)]
pub struct ResponseHead<'a> {
    /// The version of the status line.
    pub version: Version,
    /// The status code, 100 to 999.
    pub status: u16,
    /// The reason phrase; it may be empty.
    pub reason: &'a [u8],
    /// The fields, in order.
    pub fields: Fields<'a>,
    /// How long the body is.
    pub body: ResponseBody,
    /// The server means to go on with this connection (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// The Upgrade field, if Connection names it.
    pub upgrade: Option<&'a [u8]>,
}

/// Reads a complete response head, its empty line included, as the answer to a request of the
/// kind `to`.
///
/// A 1xx, 204 or 2xx to CONNECT has no body (RFC 9112 §6.3) and must not have framing fields
/// (RFC 9110 §8.6, §9.3.6). `Content-Length: 0` there misleads nobody and is common, so it passes;
/// any other is refused. An answer to HEAD, and a 304, may name the length that a GET would see.
///
/// # Errors
/// Why it must be refused: it is outside the grammar, or two readers could take it differently.
pub fn response(head: &[u8], to: RequestKind) -> Result<ResponseHead<'_>, Reason> {
    let (version, status, reason, section) = status_line(head)?;
    let known = Known::read(section, version)?;
    let tunnel = to == RequestKind::Connect && status / 100 == 2;
    let bodiless = status / 100 == 1 || status == 204 || tunnel;
    if bodiless && (known.chunked || known.content_length.is_some_and(|length| length > 0)) {
        return Err(Reason::BodyNotAllowed);
    }
    if status == 101 && known.upgrade_repeated {
        return Err(Reason::UpgradeRepeated);
    }
    let body = match known.content_length {
        _ if bodiless || status == 304 || to == RequestKind::Head => ResponseBody::None,
        _ if known.chunked => ResponseBody::Chunked,
        Some(0) => ResponseBody::None,
        Some(length) => ResponseBody::Length(length),
        None => ResponseBody::UntilClose,
    };
    let persists = !known.close && (version == Version::Http11 || known.keep_alive);
    Ok(ResponseHead {
        version,
        status,
        reason,
        fields: Fields::new(section),
        body,
        keep_alive: persists && body != ResponseBody::UntilClose,
        upgrade: known.upgrade.filter(|_| known.upgrade_option),
    })
}

/// Version, status, reason phrase, and what follows the line.
type StatusLine<'a> = (Version, u16, &'a [u8], &'a [u8]);

fn status_line(head: &[u8]) -> Result<StatusLine<'_>, Reason> {
    let (start, rest) = head.split_first_chunk::<12>().ok_or(Reason::StatusLine)?;
    let [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b' ', code @ ..] = start else {
        return Err(Reason::StatusLine);
    };
    let version = match (major, minor) {
        (b'1', b'1') => Version::Http11,
        (b'1', b'0') => Version::Http10,
        _ if major.is_ascii_digit() && minor.is_ascii_digit() => return Err(Reason::Version),
        _ => return Err(Reason::StatusLine),
    };
    if !code.iter().all(u8::is_ascii_digit) || code[0] == b'0' {
        return Err(Reason::StatusLine);
    }
    let status = code.iter().fold(0, |n: u16, digit| n * 10 + u16::from(digit - b'0'));
    let LineEnd::At(end) = line_end(rest, 0)? else { return Err(Reason::Truncated) };
    // The space before an absent phrase is required, and often missing.
    match &rest[..end] {
        [] => Ok((version, status, &[], &rest[2..])),
        [b' ', phrase @ ..] => Ok((version, status, phrase, &rest[end + 2..])),
        _ => Err(Reason::StatusLine),
    }
}

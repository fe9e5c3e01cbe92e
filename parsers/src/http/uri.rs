//! Parts of URIs that requests carry (RFC 3986), read strictly.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while_m_n};
use nom::combinator::{opt, verify};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use super::chars::{HOST, PATH, QUERY, is, run};

/// What is wrong with a path or a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadTarget {
    /// It has a fragment.
    Fragment,
    /// It has bytes that cannot stand there.
    Invalid,
}

/// Splits a path and its query, without the `?`, and checks the bytes of both.
pub(crate) fn path_and_query(bytes: &[u8]) -> Result<(&[u8], Option<&[u8]>), BadTarget> {
    let end = run(bytes, PATH);
    let (path, rest) = bytes.split_at(end);
    for at in memchr::memchr_iter(b'%', path) {
        if !matches!(path.get(at + 1..at + 3), Some(hex) if hex.iter().all(u8::is_ascii_hexdigit)) {
            return Err(BadTarget::Invalid);
        }
    }
    match rest {
        [] => Ok((path, None)),
        [b'?', query @ ..] => match query.get(run(query, QUERY)) {
            None => Ok((path, Some(query))),
            Some(b'#') => Err(BadTarget::Fragment),
            Some(_) => Err(BadTarget::Invalid),
        },
        [b'#', ..] => Err(BadTarget::Fragment),
        _ => Err(BadTarget::Invalid),
    }
}

/// What is wrong with an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadAuthority {
    UserInfo,
    Other,
}

/// Splits `host[:port]` (RFC 3986 §3.2), strictly: no user information, no percent-encoding, no
/// IPv6 zone, a port of digits up to 65535. Empty is valid: `Host:` may be (RFC 9112 §3.2).
pub(crate) fn authority(bytes: &[u8]) -> Result<(&[u8], Option<u16>), BadAuthority> {
    if bytes.contains(&b'@') {
        return Err(BadAuthority::UserInfo);
    }
    match host_and_port(bytes) {
        Ok((b"", (b"", Some(_)))) | Err(_) => Err(BadAuthority::Other),
        Ok((b"", (host, None))) => Ok((host, None)),
        Ok((b"", (host, Some(port)))) => match port.iter().try_fold(0u16, decimal) {
            Some(port) => Ok((host, Some(port))),
            None => Err(BadAuthority::Other),
        },
        Ok(_) => Err(BadAuthority::Other),
    }
}

/// Host and port, as written.
type HostPort<'a> = (&'a [u8], Option<&'a [u8]>);

fn host_and_port(bytes: &[u8]) -> IResult<&[u8], HostPort<'_>> {
    let name = take_while(|b| is(b, HOST));
    let port = take_while_m_n(1, 5, |b: u8| b.is_ascii_digit());
    (alt((ip_literal, name)), opt(preceded(tag(":"), port))).parse(bytes)
}

fn ip_literal(bytes: &[u8]) -> IResult<&[u8], &[u8]> {
    let address = verify(take_while(|b: u8| b != b']'), |s: &[u8]| {
        std::str::from_utf8(s).is_ok_and(|s| s.parse::<std::net::Ipv6Addr>().is_ok())
    });
    delimited(tag("["), address, tag("]")).parse(bytes)
}

fn decimal(number: u16, digit: &u8) -> Option<u16> {
    number.checked_mul(10)?.checked_add(u16::from(digit - b'0'))
}

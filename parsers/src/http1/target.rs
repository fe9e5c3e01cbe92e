//! The request target (RFC 9112 §3.2) and the authority in it.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_until1, take_while, take_while_m_n};
use nom::combinator::{opt, verify};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Parser};

use super::Reason;
use super::chars::{HOST, PATH, QUERY, is, run};

/// A request target in one of its four forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// `/path?query`.
    Origin {
        /// Begins with `/`.
        path: &'a [u8],
        /// Without its `?`.
        query: Option<&'a [u8]>,
    },
    /// `http://authority/path?query`, as clients send it to proxies.
    Absolute {
        /// `http` or `https`, as sent.
        scheme: &'a [u8],
        /// `host[:port]`.
        authority: &'a [u8],
        /// Empty, or begins with `/`.
        path: &'a [u8],
        /// Without its `?`.
        query: Option<&'a [u8]>,
    },
    /// `host:port`, for CONNECT.
    Authority(&'a [u8]),
    /// `*`, for OPTIONS.
    Asterisk,
}

impl<'a> Target<'a> {
    /// The path to judge: an absolute target without one means `/`, or the whole server if it is
    /// OPTIONS (RFC 9112 §3.2.4); `*` stands for itself; CONNECT has none.
    pub fn path(&self, method: &[u8]) -> &'a [u8] {
        match *self {
            Target::Absolute { path: b"", .. } if method == b"OPTIONS" => b"*",
            Target::Absolute { path: b"", .. } => b"/",
            Target::Origin { path, .. } | Target::Absolute { path, .. } => path,
            Target::Authority(_) => b"",
            Target::Asterisk => b"*",
        }
    }

    /// The query, without its `?`.
    pub fn query(&self) -> Option<&'a [u8]> {
        match *self {
            Target::Origin { query, .. } | Target::Absolute { query, .. } => query,
            _ => None,
        }
    }
}

/// Reads the target of a request with this method.
pub(super) fn target<'a>(method: &[u8], bytes: &'a [u8]) -> Result<Target<'a>, Reason> {
    if method == b"CONNECT" {
        if bytes.first() == Some(&b'/') {
            return Err(Reason::TargetForm);
        }
        return match authority(bytes).map_err(|r| r.or(Reason::AuthorityInvalid))? {
            (_, Some(_)) => Ok(Target::Authority(bytes)),
            (_, None) => Err(Reason::TargetForm),
        };
    }
    match bytes {
        [b'/', ..] => {
            let (path, query) = path_and_query(bytes)?;
            Ok(Target::Origin { path, query })
        }
        b"*" if method == b"OPTIONS" => Ok(Target::Asterisk),
        b"*" => Err(Reason::TargetForm),
        _ => absolute(bytes),
    }
}

fn absolute(bytes: &[u8]) -> Result<Target<'_>, Reason> {
    let (rest, scheme) = scheme(bytes).map_err(|_| Reason::TargetForm)?;
    if ![&b"http"[..], b"https"].iter().any(|s| scheme.eq_ignore_ascii_case(s)) {
        return Err(Reason::SchemeUnsupported);
    }
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    authority(name).map_err(|r| r.or(Reason::AuthorityInvalid))?;
    if name.is_empty() {
        return Err(Reason::AuthorityInvalid);
    }
    let (path, query) = path_and_query(rest)?;
    Ok(Target::Absolute { scheme, authority: name, path, query })
}

fn scheme(bytes: &[u8]) -> IResult<&[u8], &[u8]> {
    let (rest, scheme) = verify(take_until1("://"), |s: &[u8]| {
        s[0].is_ascii_alphabetic()
            && s.iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b))
    })
    .parse(bytes)?;
    Ok((&rest[3..], scheme))
}

fn path_and_query(bytes: &[u8]) -> Result<(&[u8], Option<&[u8]>), Reason> {
    let end = run(bytes, PATH);
    let (path, rest) = bytes.split_at(end);
    for at in memchr::memchr_iter(b'%', path) {
        if !matches!(path.get(at + 1..at + 3), Some(hex) if hex.iter().all(u8::is_ascii_hexdigit)) {
            return Err(Reason::TargetInvalid);
        }
    }
    match rest {
        [] => Ok((path, None)),
        [b'?', query @ ..] => match query.get(run(query, QUERY)) {
            None => Ok((path, Some(query))),
            Some(b'#') => Err(Reason::TargetFragment),
            Some(_) => Err(Reason::TargetInvalid),
        },
        [b'#', ..] => Err(Reason::TargetFragment),
        _ => Err(Reason::TargetInvalid),
    }
}

/// What is wrong with an authority.
pub(super) enum BadAuthority {
    UserInfo,
    Other,
}

impl BadAuthority {
    pub(super) fn or(self, other: Reason) -> Reason {
        match self {
            BadAuthority::UserInfo => Reason::UserInfo,
            BadAuthority::Other => other,
        }
    }
}

/// Splits `host[:port]` (RFC 3986 §3.2), strictly: no user information, no percent-encoding, no
/// IPv6 zone, a port of digits up to 65535. Empty is valid: `Host:` may be (RFC 9112 §3.2).
pub(super) fn authority(bytes: &[u8]) -> Result<(&[u8], Option<u16>), BadAuthority> {
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

/// Whether `Host` says the same as the target's authority. A port left out is the scheme's own;
/// CONNECT's Host may leave it out altogether (RFC 9110 §9.3.6).
pub(super) fn same_authority(target: &Target<'_>, host: &[u8]) -> bool {
    let (name, default) = match *target {
        Target::Absolute { scheme, authority, .. } => {
            (authority, Some(if scheme.eq_ignore_ascii_case(b"http") { 80 } else { 443 }))
        }
        Target::Authority(authority) => (authority, None),
        Target::Origin { .. } | Target::Asterisk => return true,
    };
    let (Ok((name, port)), Ok((host, host_port))) = (authority(name), authority(host)) else {
        return false;
    };
    name.eq_ignore_ascii_case(host)
        && match default {
            Some(_) => port.or(default) == host_port.or(default),
            None => host_port.is_none() || port == host_port,
        }
}

//! The request target (RFC 9112 §3.2) and the authority in it.

use nom::bytes::complete::take_until1;
use nom::combinator::verify;
use nom::{IResult, Parser};

use super::Reason;
use crate::http::uri::{authority, path_and_query};

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

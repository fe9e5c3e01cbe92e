//! Requests (RFC 9112 §3).

use super::fields::Known;
use super::target::{self, Target, same_authority};
use super::{BodyLength, Fields, Reason, Version};
use crate::http::chars::{TOKEN, run};
use crate::http::fields::list;
use crate::http::uri;

/// A request's head, borrowed from its bytes.
#[derive(Clone, Debug)]
pub struct RequestHead<'a> {
    /// The method, case-sensitive.
    pub method: &'a [u8],
    /// The target in the form it was sent.
    pub target: Target<'a>,
    /// The version of the request line.
    pub version: Version,
    /// The fields, in order.
    pub fields: Fields<'a>,
    /// How long the body is.
    pub body: BodyLength,
    /// The effective authority: the target's, else Host's (RFC 9110 §7.1). None in HTTP/1.0
    /// without Host.
    pub authority: Option<&'a [u8]>,
    /// The client means to send more requests on this connection (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// The Upgrade field. Also where Connection does not name it, as it should: some servers
    /// switch all the same.
    pub upgrade: Option<&'a [u8]>,
    /// The client waits for a 100 before it sends the body.
    pub expect_continue: bool,
    /// The name of the field that overrides the method or the URL, if there is one.
    pub override_header: Option<&'a [u8]>,
    /// The first `traceparent` field, unchecked.
    pub traceparent: Option<&'a [u8]>,
}

impl<'a> RequestHead<'a> {
    /// The protocols that Upgrade offers, in order.
    pub fn upgrade_tokens(&self) -> impl Iterator<Item = &'a [u8]> + Clone + use<'a> {
        upgrade_tokens(self.upgrade.unwrap_or_default())
    }

    /// The path to judge, without query; see [`Target::path`].
    pub fn path(&self) -> &'a [u8] {
        self.target.path(self.method)
    }
}

/// The protocols in the value of an Upgrade field, in order.
pub fn upgrade_tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    list(value)
}

/// Reads a complete request head, its empty line included.
///
/// # Errors
/// Why it must be refused: it is outside the grammar, or two readers could take it differently.
pub fn request(head: &[u8]) -> Result<RequestHead<'_>, Reason> {
    let (method, target, version, section) = request_line(head)?;
    let target = target::target(method, target)?;
    let known = Known::read(section, version)?;
    if known.upgrade_repeated {
        return Err(Reason::UpgradeRepeated);
    }
    let body = match known.content_length {
        _ if known.chunked => BodyLength::Chunked,
        Some(0) | None => BodyLength::None,
        Some(length) => BodyLength::Length(length),
    };
    if method == b"CONNECT" && (known.chunked || known.content_length.is_some()) {
        return Err(Reason::ConnectWithBody);
    }
    Ok(RequestHead {
        method,
        target,
        version,
        fields: Fields::new(section),
        body,
        authority: effective_authority(&target, known.host, version)?,
        keep_alive: !known.close && (version == Version::Http11 || known.keep_alive),
        upgrade: known.upgrade,
        expect_continue: known.expect_continue,
        override_header: known.override_header,
        traceparent: known.traceparent,
    })
}

/// Method, target, version, and what follows the line.
type RequestLine<'a> = (&'a [u8], &'a [u8], Version, &'a [u8]);

fn request_line(head: &[u8]) -> Result<RequestLine<'_>, Reason> {
    let (method, rest) = head.split_at(run(head, TOKEN));
    let rest = match rest {
        _ if method.is_empty() => return Err(Reason::MethodInvalid),
        [b' ', rest @ ..] => rest,
        [b'\r', ..] => return Err(Reason::RequestLine),
        _ => return Err(Reason::MethodInvalid),
    };
    let end = memchr::memchr2(b' ', b'\r', rest).ok_or(Reason::RequestLine)?;
    let (target, rest) = rest.split_at(end);
    let version = match rest.first_chunk::<11>() {
        Some(b" HTTP/1.1\r\n") => Version::Http11,
        Some(b" HTTP/1.0\r\n") => Version::Http10,
        Some(
            [b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', b'\r', b'\n'],
        ) => {
            return Err(Reason::Version);
        }
        _ => return Err(Reason::RequestLine),
    };
    if target.is_empty() {
        return Err(Reason::RequestLine);
    }
    Ok((method, target, version, &rest[11..]))
}

fn effective_authority<'a>(
    target: &Target<'a>,
    host: Option<&'a [u8]>,
    version: Version,
) -> Result<Option<&'a [u8]>, Reason> {
    if let Some(host) = host {
        uri::authority(host).map_err(|bad| bad.or(Reason::HostInvalid))?;
        if !same_authority(target, host) {
            return Err(Reason::HostMismatch);
        }
    } else if version == Version::Http11 {
        return Err(Reason::HostMissing);
    }
    Ok(match *target {
        Target::Absolute { authority, .. } | Target::Authority(authority) => Some(authority),
        Target::Origin { .. } | Target::Asterisk => host,
    })
}

//! The heads of requests and responses, and trailers (RFC 9113 §8.1, §8.3).

use super::Reason;
use super::hpack::FieldList;
use super::known::{Known, Metadata, Role};
use crate::http::chars::is_token;
use crate::http::fields::is_forbidden_trailer;
use crate::http::uri::{authority, path_and_query};

/// A request's head, borrowed from its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestHead<'a> {
    /// The method, case-sensitive.
    pub method: &'a [u8],
    /// `:authority`, else Host.
    pub authority: Option<&'a [u8]>,
    /// The path, without query: begins with `/`, or is `*`. Empty for a CONNECT without
    /// `:protocol`.
    pub path: &'a [u8],
    /// The query, without its `?`.
    pub query: Option<&'a [u8]>,
    /// `http` or `https`, as sent. None for a CONNECT without `:protocol`.
    pub scheme: Option<&'a [u8]>,
    /// The protocol that an extended CONNECT asks for (RFC 8441 §4).
    pub protocol: Option<&'a [u8]>,
    /// Content-Type, unchecked.
    pub content_type: Option<&'a [u8]>,
    /// How long the content is said to be.
    pub content_length: Option<u64>,
    /// The name of the field that overrides the method or the URL, if there is one.
    pub override_header: Option<&'a [u8]>,
    /// The first `traceparent` field, unchecked.
    pub traceparent: Option<&'a [u8]>,
    /// The client waits for a 100 before it sends content.
    pub expect_continue: bool,
}

/// A response's head, borrowed from its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead<'a> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// Content-Type, unchecked, without whitespace around it.
    pub content_type: Option<&'a [u8]>,
    /// How long the content is said to be.
    pub content_length: Option<u64>,
    /// The first `grpc-status` that is a number: the answer has only a head.
    pub grpc_status: Option<u32>,
}

/// What a trailer section says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailers {
    /// The first `grpc-status` that is a number.
    pub grpc_status: Option<u32>,
}

/// Reads the head of a request (RFC 9113 §8.3.1).
///
/// # Errors
/// Why it must be refused: it is malformed, or two readers could take it differently.
pub fn request(fields: &FieldList, metadata: Metadata) -> Result<RequestHead<'_>, Reason> {
    let known = Known::read(fields, Role::Request, metadata)?;
    if known.status.is_some() {
        return Err(Reason::PseudoMisplaced);
    }
    let method = known.method.ok_or(Reason::MethodMissing)?;
    if !is_token(method) {
        return Err(Reason::MethodInvalid);
    }
    let (path, query) = match (method, known.protocol) {
        (b"CONNECT", None) => connect(&known)?,
        (b"CONNECT", Some(protocol)) if !is_token(protocol) => {
            return Err(Reason::ProtocolInvalid);
        }
        (b"CONNECT", Some(_)) | (_, None) => target(method, &known)?,
        (_, Some(_)) => return Err(Reason::ProtocolWithoutConnect),
    };
    Ok(RequestHead {
        method,
        authority: effective_authority(&known)?,
        path,
        query,
        scheme: known.scheme,
        protocol: known.protocol,
        content_type: known.content_type,
        content_length: known.content_length,
        override_header: known.override_header,
        traceparent: known.traceparent,
        expect_continue: known.expect_continue,
    })
}

/// Path and query.
type PathQuery<'a> = (&'a [u8], Option<&'a [u8]>);

/// CONNECT has an authority with a port, and nothing else (RFC 9113 §8.5).
fn connect<'a>(known: &Known<'a>) -> Result<PathQuery<'a>, Reason> {
    if known.scheme.is_some() || known.path.is_some() {
        return Err(Reason::ConnectForm);
    }
    if known.content_length.is_some() {
        return Err(Reason::ConnectWithBody);
    }
    let name = known.authority.ok_or(Reason::ConnectForm)?;
    match authority(name).map_err(|bad| Reason::authority(bad, Reason::AuthorityInvalid))? {
        (_, Some(_)) => Ok((b"", None)),
        (_, None) => Err(Reason::ConnectForm),
    }
}

fn target<'a>(method: &[u8], known: &Known<'a>) -> Result<PathQuery<'a>, Reason> {
    let scheme = known.scheme.ok_or(Reason::SchemeMissing)?;
    if ![&b"http"[..], b"https"].iter().any(|s| scheme.eq_ignore_ascii_case(s)) {
        return Err(Reason::SchemeUnsupported);
    }
    match known.path.ok_or(Reason::PathMissing)? {
        b"" => Err(Reason::PathEmpty),
        b"*" if method == b"OPTIONS" => Ok((b"*", None)),
        path @ [b'/', ..] => Ok(path_and_query(path)?),
        _ => Err(Reason::PathForm),
    }
}

/// `:authority`, else Host; where both are, they are the same (RFC 9113 §8.3.1).
fn effective_authority<'a>(known: &Known<'a>) -> Result<Option<&'a [u8]>, Reason> {
    if let Some(name) = known.authority {
        match authority(name).map_err(|bad| Reason::authority(bad, Reason::AuthorityInvalid))? {
            (b"", _) => return Err(Reason::AuthorityInvalid),
            _ if known.host.is_some_and(|host| !host.eq_ignore_ascii_case(name)) => {
                return Err(Reason::HostMismatch);
            }
            _ => return Ok(Some(name)),
        }
    }
    if let Some(host) = known.host {
        authority(host).map_err(|bad| Reason::authority(bad, Reason::HostInvalid))?;
    }
    Ok(known.host)
}

/// Reads the head of a response (RFC 9113 §8.3.2).
///
/// # Errors
/// Why it must be refused: it is malformed, or two readers could take it differently.
pub fn response(fields: &FieldList, metadata: Metadata) -> Result<ResponseHead<'_>, Reason> {
    let known = Known::read(fields, Role::Response, metadata)?;
    let of_request = [known.method, known.scheme, known.authority, known.path, known.protocol];
    if of_request.iter().any(Option::is_some) {
        return Err(Reason::PseudoMisplaced);
    }
    Ok(ResponseHead {
        status: status(known.status.ok_or(Reason::StatusMissing)?)?,
        content_type: known.content_type,
        content_length: known.content_length,
        grpc_status: known.grpc_status,
    })
}

/// Three digits; HTTP/2 has no 101 (RFC 9113 §8.6).
fn status(value: &[u8]) -> Result<u16, Reason> {
    match value {
        b"101" => Err(Reason::StatusInvalid),
        [b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] => {
            Ok(value.iter().fold(0, |n: u16, digit| n * 10 + u16::from(digit - b'0')))
        }
        _ => Err(Reason::StatusInvalid),
    }
}

/// Reads the trailer section of a request (RFC 9113 §8.1).
///
/// # Errors
/// Why it must be refused: it is malformed, or has a field that must not come as a trailer.
pub fn trailers(fields: &FieldList, metadata: Metadata) -> Result<Trailers, Reason> {
    let known = Known::read(fields, Role::RequestTrailers, metadata)?;
    match fields.iter().any(|field| is_forbidden_trailer(field.name)) {
        true => Err(Reason::ForbiddenTrailer),
        false => Ok(Trailers { grpc_status: known.grpc_status }),
    }
}

/// Reads the trailer section of a response, in which gRPC has metadata of any name. Nothing in it
/// describes the content, whatever it is called (RFC 9110 §6.5.1).
///
/// # Errors
/// Why it is malformed.
pub fn response_trailers(fields: &FieldList, metadata: Metadata) -> Result<Trailers, Reason> {
    let known = Known::read(fields, Role::ResponseTrailers, metadata)?;
    Ok(Trailers { grpc_status: known.grpc_status })
}

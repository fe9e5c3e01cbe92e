//! The PROXY protocol's header, versions 1 and 2.
//!
//! Source: "The PROXY protocol, versions 1 & 2", W. Tarreau, §2.1 and §2.2. A header is passed
//! on and logged. What it says is the client's word, and nothing is decided by it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use nom::number::complete::{be_u16, be_u128, u8 as byte};
use nom::{IResult, Parser};

const V1_START: &[u8] = b"PROXY ";
/// The longest line of version 1, CRLF included (§2.1).
const V1_LINE: usize = 107;
const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2.
const V2_FIXED: usize = 16;

/// A version of the PROXY protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// One line of text.
    V1,
    /// Binary.
    V2,
}

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its version.
    pub version: Version,
    /// How many bytes of the client's leg it takes.
    pub len: usize,
    /// The claimed client. None for `UNKNOWN`, `LOCAL` and Unix sockets.
    pub source: Option<SocketAddr>,
    /// The claimed server.
    pub destination: Option<SocketAddr>,
}

/// Why a header is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// Version 1: no CRLF within 107 bytes, or a CR or LF alone.
    #[error("a PROXY line does not end with CRLF within 107 bytes")]
    Line,
    /// A protocol, family or command that the specification does not have.
    #[error("a PROXY header names no known version, command or family")]
    Family,
    /// An address or port that is none.
    #[error("a PROXY header's addresses cannot be read")]
    Address,
}

impl Reason {
    /// The label in log and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Reason::Line => "proxy_line",
            Reason::Family => "proxy_family",
            Reason::Address => "proxy_address",
        }
    }
}

/// What [`header`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// It is none.
    Not,
    /// It may be one, or is one: more is needed.
    More,
    /// It is a bad one.
    Bad(Reason),
    /// It is whole.
    Header(Header),
}

/// Looks for a header at the start of `data`, the client's first bytes.
pub fn header(data: &[u8]) -> Found {
    let found = if data.starts_with(V1_START) {
        v1(data)
    } else if data.starts_with(V2_SIGNATURE) {
        v2(data)
    } else if V1_START.starts_with(data) || V2_SIGNATURE.starts_with(data) {
        Ok(None)
    } else {
        return Found::Not;
    };
    match found {
        Ok(None) => Found::More,
        Ok(Some(header)) => Found::Header(header),
        Err(reason) => Found::Bad(reason),
    }
}

fn v1(data: &[u8]) -> Result<Option<Header>, Reason> {
    let window = data.get(..V1_LINE).unwrap_or(data);
    let Some(end) = memchr::memchr2(b'\r', b'\n', window) else {
        return if data.len() >= V1_LINE { Err(Reason::Line) } else { Ok(None) };
    };
    match window.get(end..).unwrap_or_default() {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if data.len() < V1_LINE => return Ok(None),
        _ => return Err(Reason::Line),
    }
    let line = window.get(V1_START.len()..end).unwrap_or_default();
    let (source, destination) = v1_addresses(line)?;
    Ok(Some(Header { version: Version::V1, len: end + 2, source, destination }))
}

type Addresses = (Option<SocketAddr>, Option<SocketAddr>);

fn v1_addresses(line: &[u8]) -> Result<Addresses, Reason> {
    let line = std::str::from_utf8(line).map_err(|_| Reason::Address)?;
    let mut words = line.split(' ');
    let ip: fn(&str) -> Option<IpAddr> = match words.next() {
        Some("UNKNOWN") => return Ok((None, None)),
        Some("TCP4") => |word| Ipv4Addr::from_str(word).ok().map(IpAddr::V4),
        Some("TCP6") => |word| Ipv6Addr::from_str(word).ok().map(IpAddr::V6),
        _ => return Err(Reason::Family),
    };
    let mut next = |read: fn(&str) -> Option<IpAddr>| words.next().and_then(read);
    let (source, destination) = (next(ip), next(ip));
    let mut port = || words.next().and_then(port);
    let (source_port, destination_port) = (port(), port());
    let address = |ip: Option<IpAddr>, port: Option<u16>| Some(SocketAddr::new(ip?, port?));
    match (address(source, source_port), address(destination, destination_port), words.next()) {
        (source @ Some(_), destination @ Some(_), None) => Ok((source, destination)),
        _ => Err(Reason::Address),
    }
}

/// A decimal port without sign or leading zero.
fn port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|b| b.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    if plain { word.parse().ok() } else { None }
}

fn v2(data: &[u8]) -> Result<Option<Header>, Reason> {
    let Some(fixed) = data.get(V2_SIGNATURE.len()..V2_FIXED) else { return Ok(None) };
    let &[command, family, high, low] = fixed else { return Ok(None) };
    let addresses = match (command, family >> 4, family & 15) {
        (0x20, 0..=3, 0..=2) => 0,
        (0x21, 0, 0) => 0,
        (0x21, 1, 1 | 2) => 12,
        (0x21, 2, 1 | 2) => 36,
        (0x21, 3, 1 | 2) => 216,
        _ => return Err(Reason::Family),
    };
    let rest = usize::from(u16::from_be_bytes([high, low]));
    if rest < addresses {
        return Err(Reason::Address);
    }
    let Some(body) = data.get(V2_FIXED..V2_FIXED + rest) else { return Ok(None) };
    let read = match addresses {
        12 => pair(v4).parse(body),
        36 => pair(v6).parse(body),
        _ => Ok((body, (None, None))),
    };
    let (_, (source, destination)) = read.map_err(|_| Reason::Address)?;
    Ok(Some(Header { version: Version::V2, len: V2_FIXED + rest, source, destination }))
}

fn v4(input: &[u8]) -> IResult<&[u8], IpAddr> {
    (byte, byte, byte, byte).map(|(a, b, c, d)| IpAddr::from([a, b, c, d])).parse(input)
}

fn v6(input: &[u8]) -> IResult<&[u8], IpAddr> {
    be_u128.map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))).parse(input)
}

/// Source and destination address, then their ports.
fn pair<'a>(
    ip: fn(&'a [u8]) -> IResult<&'a [u8], IpAddr>,
) -> impl FnMut(&'a [u8]) -> IResult<&'a [u8], Addresses> {
    move |input| {
        let (input, (source, destination)) = (ip, ip).parse(input)?;
        let (input, (from, to)) = (be_u16, be_u16).parse(input)?;
        Ok((input, (Some(SocketAddr::new(source, from)), Some(SocketAddr::new(destination, to)))))
    }
}

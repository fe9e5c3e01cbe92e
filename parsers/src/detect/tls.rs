//! The TLS ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2), as far as it names where to.
//!
//! A hello may lie in several records, however small (RFC 8446 §5.1). [`HelloScan`] finds its
//! end; [`client_hello`] reads it, in place where one record holds it.

use nom::bytes::complete::take;
use nom::combinator::{all_consuming, rest, verify};
use nom::multi::length_data;
use nom::number::complete::{be_u16, be_u24, u8 as byte};
use nom::{IResult, Parser};

/// The content type of handshake records (RFC 8446 §5.1).
pub(super) const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const RECORD_HEADER: usize = 5;
/// The longest plaintext record (RFC 8446 §5.1).
const RECORD_MAX: usize = 1 << 14;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;
/// `encrypted_client_hello` (RFC 9849 §5).
const ECH: u16 = 0xfe0d;

/// Why a ClientHello is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// The bytes are no TLS record at all.
    #[error("not a TLS record")]
    NotTls,
    /// A record that is empty, too long, or of another type or version.
    #[error("a TLS record is empty, too long or of the wrong type")]
    Record,
    /// The first message is no ClientHello.
    #[error("the first TLS message is no ClientHello")]
    NotHello,
    /// Something follows the hello in its last record.
    #[error("bytes follow the ClientHello in its record")]
    Trailing,
    /// A length that does not fit what it measures.
    #[error("a length in the ClientHello does not fit")]
    Length,
    /// An extension that occurs twice.
    #[error("an extension of the ClientHello occurs twice")]
    Duplicate,
    /// Several names, or a name of unknown type.
    #[error("the server name list holds other than one host name")]
    Names,
    /// A name that is no host name: NUL, space, an empty label.
    #[error("the server name is no host name")]
    Name,
    /// An empty protocol list or name.
    #[error("the ALPN list is empty or holds an empty name")]
    Alpn,
}

impl Reason {
    /// The label in log and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Reason::NotTls => "tls_not_tls",
            Reason::Record => "tls_record",
            Reason::NotHello => "tls_not_hello",
            Reason::Trailing => "tls_trailing",
            Reason::Length => "tls_length",
            Reason::Duplicate => "tls_duplicate_extension",
            Reason::Names => "tls_server_names",
            Reason::Name => "tls_server_name",
            Reason::Alpn => "tls_alpn",
        }
    }
}

/// Finds the end of a ClientHello, looking at each record header once.
#[derive(Clone, Copy, Debug, Default)]
pub struct HelloScan {
    /// Where the next record begins.
    record: usize,
    /// Handshake bytes in the records before it.
    got: usize,
    /// The message's first four bytes: type and length, as far as they have come.
    head: u32,
}

impl HelloScan {
    /// Looks at `data`, the leg's bytes from the start of the first record. Answers how many
    /// bytes of records hold the hello, once they are all there.
    ///
    /// # Errors
    /// A record that is none, or a first message that is no ClientHello or does not end with
    /// its record.
    pub fn find(&mut self, data: &[u8]) -> Result<Option<usize>, Reason> {
        while let Some(record) = data.get(self.record..) {
            let Some(len) = record_len(record)? else { return Ok(None) };
            let body = record.get(RECORD_HEADER..).unwrap_or_default();
            let body = body.get(..len).unwrap_or(body);
            let head = body.iter().take(4_usize.saturating_sub(self.got));
            let head = head.fold(self.head, |head, &b| head << 8 | u32::from(b));
            let seen = self.got + body.len();
            if seen > 0 && first_byte(head, seen) != CLIENT_HELLO {
                return Err(Reason::NotHello);
            }
            if body.len() < len {
                return Ok(None);
            }
            (self.head, self.got) = (head, seen);
            self.record += RECORD_HEADER + len;
            if seen >= 4 {
                let message = 4 + (head & 0x00ff_ffff) as usize;
                match seen.cmp(&message) {
                    std::cmp::Ordering::Less => {}
                    std::cmp::Ordering::Equal => return Ok(Some(self.record)),
                    std::cmp::Ordering::Greater => return Err(Reason::Trailing),
                }
            }
        }
        Ok(None)
    }
}

/// The first of the `seen` (up to four) bytes shifted into `head`.
fn first_byte(head: u32, seen: usize) -> u8 {
    let [.., a, b, c, d] = head.to_be_bytes();
    match seen {
        1 => d,
        2 => c,
        3 => b,
        _ => a,
    }
}

/// The length of the record that begins here; none: its header is not whole.
fn record_len(record: &[u8]) -> Result<Option<usize>, Reason> {
    match record {
        [kind, ..] if *kind != HANDSHAKE => return Err(Reason::Record),
        [_, major, ..] if *major != 3 => return Err(Reason::NotTls),
        [_, _, minor, ..] if *minor > 4 => return Err(Reason::NotTls),
        _ => {}
    }
    let &[_, _, _, high, low, ..] = record else { return Ok(None) };
    match usize::from(u16::from_be_bytes([high, low])) {
        1..=RECORD_MAX => Ok(Some(usize::from(u16::from_be_bytes([high, low])))),
        _ => Err(Reason::Record),
    }
}

/// What a ClientHello says of where it wants to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientHello<'a> {
    /// The host name of the `server_name` extension (RFC 6066 §3), as sent: letters, digits,
    /// `-`, `_` and dots. With Encrypted ClientHello it is the outer name.
    pub server_name: Option<&'a [u8]>,
    /// The list of the `application_layer_protocol_negotiation` extension (RFC 7301 §3.1).
    pub alpn: Option<Alpn<'a>>,
    /// The true hello is encrypted, or a client pretends so.
    pub ech: bool,
}

/// The protocols that the client offers, in its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alpn<'a>(&'a [u8]);

impl<'a> Iterator for Alpn<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (left, name) = vector8(self.0).ok()?;
        self.0 = left;
        Some(name)
    }
}

/// Reads a ClientHello from its records, as [`HelloScan`] measured them. `scratch` is used where
/// several records hold it.
///
/// # Errors
/// Whatever in the hello is ambiguous or does not fit.
pub fn client_hello<'a>(
    records: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<ClientHello<'a>, Reason> {
    if HelloScan::default().find(records)? != Some(records.len()) {
        return Err(Reason::Length);
    }
    let (left, first) = record(records)?;
    if left.is_empty() {
        return message(first);
    }
    scratch.clear();
    let mut records = records;
    while !records.is_empty() {
        let (left, body) = record(records)?;
        scratch.extend_from_slice(body);
        records = left;
    }
    message(scratch)
}

/// One record's content, and what follows it.
fn record(records: &[u8]) -> Result<(&[u8], &[u8]), Reason> {
    let mut content = (take(3_usize), vector16).map(|(_, content)| content);
    content.parse(records).map_err(length)
}

fn length(_: nom::Err<nom::error::Error<&[u8]>>) -> Reason {
    Reason::Length
}

fn vector8(input: &[u8]) -> IResult<&[u8], &[u8]> {
    length_data(byte).parse(input)
}

fn vector16(input: &[u8]) -> IResult<&[u8], &[u8]> {
    length_data(be_u16).parse(input)
}

fn message(input: &[u8]) -> Result<ClientHello<'_>, Reason> {
    let body = (byte, length_data(be_u24)).map(|(_, body)| body);
    let (_, body) = all_consuming(body).parse(input).map_err(length)?;
    let session = verify(vector8, |id: &[u8]| id.len() <= 32);
    let ciphers = verify(vector16, |list: &[u8]| !list.is_empty() && list.len().is_multiple_of(2));
    let compression = verify(vector8, |list: &[u8]| !list.is_empty());
    let fixed = (take(2_usize + 32), session, ciphers, compression, rest);
    let (_, (.., extensions)) = { fixed }.parse(body).map_err(length)?;
    if extensions.is_empty() {
        return Ok(ClientHello { server_name: None, alpn: None, ech: false });
    }
    let (_, extensions) = all_consuming(vector16).parse(extensions).map_err(length)?;
    read_extensions(extensions)
}

fn read_extensions(mut input: &[u8]) -> Result<ClientHello<'_>, Reason> {
    let mut hello = ClientHello { server_name: None, alpn: None, ech: false };
    while !input.is_empty() {
        let (left, (kind, data)) = (be_u16, vector16).parse(input).map_err(length)?;
        input = left;
        let twice = match kind {
            SERVER_NAME => hello.server_name.replace(host_name(data)?).is_some(),
            ALPN => hello.alpn.replace(alpn(data)?).is_some(),
            ECH => std::mem::replace(&mut hello.ech, true),
            _ => false,
        };
        if twice {
            return Err(Reason::Duplicate);
        }
    }
    Ok(hello)
}

/// The one name of a `ServerNameList` (RFC 6066 §3).
fn host_name(data: &[u8]) -> Result<&[u8], Reason> {
    let (_, list) = all_consuming(vector16).parse(data).map_err(length)?;
    let (more, (kind, name)) = (byte, vector16).parse(list).map_err(length)?;
    if kind != 0 || !more.is_empty() {
        return Err(Reason::Names);
    }
    let letters = name.iter().all(|&b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let labels = name.split(|&b| b == b'.').all(|label| matches!(label.len(), 1..=63));
    if letters && labels && name.len() <= 253 { Ok(name) } else { Err(Reason::Name) }
}

/// A `ProtocolNameList` (RFC 7301 §3.1).
fn alpn(data: &[u8]) -> Result<Alpn<'_>, Reason> {
    let (_, list) = all_consuming(vector16).parse(data).map_err(length)?;
    let mut left = list;
    while !left.is_empty() {
        let (next, name) = vector8(left).map_err(length)?;
        if name.is_empty() {
            return Err(Reason::Alpn);
        }
        left = next;
    }
    if list.is_empty() { Err(Reason::Alpn) } else { Ok(Alpn(list)) }
}

//! Field lines (RFC 9112 §5), and what they say of framing, host and connection.

use super::scan::{LineEnd, line_end};
use super::{Reason, Version};
use crate::http::chars::{TOKEN, is_token, run};
use crate::http::fields::{
    is_forbidden_trailer, is_override, length, list, same_but_for_underscores,
};

/// The fields of a head or trailer section, in order, as `(name, value)`: names as sent, values
/// without the whitespace around them.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// The fields of a section that has been checked: field lines, then an empty line.
    pub(super) fn new(section: &'a [u8]) -> Self {
        Self { rest: section }
    }

    /// The values of every field with this name, whatever its case.
    pub fn all(self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.filter(move |(n, _)| n.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value, rest) = field_line(self.rest).ok().flatten()?;
        self.rest = rest;
        Some((name, value))
    }
}

/// Splits the first field line off a section: name, value and what follows; none at the empty
/// line that ends the section.
#[inline]
#[expect(clippy::type_complexity, reason = "a name for this triple would say less")]
pub(super) fn field_line(section: &[u8]) -> Result<Option<(&[u8], &[u8], &[u8])>, Reason> {
    let colon = run(section, TOKEN);
    match section.get(colon) {
        Some(b':') if colon > 0 => {}
        Some(b':') => return Err(Reason::EmptyFieldName),
        Some(b'\r') if colon == 0 => return Ok(None),
        Some(b' ' | b'\t') if colon == 0 => return Err(Reason::ObsFold),
        Some(b' ' | b'\t') => return Err(space_in_name(&section[colon..])),
        Some(b'\r') => return Err(Reason::MissingColon),
        Some(_) => return Err(Reason::FieldNameInvalid),
        None => return Err(Reason::Truncated),
    }
    match line_end(section, colon + 1)? {
        LineEnd::At(end) => {
            let value = section[colon + 1..end].trim_ascii();
            Ok(Some((&section[..colon], value, &section[end + 2..])))
        }
        LineEnd::Beyond(_) => Err(Reason::Truncated),
    }
}

fn space_in_name(rest: &[u8]) -> Reason {
    match rest.trim_ascii_start().first() {
        Some(b':') => Reason::SpaceBeforeColon,
        _ => Reason::FieldNameInvalid,
    }
}

/// What the fields of one head say that Weir must know.
#[derive(Default)]
pub(super) struct Known<'a> {
    pub(super) content_length: Option<u64>,
    pub(super) chunked: bool,
    pub(super) host: Option<&'a [u8]>,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade_option: bool,
    pub(super) upgrade: Option<&'a [u8]>,
    pub(super) upgrade_repeated: bool,
    pub(super) expect_continue: bool,
    pub(super) override_header: Option<&'a [u8]>,
    pub(super) traceparent: Option<&'a [u8]>,
}

impl<'a> Known<'a> {
    /// Reads a whole section: field lines, an empty line, nothing more.
    pub(super) fn read(section: &'a [u8], version: Version) -> Result<Self, Reason> {
        let mut known = Known::default();
        let mut rest = section;
        if let [b' ' | b'\t', ..] = rest {
            return Err(Reason::WhitespaceBeforeField);
        }
        while let Some((name, value, after)) = field_line(rest)? {
            known.field(name, value)?;
            rest = after;
        }
        match rest {
            b"\r\n" => {}
            b"\r" => return Err(Reason::Truncated),
            _ => return Err(Reason::BareCr),
        }
        if known.chunked && known.content_length.is_some() {
            return Err(Reason::ContentLengthWithTransferEncoding);
        }
        if known.chunked && version == Version::Http10 {
            return Err(Reason::TransferEncodingInHttp10);
        }
        if known.close && known.keep_alive {
            return Err(Reason::ConnectionConflict);
        }
        Ok(known)
    }

    #[inline]
    fn field(&mut self, name: &'a [u8], value: &'a [u8]) -> Result<(), Reason> {
        // The length alone tells most fields apart.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => {
                once(&mut self.host, value, Reason::HostRepeated)
            }
            6 if name.eq_ignore_ascii_case(b"expect") => self.expect(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade(value),
            10 if name.eq_ignore_ascii_case(b"connection") => self.connection(value),
            11 if name.eq_ignore_ascii_case(b"traceparent") => {
                self.traceparent.get_or_insert(value);
                Ok(())
            }
            14 if same_but_for_underscores(name, b"content-length") => {
                whole_name(name)?;
                once(&mut self.content_length, length(value)?, Reason::ContentLengthRepeated)
            }
            17 if same_but_for_underscores(name, b"transfer-encoding") => {
                whole_name(name)?;
                self.transfer_encoding(value)
            }
            13.. if is_override(name) => {
                once(&mut self.override_header, name, Reason::OverrideRepeated)
            }
            _ => Ok(()),
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Reason> {
        if self.chunked {
            return Err(Reason::TransferEncodingRepeated);
        }
        self.chunked = value.eq_ignore_ascii_case(b"chunked");
        if self.chunked { Ok(()) } else { Err(Reason::TransferEncodingUnsupported) }
    }

    fn connection(&mut self, value: &[u8]) -> Result<(), Reason> {
        for option in list(value) {
            match option.len() {
                5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade_option = true,
                _ if !is_token(option) => return Err(Reason::ConnectionInvalid),
                4 | 14 | 17 if frames_or_routes(option) => return Err(Reason::ConnectionNominates),
                _ => {}
            }
        }
        Ok(())
    }

    fn upgrade(&mut self, value: &'a [u8]) -> Result<(), Reason> {
        if list(value).any(|protocol| !is_protocol(protocol)) || list(value).next().is_none() {
            return Err(Reason::UpgradeInvalid);
        }
        self.upgrade_repeated |= self.upgrade.is_some();
        self.upgrade.get_or_insert(value);
        Ok(())
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Reason> {
        self.expect_continue = value.eq_ignore_ascii_case(b"100-continue");
        if self.expect_continue { Ok(()) } else { Err(Reason::ExpectUnknown) }
    }
}

fn once<T>(slot: &mut Option<T>, value: T, repeated: Reason) -> Result<(), Reason> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(repeated),
    }
}

/// `protocol-name ["/" protocol-version]` (RFC 9110 §7.8).
fn is_protocol(protocol: &[u8]) -> bool {
    let mut parts = protocol.splitn(2, |&b| b == b'/');
    parts.all(is_token)
}

fn frames_or_routes(name: &[u8]) -> bool {
    [&b"host"[..], b"content-length", b"transfer-encoding"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

fn whole_name(name: &[u8]) -> Result<(), Reason> {
    if name.contains(&b'_') { Err(Reason::FramingLookAlike) } else { Ok(()) }
}

/// Checks a trailer section, its empty line included.
///
/// # Errors
/// A field line that is none, or a field that must not come as a trailer (RFC 9110 §6.5.1):
/// framing, routing, authentication, and what steers the request or the content's handling.
pub(super) fn trailers(section: &[u8]) -> Result<Fields<'_>, Reason> {
    let mut rest = section;
    while let Some((name, _, after)) = field_line(rest)? {
        if is_forbidden_trailer(name) {
            return Err(Reason::ForbiddenTrailer);
        }
        rest = after;
    }
    Ok(Fields::new(section))
}

//! What every field must be (RFC 9113 §8.2), and what those say that Weir must know.

use super::Reason;
use super::hpack::{Field, FieldList};
use crate::grpc;
use crate::http::chars::{LOWER, control, run};
use crate::http::fields::{is_override, length, same_but_for_underscores};

/// How the values of fields come whose names end with `-bin` (gRPC, "Custom-Metadata").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// In base64, as text.
    Encoded,
    /// Or, behind a NUL, as they are: the receiver has announced [`setting::TRUE_BINARY_METADATA`]
    /// (gRPC proposal G1).
    ///
    /// [`setting::TRUE_BINARY_METADATA`]: super::setting::TRUE_BINARY_METADATA
    Binary,
}

/// What a list of fields is: in another place a field of the same name may mean nothing, and is
/// metadata then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A request's head.
    Request,
    /// A response's head.
    Response,
    /// A trailer section of a request.
    RequestTrailers,
    /// A trailer section of a response.
    ResponseTrailers,
}

impl Role {
    fn is_trailers(self) -> bool {
        matches!(self, Role::RequestTrailers | Role::ResponseTrailers)
    }

    /// Whether values may have whitespace around them, which RFC 9113 §8.2.1 makes malformed: real
    /// servers send it and real clients take it, as it is no part of the value (RFC 9110 §5.5). Of a
    /// request nothing is to be left to its reader.
    fn lets_whitespace_pass(self) -> bool {
        matches!(self, Role::Response | Role::ResponseTrailers)
    }
}

/// The pseudo-header fields of one head, and what its other fields say.
#[derive(Default)]
pub(super) struct Known<'a> {
    pub(super) method: Option<&'a [u8]>,
    pub(super) scheme: Option<&'a [u8]>,
    pub(super) authority: Option<&'a [u8]>,
    pub(super) path: Option<&'a [u8]>,
    pub(super) protocol: Option<&'a [u8]>,
    pub(super) status: Option<&'a [u8]>,
    pub(super) host: Option<&'a [u8]>,
    pub(super) content_type: Option<&'a [u8]>,
    pub(super) content_length: Option<u64>,
    pub(super) override_header: Option<&'a [u8]>,
    pub(super) traceparent: Option<&'a [u8]>,
    pub(super) expect_continue: bool,
    pub(super) grpc_status: Option<u32>,
}

impl<'a> Known<'a> {
    /// Reads fields: of a head its pseudo-header fields, then the others; of a trailer section those
    /// alone.
    pub(super) fn read(
        fields: &'a FieldList,
        role: Role,
        metadata: Metadata,
    ) -> Result<Self, Reason> {
        let mut known = Known::default();
        let mut regular = false;
        for Field { name, value, .. } in fields.iter() {
            check_value(name, value, role, metadata)?;
            match name {
                [b':', ..] if role.is_trailers() => return Err(Reason::PseudoInTrailers),
                [b':', ..] if regular => return Err(Reason::PseudoAfterField),
                [b':', ..] => known.pseudo(name, value)?,
                _ => {
                    regular = true;
                    check_name(name)?;
                    known.field(name, value, role)?;
                }
            }
        }
        Ok(known)
    }

    fn pseudo(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), Reason> {
        let slot = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            b":protocol" => &mut self.protocol,
            b":status" => &mut self.status,
            _ => return Err(Reason::PseudoUnknown),
        };
        once(slot, value, Reason::PseudoRepeated)
    }

    /// Reads a field. What belongs to the connection is malformed anywhere (RFC 9113 §8.2.2). The
    /// content is described by a head alone (a length among trailers is not the message's, RFC 9110
    /// §6.5.1); the rest says something in a request's head alone, as do the look-alikes: it is
    /// servers that take them for the real ones.
    #[inline]
    fn field(&mut self, name: &'a [u8], value: &'a [u8], role: Role) -> Result<(), Reason> {
        let request = role == Role::Request;
        let head = !role.is_trailers();
        // The length alone tells most fields apart; names are in lower case.
        match name.len() {
            2 if request && name == b"te" && !value.eq_ignore_ascii_case(b"trailers") => {
                Err(Reason::TeInvalid)
            }
            4 if request && name == b"host" => once(&mut self.host, value, Reason::HostRepeated),
            6 if request && name == b"expect" => self.expect(value),
            7 if name == b"upgrade" => Err(Reason::ConnectionField),
            10 if name == b"connection" || name == b"keep-alive" => Err(Reason::ConnectionField),
            11 if request && name == b"traceparent" => {
                self.traceparent.get_or_insert(value);
                Ok(())
            }
            11 if name == b"grpc-status" => {
                self.grpc_status = self.grpc_status.or(grpc::status(value.trim_ascii()));
                Ok(())
            }
            12 if head && name == b"content-type" => {
                once(&mut self.content_type, value.trim_ascii(), Reason::ContentTypeRepeated)
            }
            14 if head && name == b"content-length" => {
                let length = length(value.trim_ascii())?;
                once(&mut self.content_length, length, Reason::ContentLengthRepeated)
            }
            14 if request && same_but_for_underscores(name, b"content-length") => {
                Err(Reason::FramingLookAlike)
            }
            16 if name == b"proxy-connection" => Err(Reason::ConnectionField),
            17 if name == b"transfer-encoding" => Err(Reason::ConnectionField),
            17 if request && same_but_for_underscores(name, b"transfer-encoding") => {
                Err(Reason::FramingLookAlike)
            }
            13.. if request && is_override(name) => {
                once(&mut self.override_header, name, Reason::OverrideRepeated)
            }
            _ => Ok(()),
        }
    }

    fn expect(&mut self, value: &[u8]) -> Result<(), Reason> {
        self.expect_continue = value.eq_ignore_ascii_case(b"100-continue");
        if self.expect_continue { Ok(()) } else { Err(Reason::ExpectUnknown) }
    }
}

/// A name is a token without upper case (RFC 9113 §8.2.1).
#[inline]
fn check_name(name: &[u8]) -> Result<(), Reason> {
    match name.get(run(name, LOWER)) {
        None if name.is_empty() => Err(Reason::EmptyFieldName),
        None => Ok(()),
        Some(b'A'..=b'Z') => Err(Reason::FieldNameUpper),
        Some(_) => Err(Reason::FieldNameInvalid),
    }
}

/// A value has no controls but HTAB, and of a request no whitespace around it (RFC 9113 §8.2.1).
#[inline]
fn check_value(name: &[u8], value: &[u8], role: Role, metadata: Metadata) -> Result<(), Reason> {
    if let Some(&byte) = control(value).and_then(|at| value.get(at)) {
        if metadata == Metadata::Binary && value.first() == Some(&0) && name.ends_with(b"-bin") {
            return Ok(());
        }
        return Err(match byte {
            b'\r' => Reason::Cr,
            b'\n' => Reason::Lf,
            0 => Reason::Nul,
            _ => Reason::ControlByte,
        });
    }
    match value {
        [b' ' | b'\t', ..] | [.., b' ' | b'\t'] if !role.lets_whitespace_pass() => {
            Err(Reason::ValueWhitespace)
        }
        _ => Ok(()),
    }
}

fn once<T>(slot: &mut Option<T>, value: T, repeated: Reason) -> Result<(), Reason> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(repeated),
    }
}

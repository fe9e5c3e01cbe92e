//! gRPC over HTTP: content types, method names, and length-prefixed messages
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>, PROTOCOL-WEB.md).

use crate::http::chars::{NAME, run};

/// Which gRPC a content type says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `application/grpc`.
    Grpc,
    /// `application/grpc-web`: trailers are a message.
    Web,
    /// `application/grpc-web-text`: the same in base64.
    WebText,
}

/// Which gRPC a content type says, whatever its message format (`+proto`) and parameters.
pub fn content_type(value: &[u8]) -> Option<Kind> {
    const PREFIX: &[u8] = b"application/grpc";
    if value == PREFIX {
        return Some(Kind::Grpc);
    }
    let media = value.split(|&b| b == b';').next().unwrap_or_default().trim_ascii();
    let (prefix, rest) = media.split_at_checked(PREFIX.len())?;
    if !prefix.eq_ignore_ascii_case(PREFIX) {
        return None;
    }
    let mut parts = rest.splitn(2, |&b| b == b'+');
    let base = parts.next().unwrap_or_default();
    if parts.next().is_some_and(<[u8]>::is_empty) {
        return None;
    }
    match base.len() {
        0 => Some(Kind::Grpc),
        _ if base.eq_ignore_ascii_case(b"-web") => Some(Kind::Web),
        _ if base.eq_ignore_ascii_case(b"-web-text") => Some(Kind::WebText),
        _ => None,
    }
}

/// Splits the path of a call, `/package.Service/Method`, into service and method.
///
/// The service is names with `.` between them, the method is one name. A name is letters, digits,
/// `_` and `-`: whatever else a path may have, a router could read differently.
pub fn method(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut parts = path.strip_prefix(b"/")?.split(|&b| b == b'/');
    let (service, method) = (parts.next()?, parts.next()?);
    let whole =
        parts.next().is_none() && service.split(|&b| b == b'.').all(is_name) && is_name(method);
    whole.then_some((service, method))
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && run(name, NAME) == name.len()
}

/// The status in the trailers of gRPC-Web, which are lines of `name: value` (PROTOCOL-WEB.md). None
/// where they have no `grpc-status`, or one that is no number.
pub fn web_status(trailers: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"grpc-status:";
    let mut lines = trailers.split(|&b| b == b'\n');
    let value = lines.find_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then_some(value)
    });
    status(value?.trim_ascii())
}

/// The number in a `grpc-status` field; none if it is not one.
pub(crate) fn status(value: &[u8]) -> Option<u32> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// What the next bytes of a body are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The prefix of a message.
    Begin {
        /// How many bytes the message has.
        length: u32,
        /// It is compressed, as `grpc-encoding` says.
        compressed: bool,
        /// It is the trailers, in gRPC-Web.
        trailers: bool,
    },
    /// Bytes of the message.
    Payload(&'a [u8]),
    /// The message is complete; this takes no bytes.
    End,
    /// The flags of a message are not known. Nothing that follows can be read.
    Malformed,
}

/// Follows the length-prefixed messages of one direction, however their bytes are cut.
#[derive(Clone, Copy, Debug, Default)]
pub struct Messages {
    count: u64,
    /// The length as far as it is read, then how much of it is to come.
    left: u32,
    flags: u8,
    state: State,
    compressed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Between messages.
    #[default]
    Flags,
    /// So many bytes of the length have come.
    Length(u8),
    Payload,
    Broken,
}

impl Messages {
    /// At the start of a body.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece off `data`. None, when all of `data` is taken and more is needed to
    /// tell; after [`Piece::Malformed`], always.
    pub fn next<'a>(&mut self, data: &mut &'a [u8]) -> Option<Piece<'a>> {
        loop {
            match self.state {
                State::Payload if self.left == 0 => {
                    self.state = State::Flags;
                    self.count += u64::from(!self.is_trailers());
                    return Some(Piece::End);
                }
                State::Payload => return self.payload(data).map(Piece::Payload),
                State::Broken => {
                    *data = &[];
                    return None;
                }
                State::Flags => {
                    if let Some((&[flags @ (0 | 1), a, b, c, d], rest)) = data.split_first_chunk() {
                        // As a rule the prefix is in one piece.
                        *data = rest;
                        return Some(self.begin(flags, u32::from_be_bytes([a, b, c, d])));
                    }
                    let flags = take(data)?;
                    if flags & !0x81 != 0 {
                        self.state = State::Broken;
                        return Some(Piece::Malformed);
                    }
                    (self.flags, self.left, self.state) = (flags, 0, State::Length(0));
                }
                State::Length(seen) => {
                    self.left = self.left << 8 | u32::from(take(data)?);
                    if seen < 3 {
                        self.state = State::Length(seen + 1);
                        continue;
                    }
                    return Some(self.begin(self.flags, self.left));
                }
            }
        }
    }

    /// The prefix of a message has come.
    fn begin<'a>(&mut self, flags: u8, length: u32) -> Piece<'a> {
        (self.flags, self.left, self.state) = (flags, length, State::Payload);
        let (compressed, trailers) = (flags & 1 != 0, self.is_trailers());
        self.compressed |= compressed;
        Piece::Begin { length, compressed, trailers }
    }

    fn payload<'a>(&mut self, data: &mut &'a [u8]) -> Option<&'a [u8]> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let (payload, rest) = data.split_at(most.min(data.len()));
        *data = rest;
        // No more than `left`.
        self.left = self.left.saturating_sub(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        (!payload.is_empty()).then_some(payload)
    }

    /// How many messages were complete; trailers are none.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The message at hand, or the one that was the last to end, is trailers of gRPC-Web.
    pub fn is_trailers(&self) -> bool {
        self.flags & 0x80 != 0
    }

    /// Whether any message so far was compressed.
    pub fn compressed(&self) -> bool {
        self.compressed
    }

    /// No message is begun: a body may end here.
    pub fn is_between(&self) -> bool {
        self.state == State::Flags
    }
}

fn take(data: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = data.split_first()?;
    *data = rest;
    Some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_types() {
        let cases: [(&str, Option<Kind>); 15] = [
            ("application/grpc", Some(Kind::Grpc)),
            ("Application/gRPC+proto", Some(Kind::Grpc)),
            ("application/grpc+json; charset=utf-8", Some(Kind::Grpc)),
            ("application/grpc ;x=y", Some(Kind::Grpc)),
            ("application/grpc-web", Some(Kind::Web)),
            ("application/grpc-web+thrift", Some(Kind::Web)),
            ("application/grpc-web-text", Some(Kind::WebText)),
            ("application/GRPC-web-TEXT+proto;a", Some(Kind::WebText)),
            ("application/grpc+", None),
            ("application/grpcx", None),
            ("application/grpc-webx", None),
            ("application/grpc-web-", None),
            ("application/grp", None),
            ("text/grpc", None),
            ("", None),
        ];
        for (value, kind) in cases {
            assert_eq!(content_type(value.as_bytes()), kind, "{value}");
        }
    }

    #[test]
    fn methods() {
        let split = |path: &'static str| method(path.as_bytes());
        assert_eq!(split("/shop.Cart/Add_2"), Some((&b"shop.Cart"[..], &b"Add_2"[..])));
        assert_eq!(split("/Cart/Add"), Some((&b"Cart"[..], &b"Add"[..])));
        for path in [
            "", "/", "//", "/a", "/a/", "//a", "a/b", "/a/b/", "/a/b/c", "/a/b.c", "/../b", "/./b",
            "/a./b", "/a/b?c", "/a/%62", "/a..b/c",
        ] {
            assert_eq!(split(path), None, "{path}");
        }
    }

    #[test]
    fn web_statuses() {
        assert_eq!(web_status(b"grpc-status:13\r\ngrpc-message:no\r\n"), Some(13));
        assert_eq!(web_status(b"x: 1\nGrpc-Status: 0"), Some(0));
        for none in [
            &b"grpc-status:x\r\ngrpc-status:1"[..],
            b"grpc-status:+7",
            b"",
            b"grpc-statu:1",
            b"grpc-status",
        ] {
            assert_eq!(web_status(none), None, "{}", none.escape_ascii());
        }
    }

    #[test]
    fn messages_are_small() {
        assert!(size_of::<Messages>() <= 24);
    }

    #[test]
    fn messages_in_one_slice() {
        let mut data = &b"\0\0\0\0\x02hi\x01\0\0\0\0\x80\0\0\0\x01x\x02rest"[..];
        let mut messages = Messages::new();
        let mut pieces = Vec::new();
        while let Some(piece) = messages.next(&mut data) {
            pieces.push(piece);
        }
        let begin = |length, compressed, trailers| Piece::Begin { length, compressed, trailers };
        let expected = [
            begin(2, false, false),
            Piece::Payload(b"hi"),
            Piece::End,
            begin(0, true, false),
            Piece::End,
            begin(1, false, true),
            Piece::Payload(b"x"),
            Piece::End,
            Piece::Malformed,
        ];
        assert_eq!(pieces, expected);
        assert!(data.is_empty() && messages.compressed() && !messages.is_between());
        assert_eq!(messages.count(), 2);
    }
}

//! The one normalisation of HTTP paths, and the ambiguities that it leaves.
//!
//! Normal form: percent-encoded unreserved characters (RFC 3986 §2.3) are decoded, the hex
//! digits of what stays encoded are upper-case (§6.2.2), and bytes that a path cannot hold as
//! they are (controls, space, non-ASCII) are encoded, as is a `%` that begins no escape.
//! Nothing else changes: no dot segment is removed and no slash decoded or merged, because
//! servers differ in whether they do. Where they differ a path is ambiguous.

use std::fmt;

/// One way in which servers may read a path differently. The names are those of `permit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Ambiguity {
    /// `%2F`.
    EncodedSlash,
    /// `\` or `%5C`.
    Backslash,
    /// `.` or `..` as a segment, or as a piece of one cut at an encoded slash, a backslash or `;`.
    DotSegments,
    /// `;` or `%3B`.
    Parameters,
    /// `//`: an empty segment that is not the last.
    EmptySegments,
    /// `%25` before two hex digits.
    DoubleEncoding,
    /// `%00`.
    Nul,
    /// Bytes above 127 that are no UTF-8 (RFC 3629): overlong, surrogates, broken.
    InvalidUtf8,
    /// `%` without two hex digits.
    BadEscape,
}

/// Every kind, in the order of the docs.
pub const AMBIGUITIES: [Ambiguity; 9] = [
    Ambiguity::EncodedSlash,
    Ambiguity::Backslash,
    Ambiguity::DotSegments,
    Ambiguity::Parameters,
    Ambiguity::EmptySegments,
    Ambiguity::DoubleEncoding,
    Ambiguity::Nul,
    Ambiguity::InvalidUtf8,
    Ambiguity::BadEscape,
];

impl Ambiguity {
    /// The name in `permit`.
    pub fn as_str(self) -> &'static str {
        match self {
            Ambiguity::EncodedSlash => "encodedSlash",
            Ambiguity::Backslash => "backslash",
            Ambiguity::DotSegments => "dotSegments",
            Ambiguity::Parameters => "parameters",
            Ambiguity::EmptySegments => "emptySegments",
            Ambiguity::DoubleEncoding => "doubleEncoding",
            Ambiguity::Nul => "nul",
            Ambiguity::InvalidUtf8 => "invalidUtf8",
            Ambiguity::BadEscape => "badEscape",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        AMBIGUITIES.into_iter().find(|a| a.as_str() == name)
    }
}

/// A set of [`Ambiguity`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ambiguities(u16);

impl Ambiguities {
    /// No ambiguity.
    pub const NONE: Self = Self(0);

    /// Adds a kind.
    pub fn insert(&mut self, kind: Ambiguity) {
        self.0 |= 1 << kind as u8;
    }

    /// Whether the kind is in the set.
    pub fn contains(self, kind: Ambiguity) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in this set and not in `permitted`.
    pub fn without(self, permitted: Self) -> Self {
        Self(self.0 & !permitted.0)
    }

    /// The kinds in the set.
    pub fn iter(self) -> impl Iterator<Item = Ambiguity> {
        AMBIGUITIES.into_iter().filter(move |kind| self.contains(*kind))
    }
}

impl fmt::Display for Ambiguities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, kind) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            f.write_str(kind.as_str())?;
        }
        Ok(())
    }
}

/// What one look at a path tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// The path is its own normal form.
    pub(crate) plain: bool,
    /// What is ambiguous in it.
    pub(crate) ambiguities: Ambiguities,
}

/// Looks at a path once, many bytes at a time; most have nothing to look at twice.
pub(crate) fn scan(path: &[u8]) -> Scan {
    // Without early exits, so that the compiler can take vectors of bytes.
    let odd = path.iter().fold(false, |odd, &b| {
        odd | !(0x21..=0x7e).contains(&b) | (b == b'%') | (b == b'\\') | (b == b';')
    });
    let pairs = path.iter().zip(path.get(1..).unwrap_or_default());
    let slashes = pairs.fold(path.first() == Some(&b'.'), |found, (&a, &b)| {
        found | ((a == b'/') & ((b == b'/') | (b == b'.')))
    });
    if odd | slashes {
        return Scan { plain: is_plain(path), ambiguities: ambiguities(path) };
    }
    Scan { plain: true, ambiguities: Ambiguities::NONE }
}

/// No byte that normalisation looks at.
pub(crate) fn is_plain(raw: &[u8]) -> bool {
    raw.iter().fold(true, |plain, b| plain & (0x21..0x7f).contains(b) & (*b != b'%'))
}

/// Bytes that are ambiguous neither alone nor with others.
const ORDINARY: [bool; 256] = {
    let mut ordinary = [false; 256];
    let mut byte = 0x21;
    while byte < 0x7f {
        ordinary[byte as usize] = !matches!(byte, b'%' | b'/' | b'.' | b';' | b'\\' | b'?' | b'#');
        byte += 1;
    }
    ordinary
};

/// What is ambiguous in a path as it was sent.
pub fn ambiguities(path: &[u8]) -> Ambiguities {
    let mut found = Ambiguities::NONE;
    let mut piece = Piece::default();
    let mut utf8 = Utf8::default();
    let mut percent = false;
    let mut at = 0;
    while at < path.len() {
        if ORDINARY[usize::from(path[at])] && utf8.more == 0 {
            piece.other = true;
            at += 1;
            continue;
        }
        let (byte, escaped, len) = match path[at] {
            b'%' => match escape(&path[at..]) {
                Some(byte) => (byte, true, 3),
                None => {
                    found.insert(Ambiguity::BadEscape);
                    (b'%', false, 1)
                }
            },
            byte => (byte, false, 1),
        };
        at += len;
        utf8.push(byte);
        match byte {
            b'/' if !escaped && path.get(at) == Some(&b'/') => {
                found.insert(Ambiguity::EmptySegments);
            }
            b'/' if escaped => found.insert(Ambiguity::EncodedSlash),
            b'\\' => found.insert(Ambiguity::Backslash),
            b';' => found.insert(Ambiguity::Parameters),
            0 => found.insert(Ambiguity::Nul),
            b'%' => percent = true,
            _ => {}
        }
        if piece.push(byte) {
            found.insert(Ambiguity::DotSegments);
        }
    }
    if piece.push(b'/') {
        found.insert(Ambiguity::DotSegments);
    }
    utf8.push(b'/');
    if utf8.broken {
        found.insert(Ambiguity::InvalidUtf8);
    }
    if percent && double_encoded(path) {
        found.insert(Ambiguity::DoubleEncoding);
    }
    found
}

/// The byte that an escape at the front stands for.
fn escape(raw: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = raw else { return None };
    Some(hex(*high)? << 4 | hex(*low)?)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Finds pieces that are `.` or `..`.
#[derive(Default)]
struct Piece {
    dots: u8,
    other: bool,
}

impl Piece {
    /// Takes the next byte, decoded. True: it ends a dot segment.
    fn push(&mut self, byte: u8) -> bool {
        match byte {
            b'/' | b'\\' => {
                let dots = !self.other && (1..=2).contains(&self.dots);
                *self = Self::default();
                dots
            }
            // What decodes and parses again cuts at `?` and `#` too.
            b';' | b'?' | b'#' => {
                let dots = !self.other && (1..=2).contains(&self.dots);
                self.other = true;
                dots
            }
            b'.' => {
                self.dots = self.dots.saturating_add(1);
                false
            }
            _ => {
                self.other = true;
                false
            }
        }
    }
}

/// Checks UTF-8 byte by byte (RFC 3629 §4).
#[derive(Default)]
struct Utf8 {
    /// Continuation bytes still to come.
    more: u8,
    /// Bounds of the next one.
    bounds: (u8, u8),
    broken: bool,
}

impl Utf8 {
    fn push(&mut self, byte: u8) {
        if self.more > 0 {
            if (self.bounds.0..=self.bounds.1).contains(&byte) {
                self.more -= 1;
                self.bounds = (0x80, 0xbf);
                return;
            }
            self.broken = true;
            self.more = 0;
        }
        (self.more, self.bounds) = match byte {
            0..=0x7f => (0, (0, 0)),
            0xc2..=0xdf => (1, (0x80, 0xbf)),
            0xe0 => (2, (0xa0, 0xbf)),
            0xed => (2, (0x80, 0x9f)),
            0xe1..=0xef => (2, (0x80, 0xbf)),
            0xf0 => (3, (0x90, 0xbf)),
            0xf1..=0xf3 => (3, (0x80, 0xbf)),
            0xf4 => (3, (0x80, 0x8f)),
            _ => {
                self.broken = true;
                (0, (0, 0))
            }
        };
    }
}

/// `%25` and two hex digits, in normal form.
fn double_encoded(path: &[u8]) -> bool {
    let mut last = [0u8; 5];
    Normal::new(path).any(|byte| {
        last.rotate_left(1);
        last[4] = byte;
        last[..3] == *b"%25" && hex(last[3]).is_some() && hex(last[4]).is_some()
    })
}

/// The bytes of the normal form, one after the other.
#[derive(Clone)]
pub(crate) struct Normal<'a> {
    raw: &'a [u8],
    /// What is left of an escape that is being written, last byte first.
    pending: [u8; 2],
    left: usize,
}

impl<'a> Normal<'a> {
    pub(crate) fn new(raw: &'a [u8]) -> Self {
        Self { raw, pending: [0; 2], left: 0 }
    }

    fn escaped(&mut self, byte: u8) -> u8 {
        const HEX: &[u8; 16] = b"0123456789ABCDEF";
        self.pending = [HEX[usize::from(byte & 15)], HEX[usize::from(byte >> 4)]];
        self.left = 2;
        b'%'
    }
}

impl Iterator for Normal<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if self.left > 0 {
            self.left -= 1;
            return Some(self.pending[self.left]);
        }
        let (&first, rest) = self.raw.split_first()?;
        let (byte, keep) = match first {
            b'%' => match escape(self.raw) {
                Some(byte) => {
                    self.raw = &self.raw[3..];
                    (byte, byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
                }
                None => {
                    self.raw = rest;
                    (b'%', false)
                }
            },
            byte => {
                self.raw = rest;
                (byte, (0x21..0x7f).contains(&byte))
            }
        };
        Some(if keep { byte } else { self.escaped(byte) })
    }
}

/// Writes the normal form of a path, or of a part of one, to `out`.
pub fn normalise(raw: &[u8], out: &mut Vec<u8>) {
    out.extend(Normal::new(raw));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn normal(raw: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        normalise(raw, &mut out);
        out
    }

    fn kinds(path: &[u8]) -> String {
        ambiguities(path).to_string()
    }

    #[test]
    fn normal_form() {
        assert_eq!(normal(b"/%7euser/%41%2d"), b"/~user/A-");
        assert_eq!(normal(b"/a%2fb%3a"), b"/a%2Fb%3A");
        assert_eq!(normal("/caf\u{e9}".as_bytes()), b"/caf%C3%A9");
        assert_eq!(normal(b"/100%"), b"/100%25");
        assert_eq!(normal(b"/a:b@c!$&'()*+,;="), b"/a:b@c!$&'()*+,;=");
    }

    #[test]
    fn ambiguous_paths() {
        assert_eq!(kinds(b"/carts/7"), "");
        assert_eq!(kinds(b"/carts/"), "");
        assert_eq!(kinds(b"/.well-known/x..y/...."), "");
        assert_eq!(kinds(b"/a%2fb"), "encodedSlash");
        assert_eq!(kinds(b"/a%5Cb"), "backslash");
        assert_eq!(kinds(b"/a\\b"), "backslash");
        assert_eq!(kinds(b"/a/../b"), "dotSegments");
        assert_eq!(kinds(b"/a/."), "dotSegments");
        assert_eq!(kinds(b"/a/%2e%2E/b"), "dotSegments");
        assert_eq!(kinds(b"/a/.%2e"), "dotSegments");
        assert_eq!(kinds(b"/a..%2fb"), "encodedSlash");
        assert_eq!(kinds(b"/..%2fb"), "encodedSlash, dotSegments");
        assert_eq!(kinds(b"/..;/b"), "dotSegments, parameters");
        assert_eq!(kinds(b"/ok/..%3fb"), "dotSegments");
        assert_eq!(kinds(b"/ok/.%23"), "dotSegments");
        assert_eq!(kinds(b"/ok/a..%3fb"), "");
        assert_eq!(kinds(b"/a;v=1"), "parameters");
        assert_eq!(kinds(b"/a%3bv"), "parameters");
        assert_eq!(kinds(b"//a"), "emptySegments");
        assert_eq!(kinds(b"/a//"), "emptySegments");
        assert_eq!(kinds(b"/a%252f"), "doubleEncoding");
        assert_eq!(kinds(b"/a%25%32%66"), "doubleEncoding");
        assert_eq!(kinds(b"/100%25"), "");
        assert_eq!(kinds(b"/a%00"), "nul");
        assert_eq!(kinds(b"/%c0%af"), "invalidUtf8");
        assert_eq!(kinds(b"/%ed%a0%80"), "invalidUtf8");
        assert_eq!(kinds(b"/%e2%82"), "invalidUtf8");
        assert_eq!(kinds(b"/%e2%82%ac"), "");
        assert_eq!(kinds(b"/%zz"), "badEscape");
        assert_eq!(kinds(b"/%u002f"), "badEscape");
        assert_eq!(kinds(b"/%"), "badEscape");
    }

    proptest! {
        #[test]
        fn normalising_twice_is_normalising_once(raw in "(%[0-9a-fA-F]{2}|%|%[0-9a-f]|[a-z0-9/.;%]|\\PC){0,20}") {
            let once = normal(raw.as_bytes());
            prop_assert_eq!(normal(&once), once);
        }

        #[test]
        fn any_bytes_normalise_to_printable_ascii(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            let once = normal(&raw);
            prop_assert!(once.iter().all(|b| (0x21..0x7f).contains(b)));
            prop_assert_eq!(normal(&once), once);
        }

        #[test]
        fn the_quick_look_sees_what_the_long_one_sees(raw in "(/|\\.|%2e|%2f|;|\\\\|a|é|%25){0,12}") {
            let quick = scan(raw.as_bytes());
            prop_assert_eq!(quick.ambiguities, ambiguities(raw.as_bytes()));
            if quick.plain {
                prop_assert_eq!(normal(raw.as_bytes()), raw.as_bytes());
            }
        }

        #[test]
        fn utf8_agrees_with_the_standard_library(
            raw in proptest::collection::vec(prop_oneof![Just(b'a'), 0x80u8..], 0..8)
        ) {
            prop_assert_eq!(
                ambiguities(&raw).contains(Ambiguity::InvalidUtf8),
                std::str::from_utf8(&raw).is_err()
            );
        }
    }
}

//! Shapes: operations with their variable parts taken out, for the log and for learning.
//!
//! A shape is written as an entry is, so that one can be pasted into a policy. Nothing is
//! allocated but what the caller's buffer grows by.

use crate::class::classify;
use crate::path::{Normal, is_plain};
use crate::pattern::Separators;

/// Appends the normal form of a path, parts that look like a class replaced by it:
/// `/carts/7` becomes `/carts/{int}`. What is no path (`*`) is appended as it is.
pub fn http_path(path: &[u8], out: &mut Vec<u8>) {
    let Some(segments) = path.strip_prefix(b"/") else {
        out.extend(Normal::new(path));
        return;
    };
    let plain = is_plain(segments);
    for segment in segments.split(|b| *b == b'/') {
        out.push(b'/');
        let from = out.len();
        match plain {
            true => out.extend_from_slice(segment),
            false => out.extend(Normal::new(segment)),
        }
        part(out, from, &PATH);
    }
}

/// Appends a key or channel, parts that look like a class replaced by it: `cart:7` becomes
/// `cart:{int}`. Bytes that are not printable become `\xHH`.
pub fn redis_key(key: &[u8], separators: Separators, out: &mut Vec<u8>) {
    let mut rest = key;
    loop {
        let end = separators.find(rest).unwrap_or(rest.len());
        let from = out.len();
        out.extend_from_slice(&rest[..end]);
        part(out, from, &KEY);
        let Some(separator) = rest.get(end) else { return };
        out.push(*separator);
        rest = &rest[end + 1..];
    }
}

/// How long each byte is in a path, escaped if it has a meaning there.
const PATH: [u8; 256] = widths(br"{}*\", false);
/// The same in a key, where what is not printable is escaped too.
const KEY: [u8; 256] = widths(br"{}*\&", true);

const fn widths(special: &[u8], hex: bool) -> [u8; 256] {
    let mut widths = [1; 256];
    widths[u8::MAX as usize] = if hex { 4 } else { 1 };
    let mut byte = u8::MAX;
    while hex && byte > 0 {
        byte -= 1;
        widths[byte as usize] = if byte.is_ascii_graphic() { 1 } else { 4 };
    }
    let mut at = 0;
    while at < special.len() {
        widths[special[at] as usize] = 2;
        at += 1;
    }
    widths
}

/// Replaces the part that begins at `from` by its class, or else escapes it.
fn part(out: &mut Vec<u8>, from: usize, widths: &[u8; 256]) {
    if let Some(class) = classify(&out[from..]) {
        out.truncate(from);
        out.push(b'{');
        out.extend_from_slice(class.as_str().as_bytes());
        out.push(b'}');
        return;
    }
    let width = |byte: u8| usize::from(widths[usize::from(byte)]);
    let extra: usize = out[from..].iter().map(|byte| width(*byte) - 1).sum();
    if extra == 0 {
        return;
    }
    // From the back, so that each byte moves once.
    let (mut read, mut write) = (out.len(), out.len() + extra);
    out.resize(write, 0);
    while read > from {
        read -= 1;
        let byte = out[read];
        let width = width(byte);
        write -= width;
        match width {
            1 => out[write] = byte,
            2 => out[write..write + 2].copy_from_slice(&[b'\\', byte]),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
                out[write..write + 4].copy_from_slice(&[b'\\', b'x', digits[0], digits[1]]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::{List, Pattern};
    use crate::op::Protocol;
    use crate::path::{Ambiguities, scan};
    use crate::pattern::{KeyText, PathText};
    use proptest::prelude::*;

    fn path(path: &[u8]) -> String {
        let mut out = Vec::new();
        http_path(path, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn key(key: &[u8]) -> String {
        let mut out = Vec::new();
        redis_key(key, Separators::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn paths() {
        assert_eq!(path(b"/"), "/");
        assert_eq!(path(b"*"), "*");
        assert_eq!(path(b"/carts/7/items/"), "/carts/{int}/items/");
        assert_eq!(path(b"/u/%61da%40example.org"), "/u/{email}");
        assert_eq!(path(b"/x/{int}/*"), r"/x/\{int\}/\*");
        assert_eq!(path(b"/caf%c3%a9"), "/caf%C3%A9");
    }

    #[test]
    fn keys() {
        assert_eq!(key(b"cart:7"), "cart:{int}");
        assert_eq!(key(b""), "");
        assert_eq!(key(b"a b:\0*"), r"a\x20b:\x00\*");
        assert_eq!(key(b"&x:"), r"\&x:");
    }

    proptest! {
        #[test]
        fn a_path_s_shape_is_an_entry_that_covers_it(
            text in "(/[a-z0-9{}*A-F~-]([a-z0-9{}*A-F.~-]|%[4-7][1-9A]|%C3%A9){0,9}){1,5}/?"
        ) {
            prop_assert!(scan(text.as_bytes()).ambiguities.is_empty());
            let entry = format!("GET {}", path(text.as_bytes()));
            let separators = Separators::default();
            let pattern =
                Pattern::read(Protocol::Http, List::Allow, &entry, Ambiguities::NONE, separators);
            let Ok(Pattern::Http(pattern)) = pattern else { panic!("{entry}: {pattern:?}") };
            let crate::entry::http::HttpTarget::Path(pattern) = pattern.target else { panic!() };
            let covers = pattern.matches(&PathText { path: text.as_bytes(), plain: false });
            prop_assert!(covers);
        }

        #[test]
        fn a_key_s_shape_is_an_entry_that_covers_it(
            text in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b':'), b'0'..=b'9'], 1..24)
        ) {
            let entry = format!("GET {}", key(&text));
            let separators = Separators::default();
            let pattern =
                Pattern::read(Protocol::Redis, List::Allow, &entry, Ambiguities::NONE, separators);
            let Ok(Pattern::Redis(pattern)) = pattern else { panic!("{entry}: {pattern:?}") };
            let key = KeyText { key: &text, separators, glob: false };
            prop_assert!(pattern.keys[0].matches(&key), "{}", entry);
        }
    }
}

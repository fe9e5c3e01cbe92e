//! Which bytes may stand where: one table, a bit per class.

/// `tchar` (RFC 9110 §5.6.2).
pub(crate) const TOKEN: u8 = 1;
/// `pchar` and `/` (RFC 3986 §3.3); `%` is in it, its digits are checked apart.
pub(crate) const PATH: u8 = 2;
/// What may stand in a query: the URI grammar, and what browsers send unescaped
/// (`` [ ] { } | \ ^ ` ``, a lone `%`; WHATWG URL, "query percent-encode set").
pub(crate) const QUERY: u8 = 4;
/// `reg-name` without `%` and `,`: an encoded or listed name is read differently by different servers.
pub(crate) const HOST: u8 = 8;
/// `tchar` without upper case: a field name of HTTP/2 (RFC 9113 §8.2.1).
pub(crate) const LOWER: u8 = 16;
/// A name of gRPC: of a package, a service or a method.
pub(crate) const NAME: u8 = 32;

const TABLE: [u8; 256] = table();

const fn table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 128 {
        #[expect(clippy::cast_possible_truncation, reason = "below 128")]
        let byte = at as u8;
        let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let sub_delim = matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        let mark = matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        );
        if byte.is_ascii_alphanumeric() || mark {
            table[at] |= TOKEN;
            if !byte.is_ascii_uppercase() {
                table[at] |= LOWER;
            }
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') {
            table[at] |= NAME;
        }
        if unreserved || sub_delim || matches!(byte, b':' | b'@' | b'/' | b'%') {
            table[at] |= PATH;
        }
        if byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>') {
            table[at] |= QUERY;
        }
        if (unreserved || sub_delim) && byte != b',' {
            table[at] |= HOST;
        }
        at += 1;
    }
    table
}

/// Whether `byte` belongs to `class`.
#[inline]
pub(crate) fn is(byte: u8, class: u8) -> bool {
    TABLE[usize::from(byte)] & class != 0
}

/// How many bytes at the start of `bytes` belong to `class`.
#[inline]
pub(crate) fn run(bytes: &[u8], class: u8) -> usize {
    bytes.iter().position(|&b| !is(b, class)).unwrap_or(bytes.len())
}

/// Whether `bytes` is a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && run(bytes, TOKEN) == bytes.len()
}

const ONES: u64 = u64::from_le_bytes([0x01; 8]);
const HIGHS: u64 = u64::from_le_bytes([0x80; 8]);
const SPACES: u64 = u64::from_le_bytes([0x20; 8]);
const DELS: u64 = u64::from_le_bytes([0x7f; 8]);

/// Where the first byte is that a field value cannot have (controls but HTAB, and DEL).
///
/// Eight bytes at a time: what a line consists of is nearly always harmless.
#[inline]
pub(crate) fn control(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let hits = suspects(u64::from_le_bytes(*word));
        if hits == 0 {
            at += 8;
            continue;
        }
        at += (hits.trailing_zeros() / 8) as usize;
        if bytes[at] != b'\t' {
            return Some(at);
        }
        at += 1;
    }
    let rest = &bytes[at..];
    if rest.is_empty() || ending(bytes).is_some_and(|word| suspects(word) == 0) {
        return None;
    }
    rest.iter().position(|&b| b < b' ' && b != b'\t' || b == 0x7f).map(|i| at + i)
}

/// The last eight bytes, or all where there are four to seven, some of them twice.
#[inline]
fn ending(bytes: &[u8]) -> Option<u64> {
    if let Some(last) = bytes.last_chunk::<8>() {
        return Some(u64::from_le_bytes(*last));
    }
    let (first, last) = (bytes.first_chunk::<4>()?, bytes.last_chunk::<4>()?);
    Some(u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)))
}

/// The high bits of the bytes of a word that are controls or DEL, exact for the lowest: a borrow
/// only spreads upwards.
#[inline]
fn suspects(word: u64) -> u64 {
    let del = word ^ DELS;
    (word.wrapping_sub(SPACES) & !word | del.wrapping_sub(ONES) & !del) & HIGHS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_is_found_wherever_it_stands() {
        for len in 0..40 {
            for at in 0..len {
                for byte in 0..=255u8 {
                    for fill in [b'x', b'\t', 0xff, 0x80, 0x20, 0x7e] {
                        let mut bytes = vec![fill; len];
                        bytes[at] = byte;
                        let bad = byte < 0x20 && byte != b'\t' || byte == 0x7f;
                        assert_eq!(control(&bytes), bad.then_some(at), "{byte} at {at} of {len}");
                    }
                }
            }
        }
    }
}

//! Integers with a prefix (RFC 7541 §5.1).

use super::Error;

/// How many bytes may follow the prefix.
const MOST: usize = 5;

/// Reads the integer whose prefix is the low `bits` of `first`; `rest` begins behind that byte.
#[inline]
pub(super) fn read(first: u8, bits: u32, rest: &mut &[u8]) -> Result<usize, Error> {
    let mask = (1 << bits) - 1;
    let prefix = first & mask;
    if prefix < mask { Ok(prefix.into()) } else { continued(prefix, rest) }
}

fn continued(prefix: u8, rest: &mut &[u8]) -> Result<usize, Error> {
    let mut value = u64::from(prefix);
    for at in 0..MOST {
        let (&byte, after) = rest.split_first().ok_or(Error::Truncated)?;
        *rest = after;
        value += u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| Error::Integer)?;
            return usize::try_from(value).map_err(|_| Error::Integer);
        }
    }
    Err(Error::Integer)
}

/// Writes an integer behind the high bits of `first`.
pub(super) fn write(first: u8, bits: u32, value: usize, out: &mut Vec<u8>) {
    let mask = (1u8 << bits) - 1;
    match u8::try_from(value) {
        Ok(small) if small < mask => return out.push(first | small),
        _ => out.push(first | mask),
    }
    let mut left = value - usize::from(mask);
    while left >= 0x80 {
        out.push(0x80 | low(left));
        left >>= 7;
    }
    out.push(low(left));
}

fn low(value: usize) -> u8 {
    #[expect(clippy::cast_possible_truncation, reason = "seven bits")]
    let low = (value & 0x7f) as u8;
    low
}

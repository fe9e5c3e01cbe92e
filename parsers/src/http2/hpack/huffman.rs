//! The Huffman code (RFC 7541 §5.2, Appendix B).
//!
//! It is canonical: codes of a length are consecutive, in the order of their symbols, and follow
//! those of the shorter lengths. So the lengths alone say the codes.

use super::Error;

const EOS: u16 = 256;
const LONGEST: usize = 30;

/// The length in bits of each symbol's code; the last is EOS.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// Codes up to this length are found by one look-up: all of printable ASCII but a few.
const QUICK: u32 = 10;

struct Code {
    /// Each symbol's code, its last bit lowest.
    codes: [u32; 257],
    /// The symbols in the order of their codes.
    symbols: [u16; 257],
    /// For each length: the first 32 bits that are beyond its codes, as a 64-bit number.
    ends: [u64; LONGEST + 1],
    /// For each length: its first code, and that code's place in `symbols`.
    firsts: [(u32, usize); LONGEST + 1],
    /// By the next `QUICK` bits: a symbol and its length; length 0 if it is longer.
    quick: [(u8, u8); 1 << QUICK],
}

static CODE: Code = code();

#[expect(clippy::cast_possible_truncation, reason = "symbols are below 257")]
const fn code() -> Code {
    let mut made = Code {
        codes: [0; 257],
        symbols: [0; 257],
        ends: [0; LONGEST + 1],
        firsts: [(0, 0); LONGEST + 1],
        quick: [(0, 0); 1 << QUICK],
    };
    let (mut next, mut rank, mut length) = (0u32, 0, 1);
    while length <= LONGEST {
        next <<= 1;
        made.firsts[length] = (next, rank);
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                made.codes[symbol] = next;
                made.symbols[rank] = symbol as u16;
                if length <= QUICK as usize {
                    let unused = QUICK as usize - length;
                    let mut at = (next as usize) << unused;
                    while at < (next as usize + 1) << unused {
                        made.quick[at] = (symbol as u8, length as u8);
                        at += 1;
                    }
                }
                next += 1;
                rank += 1;
            }
            symbol += 1;
        }
        made.ends[length] = (next as u64) << (32 - length);
        length += 1;
    }
    made
}

/// Decodes `bytes` behind what is in `out`.
pub(super) fn decode(bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    // No code has fewer than five bits. Room that is there already is faster to write to.
    let start = out.len();
    out.resize(start + bytes.len() * 8 / 5, 0);
    let len = decode_into(bytes, &mut out[start..])?;
    out.truncate(start + len);
    Ok(())
}

/// Decodes `bytes` to the start of `out`, which has room for any: how many there are.
fn decode_into(bytes: &[u8], out: &mut [u8]) -> Result<usize, Error> {
    let mut rest = bytes;
    let mut len = 0;
    // The next bits, from the highest on, and how many there are.
    let (mut window, mut bits) = (0u64, 0u32);
    loop {
        if let Some(word) = rest.first_chunk::<8>() {
            window |= u64::from_be_bytes(*word) >> bits;
            let taken = (63 - bits) / 8;
            rest = &rest[taken as usize..];
            bits += taken * 8;
        } else {
            while bits <= 56
                && let Some((&byte, after)) = rest.split_first()
            {
                window |= u64::from(byte) << (56 - bits);
                bits += 8;
                rest = after;
            }
            if bits < 32 {
                let (_, out) = out.split_at_mut_checked(len).unwrap_or_default();
                return Ok(len + last(window, bits, out)?);
            }
        }
        // Bits that `taken` did not count may be in the window all the same; they come again, in
        // the same place.
        while bits >= 32 {
            let (symbol, length) = next(window)?;
            *out.get_mut(len).ok_or(Error::Huffman)? = symbol;
            len += 1;
            window <<= length;
            bits -= length;
        }
    }
}

/// Decodes what is left in the window, and checks the padding: at most seven bits, all ones.
fn last(mut window: u64, mut bits: u32, out: &mut [u8]) -> Result<usize, Error> {
    let mut len = 0;
    while bits > 0 {
        let padding = bits < 8 && (!window).leading_zeros() >= bits;
        if padding {
            break;
        }
        let (symbol, length) = next(window)?;
        bits = bits.checked_sub(length).ok_or(Error::Huffman)?;
        *out.get_mut(len).ok_or(Error::Huffman)? = symbol;
        len += 1;
        window <<= length;
    }
    Ok(len)
}

/// The symbol whose code begins the window, and the code's length.
#[inline]
fn next(window: u64) -> Result<(u8, u32), Error> {
    match CODE.quick[(window >> (64 - QUICK)) as usize] {
        (_, 0) => long(window >> 32),
        (symbol, length) => Ok((symbol, length.into())),
    }
}

#[cold]
fn long(window: u64) -> Result<(u8, u32), Error> {
    let mut length = QUICK as usize + 1;
    while length < LONGEST && window >= CODE.ends[length] {
        length += 1;
    }
    let (first, rank) = CODE.firsts[length];
    // The code is complete: whatever the bits are, they are below the end of the longest codes.
    let code = u32::try_from(window >> (32 - length)).unwrap_or(u32::MAX);
    let at = rank + code.saturating_sub(first) as usize;
    let symbol = CODE.symbols.get(at).copied().unwrap_or(EOS);
    let symbol = u8::try_from(symbol).map_err(|_| Error::Huffman)?;
    #[expect(clippy::cast_possible_truncation, reason = "at most 30")]
    Ok((symbol, length as u32))
}

/// How many bytes `bytes` has when it is encoded.
pub(super) fn encoded_len(bytes: &[u8]) -> usize {
    bytes.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)])).sum::<usize>().div_ceil(8)
}

/// Encodes `bytes` behind what is in `out`.
pub(super) fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    // The bits that are not written yet are the lowest.
    let (mut window, mut bits) = (0u64, 0u32);
    for &byte in bytes {
        let length = u32::from(LENGTHS[usize::from(byte)]);
        window = window << length | u64::from(CODE.codes[usize::from(byte)]);
        bits += length;
        while bits >= 8 {
            bits -= 8;
            out.push(lowest(window >> bits));
        }
    }
    if bits > 0 {
        let padding = 8 - bits;
        out.push(lowest((window << padding) | ((1 << padding) - 1)));
    }
}

fn lowest(window: u64) -> u8 {
    window.to_le_bytes()[0]
}

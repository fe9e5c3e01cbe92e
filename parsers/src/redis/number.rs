//! Numbers and line ends, as strict as the server's `string2ll`.

use super::Reason;

/// Reads a decimal number and its CR LF from the start of `buf`: no `+`, no leading zeros, no
/// `-0`. Answers the number and the bytes that it took, or nothing while bytes are missing;
/// what no further byte can mend is an error at once.
pub(super) fn integer(buf: &[u8]) -> Result<Option<(i64, usize)>, Reason> {
    let negative = buf.first() == Some(&b'-');
    let sign = usize::from(negative);
    // Summed up below zero, where i64 reaches one further.
    let mut value: i64 = 0;
    for (i, &byte) in buf.iter().enumerate().skip(sign) {
        match byte {
            b'0'..=b'9' => {
                if i > sign && value == 0 {
                    return Err(Reason::BadNumber);
                }
                value = value
                    .checked_mul(10)
                    .and_then(|v| v.checked_sub(i64::from(byte - b'0')))
                    .ok_or(Reason::NumberOverflow)?;
            }
            b'\r' if i > sign && !(negative && value == 0) => {
                let value = if negative { Some(value) } else { value.checked_neg() };
                let value = value.ok_or(Reason::NumberOverflow)?;
                return Ok(crlf(&buf[i..])?.then_some((value, i + 2)));
            }
            b'\n' => return Err(Reason::LineEnding),
            b'?' if i == 0 => return Err(Reason::StreamedType),
            _ => return Err(Reason::BadNumber),
        }
    }
    Ok(None)
}

/// Reads a length that must not be negative. Otherwise as [`integer`].
pub(super) fn length(buf: &[u8]) -> Result<Option<(u64, usize)>, Reason> {
    if buf.first() == Some(&b'-') {
        return Err(Reason::NegativeLength);
    }
    Ok(match integer(buf)? {
        Some((n, used)) => Some((u64::try_from(n).map_err(|_| Reason::NegativeLength)?, used)),
        None => None,
    })
}

/// Whether CR LF stands at the start of `buf`: false while bytes are missing.
pub(super) fn crlf(buf: &[u8]) -> Result<bool, Reason> {
    match buf {
        [] | [b'\r'] => Ok(false),
        [b'\r', b'\n', ..] => Ok(true),
        _ => Err(Reason::LineEnding),
    }
}

/// A size in memory; the greatest where it does not fit.
pub(super) fn to_usize(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_strict() {
        let ok = [("0", 0), ("-1", -1), ("10", 10), ("9223372036854775807", i64::MAX)];
        for (text, value) in ok {
            let line = format!("{text}\r\nrest");
            assert_eq!(integer(line.as_bytes()), Ok(Some((value, text.len() + 2))), "{text}");
            for cut in 0..text.len() + 2 {
                assert_eq!(integer(&line.as_bytes()[..cut]), Ok(None), "{text} cut at {cut}");
            }
        }
        assert_eq!(integer(b"-9223372036854775808\r\n"), Ok(Some((i64::MIN, 22))));
        let bad =
            ["+1\r\n", "01\r\n", "00", "-0\r\n", "-\r\n", "\r\n", "1 \r\n", " 1", "1a", "--1"];
        for text in bad {
            assert_eq!(integer(text.as_bytes()), Err(Reason::BadNumber), "{text:?}");
        }
        for text in ["9223372036854775808\r\n", "-9223372036854775809", "99999999999999999999"] {
            assert_eq!(integer(text.as_bytes()), Err(Reason::NumberOverflow), "{text:?}");
        }
        for text in ["1\n", "\n", "1\rx", "1\r\r"] {
            assert_eq!(integer(text.as_bytes()), Err(Reason::LineEnding), "{text:?}");
        }
        assert_eq!(integer(b"?\r\n"), Err(Reason::StreamedType));
        assert_eq!(length(b"-1\r\n"), Err(Reason::NegativeLength));
        assert_eq!(length(b"12\r\n"), Ok(Some((12, 4))));
    }
}

//! Inline commands: a line of words, as one types into telnet.

use super::Reason;

/// The longest inline command, its line end included (`PROTO_INLINE_MAX_SIZE`).
pub const INLINE_LIMIT: usize = 64 << 10;

/// Reads an inline command and appends the same command, as an array of bulk strings, to `out`.
///
/// `line` is everything up to and including LF. Words are split and quotes resolved as the
/// server's `sdssplitargs` does. CR LF and, as the server has it, a bare LF end the line. A line
/// of blanks gives an array without elements.
///
/// # Errors
/// Unbalanced quotes, or a closing quote with something behind it
/// ([`Reason::UnbalancedQuotes`]); a NUL, at which the server would stop reading
/// ([`Reason::InlineNul`]); a line over [`INLINE_LIMIT`]; no LF at the end. `out` is then as it
/// was.
pub fn inline(line: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    if line.len() > INLINE_LIMIT {
        return Err(Reason::LineTooLong);
    }
    let words = match line {
        [words @ .., b'\r', b'\n'] | [words @ .., b'\n'] => words,
        _ => return Err(Reason::Truncated),
    };
    if memchr::memchr2(0, b'\n', words).is_some() {
        return Err(if words.contains(&0) { Reason::InlineNul } else { Reason::LineEnding });
    }
    let before = out.len();
    let result = split(words, out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

/// Splits `words` twice: to count, then to write. The line is short, and a command's header
/// needs the count before the first word.
fn split(words: &[u8], out: &mut Vec<u8>) -> Result<(), Reason> {
    let mut argc = 0;
    let mut rest = words;
    while let Some(after) = word(rest, &mut |_| ())? {
        argc += 1;
        rest = after;
    }
    header(out, b'*', argc);
    rest = words;
    loop {
        let mut size = 0;
        if word(rest, &mut |_| size += 1)?.is_none() {
            return Ok(());
        }
        header(out, b'$', size);
        if let Some(after) = word(rest, &mut |byte| out.push(byte))? {
            rest = after;
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Writes a type, a number and CR LF.
fn header(out: &mut Vec<u8>, tag: u8, n: usize) {
    use std::io::Write;
    out.push(tag);
    // Writing to a vector cannot fail.
    let _ = write!(out, "{n}\r\n");
}

/// Reads the next word and hands its bytes to `put`. Answers what follows it, or nothing where
/// only blanks are left.
fn word<'a>(line: &'a [u8], put: &mut impl FnMut(u8)) -> Result<Option<&'a [u8]>, Reason> {
    let Some(start) = line.iter().position(|&b| !is_space(b)) else { return Ok(None) };
    let mut rest = &line[start..];
    loop {
        match rest {
            [] => return Ok(Some(rest)),
            [b' ' | b'\t' | b'\r' | b'\n', after @ ..] => return Ok(Some(after)),
            [b'"', after @ ..] => return double_quoted(after, put).map(Some),
            [b'\'', after @ ..] => return single_quoted(after, put).map(Some),
            [byte, after @ ..] => {
                put(*byte);
                rest = after;
            }
        }
    }
}

/// Reads up to the closing `"`, which ends the word.
fn double_quoted<'a>(mut rest: &'a [u8], put: &mut impl FnMut(u8)) -> Result<&'a [u8], Reason> {
    loop {
        match rest {
            [b'\\', b'x', high, low, after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                put(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            [b'\\', escaped, after @ ..] => {
                put(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                rest = after;
            }
            [b'"', after @ ..] => return closed(after),
            [] => return Err(Reason::UnbalancedQuotes),
            [byte, after @ ..] => {
                put(*byte);
                rest = after;
            }
        }
    }
}

/// Reads up to the closing `'`, which ends the word.
fn single_quoted<'a>(mut rest: &'a [u8], put: &mut impl FnMut(u8)) -> Result<&'a [u8], Reason> {
    loop {
        match rest {
            [b'\\', b'\'', after @ ..] => {
                put(b'\'');
                rest = after;
            }
            [b'\'', after @ ..] => return closed(after),
            [] => return Err(Reason::UnbalancedQuotes),
            [byte, after @ ..] => {
                put(*byte);
                rest = after;
            }
        }
    }
}

/// A closing quote must be followed by a blank or by nothing.
fn closed(after: &[u8]) -> Result<&[u8], Reason> {
    match after.first() {
        Some(&byte) if !is_space(byte) => Err(Reason::UnbalancedQuotes),
        _ => Ok(after),
    }
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// The value of a hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;

    fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, Reason> {
        let mut out = b"before".to_vec();
        let result = inline(line, &mut out);
        if result.is_err() {
            assert_eq!(out, b"before");
        }
        result?;
        let command = Command::new(&out[6..]).unwrap();
        Ok(command.args().map(<[u8]>::to_vec).collect())
    }

    #[test]
    fn splits_as_the_server_does() {
        let cases: [(&[u8], &[&[u8]]); 10] = [
            (b"PING\r\n", &[b"PING"]),
            (b"  SET  a\tb \n", &[b"SET", b"a", b"b"]),
            (b"\r\n", &[]),
            (b" \t \x0b\r\n", &[]),
            (b"SET k \"a b\\n\\x41\\q\\\"\"\r\n", &[b"SET", b"k", b"a b\nAq\""]),
            (b"SET k 'a\\n\\'b'\r\n", &[b"SET", b"k", b"a\\n'b"]),
            (b"SET k \"\" ''\r\n", &[b"SET", b"k", b"", b""]),
            // A quote inside of a word opens too, and its closing ends the word.
            (b"foo\"bar\" baz\r\n", &[b"foobar", b"baz"]),
            (b"a\x0bb c\rd\r\n", &[b"a\x0bb", b"c", b"d"]),
            (b"\"\\xzz\"\r\n", &[b"xzz"]),
        ];
        for (line, expected) in cases {
            assert_eq!(words(line).unwrap(), expected, "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn refuses_what_two_readers_could_read_differently() {
        let unbalanced: [&[u8]; 5] =
            [b"SET \"a\r\n", b"SET 'a\r\n", b"SET \"a\"b\r\n", b"SET 'a'b\r\n", b"SET \"a\\\r\n"];
        for line in unbalanced {
            assert_eq!(words(line), Err(Reason::UnbalancedQuotes), "{line:?}");
        }
        assert_eq!(words(b"PING\0 x\r\n"), Err(Reason::InlineNul));
        assert_eq!(words(b"PING"), Err(Reason::Truncated));
        assert_eq!(words(b"PING\nPING\r\n"), Err(Reason::LineEnding));
        let mut long = vec![b'x'; INLINE_LIMIT - 1];
        long.push(b'\n');
        assert!(words(&long).is_ok());
        long.insert(0, b'x');
        assert_eq!(words(&long), Err(Reason::LineTooLong));
    }
}

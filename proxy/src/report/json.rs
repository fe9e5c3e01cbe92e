//! JSON strings from any bytes.

/// Bytes that stand for themselves in a JSON string: printable ASCII but `"` and `\`.
static PLAIN: [bool; 256] = plain();

const fn plain() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = b' ';
    while byte < 0x7f {
        table[byte as usize] = byte != b'"' && byte != b'\\';
        byte += 1;
    }
    table
}

/// Appends at most `limit` bytes of `text` as a quoted JSON string; what is longer ends in `…`.
///
/// Control characters (C0, DEL and C1, so that a terminal takes no orders from a log) become
/// `\u00XX`, bytes that are not UTF-8 U+FFFD.
pub(crate) fn string(text: &[u8], limit: usize, out: &mut Vec<u8>) {
    out.push(b'"');
    match text.get(..limit) {
        Some(head) if head.len() < text.len() => {
            let cut = character_start(head);
            escape(&head[..cut], out);
            out.extend_from_slice("…".as_bytes());
        }
        _ => escape(text, out),
    }
    out.push(b'"');
}

/// The end of `head` without a character whose last bytes were cut off.
fn character_start(head: &[u8]) -> usize {
    match head.utf8_chunks().last() {
        Some(chunk) if !chunk.invalid().is_empty() && chunk.invalid()[0] >= 0xc2 => {
            head.len() - chunk.invalid().len()
        }
        _ => head.len(),
    }
}

fn escape(mut text: &[u8], out: &mut Vec<u8>) {
    loop {
        let run = text.iter().position(|&byte| !PLAIN[byte as usize]).unwrap_or(text.len());
        out.extend_from_slice(&text[..run]);
        text = &text[run..];
        match text.first() {
            None => return,
            Some(&byte) if byte < 0x80 => {
                ascii(byte, out);
                text = &text[1..];
            }
            Some(_) => {
                let run = text.iter().position(u8::is_ascii).unwrap_or(text.len());
                beyond_ascii(&text[..run], out);
                text = &text[run..];
            }
        }
    }
}

fn ascii(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => control(byte, out),
    }
}

fn control(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u00");
    out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

fn beyond_ascii(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match u8::try_from(character) {
                Ok(byte) if character.is_control() => control(byte, out),
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rendered(text: &[u8], limit: usize) -> String {
        let mut out = Vec::new();
        string(text, limit, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes() {
        assert_eq!(rendered(b"plain /path", 99), r#""plain /path""#);
        assert_eq!(
            rendered(b"a\"b\\c\n\r\t\x00\x1b\x7f", 99),
            r#""a\"b\\c\n\r\t\u0000\u001b\u007f""#
        );
        assert_eq!(rendered("é\u{9b}€".as_bytes(), 99), "\"é\\u009b€\"");
        assert_eq!(rendered(b"\xff\xc3(\xe2\x82", 99), "\"\u{fffd}\u{fffd}(\u{fffd}\"");
    }

    #[test]
    fn cuts_between_characters() {
        assert_eq!(rendered(b"abcd", 4), r#""abcd""#);
        assert_eq!(rendered(b"abcde", 4), r#""abcd…""#);
        assert_eq!(rendered("abc€".as_bytes(), 4), r#""abc…""#);
        assert_eq!(rendered("abc€".as_bytes(), 6), r#""abc€""#);
    }

    proptest! {
        #[test]
        fn is_json_of_the_lossy_text(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let parsed: String = serde_json::from_str(&rendered(&text, 200)).unwrap();
            prop_assert_eq!(parsed, String::from_utf8_lossy(&text));
        }

        #[test]
        fn is_json_when_cut(text in proptest::collection::vec(any::<u8>(), 0..200), limit in 0..99usize) {
            let rendered = rendered(&text, limit);
            prop_assert!(serde_json::from_str::<String>(&rendered).is_ok());
            prop_assert!(rendered.len() <= 6 * limit + 5);
        }
    }
}

//! Patterns in which `*` stands for any run of characters.

use std::fmt;
use std::str::FromStr;

/// A pattern for a whole text. There is no escape: a `*` in the text is matched by one in the
/// pattern as anything is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Whether the whole of `text` is of this pattern. Needs no memory, and time in proportion to
    /// the product of both lengths at worst.
    pub(super) fn matches(&self, text: &str) -> bool {
        let (pattern, text) = (self.0.as_bytes(), text.as_bytes());
        let (mut p, mut t) = (0, 0);
        // Behind the last star, and how far what it stands for goes.
        let mut star = None;
        while t < text.len() {
            if pattern.get(p) == Some(&b'*') {
                p += 1;
                star = Some((p, t));
            } else if pattern.get(p) == Some(&text[t]) {
                (p, t) = (p + 1, t + 1);
            } else if let Some((behind, end)) = star {
                star = Some((behind, end + 1));
                (p, t) = (behind, end + 1);
            } else {
                return false;
            }
        }
        pattern[p..].iter().all(|&byte| byte == b'*')
    }
}

impl FromStr for Glob {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("write a pattern, as in `GET /carts/*`".to_owned());
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        pattern.parse::<Glob>().unwrap().matches(text)
    }

    #[test]
    fn a_star_is_any_run() {
        for (pattern, text, expected) in [
            ("GET /carts/{int}", "GET /carts/{int}", true),
            ("GET /carts/{int}", "GET /carts/{int}/items", false),
            ("GET *", "GET /carts", true),
            ("GET *", "POST /carts", false),
            ("*", "", true),
            ("**", "KEYS", true),
            ("*carts*", "GET /carts/{int}", true),
            ("*/items", "POST /carts/{int}/items", true),
            ("*/items", "POST /carts/{int}/items/7", false),
            ("G*T*s", "GET /T/carts", true),
            ("*aab", "aaaab", true),
            ("get", "GET", false),
            ("GET /caf\u{e9}/*", "GET /caf\u{e9}/1", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
        assert!("".parse::<Glob>().is_err());
    }

    /// The definition, in time that grows without bound.
    fn by_definition(pattern: &[u8], text: &[u8]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some((b'*', rest)) => (0..=text.len()).any(|n| by_definition(rest, &text[n..])),
            Some((byte, rest)) => text.first() == Some(byte) && by_definition(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn is_what_the_definition_says(pattern in "[ab*]{1,8}", text in "[ab]{0,10}") {
            let expected = by_definition(pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(matches(&pattern, &text), expected);
        }
    }
}

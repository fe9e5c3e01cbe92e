//! Classes of variable parts: what one path segment or key part looks like.
//!
//! [`Class::contains`] is what an entry's `{int}` matches; docs/policy.md has the same rules as
//! EBNF. [`classify`] is narrower for tokens, so that a readable slug stays readable.

use std::fmt;

/// A class that an entry can name in place of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// An integer: an optional `-`, then 1 to 20 digits.
    Int,
    /// A UUID: 8-4-4-4-12 hexadecimal digits (RFC 9562 §4).
    Uuid,
    /// 8 to 128 hexadecimal digits.
    Hex,
    /// `YYYY-MM-DD`, with an optional time and zone (RFC 3339 §5.6).
    Date,
    /// A mail address of the plain form; `@` may be `%40`.
    Email,
    /// 16 to 512 characters of the alphabets that keys and JWTs are written in.
    Token,
}

/// Every class, in the order in which [`classify`] tries them.
pub const CLASSES: [Class; 6] =
    [Class::Int, Class::Uuid, Class::Date, Class::Hex, Class::Email, Class::Token];

impl Class {
    /// The name between the braces.
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Int => "int",
            Class::Uuid => "uuid",
            Class::Hex => "hex",
            Class::Date => "date",
            Class::Email => "email",
            Class::Token => "token",
        }
    }

    /// The class of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        CLASSES.into_iter().find(|c| c.as_str() == name)
    }

    /// Whether `part`, normalised, is of this class.
    pub fn contains(self, part: &[u8]) -> bool {
        match self {
            Class::Int => is_int(part),
            Class::Uuid => is_uuid(part),
            Class::Hex => (8..=128).contains(&part.len()) && all(part, u8::is_ascii_hexdigit),
            Class::Date => is_date(part),
            Class::Email => is_email(part),
            Class::Token => (16..=512).contains(&part.len()) && part.iter().all(|b| is_token(*b)),
        }
    }

    /// Whether some part of this class holds the byte.
    pub(crate) fn may_hold(self, byte: u8) -> bool {
        match self {
            Class::Int => byte.is_ascii_digit() || byte == b'-',
            Class::Uuid => byte.is_ascii_hexdigit() || byte == b'-',
            Class::Hex => byte.is_ascii_hexdigit(),
            Class::Date => byte.is_ascii_digit() || b"-+:.TtZz".contains(&byte),
            Class::Email => is_atext(byte) || b"@%.".contains(&byte),
            Class::Token => is_token(byte),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.as_str())
    }
}

/// The class that `part` takes at once, without knowing its neighbours; none for a word.
/// What it answers also contains `part`.
pub fn classify(part: &[u8]) -> Option<Class> {
    if is_int(part) {
        return Some(Class::Int);
    }
    // Most others are words, which one look at the bytes tells: without a digit there are UUIDs
    // and hashes of letters alone, and addresses.
    let may = part.iter().fold(false, |found, b| found | b.is_ascii_digit() | (*b == b'@'));
    if !may && !part.iter().all(|b| b.is_ascii_hexdigit() || *b == b'-') {
        return None;
    }
    classified(part)
}

fn classified(part: &[u8]) -> Option<Class> {
    CLASSES.into_iter().find(|c| c.contains(part) && (*c != Class::Token || looks_random(part)))
}

fn all(part: &[u8], is: fn(&u8) -> bool) -> bool {
    part.iter().all(is)
}

fn is_int(part: &[u8]) -> bool {
    let digits = part.strip_prefix(b"-").unwrap_or(part);
    (1..=20).contains(&digits.len()) && all(digits, u8::is_ascii_digit)
}

fn is_uuid(part: &[u8]) -> bool {
    part.len() == 36
        && part.iter().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => *b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}

/// The number that `len` digits at the front spell, and what follows.
fn digits(part: &[u8], len: usize) -> Option<(u32, &[u8])> {
    let (head, rest) = part.split_at_checked(len)?;
    let n = head.iter().try_fold(0u32, |n, b| {
        b.is_ascii_digit().then(|| n.wrapping_mul(10).wrapping_add(u32::from(b - b'0')))
    })?;
    Some((n, rest))
}

fn is_date(part: &[u8]) -> bool {
    fn full_date(part: &[u8]) -> Option<&[u8]> {
        let (year, rest) = digits(part, 4)?;
        let (month, rest) = digits(rest.strip_prefix(b"-")?, 2)?;
        let (day, rest) = digits(rest.strip_prefix(b"-")?, 2)?;
        ((1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day))
            .then_some(rest)
    }
    fn time(part: &[u8]) -> Option<&[u8]> {
        let (hour, rest) = digits(part, 2)?;
        let (minute, rest) = digits(rest.strip_prefix(b":")?, 2)?;
        let (second, mut rest) = digits(rest.strip_prefix(b":")?, 2)?;
        if let Some(fraction) = rest.strip_prefix(b".") {
            let len = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            rest = (1..=9).contains(&len).then(|| &fraction[len..])?;
        }
        (hour < 24 && minute < 60 && second <= 60).then_some(rest)
    }
    fn zone(part: &[u8]) -> bool {
        match part {
            b"" | b"Z" | b"z" => true,
            [b'+' | b'-', rest @ ..] => digits(rest, 2)
                .filter(|(hour, _)| *hour < 24)
                .and_then(|(_, rest)| digits(rest.strip_prefix(b":")?, 2))
                .is_some_and(|(minute, rest)| minute < 60 && rest.is_empty()),
            _ => false,
        }
    }
    match full_date(part) {
        Some(b"") => true,
        Some([b'T' | b't', rest @ ..]) => time(rest).is_some_and(zone),
        _ => false,
    }
}

fn is_email(part: &[u8]) -> bool {
    if part.len() > 254 {
        return false;
    }
    let (at, width) = match memchr::memchr(b'@', part) {
        Some(at) => (at, 1),
        None => match memchr::memmem::find(part, b"%40") {
            Some(at) => (at, 3),
            None => return false,
        },
    };
    let (local, domain) = (&part[..at], &part[at + width..]);
    let dotted = |text: &[u8], of: fn(&u8) -> bool| {
        text.split(|b| *b == b'.').all(|word| !word.is_empty() && word.iter().all(of))
    };
    (1..=64).contains(&local.len())
        && local
            .split(|b| *b == b'.')
            .all(|word| !word.is_empty() && word.iter().all(|b| is_atext(*b)))
        && domain.contains(&b'.')
        && dotted(domain, |b| b.is_ascii_alphanumeric() || *b == b'-')
}

/// What the words of an address's local part are made of (RFC 5322 §3.2.3, without `%` and `/`).
fn is_atext(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$&'*+-=?^_`{|}~".contains(&b)
}

/// base64url, base62 and their punctuation: what tokens are written in.
fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-_.~+=".contains(&b)
}

/// A letter beside a digit three times or more: rare in words and slugs, near certain in 24
/// random characters.
fn looks_random(part: &[u8]) -> bool {
    let turns = part
        .windows(2)
        .filter(|w| {
            (w[0].is_ascii_alphabetic() && w[1].is_ascii_digit())
                || (w[0].is_ascii_digit() && w[1].is_ascii_alphabetic())
        })
        .count();
    turns >= 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn is(part: &str, class: impl Into<Option<Class>>) {
        assert_eq!(classify(part.as_bytes()), class.into(), "{part}");
    }

    #[test]
    fn classes_of_common_parts() {
        is("7", Class::Int);
        is("-12", Class::Int);
        is("18446744073709551615", Class::Int);
        is("0f8fad5b-d9cb-469f-a165-70867728950e", Class::Uuid);
        is("da39a3ee5e6b4b0d3255bfef95601890afd80709", Class::Hex);
        is("123456789012345678901", Class::Hex);
        is("2024-01-31", Class::Date);
        is("2024-01-31T23:59:59.123Z", Class::Date);
        is("2024-01-31T23:59:59+02:00", Class::Date);
        is("ada@example.org", Class::Email);
        is("ada%40example.org", Class::Email);
        is("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0", Class::Token);
        is("Zm9vYmFyMTIz9kQ2xY7z", Class::Token);
    }

    #[test]
    fn words_stay_words() {
        for word in [
            "",
            "-",
            "carts",
            "v1",
            "application-settings",
            "my-blog-post-2024-01",
            "deadbee",
            "2024-13-01",
            "a@b",
            "@example.org",
            "ada@",
            "getUserProfileByIdV2",
            "x.y@-",
        ] {
            is(word, None);
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_of_a_class_holds_its_bytes_alone(part in "[0-9a-fTZz:.@%+_a-z-]{1,40}") {
            for class in CLASSES.into_iter().filter(|class| class.contains(part.as_bytes())) {
                proptest::prop_assert!(part.bytes().all(|b| class.may_hold(b)), "{} {}", class, part);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn a_look_at_the_bytes_misses_no_class(
            part in "[a-f-]{0,40}|[a-zA-Z@%.-]{0,20}|[a-z0-9@%_.:-]{0,40}"
        ) {
            proptest::prop_assert_eq!(classify(part.as_bytes()), classified(part.as_bytes()));
        }
    }

    #[test]
    fn membership_is_wider_than_classification() {
        assert!(Class::Hex.contains(b"12345678"));
        assert!(Class::Token.contains(b"application-settings"));
        assert!(!Class::Token.contains(b"short"));
    }
}

//! Which answers a tap wants.

use std::fmt;
use std::str::FromStr;

use crate::report::{Status, grpc};

/// One answer, a class of HTTP answers, or those on one side of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// This HTTP or gRPC status code.
    Code(u16),
    /// The codes that begin with this digit: `5xx`.
    Class(u16),
    /// The codes that compare so: `>=400`.
    Compared(Comparison, u16),
    /// gRPC: the name of a status. Redis: `ok`, `unanswered`, or the first word of an error.
    Word(String),
}

/// How a code is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

impl Comparison {
    /// The longer ones first, as the shorter begin them.
    const ALL: [(&'static str, Self); 4] =
        [("<=", Self::AtMost), ("<", Self::Below), (">=", Self::AtLeast), (">", Self::Above)];
}

impl Answers {
    /// Whether `status` is one of them.
    pub(super) fn contain(&self, status: Status) -> bool {
        match (self, status) {
            (Self::Code(wanted), Status::Http(code)) => code == *wanted,
            (Self::Code(wanted), Status::Grpc(code)) => code == u32::from(*wanted),
            (Self::Class(digit), Status::Http(code)) => code / 100 == *digit,
            (Self::Compared(comparison, than), Status::Http(code)) => match comparison {
                Comparison::Below => code < *than,
                Comparison::AtMost => code <= *than,
                Comparison::Above => code > *than,
                Comparison::AtLeast => code >= *than,
            },
            (Self::Word(word), Status::Grpc(code)) => {
                grpc::name(code).is_some_and(|name| word == name)
            }
            (Self::Word(word), Status::Ok) => word == "OK",
            (Self::Word(word), Status::Unanswered) => word == "UNANSWERED",
            (Self::Word(word), Status::Error(error)) => {
                let length = error.iter().position(|&byte| byte == 0).unwrap_or(error.len());
                word.as_bytes() == &error[..length]
            }
            _ => false,
        }
    }
}

impl FromStr for Answers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a status: write a code or word (`503`, `UNAVAILABLE`, `WRONGTYPE`), a class (`5xx`), or a comparison (`>=400`)"
            )
        };
        let code = |text: &str| match text.parse() {
            Ok(code @ 100..=999) => Ok(code),
            _ => Err(wrong()),
        };
        for (sign, comparison) in Comparison::ALL {
            if let Some(number) = text.strip_prefix(sign) {
                return Ok(Self::Compared(comparison, code(number)?));
            }
        }
        match text.as_bytes() {
            [digit @ b'1'..=b'9', b'x' | b'X', b'x' | b'X'] => {
                Ok(Self::Class(u16::from(digit - b'0')))
            }
            // The codes of gRPC are the small numbers.
            [b'0'..=b'9'] | [b'1'..=b'9', b'0'..=b'9'] => {
                text.parse().map(Self::Code).map_err(|_| wrong())
            }
            [b'0'..=b'9', ..] => code(text).map(Self::Code),
            _ if grpc::NAMES.iter().any(|name| name.eq_ignore_ascii_case(text)) => {
                Ok(Self::Word(text.to_ascii_uppercase()))
            }
            // As long as a record's, which is cut there.
            word if (1..=15).contains(&word.len())
                && word.iter().all(u8::is_ascii_alphanumeric) =>
            {
                Ok(Self::Word(text.to_ascii_uppercase()))
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => code.fmt(f),
            Self::Class(digit) => write!(f, "{digit}xx"),
            Self::Compared(comparison, code) => {
                let sign = Comparison::ALL.iter().find(|(_, each)| each == comparison);
                write!(f, "{}{code}", sign.map_or("", |(sign, _)| sign))
            }
            Self::Word(word) => f.write_str(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(word: &[u8]) -> Status {
        let mut padded = [0; 15];
        padded[..word.len()].copy_from_slice(word);
        Status::Error(padded)
    }

    #[test]
    fn answers_are_chosen() {
        let all = [
            Status::None,
            Status::Http(200),
            Status::Http(404),
            Status::Http(503),
            Status::Ok,
            Status::Unanswered,
            error(b"WRONGTYPE"),
            error(b"CLUSTERDOWNCUT1"),
            Status::Grpc(0),
            Status::Grpc(7),
            Status::Grpc(42),
        ];
        for (text, expected) in [
            ("503", &[3][..]),
            ("5xx", &[3]),
            ("4XX", &[2]),
            (">=404", &[2, 3]),
            (">404", &[3]),
            ("<404", &[1]),
            ("<=404", &[1, 2]),
            ("ok", &[4, 8]),
            ("0", &[8]),
            ("permission_denied", &[9]),
            ("PERMISSION_DENIED", &[9]),
            ("7", &[9]),
            ("42", &[10]),
            ("RESOURCE_EXHAUSTED", &[]),
            ("unanswered", &[5]),
            ("WRONGTYPE", &[6]),
            ("wrongtype", &[6]),
            ("WRONG", &[]),
            ("clusterdowncut1", &[7]),
        ] {
            let answers: Answers = text.parse().unwrap();
            let found: Vec<usize> = (0..all.len()).filter(|&i| answers.contain(all[i])).collect();
            assert_eq!(found, expected, "{text}");
            assert_eq!(answers.to_string().parse(), Ok(answers));
        }
    }

    #[test]
    fn what_is_no_status_is_refused() {
        for text in [
            "",
            "00",
            "05",
            "5000",
            "PERMISSION_",
            "A_B",
            "0xx",
            "5x",
            ">",
            ">=x",
            "=200",
            "NO PERM",
            "5xxx",
            "-1",
        ] {
            assert!(text.parse::<Answers>().is_err(), "{text}");
        }
    }
}

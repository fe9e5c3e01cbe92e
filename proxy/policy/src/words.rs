//! The words of the file and of the program, for types that have a closed set of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decide::{Mode, Refusal, Violation};
use crate::op::{Protocol, Side};

/// Not one of the words; says which there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("one of {}", .0.join(", "))]
pub struct UnknownWord(pub &'static [&'static str]);

macro_rules! words {
    ($type:ty { $($variant:ident = $word:literal $(| $alias:literal)*),* $(,)? }) => {
        impl $type {
            /// Every word, in order.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }
        }

        impl FromStr for $type {
            type Err = UnknownWord;

            fn from_str(word: &str) -> Result<Self, UnknownWord> {
                match word {
                    $($word $(| $alias)* => Ok(Self::$variant),)*
                    _ => Err(UnknownWord(Self::WORDS)),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                word.parse().map_err(|e| {
                    serde::de::Error::custom(format_args!("{word:?} is not {e}"))
                })
            }
        }
    };
}

words!(Mode { Learn = "learn", Monitor = "monitor", Enforce = "enforce" });
words!(Refusal { Close = "close", Answer = "answer", Reset = "reset" });
words!(Protocol { Http = "http", Grpc = "grpc", Redis = "redis", Tls = "tls", Opaque = "opaque" | "tcp" });
words!(Side { Inbound = "inbound", Outbound = "outbound" });

impl Violation {
    /// A stable name for logs and metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Violation::NoRule => "no_rule",
            Violation::NotAllowed => "not_allowed",
            Violation::Denied => "denied",
            Violation::AmbiguousPath => "ambiguous_path",
            Violation::UpgradeNotPermitted => "upgrade_not_permitted",
            Violation::OverrideHeader => "override_header",
            Violation::HostNotAllowed => "host_not_allowed",
            Violation::DatabaseNotAllowed => "database_not_allowed",
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Violation::NoRule => "no rule names this peer and port",
            Violation::NotAllowed => "no entry allows it",
            Violation::Denied => "a deny entry matches",
            Violation::AmbiguousPath => "the path is ambiguous and no entry permits that",
            Violation::UpgradeNotPermitted => {
                "it asks to switch protocol and no entry permits that"
            }
            Violation::OverrideHeader => {
                "a field overrides the method or URL and no entry permits that"
            }
            Violation::HostNotAllowed => "the host is not among the rule's hosts",
            Violation::DatabaseNotAllowed => "the database is not among the rule's databases",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for word in Mode::WORDS {
            assert_eq!(word.parse::<Mode>().unwrap().as_str(), *word);
        }
        assert_eq!("tcp".parse(), Ok(Protocol::Opaque));
        assert_eq!(
            "strict".parse::<Mode>().unwrap_err().to_string(),
            "one of learn, monitor, enforce"
        );
    }
}

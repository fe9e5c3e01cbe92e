//! The values that settings take, each read from one string, by flag or by file alike.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;
use weir_policy::decide;

use super::units;

/// One plain forward: what is accepted at `listen` goes to `upstream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Forward {
    /// Where Weir listens.
    pub listen: SocketAddr,
    /// The server behind it.
    pub upstream: SocketAddr,
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (listen, upstream) = text.split_once('=').ok_or_else(|| {
            format!("`{text}` is not a forward: write LISTEN=UPSTREAM, as in `127.0.0.1:6380=127.0.0.1:6379`")
        })?;
        Ok(Self { listen: address(listen)?, upstream: address(upstream)? })
    }
}

/// Reads an IP address with a port.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("`{text}` is not an IP address and port, as in `127.0.0.1:8080` or `[::1]:8080`")
    })
}

/// Where the admin endpoint listens, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Admin(pub Option<SocketAddr>);

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" { Ok(Self(None)) } else { address(text).map(|at| Self(Some(at))) }
    }
}

/// Where the traffic log goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// This file, appended to.
    File(PathBuf),
}

/// Where the traffic log goes, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TrafficLog(pub Option<Target>);

impl FromStr for TrafficLog {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("write a file, `-` for standard output, or `off`".to_owned()),
            "off" => Ok(Self(None)),
            "-" => Ok(Self(Some(Target::Stdout))),
            file => Ok(Self(Some(Target::File(file.into())))),
        }
    }
}

/// Which allowed transactions the traffic log has. Refusals, threats and unread events are always
/// in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum LogAllowed {
    /// Every one.
    #[default]
    All,
    /// One in so many.
    Sample(u32),
    /// Counts alone, now and then.
    Summary,
    /// None.
    Off,
}

impl FromStr for LogAllowed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "all" => Ok(Self::All),
            None if text == "summary" => Ok(Self::Summary),
            None if text == "off" => Ok(Self::Off),
            Some(("sample", n)) => match n.parse() {
                Ok(n) if n > 0 => Ok(Self::Sample(n)),
                _ => {
                    Err(format!("`{n}` is not a number from 1: `sample:100` logs one in a hundred"))
                }
            },
            _ => Err(format!("`{text}` is none of `all`, `sample:N`, `summary` and `off`")),
        }
    }
}

/// How much the traffic log's `detail` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum LogDetail {
    /// Values are replaced by their class.
    #[default]
    Masked,
    /// Values as they were sent; secrets stay out all the same.
    Full,
}

/// How violations are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Allow and record.
    Learn,
    /// Allow, and log what enforce would refuse.
    Monitor,
    /// Refuse.
    Enforce,
}

impl From<Mode> for decide::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Learn => Self::Learn,
            Mode::Monitor => Self::Monitor,
            Mode::Enforce => Self::Enforce,
        }
    }
}

/// A duration, as in `30s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        units::duration(text).map(Self)
    }
}

/// A size in bytes, as in `64MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        units::size(text).map(Self)
    }
}

/// Lets serde read a value from the string that the flag would take.
macro_rules! from_string {
    ($($type:ty),+) => {
        $(impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        })+
    };
}

from_string!(Forward, Admin, TrafficLog, LogAllowed, Span, Size);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forwards_are_read() {
        let forward: Forward = "127.0.0.1:1=[::1]:2".parse().unwrap();
        assert_eq!(forward.listen, "127.0.0.1:1".parse().unwrap());
        assert_eq!(forward.upstream, "[::1]:2".parse().unwrap());
        for text in ["127.0.0.1:1", "127.0.0.1=127.0.0.1:2", "a:1=b:2", "=", "1=2=3"] {
            assert!(text.parse::<Forward>().is_err(), "{text}");
        }
    }

    #[test]
    fn log_allowed_is_read() {
        assert_eq!("all".parse(), Ok(LogAllowed::All));
        assert_eq!("sample:10".parse(), Ok(LogAllowed::Sample(10)));
        assert_eq!("summary".parse(), Ok(LogAllowed::Summary));
        assert_eq!("off".parse(), Ok(LogAllowed::Off));
        for text in ["", "sample", "sample:", "sample:0", "sample:x", "all:1", "none"] {
            assert!(text.parse::<LogAllowed>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_traffic_log_is_a_file_stdout_or_off() {
        assert_eq!("-".parse(), Ok(TrafficLog(Some(Target::Stdout))));
        assert_eq!("off".parse(), Ok(TrafficLog(None)));
        assert_eq!("./off".parse(), Ok(TrafficLog(Some(Target::File("./off".into())))));
        assert!("".parse::<TrafficLog>().is_err());
    }
}

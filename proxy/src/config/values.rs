//! The values that settings take, each read from one string, by flag or by file alike.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU16;
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

/// Where the admin endpoint listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Admin {
    /// Nowhere.
    Off,
    /// At this address.
    At(SocketAddr),
    /// At this port of every address, of both families where the system has both.
    Port(u16),
}

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        match text.parse() {
            Ok(port) => Ok(Self::Port(port)),
            Err(_) => address(text).map(Self::At).map_err(|error| {
                format!("{error}; nor a port alone, for every address, nor `off`")
            }),
        }
    }
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::At(at) => at.fmt(f),
            Self::Port(port) => port.fmt(f),
        }
    }
}

/// Where the Unix socket is, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SocketPath(pub Option<PathBuf>);

impl FromStr for SocketPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "" => Err("write a path, or `off`".to_owned()),
            "off" => Ok(Self(None)),
            path => Ok(Self(Some(path.into()))),
        }
    }
}

/// Ports: with commas on the command line, a list in the file. None of them is 0.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Ports(pub Vec<NonZeroU16>);

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let port = |text: &str| {
            text.trim().parse().map_err(|_| format!("`{text}` is not a port from 1 to 65535"))
        };
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        parts.map(port).collect::<Result<_, _>>().map(Self)
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

/// What becomes of HTTP/2 frames of a type that RFC 9113 does not name (§5.5), where they are judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownFrames {
    /// They pass.
    #[default]
    Pass,
    /// They do not.
    Drop,
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

from_string!(Forward, Admin, SocketPath, TrafficLog, LogAllowed, Span, Size);

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
    fn the_admin_endpoint_is_an_address_a_port_or_off() {
        assert_eq!("off".parse(), Ok(Admin::Off));
        assert_eq!("15902".parse(), Ok(Admin::Port(15902)));
        assert_eq!("[::1]:2".parse(), Ok(Admin::At("[::1]:2".parse().unwrap())));
        for text in ["", "localhost:1", "65536", ":1", "on"] {
            assert!(text.parse::<Admin>().is_err(), "{text}");
        }
    }

    #[test]
    fn ports_are_read() {
        let ports = |text: &str| text.parse::<Ports>().map(|ports| ports.0.len());
        assert_eq!(ports("8080"), Ok(1));
        assert_eq!(ports("8080, 9090,"), Ok(2));
        assert_eq!(ports(""), Ok(0));
        for text in ["0", "8080;9090", "65536", "http"] {
            assert!(ports(text).is_err(), "{text}");
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

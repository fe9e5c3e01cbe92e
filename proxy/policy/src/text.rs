//! Operations as text, for people and for tests:
//!
//! ```text
//! inbound 10.0.0.7 :8080 http cart.shop GET /carts/7
//! inbound 10.0.0.7 :8080 http - GET /live upgrade=websocket override=X-HTTP-Method-Override
//! inbound 10.0.0.7 :9090 grpc cart.shop shop.Cart/AddItem
//! outbound 10.9.0.5 :6379 redis db0 SET cart:7
//! outbound 10.9.0.5 :6379 redis db0,1 EVALSHA sha1:… cart:7
//! outbound 10.9.0.5 :6379 redis db0 SORT cart:7 ?
//! outbound 192.0.2.1 :443 tls sni shop.example
//! outbound 192.0.2.1 :5671 opaque
//! ```
//!
//! `-` is no host, `?` are keys that cannot all be known, `&news` is a channel; `\xHH`, and `\`
//! before a space, write other bytes.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::op::{
    Endpoint, GrpcOp, HttpOp, KeySource, Keys, Operation, Protocol, RedisOp, Script, Side, TlsOp,
};

/// An operation on a connection, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpText {
    /// The connection.
    pub endpoint: Endpoint,
    /// What is asked on it.
    pub op: OwnedOp,
}

/// An operation, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedOp(Owned);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Owned {
    Http {
        method: String,
        authority: Option<String>,
        path: String,
        upgrade: Option<String>,
        override_header: Option<String>,
    },
    Grpc {
        service: String,
        method: String,
        authority: Option<String>,
    },
    Redis {
        databases: Vec<u32>,
        command: String,
        subcommand: Option<String>,
        keys: Option<OwnedKeys>,
        channels: OwnedKeys,
        script: OwnedScript,
    },
    Tls {
        sni: Option<String>,
    },
    Connection,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum OwnedScript {
    None,
    Sha1([u8; 40]),
    Function(String),
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct OwnedKeys(Vec<Vec<u8>>);

impl KeySource for OwnedKeys {
    fn all(&self, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().all(|key| visit(key))
    }
}

/// Why a text is no operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found {found}, expected {expected}")]
pub struct BadOp {
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: &'static str,
}

fn bad(found: &str, expected: &'static str) -> BadOp {
    let found = if found.is_empty() { "the end".to_owned() } else { format!("{found:?}") };
    BadOp { found, expected }
}

/// Takes the next word.
fn word<'a>(text: &mut &'a str, expected: &'static str) -> Result<&'a str, BadOp> {
    let trimmed = text.trim_start_matches(' ');
    let (word, rest) = trimmed.split_once(' ').unwrap_or((trimmed, ""));
    *text = rest;
    if word.is_empty() { Err(bad("", expected)) } else { Ok(word) }
}

impl FromStr for OpText {
    type Err = BadOp;

    fn from_str(text: &str) -> Result<Self, BadOp> {
        let mut rest = text;
        let side = word(&mut rest, "inbound or outbound")?;
        let side: Side = side.parse().map_err(|_| bad(side, "inbound or outbound"))?;
        let peer = word(&mut rest, "the peer's address")?;
        let peer: IpAddr = peer.parse().map_err(|_| bad(peer, "the peer's address"))?;
        let port = word(&mut rest, "the port, such as :8080")?;
        let port: u16 = port
            .strip_prefix(':')
            .and_then(|p| p.parse().ok())
            .ok_or_else(|| bad(port, "the port, such as :8080"))?;
        let protocol = word(&mut rest, PROTOCOLS)?;
        let protocol = protocol.parse().map_err(|_| bad(protocol, PROTOCOLS))?;
        let op = OwnedOp::parse(protocol, rest)?;
        Ok(Self { endpoint: Endpoint { side, peer, port }, op })
    }
}

const PROTOCOLS: &str = "http, grpc, redis, tls or opaque";

impl OwnedOp {
    /// Reads what follows the protocol's name.
    ///
    /// # Errors
    /// What stands where something else should.
    pub fn parse(protocol: Protocol, text: &str) -> Result<Self, BadOp> {
        match protocol {
            Protocol::Http => http(text),
            Protocol::Grpc => grpc(text),
            Protocol::Redis => redis(text),
            Protocol::Tls => tls(text),
            Protocol::Opaque if text.trim().is_empty() => Ok(Owned::Connection),
            Protocol::Opaque => Err(bad(text.trim(), "nothing after opaque")),
        }
        .map(Self)
    }

    /// Borrowed, as a snapshot decides it.
    pub fn operation(&self) -> Operation<'_> {
        match &self.0 {
            Owned::Http { method, authority, path, upgrade, override_header } => {
                Operation::Http(HttpOp {
                    method: method.as_bytes(),
                    authority: authority.as_deref().map(str::as_bytes),
                    path: path.as_bytes(),
                    upgrade: upgrade.as_deref().map(str::as_bytes),
                    override_header: override_header.as_deref().map(str::as_bytes),
                })
            }
            Owned::Grpc { service, method, authority } => Operation::Grpc(GrpcOp {
                service: service.as_bytes(),
                method: method.as_bytes(),
                authority: authority.as_deref().map(str::as_bytes),
            }),
            Owned::Redis { databases, command, subcommand, keys, channels, script } => {
                Operation::Redis(RedisOp {
                    databases,
                    command: command.as_bytes(),
                    subcommand: subcommand.as_deref().map(str::as_bytes),
                    keys: keys.as_ref().map_or(Keys::Unknown, |keys| Keys::Known(keys)),
                    channels: Keys::Known(channels),
                    script: match script {
                        OwnedScript::None => Script::None,
                        OwnedScript::Sha1(hex) => Script::Sha1(*hex),
                        OwnedScript::Function(name) => Script::Function(name.as_bytes()),
                    },
                })
            }
            Owned::Tls { sni } => Operation::Tls(TlsOp { sni: sni.as_deref().map(str::as_bytes) }),
            Owned::Connection => Operation::Connection,
        }
    }
}

fn http(mut text: &str) -> Result<Owned, BadOp> {
    let authority = word(&mut text, "the host, or -")?;
    let authority = (authority != "-").then(|| authority.to_owned());
    let method = word(&mut text, "a method")?.to_owned();
    let mut path = String::new();
    if method != "CONNECT" {
        path = word(&mut text, "a path")?.to_owned();
        if let Some(query) = path.find('?') {
            path.truncate(query);
        }
    }
    let (mut upgrade, mut override_header) = (None, None);
    while !text.trim().is_empty() {
        const OPTIONS: &str = "upgrade=TOKEN, override=FIELD or the end";
        let option = word(&mut text, OPTIONS)?;
        match option.split_once('=') {
            Some(("upgrade", token)) => upgrade = Some(token.to_owned()),
            Some(("override", name)) => override_header = Some(name.to_owned()),
            _ => return Err(bad(option, OPTIONS)),
        }
    }
    Ok(Owned::Http { method, authority, path, upgrade, override_header })
}

fn grpc(mut text: &str) -> Result<Owned, BadOp> {
    const CALL: &str = "package.Service/Method";
    let authority = word(&mut text, "the host, or -")?;
    let authority = (authority != "-").then(|| authority.to_owned());
    let call = word(&mut text, CALL)?;
    let (service, method) = call
        .split_once('/')
        .filter(|(service, _)| !service.is_empty())
        .ok_or_else(|| bad(call, CALL))?;
    if !text.trim().is_empty() {
        return Err(bad(text.trim(), "the end"));
    }
    Ok(Owned::Grpc { service: service.to_owned(), method: method.to_owned(), authority })
}

fn redis(mut text: &str) -> Result<Owned, BadOp> {
    const DATABASE: &str = "the database, such as db0 or db0,1";
    let database = word(&mut text, DATABASE)?;
    let databases = database
        .strip_prefix("db")
        .and_then(|d| d.split(',').map(|n| n.parse().ok()).collect::<Option<Vec<u32>>>())
        .ok_or_else(|| bad(database, DATABASE))?;
    let name = word(&mut text, "a command")?;
    let (command, subcommand) = match name.split_once('|') {
        Some((command, sub)) => (command.to_owned(), Some(sub.to_owned())),
        None => (name.to_owned(), None),
    };
    let runs_function = ["FCALL", "FCALL_RO"].iter().any(|c| command.eq_ignore_ascii_case(c));
    let mut script = OwnedScript::None;
    let mut keys = Some(OwnedKeys::default());
    let mut channels = OwnedKeys::default();
    for (index, word) in words(text).into_iter().enumerate() {
        if index == 0 && runs_function {
            script = OwnedScript::Function(word.to_owned());
        } else if let Some(hex) = word.strip_prefix("sha1:").filter(|_| index == 0) {
            let hex = hex.to_ascii_lowercase();
            let digits = hex.as_bytes().try_into().map_err(|_| bad(word, "40 hex digits"))?;
            script = OwnedScript::Sha1(digits);
        } else if word == "?" {
            keys = None;
        } else if let Some(channel) = word.strip_prefix('&') {
            channels.0.push(bytes(channel)?);
        } else if let Some(keys) = &mut keys {
            keys.0.push(bytes(word)?);
        }
    }
    Ok(Owned::Redis { databases, command, subcommand, keys, channels, script })
}

/// Words; `\` keeps a space in a word.
fn words(text: &str) -> Vec<&str> {
    crate::entry::redis::words(text).into_iter().map(|(_, word)| word).collect()
}

/// A key with its escapes resolved.
fn bytes(word: &str) -> Result<Vec<u8>, BadOp> {
    const ESCAPES: &str = r"\xHH, or \ before the character itself";
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match (first, after) {
            (b'\\', [b'x', digits @ ..]) => {
                let byte = word
                    .get(word.len() - digits.len()..word.len() - digits.len() + 2)
                    .filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|d| u8::from_str_radix(d, 16).ok())
                    .ok_or_else(|| bad(word, ESCAPES))?;
                out.push(byte);
                rest = &digits[2..];
            }
            (b'\\', [escaped, after @ ..]) => {
                out.push(*escaped);
                rest = after;
            }
            (b'\\', []) => return Err(bad(word, ESCAPES)),
            (byte, _) => out.push(*byte),
        }
    }
    Ok(out)
}

fn tls(mut text: &str) -> Result<Owned, BadOp> {
    const FORM: &str = "sni NAME or sni none";
    let sni = word(&mut text, FORM)?;
    if sni != "sni" {
        return Err(bad(sni, FORM));
    }
    let name = word(&mut text, FORM)?;
    if !text.trim().is_empty() {
        return Err(bad(text.trim(), "the end"));
    }
    Ok(Owned::Tls { sni: (name != "none").then(|| name.to_owned()) })
}

/// Writes an operation as [`OwnedOp::parse`] reads it, bytes that are not printable escaped.
pub fn write(operation: &Operation<'_>, f: &mut impl fmt::Write) -> fmt::Result {
    match operation {
        Operation::Http(op) => {
            host(op.authority, f)?;
            write!(f, "{}", op.method.escape_ascii())?;
            if !op.path.is_empty() {
                write!(f, " {}", op.path.escape_ascii())?;
            }
            if let Some(token) = op.upgrade {
                write!(f, " upgrade={}", token.escape_ascii())?;
            }
            if let Some(name) = op.override_header {
                write!(f, " override={}", name.escape_ascii())?;
            }
            Ok(())
        }
        Operation::Grpc(op) => {
            host(op.authority, f)?;
            write!(f, "{}/{}", op.service.escape_ascii(), op.method.escape_ascii())
        }
        Operation::Redis(op) => redis_words(op, f),
        Operation::Tls(TlsOp { sni: Some(name) }) => write!(f, "sni {}", name.escape_ascii()),
        Operation::Tls(TlsOp { sni: None }) => f.write_str("sni none"),
        Operation::Connection => f.write_str("connection"),
    }
}

fn host(authority: Option<&[u8]>, f: &mut impl fmt::Write) -> fmt::Result {
    match authority {
        Some(authority) => write!(f, "{} ", authority.escape_ascii()),
        None => f.write_str("- "),
    }
}

fn redis_words(op: &RedisOp<'_>, f: &mut impl fmt::Write) -> fmt::Result {
    f.write_str("db")?;
    for (i, database) in op.databases.iter().enumerate() {
        write!(f, "{}{database}", if i == 0 { "" } else { "," })?;
    }
    write!(f, " {}", op.command.to_ascii_uppercase().escape_ascii())?;
    if let Some(sub) = op.subcommand {
        write!(f, "|{}", sub.to_ascii_uppercase().escape_ascii())?;
    }
    match op.script {
        Script::None => {}
        Script::Sha1(hex) => write!(f, " sha1:{}", hex.escape_ascii())?,
        Script::Function(name) => write!(f, " {}", name.escape_ascii())?,
    }
    let mut result = Ok(());
    for (keys, mark) in [(&op.keys, ""), (&op.channels, "&")] {
        match keys {
            Keys::Unknown => result = result.and_then(|()| write!(f, " {mark}?")),
            Keys::Known(keys) => {
                keys.all(&mut |key| {
                    result = result.and_then(|()| write!(f, " {mark}{}", escaped(key)));
                    result.is_ok()
                });
            }
        }
    }
    result
}

/// A key as a word.
pub(crate) fn escaped(key: &[u8]) -> String {
    use fmt::Write;
    let mut out = String::with_capacity(key.len());
    for byte in key {
        match byte {
            b'\\' => out.push_str(r"\\"),
            b if b.is_ascii_graphic() => out.push(char::from(*b)),
            b => _ = write!(out, "\\x{b:02x}"),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn comes_back() {
        for text in [
            "cart.shop GET /carts/7",
            "- GET /live upgrade=websocket override=X-HTTP-Method-Override",
            "db.shop:443 CONNECT",
        ] {
            round(Protocol::Http, text);
        }
        for text in [
            "db0 SET cart:7",
            "db0,1 CONFIG|GET",
            r"db3 DEL a\x20b \\",
            "db0 SUBSCRIBE &news &more",
            "db0 FCALL f k",
            "db0 EVALSHA sha1:0123456789abcdef0123456789abcdef01234567 k",
            "db0 SORT ?",
        ] {
            round(Protocol::Redis, text);
        }
        round(Protocol::Grpc, "cart.shop:9090 shop.Cart/AddItem");
        round(Protocol::Grpc, "- Echo/Say");
        round(Protocol::Tls, "sni shop.example");
        round(Protocol::Tls, "sni none");
    }

    #[track_caller]
    fn round(protocol: Protocol, text: &str) {
        let op = OwnedOp::parse(protocol, text).unwrap();
        let mut out = String::new();
        write(&op.operation(), &mut out).unwrap();
        assert_eq!(out, text);
    }

    #[test]
    fn says_what_is_missing() {
        let said = |text: &str| text.parse::<OpText>().unwrap_err().to_string();
        assert_eq!(said(""), "found the end, expected inbound or outbound");
        assert_eq!(said("inbound x"), "found \"x\", expected the peer's address");
        assert_eq!(said("inbound 10.0.0.1 80"), "found \"80\", expected the port, such as :8080");
        assert_eq!(
            said("inbound 10.0.0.1 :80 smtp"),
            "found \"smtp\", expected http, grpc, redis, tls or opaque"
        );
        assert!("inbound ::1 :80 http - GET /x?q=1".parse::<OpText>().is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}", which in 0..Protocol::WORDS.len()) {
            let _ = OwnedOp::parse(Protocol::WORDS[which].parse().unwrap(), &text);
            let _ = text.parse::<OpText>();
        }
    }
}

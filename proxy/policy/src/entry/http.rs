//! HTTP entries: `METHOD PATH`, `OPTIONS *`, `CONNECT HOST:PORT`, `CONNECT *`.

use std::fmt;

use super::{BadEntry, quoted, slot, write_literal};
use crate::host::HostPattern;
use crate::path::{Ambiguities, ambiguities, normalise};
use crate::pattern::{MAX_PARTS, Rest, Sequence, Token};

/// What an HTTP entry covers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpPattern {
    /// None: any method.
    pub method: Option<Box<str>>,
    /// What it is asked of.
    pub target: HttpTarget,
}

/// The target of an HTTP entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HttpTarget {
    /// A path.
    Path(Sequence),
    /// The server as a whole: asterisk-form (RFC 9112 §3.2.4).
    Asterisk,
    /// A tunnel to this host and port, or to any (RFC 9110 §9.3.6).
    Connect(Option<(HostPattern, u16)>),
}

const FORM: &str = "METHOD PATH, such as \"GET /carts/{int}\"";

pub(super) fn read(text: &str, permit: Ambiguities) -> Result<HttpPattern, BadEntry> {
    let (method, target) =
        text.split_once(' ').ok_or_else(|| BadEntry::new(0, quoted(text), FORM))?;
    let at = method.len() + 1;
    let method = read_method(method)?;
    if let Some(odd) = target.find(|c: char| c.is_whitespace() || c.is_control()) {
        let found = quoted(&target[odd..]);
        return Err(BadEntry::new(at + odd, found, "the end of the path (a space is %20)"));
    }
    let target = match (method.as_deref(), target) {
        (Some("OPTIONS"), "*") => HttpTarget::Asterisk,
        (Some("CONNECT"), "*") => HttpTarget::Connect(None),
        (Some("CONNECT"), authority) => HttpTarget::Connect(Some(read_authority(authority, at)?)),
        (_, path) => HttpTarget::Path(read_path(path, at, permit)?),
    };
    Ok(HttpPattern { method, target })
}

fn read_method(method: &str) -> Result<Option<Box<str>>, BadEntry> {
    if method == "*" {
        return Ok(None);
    }
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if method.is_empty() || !method.bytes().all(token) || method.contains('*') {
        return Err(BadEntry::new(0, quoted(method), "a method or *, then one space and a path"));
    }
    if method.bytes().any(|b| b.is_ascii_lowercase()) {
        let expected = format!("{:?} (methods are case-sensitive)", method.to_ascii_uppercase());
        return Err(BadEntry::new(0, quoted(method), expected));
    }
    Ok(Some(method.into()))
}

fn read_authority(authority: &str, at: usize) -> Result<(HostPattern, u16), BadEntry> {
    let bad =
        || BadEntry::new(at, quoted(authority), "HOST:PORT or *, such as \"CONNECT db.shop:443\"");
    let (host, port) = authority.rsplit_once(':').ok_or_else(bad)?;
    let port = port.parse().ok().filter(|p| *p != 0).ok_or_else(bad)?;
    Ok((host.parse().map_err(|_| bad())?, port))
}

fn read_path(path: &str, at: usize, permit: Ambiguities) -> Result<Sequence, BadEntry> {
    let Some(segments) = path.strip_prefix('/') else {
        return Err(BadEntry::new(at, quoted(path), "a path that begins with /"));
    };
    if let Some(odd) = path.find(['?', '#']) {
        let expected = "the end of the path (the query is not matched, leave it out)";
        return Err(BadEntry::new(at + odd, quoted(&path[odd..]), expected));
    }
    let mut pattern = Sequence::default();
    // The path with every variable part a plain one: what is left to be ambiguous is literal.
    let mut literal_path = Vec::new();
    let mut at = at + 1;
    let mut segments = segments.split('/').peekable();
    while let Some(segment) = segments.next() {
        if segment == "*" {
            if segments.peek().is_some() {
                return Err(BadEntry::new(at, "*", "a final /* (one or more segments), or {}"));
            }
            pattern.rest = Some(Rest { separator: b'/', prefix: Box::default() });
            break;
        }
        let token = read_segment(segment, at)?;
        literal_path.push(b'/');
        match &token {
            Token::Literal(raw) => literal_path.extend_from_slice(raw),
            Token::Slot(_) => literal_path.push(b'x'),
        }
        pattern.parts.push((b'/', normal(token)));
        at += segment.len() + 1;
    }
    if pattern.parts.len() > MAX_PARTS {
        return Err(BadEntry::new(at, "more segments", format!("at most {MAX_PARTS}")));
    }
    let odd = ambiguities(&literal_path).without(permit);
    if !odd.is_empty() {
        let expected = format!("an unambiguous path, or permit: [{odd}]");
        return Err(BadEntry::new(0, quoted(path), expected));
    }
    Ok(pattern)
}

fn normal(token: Token) -> Token {
    match token {
        Token::Literal(raw) => {
            let mut out = Vec::with_capacity(raw.len());
            normalise(&raw, &mut out);
            Token::Literal(out.into())
        }
        slot => slot,
    }
}

/// A segment as it would be sent: escapes resolved, not normalised.
fn read_segment(segment: &str, at: usize) -> Result<Token, BadEntry> {
    if let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}'))
        && !name.contains(['{', '}', '\\'])
    {
        return slot(name, at).map(Token::Slot);
    }
    let mut literal = Vec::with_capacity(segment.len());
    let mut chars = segment.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, c @ ('{' | '}' | '*' | '\\'))) => literal.push(c as u8),
                _ => {
                    let expected = r"one of \{ \} \* \\";
                    return Err(BadEntry::new(at + i, quoted(&segment[i..]), expected));
                }
            },
            '{' | '}' => {
                let expected = format!(r"{} as a whole segment, or \{c}", super::SLOTS);
                return Err(BadEntry::new(at + i, quoted(&segment[i..]), expected));
            }
            '*' => {
                let expected = r"{} for one segment, a final /* for more, or \*";
                return Err(BadEntry::new(at + i, quoted(&segment[i..]), expected));
            }
            c => literal.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Ok(Token::Literal(literal.into()))
}

impl fmt::Display for HttpPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.method.as_deref().unwrap_or("*"))?;
        match &self.target {
            HttpTarget::Asterisk | HttpTarget::Connect(None) => f.write_str("*"),
            HttpTarget::Connect(Some((HostPattern::Addr(std::net::IpAddr::V6(a)), port))) => {
                write!(f, "[{a}]:{port}")
            }
            HttpTarget::Connect(Some((host, port))) => write!(f, "{host}:{port}"),
            HttpTarget::Path(path) => {
                for (_, token) in &path.parts {
                    f.write_str("/")?;
                    match token {
                        Token::Literal(literal) => write_literal(f, literal, br"{}*\")?,
                        Token::Slot(None) => f.write_str("{}")?,
                        Token::Slot(Some(class)) => class.fmt(f)?,
                    }
                }
                if path.rest.is_some() { f.write_str("/*") } else { Ok(()) }
            }
        }
    }
}

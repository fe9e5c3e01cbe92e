//! Host names in `hosts`, SNI entries and `CONNECT` entries.
//!
//! Names compare without case, one trailing dot is ignored, and a leading `*.` stands for
//! exactly one label, as in certificates (RFC 6125 §6.4.3).

use std::cell::OnceCell;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A name, a `*.` name, or an address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostPattern {
    /// This name, lower-case, without its trailing dot.
    Name(Box<str>),
    /// One label, then this name.
    Wildcard(Box<str>),
    /// This address, however it is written.
    Addr(IpAddr),
}

/// What a host pattern must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a host name or address without port, such as cart.shop.svc or *.shop.svc")]
pub struct BadHost;

/// Whether `name` is made of labels that DNS names and Kubernetes services are made of.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

impl FromStr for HostPattern {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(addr) = bare.parse::<IpAddr>() {
            return Ok(HostPattern::Addr(addr.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (wild, rest) = match name.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, name.as_str()),
        };
        // What ends in a number is an address to every resolver, and this one was not read.
        let last = rest.rsplit('.').next().unwrap_or(rest);
        if !is_name(rest) || last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(BadHost);
        }
        let rest = rest.into();
        Ok(if wild { HostPattern::Wildcard(rest) } else { HostPattern::Name(rest) })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Name(name) => f.write_str(name),
            HostPattern::Wildcard(name) => write!(f, "*.{name}"),
            HostPattern::Addr(addr) => write!(f, "{addr}"),
        }
    }
}

/// A host as a message names it, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host<'a> {
    /// A name without its trailing dot, in whatever case.
    Name(&'a [u8]),
    /// An address.
    Addr(IpAddr),
}

impl<'a> Host<'a> {
    /// The host of a bare name, as in SNI; none where it is empty.
    pub(crate) fn of_name(name: &'a [u8]) -> Option<Self> {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let starts_like_v4 = name.first().is_some_and(u8::is_ascii_digit) && name.len() <= 15;
        if starts_like_v4 && let Some(addr) = ascii(name).and_then(|n| n.parse::<Ipv4Addr>().ok()) {
            return Some(Host::Addr(addr.into()));
        }
        (!name.is_empty()).then_some(Host::Name(name))
    }

    /// Host and port of an authority (RFC 9110 §4.2, `host [":" port]`); none where there is
    /// user information or the form is another.
    pub(crate) fn of_authority(authority: &'a [u8]) -> Option<(Self, Option<u16>)> {
        if let Some(rest) = authority.strip_prefix(b"[") {
            let end = memchr::memchr(b']', rest)?;
            let addr: Ipv6Addr = ascii(&rest[..end])?.parse().ok()?;
            let port = match &rest[end + 1..] {
                [] => None,
                [b':', port @ ..] => port_of(port)?,
                _ => return None,
            };
            return Some((Host::Addr(IpAddr::from(addr).to_canonical()), port));
        }
        let (name, port) = match memchr::memchr(b':', authority) {
            Some(at) => (&authority[..at], port_of(&authority[at + 1..])?),
            None => (authority, None),
        };
        if memchr::memchr(b'@', name).is_some() {
            return None;
        }
        Some((Self::of_name(name)?, port))
    }
}

/// The authority of a message, read when its host is first asked for: most rules are for any.
pub(crate) struct Authority<'a> {
    bytes: Option<&'a [u8]>,
    read: OnceCell<Option<(Host<'a>, Option<u16>)>>,
}

impl<'a> Authority<'a> {
    pub(crate) fn new(bytes: Option<&'a [u8]>) -> Self {
        Self { bytes, read: OnceCell::new() }
    }

    /// None where the message names none, or one that is not understood.
    pub(crate) fn host(&self) -> Option<&Host<'a>> {
        self.host_and_port().map(|(host, _)| host)
    }

    pub(crate) fn host_and_port(&self) -> Option<&(Host<'a>, Option<u16>)> {
        self.read.get_or_init(|| self.bytes.and_then(Host::of_authority)).as_ref()
    }
}

/// `port = *DIGIT` (RFC 3986 §3.2.3): an empty one is the default port, so none.
fn port_of(text: &[u8]) -> Option<Option<u16>> {
    if text.is_empty() {
        return Some(None);
    }
    if text.len() > 5 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    ascii(text)?.parse().ok().map(Some)
}

fn ascii(text: &[u8]) -> Option<&str> {
    std::str::from_utf8(text).ok()
}

impl HostPattern {
    /// Whether this pattern covers `host`.
    pub(crate) fn matches(&self, host: &Host<'_>) -> bool {
        match (self, host) {
            (HostPattern::Addr(a), Host::Addr(b)) => a == b,
            (HostPattern::Name(name), Host::Name(host)) => {
                name.as_bytes().eq_ignore_ascii_case(host)
            }
            (HostPattern::Wildcard(name), Host::Name(host)) => memchr::memchr(b'.', host)
                .is_some_and(|at| at > 0 && name.as_bytes().eq_ignore_ascii_case(&host[at + 1..])),
            _ => false,
        }
    }
}

/// Many host patterns with a value each, found by hash.
#[derive(Debug, Default)]
pub(crate) struct HostIndex {
    /// Sorted by hash; the pattern decides, the hash only finds.
    patterns: Vec<(u64, HostPattern, u32)>,
    /// Some pattern is a wildcard.
    wild: bool,
}

impl HostIndex {
    pub(crate) fn new(patterns: impl IntoIterator<Item = (HostPattern, u32)>) -> Self {
        let mut patterns: Vec<_> = patterns
            .into_iter()
            .map(|(pattern, value)| {
                let hash = match &pattern {
                    HostPattern::Name(name) => hash_name(name.as_bytes(), false),
                    HostPattern::Wildcard(name) => hash_name(name.as_bytes(), true),
                    HostPattern::Addr(addr) => hash_addr(addr),
                };
                (hash, pattern, value)
            })
            .collect();
        patterns.sort();
        let wild = patterns.iter().any(|(_, p, _)| matches!(p, HostPattern::Wildcard(_)));
        Self { patterns, wild }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether any pattern covers `host`.
    pub(crate) fn covers(&self, host: &Host<'_>) -> bool {
        !self.all(host, &mut |_| false)
    }

    /// Calls `visit` with the value of each pattern that covers `host` until it answers false.
    /// Answers whether all calls answered true.
    pub(crate) fn all(&self, host: &Host<'_>, visit: &mut impl FnMut(u32) -> bool) -> bool {
        match host {
            Host::Addr(addr) => self.bucket(hash_addr(addr), host, visit),
            Host::Name(name) => {
                let suffix = memchr::memchr(b'.', name).filter(|_| self.wild);
                self.bucket(hash_name(name, false), host, visit)
                    && suffix
                        .is_none_or(|at| self.bucket(hash_name(&name[at + 1..], true), host, visit))
            }
        }
    }

    fn bucket(&self, hash: u64, host: &Host<'_>, visit: &mut impl FnMut(u32) -> bool) -> bool {
        let from = self.patterns.partition_point(|(h, _, _)| *h < hash);
        self.patterns[from..]
            .iter()
            .take_while(|(h, _, _)| *h == hash)
            .all(|(_, pattern, value)| !pattern.matches(host) || visit(*value))
    }
}

fn hash_name(name: &[u8], wild: bool) -> u64 {
    let seed = if wild { b'*' } else { 0 };
    crate::hash::caseless(seed, name)
}

fn hash_addr(addr: &IpAddr) -> u64 {
    match addr {
        IpAddr::V4(v4) => crate::hash::bytes(4, &v4.octets()),
        IpAddr::V6(v6) => crate::hash::bytes(6, &v6.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, authority: &str) -> bool {
        let index = HostIndex::new([(pattern.parse().unwrap(), 0)]);
        Host::of_authority(authority.as_bytes()).is_some_and(|(host, _)| index.covers(&host))
    }

    #[test]
    fn names_compare_without_case_port_or_trailing_dot() {
        assert!(covers("cart.shop", "Cart.SHOP"));
        assert!(covers("Cart.shop.", "cart.shop:8080"));
        assert!(covers("cart.shop", "cart.shop."));
        assert!(covers("cart.shop", "cart.shop.:80"));
        assert!(!covers("cart.shop", "cart.shop.evil"));
        assert!(!covers("cart.shop", "cart.shop.."));
        assert!(!covers("cart.shop", "user@cart.shop"));
        assert!(!covers("cart.shop", "cart.shop:80:90"));
        assert!(!covers("cart.shop", "cart.shop:http"));
        assert!(!covers("cart.shop", ""));
    }

    #[test]
    fn a_wildcard_is_one_label() {
        assert!(covers("*.shop", "cart.shop"));
        assert!(!covers("*.shop", "a.cart.shop"));
        assert!(!covers("*.shop", "shop"));
        assert!(!covers("*.shop", ".shop"));
    }

    #[test]
    fn addresses_compare_as_addresses() {
        assert!(covers("10.0.0.1", "10.0.0.1:80"));
        assert!(covers("::1", "[0:0::1]:80"));
        assert!(covers("10.0.0.1", "[::ffff:10.0.0.1]"));
        assert!(!covers("10.0.0.1", "10.0.0.10"));
    }

    #[test]
    fn refuses_what_is_no_host() {
        for bad in
            ["", "*", "*.", "a b", "cart:80", "a..b", "10.0.0", "1.2.3.4.5", "*.*.x", "http://x"]
        {
            assert_eq!(bad.parse::<HostPattern>(), Err(BadHost), "{bad}");
        }
    }
}

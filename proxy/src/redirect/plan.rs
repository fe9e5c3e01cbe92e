//! What the redirect is to do, as the command line says it.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::defaults;

/// What is redirected where, and what is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The user whose connections are Weir's own, and pass.
    pub proxy_uid: u32,
    /// Where connections towards this network namespace go.
    pub inbound_port: u16,
    /// Where connections from it go.
    pub outbound_port: u16,
    /// Where Weir's metrics and probes are served: connections to it from outside are left alone.
    pub admin_port: u16,
    /// What is left alone of what comes in: ports of this namespace, and addresses of clients.
    pub inbound: Skips,
    /// What is left alone of what goes out: ports and addresses of servers.
    pub outbound: Skips,
    /// What becomes of everything that is not TCP.
    pub other: Other,
    /// Which families are redirected.
    pub families: Families,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            proxy_uid: defaults::PROXY_UID,
            inbound_port: defaults::INBOUND_PORT,
            outbound_port: defaults::OUTBOUND_PORT,
            admin_port: defaults::ADMIN_PORT,
            inbound: Skips::default(),
            outbound: Skips::default(),
            other: Other::Allow,
            families: Families::Both,
        }
    }
}

/// What is left alone on one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Skips {
    /// TCP ports of the server.
    pub ports: Vec<Ports>,
    /// Addresses of the peer.
    pub ranges: Vec<IpNet>,
}

/// What becomes of everything that is not TCP, both ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Other {
    /// It passes, unread.
    Allow,
    /// It is refused with an ICMP error, save what TCP and IPv6 live on, and DNS over UDP to these
    /// resolvers.
    Refuse {
        /// The resolvers' addresses.
        resolvers: Vec<IpAddr>,
    },
}

/// The families of addresses that are redirected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// IPv4 and IPv6, in one table.
    Both,
    /// IPv4 alone, on a host without IPv6.
    Ipv4,
}

impl Families {
    /// Those that this host has: a socket tells, which needs no /proc (ipv6(7)).
    pub fn of_this_host() -> Self {
        use rustix::net::{AddressFamily, SocketType, socket};
        match socket(AddressFamily::INET6, SocketType::DGRAM, None) {
            Err(rustix::io::Errno::AFNOSUPPORT) => Self::Ipv4,
            _ => Self::Both,
        }
    }
}

/// A port, or an unbroken range of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The first.
    pub first: u16,
    /// The last, which may be the first.
    pub last: u16,
}

impl From<u16> for Ports {
    fn from(port: u16) -> Self {
        Self { first: port, last: port }
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { first, last } if first == last => write!(f, "{first}"),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a port or a range of ports: write 22 or 9000-9010");
        let port = |text: &str| match text.parse::<u16>() {
            Ok(port @ 1..) => Ok(port),
            _ => Err(wrong()),
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(format!("`{text}` ends before it begins: write {last}-{first}"));
        }
        Ok(Self { first, last })
    }
}

/// Reads a network in CIDR notation, or one address.
///
/// An error says what was expected. An address with bits below the prefix's length is one: whether
/// the address or the network was meant cannot be known. So is IPv4 in IPv6 (RFC 4291, 2.5.5.2): no
/// packet bears such an address, and what was to be left alone would not be.
pub fn range(text: &str) -> Result<IpNet, String> {
    let net = match text.parse::<IpAddr>() {
        Ok(address) => IpNet::from(address),
        Err(_) => text.parse().map_err(|_| {
            format!("`{text}` is not a range of addresses: write 10.0.0.0/8, fd00::/8 or 10.1.2.3")
        })?,
    };
    if net.addr() != net.network() {
        let (whole, one) = (net.trunc(), net.addr());
        return Err(format!("`{text}` is not a network: write {whole}, or {one} for the address"));
    }
    if let IpNet::V6(mapped) = net
        && let Some(address) = mapped.addr().to_ipv4_mapped()
        && let Some(bits) = mapped.prefix_len().checked_sub(96)
    {
        return Err(format!(
            "`{text}` is IPv4 in IPv6, which no packet bears: write {address}/{bits}"
        ));
    }
    Ok(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_and_shown() {
        for text in ["22", "9000-9010", "1-65535"] {
            assert_eq!(text.parse::<Ports>().unwrap().to_string(), text);
        }
        assert_eq!("7-7".parse::<Ports>().unwrap().to_string(), "7");
        for text in ["", "0", "0-3", "65536", "-1", "1-", "1-2-3", "http", "9-8", " 1"] {
            let error = text.parse::<Ports>().unwrap_err();
            assert!(error.contains(&format!("`{text}`")) && error.contains("write"), "{error}");
        }
    }

    #[test]
    fn ranges_are_networks_or_one_address() {
        for (text, expected) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("fd00::/8", "fd00::/8"),
            ("::1", "::1/128"),
        ] {
            assert_eq!(range(text).unwrap().to_string(), expected);
        }
        assert!(
            range("10.0.0.1/8")
                .unwrap_err()
                .ends_with("write 10.0.0.0/8, or 10.0.0.1 for the address")
        );
        let mapped = [("::ffff:10.0.0.0/104", "10.0.0.0/8"), ("::ffff:10.1.2.3", "10.1.2.3/32")];
        for (text, instead) in mapped {
            assert!(range(text).unwrap_err().ends_with(&format!("write {instead}")), "{text}");
        }
        for text in ["", "10.0.0.0/33", "10.0.0", "example.org", "10.0.0.0/"] {
            assert!(range(text).unwrap_err().contains("write 10.0.0.0/8"), "{text}");
        }
    }
}

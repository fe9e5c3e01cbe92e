//! The table as a value: chains of rules, of the few kinds that Weir writes.

use std::net::Ipv4Addr;

use ipnet::IpNet;

use super::plan::Ports;

/// The name of Weir's own table.
pub(super) const NAME: &str = "weir";

/// The table, as it should be.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) family: Family,
    pub(super) chains: Vec<Chain>,
}

/// The family of a table: which packets it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Both families of addresses.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6. Weir makes no such table, and removes one that bears its name.
    Ip6,
}

impl Family {
    /// The families in which a table of Weir's may be found.
    pub(super) const ALL: [Self; 3] = [Self::Inet, Self::Ip, Self::Ip6];

    /// As nft names it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        }
    }
}

/// A list of rules.
#[derive(Clone, Debug)]
pub(super) struct Chain {
    pub(super) name: &'static str,
    /// Where the kernel enters it; a chain without is jumped to.
    pub(super) base: Option<Base>,
    pub(super) rules: Vec<Rule>,
}

/// Where the kernel enters a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) kind: Kind,
    pub(super) hook: Hook,
}

/// What a chain's rules may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rewrite addresses; it sees the first packet of each connection.
    Nat,
    /// Drop and refuse; it sees every packet.
    Filter,
}

/// Where in a packet's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hook {
    Prerouting,
    Input,
    Output,
}

impl Base {
    /// The chain's place among those of one hook: the usual ones (nft(8), "standard priority
    /// names"). Filters come after NAT and see what it made.
    pub(super) const fn priority(self) -> i32 {
        match self.kind {
            Kind::Nat => -100,
            Kind::Filter => 0,
        }
    }
}

/// What is matched, and what happens then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) matches: Vec<Match>,
    pub(super) counted: bool,
    pub(super) action: Action,
    /// Why, for whoever lists the rules.
    pub(super) comment: &'static str,
}

/// A condition on a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    /// It comes in by the loopback interface, which is the first in every network namespace.
    FromLoopback,
    /// It goes out by the loopback interface.
    ToLoopback,
    /// It is TCP.
    Tcp,
    /// It is something else.
    NotTcp,
    /// A TCP packet that opens a connection: SYN and none of FIN, RST and ACK (RFC 9293, 3.5).
    Opening,
    /// The destination's TCP port is among these.
    TcpPort(Ports),
    /// The destination's TCP port is another.
    TcpPortNot(u16),
    /// The destination's UDP port is this.
    UdpPort(u16),
    /// It comes from there.
    From(IpNet),
    /// It goes there.
    To(IpNet),
    /// This user's socket sends it.
    User(u32),
    /// What connection tracking says of it.
    State(State),
    /// It answers the side that opened the connection.
    Reply,
    /// It is IPv6.
    Ipv6,
    /// An ICMPv6 message of this type.
    Icmpv6(Icmpv6),
}

/// What connection tracking says of a packet (nft(8), "ct state").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Invalid,
    Established,
    Related,
}

/// A type of ICMPv6 message: its number (RFC 4443, 4861, 2710, 3810) and nft's name for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Icmpv6(pub(super) u8, pub(super) &'static str);

/// What happens to a packet that matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It passes, as far as Weir is concerned.
    Accept,
    /// It is gone.
    Drop,
    /// It is gone, and its sender is told that this is prohibited.
    Refuse,
    /// This chain is asked.
    Jump(&'static str),
    /// Its connection goes to this port of this machine.
    Redirect(u16),
    /// Its connection, if it is of IPv4, goes to this port of one of these addresses. The kernel
    /// chooses it by those of the connection's two ends.
    Spread { first: Ipv4Addr, last: Ipv4Addr, port: u16 },
}

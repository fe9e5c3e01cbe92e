//! Rules as the kernel runs them: loads into one register, comparisons, a verdict.
//!
//! The encoding is the one that nft chooses, so that nft shows Weir's rules as they were meant and
//! `--verify` takes those for the same that nft made from `--print`. Source: the kernel's
//! `include/uapi/linux/netfilter/nf_tables.h`, whose names the constants bear.

use std::net::IpAddr;

use ipnet::IpNet;

use super::plan::Ports;
use super::table::{Action, Family, Icmpv6, Match, Rule, State};

/// One step of a rule. Whatever is loaded to be compared goes to register 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expr {
    /// Loads a property of the packet (`NFT_META_*`).
    Meta(u32),
    /// Loads what connection tracking knows (`NFT_CT_*`).
    Ct(u32),
    /// Loads bytes of a header (`NFT_PAYLOAD_*_HEADER`).
    Payload { base: u32, offset: u32, len: u32 },
    /// Clears what is not in the mask.
    Mask(Vec<u8>),
    /// Goes on if the register compares so (`NFT_CMP_*`).
    Cmp(u32, Vec<u8>),
    /// Loads these bytes to this register.
    Load(u32, Vec<u8>),
    /// Counts packets and bytes.
    Counter,
    /// Ends the rule with this verdict (`NF_*`, `NFT_*`), at a chain if it is a jump.
    Verdict(i32, Option<String>),
    /// Redirects to the port in the register.
    Redirect,
    /// Leads IPv4 to the addresses from that in register 1 to that in register 2, and the port in
    /// register 3.
    Dnat,
    /// Refuses with an ICMP error: `NFT_REJECT_*` and the code.
    Reject(u32, u8),
    /// Something that Weir does not write, by the kernel's name for it.
    Other(String),
}

pub(super) const NF_DROP: i32 = 0;
pub(super) const NF_ACCEPT: i32 = 1;
pub(super) const NFT_JUMP: i32 = -3;

pub(super) const NFT_CMP_EQ: u32 = 0;
const NFT_CMP_NEQ: u32 = 1;
pub(super) const NFT_CMP_LTE: u32 = 3;
pub(super) const NFT_CMP_GTE: u32 = 5;

const NFT_META_IIF: u32 = 4;
const NFT_META_OIF: u32 = 5;
const NFT_META_SKUID: u32 = 10;
const NFT_META_NFPROTO: u32 = 15;
const NFT_META_L4PROTO: u32 = 16;

const NFT_CT_STATE: u32 = 0;
const NFT_CT_DIRECTION: u32 = 1;

const NFT_PAYLOAD_NETWORK_HEADER: u32 = 1;
const NFT_PAYLOAD_TRANSPORT_HEADER: u32 = 2;

const NFT_REJECT_ICMP_UNREACH: u32 = 0;
const NFT_REJECT_ICMPX_UNREACH: u32 = 2;
const NFT_REJECT_ICMPX_ADMIN_PROHIBITED: u8 = 3;
/// ICMP "communication administratively prohibited" (RFC 1812, 5.2.7.1).
const ICMP_PKT_FILTERED: u8 = 13;
/// ICMPv6 "communication with destination administratively prohibited" (RFC 4443, 3.1).
const ICMPV6_ADM_PROHIBITED: u8 = 1;

pub(super) const NFPROTO_INET: u8 = 1;
pub(super) const NFPROTO_IPV4: u8 = 2;
pub(super) const NFPROTO_IPV6: u8 = 10;

/// Protocol numbers (RFC 5237's registry).
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;

/// The loopback interface's index in every network namespace (Linux, `LOOPBACK_IFINDEX`).
const LOOPBACK: u32 = 1;

impl Family {
    /// The kernel's number of it.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Inet => NFPROTO_INET,
            Self::Ip => NFPROTO_IPV4,
            Self::Ip6 => NFPROTO_IPV6,
        }
    }
}

/// The steps of a rule in a table of this family.
pub(super) fn steps(rule: &Rule, family: Family) -> Vec<Expr> {
    let mut steps = Steps { family, done: Vec::new(), network: None, transport: None };
    for one in &rule.matches {
        steps.matching(*one);
    }
    if rule.counted {
        steps.done.push(Expr::Counter);
    }
    steps.act(rule.action);
    steps.done
}

/// Steps in the making, and what those so far have made sure of.
struct Steps {
    family: Family,
    done: Vec<Expr>,
    network: Option<u8>,
    transport: Option<u8>,
}

impl Steps {
    fn matching(&mut self, one: Match) {
        match one {
            Match::FromLoopback => self.meta(NFT_META_IIF, LOOPBACK.to_ne_bytes()),
            Match::ToLoopback => self.meta(NFT_META_OIF, LOOPBACK.to_ne_bytes()),
            Match::User(uid) => self.meta(NFT_META_SKUID, uid.to_ne_bytes()),
            Match::Tcp => self.transport(TCP),
            Match::NotTcp => self.load(Expr::Meta(NFT_META_L4PROTO), NFT_CMP_NEQ, [TCP]),
            Match::Opening => self.opening(),
            Match::TcpPort(ports) => self.port(TCP, ports),
            Match::TcpPortNot(port) => {
                self.transport(TCP);
                self.load(PORT, NFT_CMP_NEQ, port.to_be_bytes());
            }
            Match::UdpPort(port) => self.port(UDP, port.into()),
            Match::From(net) => self.address(End::Source, net),
            Match::To(net) => self.address(End::Destination, net),
            Match::State(state) => self.state(state),
            Match::Reply => self.load(Expr::Ct(NFT_CT_DIRECTION), NFT_CMP_EQ, [1]),
            Match::Ipv6 => self.network(NFPROTO_IPV6),
            Match::Icmpv6(Icmpv6(kind, _)) => {
                self.network(NFPROTO_IPV6);
                self.transport(ICMPV6);
                self.load(transport_bytes(0, 1), NFT_CMP_EQ, [kind]);
            }
        }
    }

    /// The flags are byte 13 of the header: FIN 1, SYN 2, RST 4, ACK 16 (RFC 9293, 3.1).
    fn opening(&mut self) {
        self.transport(TCP);
        self.done.push(transport_bytes(13, 1));
        self.done.push(Expr::Mask(vec![1 | 2 | 4 | 16]));
        self.compare(NFT_CMP_EQ, [2]);
    }

    fn port(&mut self, protocol: u8, ports: Ports) {
        self.transport(protocol);
        let (first, last) = (ports.first.to_be_bytes(), ports.last.to_be_bytes());
        if first == last {
            self.load(PORT, NFT_CMP_EQ, first);
        } else {
            self.load(PORT, NFT_CMP_GTE, first);
            self.compare(NFT_CMP_LTE, last);
        }
    }

    fn address(&mut self, end: End, net: IpNet) {
        let (family, offset, network, mask) = match net {
            IpNet::V4(net) => {
                (NFPROTO_IPV4, end.in_ipv4(), bytes(net.network()), bytes(net.netmask()))
            }
            IpNet::V6(net) => {
                (NFPROTO_IPV6, end.in_ipv6(), bytes(net.network()), bytes(net.netmask()))
            }
        };
        self.network(family);
        let load = |len: u32| Expr::Payload { base: NFT_PAYLOAD_NETWORK_HEADER, offset, len };
        let bits = net.prefix_len();
        if bits > 0 && bits.is_multiple_of(8) {
            // As many bytes as the prefix has say it all.
            let len = bits / 8;
            self.load(load(len.into()), NFT_CMP_EQ, &network[..usize::from(len)]);
        } else {
            self.done.push(load(u32::from(net.max_prefix_len()) / 8));
            self.done.push(Expr::Mask(mask));
            self.compare(NFT_CMP_EQ, network);
        }
    }

    /// The state is one bit of a word (`NF_CT_STATE_BIT`).
    fn state(&mut self, state: State) {
        let bit: u32 = match state {
            State::Invalid => 1,
            State::Established => 2,
            State::Related => 4,
        };
        self.done.push(Expr::Ct(NFT_CT_STATE));
        self.done.push(Expr::Mask(bit.to_ne_bytes().to_vec()));
        self.compare(NFT_CMP_NEQ, [0; 4]);
    }

    /// Makes sure of the family of addresses, where the table sees both.
    fn network(&mut self, protocol: u8) {
        if self.family == Family::Inet && self.network != Some(protocol) {
            self.meta(NFT_META_NFPROTO, [protocol]);
        }
        self.network = Some(protocol);
    }

    /// Makes sure of the protocol whose header is looked at.
    fn transport(&mut self, protocol: u8) {
        if self.transport != Some(protocol) {
            self.meta(NFT_META_L4PROTO, [protocol]);
        }
        self.transport = Some(protocol);
    }

    fn meta(&mut self, key: u32, value: impl AsRef<[u8]>) {
        self.load(Expr::Meta(key), NFT_CMP_EQ, value);
    }

    fn load(&mut self, load: Expr, op: u32, value: impl AsRef<[u8]>) {
        self.done.push(load);
        self.compare(op, value);
    }

    fn compare(&mut self, op: u32, value: impl AsRef<[u8]>) {
        self.done.push(Expr::Cmp(op, value.as_ref().to_vec()));
    }

    fn act(&mut self, action: Action) {
        let step = match action {
            Action::Accept => Expr::Verdict(NF_ACCEPT, None),
            Action::Drop => Expr::Verdict(NF_DROP, None),
            Action::Jump(chain) => Expr::Verdict(NFT_JUMP, Some(chain.to_owned())),
            Action::Refuse => self.refusal(),
            Action::Redirect(port) => {
                self.done.push(Expr::Load(1, port.to_be_bytes().to_vec()));
                Expr::Redirect
            }
            Action::Spread { first, last, port } => {
                self.done.push(Expr::Load(1, bytes(first)));
                self.done.push(Expr::Load(2, bytes(last)));
                self.done.push(Expr::Load(3, port.to_be_bytes().to_vec()));
                Expr::Dnat
            }
        };
        self.done.push(step);
    }

    fn refusal(&self) -> Expr {
        match self.family {
            Family::Inet => {
                Expr::Reject(NFT_REJECT_ICMPX_UNREACH, NFT_REJECT_ICMPX_ADMIN_PROHIBITED)
            }
            Family::Ip => Expr::Reject(NFT_REJECT_ICMP_UNREACH, ICMP_PKT_FILTERED),
            Family::Ip6 => Expr::Reject(NFT_REJECT_ICMP_UNREACH, ICMPV6_ADM_PROHIBITED),
        }
    }
}

/// The destination's port: bytes 2 and 3 of TCP's and of UDP's header.
const PORT: Expr = transport_bytes(2, 2);

const fn transport_bytes(offset: u32, len: u32) -> Expr {
    Expr::Payload { base: NFT_PAYLOAD_TRANSPORT_HEADER, offset, len }
}

/// One end of a packet's way.
#[derive(Clone, Copy)]
enum End {
    Source,
    Destination,
}

impl End {
    /// Where the address stands in the header (RFC 791, 3.1).
    const fn in_ipv4(self) -> u32 {
        match self {
            Self::Source => 12,
            Self::Destination => 16,
        }
    }

    /// Where the address stands in the header (RFC 8200, 3).
    const fn in_ipv6(self) -> u32 {
        match self {
            Self::Source => 8,
            Self::Destination => 24,
        }
    }
}

fn bytes(address: impl Into<IpAddr>) -> Vec<u8> {
    match address.into() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

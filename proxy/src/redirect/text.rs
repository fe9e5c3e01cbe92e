//! The table in nft's own syntax (nft(8)), as `nft list table` shows it too.

use std::fmt;

use ipnet::IpNet;

use super::table::{
    Action, Base, Chain, Family, Hook, Icmpv6, Kind, Match, NAME, Rule, State, Table,
};

/// What a table bears as its comment.
pub(super) const COMMENT: &str = concat!("weir ", env!("CARGO_PKG_VERSION"));

/// The whole as `nft -f` takes it: the table is added, so that deleting it cannot fail, deleted
/// with whatever it held, and made anew, all in one transaction.
pub(super) fn script(table: &Table) -> String {
    let name = format!("{} {NAME}", table.family.name());
    format!("add table {name}\ndelete table {name}\n{table}")
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "table {} {NAME} {{", self.family.name())?;
        writeln!(f, "\tcomment \"{COMMENT}\"")?;
        for chain in &self.chains {
            writeln!(f)?;
            chain.show(f, self.family)?;
        }
        writeln!(f, "}}")
    }
}

impl Chain {
    fn show(&self, f: &mut fmt::Formatter<'_>, family: Family) -> fmt::Result {
        writeln!(f, "\tchain {} {{", self.name)?;
        if let Some(base) = self.base {
            writeln!(f, "\t\t{base}")?;
        }
        for rule in &self.rules {
            writeln!(f, "\t\t{} comment \"{}\"", rule.text(family), rule.comment)?;
        }
        writeln!(f, "\t}}")
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, hook) = (self.kind.name(), self.hook.name());
        // nft's names of places; `dstnat` is none at the output.
        let priority = match (self.kind, self.hook) {
            (Kind::Nat, Hook::Prerouting) => "dstnat".to_owned(),
            (Kind::Nat, _) => self.priority().to_string(),
            (Kind::Filter, _) => "filter".to_owned(),
        };
        write!(f, "type {kind} hook {hook} priority {priority}; policy accept;")
    }
}

impl Kind {
    /// As nft and the kernel name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::Filter => "filter",
        }
    }
}

impl Hook {
    /// As nft names it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Prerouting => "prerouting",
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

impl Rule {
    /// The rule without its comment.
    pub(super) fn text(&self, family: Family) -> String {
        let mut words: Vec<String> = self.matches.iter().map(ToString::to_string).collect();
        if self.counted {
            words.push("counter".to_owned());
        }
        words.push(match (self.action, family) {
            (Action::Accept, _) => "accept".to_owned(),
            (Action::Drop, _) => "drop".to_owned(),
            (Action::Jump(chain), _) => format!("jump {chain}"),
            (Action::Redirect(port), _) => format!("redirect to :{port}"),
            (Action::Spread { first, last, port }, Family::Ip) => {
                format!("dnat to {first}-{last}:{port}")
            }
            (Action::Spread { first, last, port }, _) => {
                format!("dnat ip to {first}-{last}:{port}")
            }
            (Action::Refuse, Family::Inet) => "reject with icmpx admin-prohibited".to_owned(),
            (Action::Refuse, Family::Ip) => "reject with icmp admin-prohibited".to_owned(),
            (Action::Refuse, Family::Ip6) => "reject with icmpv6 admin-prohibited".to_owned(),
        });
        words.join(" ")
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromLoopback => f.write_str("iif \"lo\""),
            Self::ToLoopback => f.write_str("oif \"lo\""),
            Self::Tcp => f.write_str("meta l4proto tcp"),
            Self::NotTcp => f.write_str("meta l4proto != tcp"),
            Self::Opening => f.write_str("tcp flags syn / fin,syn,rst,ack"),
            Self::TcpPort(ports) => write!(f, "tcp dport {ports}"),
            Self::TcpPortNot(port) => write!(f, "tcp dport != {port}"),
            Self::UdpPort(port) => write!(f, "udp dport {port}"),
            Self::From(net) => address(f, "saddr", net),
            Self::To(net) => address(f, "daddr", net),
            Self::User(uid) => write!(f, "meta skuid {uid}"),
            Self::State(state) => write!(f, "ct state {}", state.name()),
            Self::Reply => f.write_str("ct direction reply"),
            Self::Ipv6 => f.write_str("meta nfproto ipv6"),
            Self::Icmpv6(Icmpv6(_, name)) => write!(f, "icmpv6 type {name}"),
        }
    }
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Established => "established",
            Self::Related => "related",
        }
    }
}

fn address(f: &mut fmt::Formatter<'_>, end: &str, net: &IpNet) -> fmt::Result {
    let family = if net.addr().is_ipv4() { "ip" } else { "ip6" };
    if net.prefix_len() == net.max_prefix_len() {
        write!(f, "{family} {end} {}", net.addr())
    } else {
        write!(f, "{family} {end} {net}")
    }
}

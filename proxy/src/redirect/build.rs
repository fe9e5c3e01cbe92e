//! The table that a plan asks for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

use crate::defaults::OUTBOUND_ADDRESSES;

use super::plan::{Families, Other, Plan, Skips};
use super::table::{Action, Base, Chain, Family, Hook, Icmpv6, Kind, Match, Rule, State, Table};

const INBOUND_EXEMPT: &str = "inbound_exempt";
const OUTBOUND_EXEMPT: &str = "outbound_exempt";
const INBOUND_OTHER: &str = "inbound_other";
const OUTBOUND_OTHER: &str = "outbound_other";

/// DNS over UDP (RFC 1035, 4.2.1).
const DNS_PORT: u16 = 53;

/// What IPv6 does not work without: finding routers and neighbours (RFC 4861), and saying which
/// multicast groups, and so which neighbours' questions, are listened to (RFC 2710, RFC 3810).
const IPV6_LIVES_ON: [Icmpv6; 8] = [
    Icmpv6(130, "mld-listener-query"),
    Icmpv6(131, "mld-listener-report"),
    Icmpv6(132, "mld-listener-done"),
    Icmpv6(133, "nd-router-solicit"),
    Icmpv6(134, "nd-router-advert"),
    Icmpv6(135, "nd-neighbor-solicit"),
    Icmpv6(136, "nd-neighbor-advert"),
    Icmpv6(143, "mld2-listener-report"),
];

/// The table of `plan`. Pure: the same plan makes the same table.
///
/// Who is exempt stands in one chain for each side. NAT and filter ask the same chain, so that no
/// connection can be exempt from the one and not from the other.
pub(super) fn table(plan: &Plan) -> Table {
    let family = match plan.families {
        Families::Both => Family::Inet,
        Families::Ipv4 => Family::Ip,
    };
    let mut chains = vec![
        chain(INBOUND_EXEMPT, None, inbound_exempt(plan)),
        chain(OUTBOUND_EXEMPT, None, outbound_exempt(plan)),
    ];
    if let Other::Refuse { resolvers } = &plan.other {
        chains.push(chain(INBOUND_OTHER, None, inbound_other(plan)));
        chains.push(chain(OUTBOUND_OTHER, None, outbound_other(plan, resolvers)));
    }
    chains.extend(base_chains(plan));
    let mut table = Table { family, chains };
    if family == Family::Ip {
        leave_ipv6_out(&mut table);
    }
    table
}

fn base_chains(plan: &Plan) -> [Chain; 4] {
    let base = |kind, hook| Some(Base { kind, hook });
    [
        chain("prerouting", base(Kind::Nat, Hook::Prerouting), redirect_in(plan.inbound_port)),
        chain(
            "input",
            base(Kind::Filter, Hook::Input),
            filter(
                INBOUND_EXEMPT,
                [Match::Opening, Match::TcpPortNot(plan.inbound_port)],
                INBOUND_OTHER,
                &plan.other,
            ),
        ),
        chain("output_nat", base(Kind::Nat, Hook::Output), redirect_out(plan.outbound_port)),
        chain(
            "output",
            base(Kind::Filter, Hook::Output),
            // What is redirected goes to a loopback address by now, and is exempt as that.
            filter(OUTBOUND_EXEMPT, [Match::Opening], OUTBOUND_OTHER, &plan.other),
        ),
    ]
}

/// Whose connections to this namespace are left alone.
fn inbound_exempt(plan: &Plan) -> Vec<Rule> {
    let mut rules = vec![
        accept([Match::FromLoopback], "from this network namespace itself"),
        accept([Match::TcpPort(plan.admin_port.into())], "metrics and probes of Weir"),
    ];
    rules.extend(skips(&plan.inbound, Match::From));
    rules
}

/// Whose connections from this namespace are left alone.
fn outbound_exempt(plan: &Plan) -> Vec<Rule> {
    let loopback = Ipv4Net::new_assert(Ipv4Addr::LOCALHOST, 8).trunc();
    let mut rules = vec![
        accept([Match::User(plan.proxy_uid)], OWN),
        // By address and not by interface: behind NAT the filter still sees the first interface.
        accept([Match::To(loopback.into())], "loopback"),
        accept([Match::To(IpNet::from(IpAddr::from(Ipv6Addr::LOCALHOST)))], "loopback"),
    ];
    rules.extend(skips(&plan.outbound, Match::To));
    rules
}

const OWN: &str = "Weir's own";

fn skips(skips: &Skips, peer: fn(IpNet) -> Match) -> Vec<Rule> {
    let ports = skips.ports.iter().map(|ports| accept([Match::TcpPort(*ports)], "skipped port"));
    ports.chain(skipped_ranges(skips, peer)).collect()
}

fn skipped_ranges(skips: &Skips, peer: fn(IpNet) -> Match) -> impl Iterator<Item = Rule> {
    skips.ranges.iter().map(move |range| accept([peer(*range)], "skipped range"))
}

/// Only what opens a connection is redirected, so that connections which are older than the table
/// go on: their packets carry no SYN.
fn redirect_in(port: u16) -> Vec<Rule> {
    vec![
        rule([Match::Opening], Action::Jump(INBOUND_EXEMPT), "who is left alone"),
        rule([Match::Opening], Action::Redirect(port), EVERYBODY_ELSE),
    ]
}

/// The same towards servers, whose connections are spread over addresses of Weir's: at one, all of
/// them would differ by 64,000 source ports alone. IPv6 has but one loopback address.
fn redirect_out(port: u16) -> Vec<Rule> {
    let (first, last) = OUTBOUND_ADDRESSES;
    vec![
        rule([Match::Opening], Action::Jump(OUTBOUND_EXEMPT), "who is left alone"),
        rule([Match::Opening], Action::Spread { first, last, port }, EVERYBODY_ELSE),
        rule([Match::Opening, Match::Ipv6], Action::Redirect(port), EVERYBODY_ELSE),
    ]
}

const EVERYBODY_ELSE: &str = "everybody else, to Weir";

/// The filter behind the redirect. Connection tracking takes up a connection in its middle, and
/// binds it to no redirect then; a SYN on the same addresses and ports would go by Weir. So what
/// opens a connection must by now be on its way to Weir: `past` tells what is not.
fn filter(
    exempt: &'static str,
    past: impl Into<Vec<Match>>,
    other: &'static str,
    refuse: &Other,
) -> Vec<Rule> {
    let mut rules = vec![
        counted(
            [Match::Tcp, Match::State(State::Invalid)],
            Action::Drop,
            "belongs to no connection, so NAT passes it by",
        ),
        rule([Match::Opening], Action::Jump(exempt), "who is left alone"),
        counted(past, Action::Drop, "would go past Weir"),
    ];
    if matches!(refuse, Other::Refuse { .. }) {
        rules.push(rule([Match::NotTcp], Action::Jump(other), "everything but TCP"));
    }
    rules
}

fn inbound_other(plan: &Plan) -> Vec<Rule> {
    let mut rules = vec![
        accept([Match::FromLoopback], "from this network namespace itself"),
        accept([Match::State(State::Related)], RELATED),
        accept([Match::State(State::Established), Match::Reply], "answers to what may go out"),
    ];
    rules.extend(ipv6_lives_on());
    rules.extend(skipped_ranges(&plan.inbound, Match::From));
    rules.push(refused());
    rules
}

fn outbound_other(plan: &Plan, resolvers: &[IpAddr]) -> Vec<Rule> {
    let mut rules = vec![
        accept([Match::ToLoopback], "loopback"),
        accept([Match::User(plan.proxy_uid)], OWN),
        accept([Match::State(State::Related)], RELATED),
    ];
    rules.extend(resolvers.iter().map(|resolver| {
        accept([Match::To(IpNet::from(*resolver)), Match::UdpPort(DNS_PORT)], "DNS")
    }));
    rules.extend(ipv6_lives_on());
    rules.extend(skipped_ranges(&plan.outbound, Match::To));
    rules.push(refused());
    rules
}

const RELATED: &str = "ICMP errors of known connections";

fn ipv6_lives_on() -> impl Iterator<Item = Rule> {
    IPV6_LIVES_ON.into_iter().map(|kind| accept([Match::Icmpv6(kind)], "IPv6 lives on it"))
}

fn refused() -> Rule {
    counted([], Action::Refuse, "not TCP")
}

/// A table of the family `ip` can say nothing of IPv6.
fn leave_ipv6_out(table: &mut Table) {
    let ipv6 = |one: &Match| match one {
        Match::From(net) | Match::To(net) => net.addr().is_ipv6(),
        Match::Ipv6 | Match::Icmpv6(_) => true,
        _ => false,
    };
    for chain in &mut table.chains {
        chain.rules.retain(|rule| !rule.matches.iter().any(ipv6));
    }
}

fn chain(name: &'static str, base: Option<Base>, rules: Vec<Rule>) -> Chain {
    Chain { name, base, rules }
}

fn rule(matches: impl Into<Vec<Match>>, action: Action, comment: &'static str) -> Rule {
    Rule { matches: matches.into(), counted: false, action, comment }
}

fn counted(matches: impl Into<Vec<Match>>, action: Action, comment: &'static str) -> Rule {
    Rule { counted: true, ..rule(matches, action, comment) }
}

fn accept(matches: impl Into<Vec<Match>>, comment: &'static str) -> Rule {
    rule(matches, Action::Accept, comment)
}

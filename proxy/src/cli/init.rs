//! `weir init`: the redirect of this network namespace.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr as _;

use ipnet::IpNet;
use weir::defaults;
use weir::redirect::{self, Error, Families, Other, Plan, Ports, Skips};

use super::failure::{Failure, Message};
use super::terminal;

/// Redirect the connections of this network namespace to Weir, both ways
///
/// Writes one nftables table, `weir`, in one step, and touches no other. New TCP connections from
/// and to this namespace go to the ports of `weir run` then; those that are open already go on as
/// they are. Loopback traffic and Weir's own connections are left alone. It may run again at any
/// time, and replaces what an earlier run or version left. Needs CAP_NET_ADMIN in the namespace,
/// and no other program.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  In the init container of a pod, with nothing left alone but Weir's probes:
    weir init

  Leave SSH alone, and whatever goes to the node-local range; refuse what is not TCP:
    weir init --skip-inbound-ports 22 --skip-outbound-ranges 169.254.0.0/16 --other refuse

  See what would be written, and whether the kernel has it:
    weir init --print
    weir init --verify

  Try it in a network namespace of one's own, as any user:
    unshare --map-root-user --net sh -c 'weir init && weir init --verify && weir init --remove'

Exit status: 0 done, or the same rules; 1 not done, or --verify found other rules; 2 wrong usage.")]
pub(super) struct Args {
    /// The user that `weir run` runs as: its connections are left alone
    #[arg(long, value_name = "UID", env = "WEIR_PROXY_UID", default_value_t = defaults::PROXY_UID)]
    #[arg(help_heading = "Redirect", value_parser = user)]
    proxy_uid: u32,

    /// Where connections to this namespace go
    #[arg(long, value_name = "PORT", env = "WEIR_INBOUND_PORT", value_parser = port)]
    #[arg(default_value_t = defaults::INBOUND_PORT, help_heading = "Redirect")]
    inbound_port: u16,

    /// Where connections from this namespace go
    #[arg(long, value_name = "PORT", env = "WEIR_OUTBOUND_PORT", value_parser = port)]
    #[arg(default_value_t = defaults::OUTBOUND_PORT, help_heading = "Redirect")]
    outbound_port: u16,

    /// Where `weir run` serves metrics and probes: connections to it are left alone
    #[arg(long, value_name = "PORT", env = "WEIR_ADMIN_PORT", value_parser = port)]
    #[arg(default_value_t = defaults::ADMIN_PORT, help_heading = "Redirect")]
    admin_port: u16,

    /// Leave connections to these ports of this namespace alone: 22,9000-9010
    #[arg(long, value_name = "PORTS", env = "WEIR_SKIP_INBOUND_PORTS")]
    #[arg(help_heading = "Left alone", value_parser = list(Ports::from_str))]
    skip_inbound_ports: Vec<List<Ports>>,

    /// Leave connections to these ports of others alone
    #[arg(long, value_name = "PORTS", env = "WEIR_SKIP_OUTBOUND_PORTS")]
    #[arg(help_heading = "Left alone", value_parser = list(Ports::from_str))]
    skip_outbound_ports: Vec<List<Ports>>,

    /// Leave what comes from these addresses alone: 10.1.2.3,fd00:1::/32
    #[arg(long, value_name = "CIDRS", env = "WEIR_SKIP_INBOUND_RANGES")]
    #[arg(help_heading = "Left alone", value_parser = list(redirect::range))]
    skip_inbound_ranges: Vec<List<IpNet>>,

    /// Leave what goes to these addresses alone
    #[arg(long, value_name = "CIDRS", env = "WEIR_SKIP_OUTBOUND_RANGES")]
    #[arg(help_heading = "Left alone", value_parser = list(redirect::range))]
    skip_outbound_ranges: Vec<List<IpNet>>,

    /// What becomes of everything that is not TCP, both ways
    #[arg(long, value_enum, value_name = "WHAT", env = "WEIR_OTHER", default_value = "allow")]
    #[arg(help_heading = "Not TCP")]
    other: OtherArg,

    /// A resolver that may be asked over UDP where the rest is refused; may be given again
    /// [default: those of /etc/resolv.conf]
    #[arg(long = "dns-server", value_name = "IP", env = "WEIR_DNS_SERVERS")]
    #[arg(help_heading = "Not TCP", value_parser = list(address))]
    dns_servers: Vec<List<IpAddr>>,

    /// Print the rules for `nft -f`, and change nothing
    #[arg(long, group = "what", help_heading = "Instead")]
    print: bool,

    /// Say whether the kernel has these rules, and change nothing
    #[arg(long, group = "what", help_heading = "Instead")]
    verify: bool,

    /// Remove the redirect
    #[arg(long, group = "what", help_heading = "Instead")]
    remove: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum OtherArg {
    /// Let it pass, unread
    Allow,
    /// Refuse it with an error, but for DNS and what TCP and IPv6 live on
    Refuse,
}

/// Values with commas between them. An empty list is one too: a variable may be set to nothing.
#[derive(Clone, Debug)]
struct List<T>(Vec<T>);

impl<T: Clone> List<T> {
    fn all(lists: &[Self]) -> Vec<T> {
        lists.iter().flat_map(|list| list.0.clone()).collect()
    }
}

/// Reads a list whose values `one` reads.
fn list<T>(
    one: impl Fn(&str) -> Result<T, String> + Clone,
) -> impl Fn(&str) -> Result<List<T>, String> + Clone {
    move |text| {
        let values = text.split(',').map(str::trim).filter(|value| !value.is_empty());
        values.map(&one).collect::<Result<_, _>>().map(List)
    }
}

/// Where resolvers are named (resolv.conf(5)).
const RESOLV_CONF: &str = "/etc/resolv.conf";

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    if args.remove {
        return remove();
    }
    let plan = plan(args)?;
    if args.print {
        return terminal::print(&redirect::script(&plan));
    }
    if args.verify {
        return verify(&plan);
    }
    redirect::apply(&plan).map_err(failed)?;
    terminal::print(&format!("redirected: {}\n", words(&plan)))
}

fn remove() -> Result<(), Failure> {
    let removed = redirect::remove().map_err(failed)?;
    terminal::print(if removed { "removed the redirect\n" } else { "there was no redirect\n" })
}

fn verify(plan: &Plan) -> Result<(), Failure> {
    let drift = redirect::verify(plan).map_err(failed)?;
    if drift.is_empty() {
        return terminal::print(&format!("as it should be: {}\n", words(plan)));
    }
    let mut text = "the kernel's rules are not those of these settings:".to_owned();
    for one in drift {
        let _ = write!(text, "\n  {one}");
    }
    Err(Failure::other(text).hint("`weir init` with the same settings puts them right"))
}

fn plan(args: &Args) -> Result<Plan, Failure> {
    let (inbound, outbound) = (args.inbound_port, args.outbound_port);
    if inbound == outbound || [inbound, outbound].contains(&args.admin_port) {
        return Err(Failure::usage(
            "the inbound, the outbound and the admin port must be three different ones",
        ));
    }
    Ok(Plan {
        proxy_uid: args.proxy_uid,
        inbound_port: inbound,
        outbound_port: outbound,
        admin_port: args.admin_port,
        inbound: Skips {
            ports: List::all(&args.skip_inbound_ports),
            ranges: List::all(&args.skip_inbound_ranges),
        },
        outbound: Skips {
            ports: List::all(&args.skip_outbound_ports),
            ranges: List::all(&args.skip_outbound_ranges),
        },
        other: other(args)?,
        families: Families::of_this_host(),
    })
}

fn other(args: &Args) -> Result<Other, Failure> {
    let mut resolvers = List::all(&args.dns_servers);
    if args.other == OtherArg::Allow {
        return match resolvers.is_empty() {
            true => Ok(Other::Allow),
            false => Err(Failure::usage("--dns-server goes with --other refuse")),
        };
    }
    if resolvers.is_empty() {
        resolvers =
            std::fs::read_to_string(RESOLV_CONF).as_deref().map(nameservers).unwrap_or_default();
    }
    if resolvers.is_empty() {
        let text = format!("{RESOLV_CONF} names no resolver, so DNS over UDP is refused too");
        Message::new(text).warn();
    }
    Ok(Other::Refuse { resolvers })
}

/// The resolvers that a resolv.conf names, without the interface of a link-local one.
fn nameservers(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_whitespace();
        let is_one = words.next() == Some("nameserver");
        let address = words.next().filter(|_| is_one)?;
        address.split('%').next()?.parse().ok().map(|address: IpAddr| address.to_canonical())
    };
    let mut found = Vec::new();
    for address in text.lines().filter_map(address) {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// What the redirect does, in a line.
fn words(plan: &Plan) -> String {
    let families = match plan.families {
        Families::Both => "IPv4 and IPv6",
        Families::Ipv4 => "IPv4 alone, for this host has no IPv6",
    };
    let other = match plan.other {
        Other::Allow => "",
        Other::Refuse { .. } => ", what is not TCP is refused",
    };
    format!(
        "inbound to port {}, outbound to port {}, all but user {} ({families}){other}",
        plan.inbound_port, plan.outbound_port, plan.proxy_uid
    )
}

/// Reads a port that can be listened at.
fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(port @ 1..) => Ok(port),
        _ => Err("write a port from 1 to 65535".to_owned()),
    }
}

/// Reads a user's id. The last number is none: for the kernel it means "no user" (chown(2)).
fn user(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(uid) if uid != u32::MAX => Ok(uid),
        _ => Err("write a user's number, from 0 to 4294967294".to_owned()),
    }
}

/// Reads an address; IPv4 in IPv6 is IPv4, as packets bear it.
fn address(text: &str) -> Result<IpAddr, String> {
    let address: Result<IpAddr, _> = text.parse();
    address
        .map(|address| address.to_canonical())
        .map_err(|_| format!("`{text}` is not an address: write 10.96.0.10"))
}

fn failed(error: Error) -> Failure {
    let hint = match &error {
        Error::NotPermitted => Some(not_permitted()),
        Error::NoNfTables => Some(
            "it needs Linux with CONFIG_NF_TABLES; as root on the host: `modprobe nf_tables`".to_owned(),
        ),
        Error::Unsupported { .. } => Some(
            "it needs Linux 5.2 or later with nftables' NAT, conntrack and reject; as root on the host: \
             `modprobe -a nft_chain_nat nft_redir nft_ct nft_reject_inet`"
                .to_owned(),
        ),
        Error::Refused { .. } | Error::Netlink(_) => None,
    };
    let failure = Failure::other(error.to_string());
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

/// How to give the right, with the place of this very program.
fn not_permitted() -> String {
    let program = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("weir"));
    let mut hint = format!(
        "in a pod: `securityContext: {{capabilities: {{add: [NET_ADMIN]}}}}` for the container of `weir init`; \
         for a user other than root also `setcap cap_net_admin=p {}`",
        program.display()
    );
    // The capability of a file is not given then (prctl(2), PR_SET_NO_NEW_PRIVS).
    if rustix::thread::no_new_privs().unwrap_or(false) {
        hint.push_str(
            ", and no `allowPrivilegeEscalation: false`, which is set here and takes it away",
        );
    }
    hint
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_are_read_from_resolv_conf() {
        let text = "# nameserver 1.1.1.1\nsearch a b\nnameserver 10.96.0.10\n\tnameserver\tfe80::1%eth0 \n\
                    nameserver 10.96.0.10\nnameserver nonsense\nnameserverx 10.0.0.1\nnameserver\n\
                    nameserver ::ffff:10.0.0.9\n";
        let expected: Vec<IpAddr> =
            ["10.96.0.10", "fe80::1", "10.0.0.9"].map(|ip| ip.parse().unwrap()).into();
        assert_eq!(nameservers(text), expected);
    }
}

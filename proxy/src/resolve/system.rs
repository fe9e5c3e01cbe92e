//! How this machine resolves names: resolv.conf(5) and hosts(5), as the application beside it
//! reads them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// As many servers are asked as glibc asks (`MAXNS`).
const SERVERS: usize = 3;
const PORT: u16 = 53;

/// What the files say at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct System {
    /// The servers in the order in which they are asked, or why none can be.
    pub(super) servers: Result<Vec<SocketAddr>, String>,
    search: Vec<String>,
    ndots: usize,
    /// How long a server has for an answer.
    pub(super) timeout: Duration,
    /// How often all servers are asked.
    pub(super) attempts: usize,
    /// Whether they are asked by TCP alone.
    pub(super) tcp: bool,
    hosts: Vec<(IpAddr, Vec<String>)>,
}

impl System {
    /// Reads both files. What cannot be read resolves nothing, and says so.
    pub(super) fn read(resolv_conf: &Path, hosts: &Path) -> Self {
        let mut system = match std::fs::read_to_string(resolv_conf) {
            Ok(text) => Self::parse(&text),
            Err(error) => {
                let why = format!("cannot read {}: {error}", resolv_conf.display());
                Self { servers: Err(why), ..Self::parse("") }
            }
        };
        // A machine without the file has no such names.
        system.hosts =
            std::fs::read_to_string(hosts).map(|text| addresses(&text)).unwrap_or_default();
        system
    }

    /// Reads the text of a resolv.conf(5). A server may have a port, as in OpenBSD's:
    /// `nameserver [127.0.0.1]:5353`. Lines and options that are not known say nothing.
    fn parse(text: &str) -> Self {
        let mut servers = Vec::new();
        let mut system = Self {
            servers: Ok(Vec::new()),
            search: Vec::new(),
            ndots: 1,
            timeout: Duration::from_secs(5),
            attempts: 2,
            tcp: false,
            hosts: Vec::new(),
        };
        for line in text.lines().filter(|line| !line.starts_with(['#', ';'])) {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => servers.extend(words.next().and_then(server)),
                // Of several lines the last stands.
                Some("domain") => system.search = words.take(1).filter_map(suffix).collect(),
                Some("search") => system.search = words.filter_map(suffix).collect(),
                Some("options") => words.for_each(|word| system.option(word)),
                _ => {}
            }
        }
        servers.truncate(SERVERS);
        if servers.is_empty() {
            servers.push((Ipv4Addr::LOCALHOST, PORT).into());
        }
        system.servers = Ok(servers);
        system
    }

    fn option(&mut self, word: &str) {
        let (name, value) = word.split_once(':').unwrap_or((word, ""));
        let number = value.parse::<u8>().ok();
        match (name, number) {
            // The bounds are glibc's.
            ("ndots", Some(n)) => self.ndots = n.min(15).into(),
            ("timeout", Some(n)) => self.timeout = Duration::from_secs(n.clamp(1, 30).into()),
            ("attempts", Some(n)) => self.attempts = n.clamp(1, 5).into(),
            ("use-vc", _) => self.tcp = true,
            _ => {}
        }
    }

    /// The addresses that hosts(5) has for a name. Where it has any, no server is asked.
    pub(super) fn of_hosts(&self, name: &str) -> Vec<IpAddr> {
        let named = |names: &[String]| names.iter().any(|other| other == name);
        self.hosts.iter().filter(|(_, names)| named(names)).map(|(at, _)| *at).collect()
    }

    /// The whole names that a name can stand for, in the order in which they are tried: names
    /// with at least `ndots` dots are tried as they stand first, others last.
    pub(super) fn candidates(&self, name: &str) -> Vec<String> {
        let whole = format!("{name}.");
        let mut list: Vec<String> =
            self.search.iter().map(|suffix| format!("{name}.{suffix}")).collect();
        let dots = name.bytes().filter(|byte| *byte == b'.').count();
        if dots >= self.ndots {
            list.insert(0, whole);
        } else {
            list.push(whole);
        }
        list
    }
}

fn server(word: &str) -> Option<SocketAddr> {
    if let Some((address, port)) = word.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        return Some((address.parse::<IpAddr>().ok()?, port.parse().ok()?).into());
    }
    // Through the socket address, which also reads a numeric scope.
    let bracketed = format!("[{word}]:{PORT}");
    word.parse::<IpAddr>().map(|ip| (ip, PORT).into()).or_else(|_| bracketed.parse()).ok()
}

/// A domain to search, with its final dot; none for the root, whose names are tried anyway.
fn suffix(word: &str) -> Option<String> {
    let name = word.trim_end_matches('.').to_ascii_lowercase();
    (!name.is_empty() && name != "--").then(|| name + ".")
}

/// The lines of a hosts(5): an address, then its names.
fn addresses(text: &str) -> Vec<(IpAddr, Vec<String>)> {
    let line = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        let names = words.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
        Some((address.to_canonical(), names.collect()))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_s_file() {
        let system = System::parse(
            "search shop.svc.cluster.local svc.cluster.local cluster.local\n\
             nameserver 10.96.0.10\noptions ndots:5 timeout:1 attempts:3 edns0\n",
        );
        assert_eq!(system.servers, Ok(vec!["10.96.0.10:53".parse().unwrap()]));
        assert_eq!((system.timeout, system.attempts), (Duration::from_secs(1), 3));
        assert_eq!(
            system.candidates("redis"),
            [
                "redis.shop.svc.cluster.local.",
                "redis.svc.cluster.local.",
                "redis.cluster.local.",
                "redis."
            ]
        );
        assert_eq!(system.candidates("a.b.c.d.e.example")[0], "a.b.c.d.e.example.");
    }

    #[test]
    fn what_an_empty_file_says() {
        let system = System::parse("# nothing\n; nor here\nwhat is this\nnameserver\n");
        assert_eq!(system.servers, Ok(vec!["127.0.0.1:53".parse().unwrap()]));
        assert_eq!(system.candidates("redis"), ["redis."]);
        assert_eq!(system.candidates("redis.shop"), ["redis.shop."]);
    }

    #[test]
    fn servers_may_have_ports_and_scopes_and_there_are_three() {
        let system = System::parse(
            "nameserver [127.0.0.1]:5353\nnameserver 2001:db8::1\nnameserver fe80::1%3\n\
             nameserver 10.0.0.1\noptions use-vc ndots:200 timeout:0\n",
        );
        let expected = ["127.0.0.1:5353", "[2001:db8::1]:53", "[fe80::1%3]:53"];
        assert_eq!(system.servers, Ok(expected.map(|at| at.parse().unwrap()).to_vec()));
        assert!(system.tcp);
        assert_eq!((system.ndots, system.timeout), (15, Duration::from_secs(1)));
    }

    #[test]
    fn of_several_lists_the_last_stands() {
        let system = System::parse("search a b\ndomain Example.ORG.\n");
        assert_eq!(system.candidates("redis"), ["redis.example.org.", "redis."]);
        assert_eq!(System::parse("domain a\nsearch . -- b\n").candidates("x"), ["x.b.", "x."]);
    }

    #[test]
    fn the_hosts_file() {
        let directory = tempfile::tempdir().unwrap();
        let hosts = directory.path().join("hosts");
        std::fs::write(&hosts, "# x\n10.0.0.1 Redis redis.shop # cache\n::1 redis\n10.0.0.9\nno\n")
            .unwrap();
        let system = System::read(&directory.path().join("none"), &hosts);
        let expected: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        assert_eq!(system.of_hosts("redis"), expected);
        assert_eq!(system.of_hosts("redis.shop"), expected[..1]);
        assert!(system.of_hosts("cache").is_empty());
        assert!(system.servers.unwrap_err().contains("none: No such file"));
    }
}

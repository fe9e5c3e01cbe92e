//! What `weir init` writes, shows, compares and removes.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use weir::redirect::{self, Families, Other, Plan, Skips};

use crate::scene::told;
use crate::support::PATIENCE;
use crate::support::netns::{Namespace, Network, Pod};

/// Every option at once.
const FULL: [&str; 16] = [
    "--proxy-uid=1337",
    "--inbound-port=16006",
    "--outbound-port=16001",
    "--admin-port=16002",
    "--skip-inbound-ports",
    "22,9000-9010",
    "--skip-outbound-ports=25",
    "--skip-inbound-ranges=10.1.0.0/16,10.16.0.0/12",
    "--skip-inbound-ranges=192.0.2.7,fd00:1::/32",
    "--skip-outbound-ranges=169.254.169.254,0.0.0.0/1",
    "--skip-outbound-ranges=fd00:2::/33,2001:db8::7",
    "--other",
    "refuse",
    "--dns-server=10.96.0.10",
    "--dns-server",
    "fd00::10",
];

/// A plan for a host without IPv6 of which every rule that can be left is left.
fn ipv4_alone() -> Plan {
    let ranges = || ["10.1.0.0/16", "fd00:1::/32"].map(|net| redirect::range(net).unwrap()).into();
    let skips = || Skips { ports: vec!["22".parse().unwrap()], ranges: ranges() };
    let resolvers = ["10.96.0.10", "fd00::10"].map(|address| address.parse().unwrap()).into();
    Plan {
        inbound: skips(),
        outbound: skips(),
        other: Other::Refuse { resolvers },
        families: Families::Ipv4,
        ..Plan::default()
    }
}

fn printed(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    let (status, out, err) = told(command.args(["init", "--print"]).args(args).output().unwrap());
    assert_eq!((status, err.as_str()), (0, ""));
    out
}

/// Compares with a file beside these tests; `UPDATE_GOLDEN=1` writes it instead.
fn golden(name: &str, text: &str) {
    let text = &unversioned(text);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/redirect").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert_eq!(*text, expected, "not as in {}", path.display());
}

#[test]
fn the_rules_are_printed() {
    golden("default.nft", &printed(&[]));
    golden("full.nft", &printed(&FULL));
    golden("ipv4.nft", &redirect::script(&ipv4_alone()));
}

#[test]
fn the_page_shows_the_rules_as_they_are_printed() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/redirect.md");
    let page = unversioned(&std::fs::read_to_string(page).unwrap());
    assert!(page.contains(&unversioned(&printed(&[]))), "docs/redirect.md shows other rules");
    let refusing = printed(&["--other=refuse", "--dns-server=10.96.0.10"]);
    let chains = refusing.split("\n\n").filter(|chain| chain.contains("_other {"));
    let chains: Vec<_> = chains.collect();
    assert_eq!(chains.len(), 2);
    assert!(page.contains(&chains.join("\n\n")), "docs/redirect.md shows other chains");
}

/// Without the number of the version, which changes more often than the rules.
fn unversioned(text: &str) -> String {
    text.replace(concat!("weir ", env!("CARGO_PKG_VERSION")), "weir VERSION")
}

fn listed(namespace: &Namespace, family: &str) -> String {
    namespace.run("nft", &["list", "table", family, "weir"])
}

/// What nft makes of the printed text is what goes to the kernel over netlink, and is shown so.
#[test]
fn nft_makes_the_same_of_what_is_printed() {
    let Some(net) = Network::new() else { return };
    for args in [&[][..], &FULL] {
        let (written, loaded) = (net.pod(), net.pod());
        written.init(args);
        let list = listed(&written, "inet");
        loaded.feed("nft", &["-f", "-"], &printed(args));
        assert_eq!(listed(&loaded, "inet"), list);
        assert_eq!(list.replace(" packets 0 bytes 0", ""), unordered(&printed(args)));
        // Over itself, and over what the other has made.
        loaded.feed("nft", &["-f", "-"], &printed(args));
        written.feed("nft", &["-f", "-"], &printed(args));
        for pod in [&written, &loaded] {
            assert_eq!(listed(pod, "inet"), list);
            pod.init(&[args, &["--verify"]].concat());
        }
        loaded.init(args);
        assert_eq!(listed(&loaded, "inet"), list);
    }
}

/// The printed text as nft lists it: without the commands before, and the first empty line.
fn unordered(printed: &str) -> String {
    let table = printed.lines().skip(2).collect::<Vec<_>>().join("\n") + "\n";
    table.replacen("\n\n", "\n", 1)
}

#[test]
fn a_host_without_ipv6_gets_a_table_of_ipv4() {
    let Some(net) = Network::new() else { return };
    let (written, loaded) = (net.pod(), net.pod());
    let plan = ipv4_alone();
    written.enter(|| redirect::apply(&plan)).unwrap();
    loaded.feed("nft", &["-f", "-"], &redirect::script(&plan));
    assert_eq!(listed(&written, "ip"), listed(&loaded, "ip"));
    for pod in [&written, &loaded] {
        assert_eq!(pod.enter(|| redirect::verify(&plan)).unwrap(), []);
        // One table takes the other's place, in both directions.
        pod.init(&[]);
        assert_eq!(pod.run("nft", &["list", "tables"]), "table inet weir\n");
        pod.enter(|| redirect::apply(&plan)).unwrap();
        assert_eq!(pod.run("nft", &["list", "tables"]), "table ip weir\n");
        let (status, _, err) = told(pod.try_init(&["--verify"]));
        assert_eq!(status, 1);
        assert!(err.contains("there is another table `ip weir`"), "{err}");
        assert!(err.contains("there is no table `inet weir`"), "{err}");
        pod.init(&["--remove"]);
        assert_eq!(pod.run("nft", &["list", "tables"]), "");
    }
}

/// The handle of the first rule of a chain whose text has this in it.
fn handle(pod: &Pod, chain: &str, text: &str) -> String {
    let list = pod.run("nft", &["-a", "list", "chain", "inet", "weir", chain]);
    let rule = list.lines().find(|line| line.contains(text)).expect(text);
    rule.rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn every_kind_of_drift_is_found_and_put_right() {
    let Some(net) = Network::new() else { return };
    let pod = net.pod();
    let args = ["--other", "refuse", "--dns-server", "10.96.0.10", "--skip-inbound-ports", "22-23"];
    let verify = [&args[..], &["--verify"]].concat();
    let check = |change: &str, expected: &[&str]| {
        let (status, out, err) = told(pod.try_init(&verify));
        assert_eq!((status, out.as_str()), (1, ""), "{change}");
        let told: Vec<_> = err.lines().filter(|line| line.starts_with("  the")).collect();
        assert_eq!(told.len(), expected.len(), "{change}: {err}");
        for part in expected {
            assert!(err.contains(part), "{change}: {part}: {err}");
        }
        pod.init(&args);
        assert!(pod.init(&verify).starts_with("as it should be: inbound to port 15906"));
    };
    check("nothing was written yet", &["there is no table `inet weir`"]);
    for (change, expected) in [
        (
            "flush table inet weir",
            &["the chain `prerouting` misses rule 1: `tcp flags syn / fin,syn,rst,ack jump"][..],
        ),
        ("insert rule inet weir input accept", &["the chain `input` has a further rule: handle"]),
        (
            "add rule inet weir outbound_exempt tcp dport 443 accept",
            &["the chain `outbound_exempt` has a further rule: handle"],
        ),
        ("add rule inet weir output counter", &["the chain `output` has a further rule"]),
        ("add chain inet weir more", &["there is a further chain `more`"]),
        (
            "add chain inet weir more { type nat hook output priority -150; }",
            &["there is a further chain `more`"],
        ),
        ("add table inet weir { flags dormant; }", &["the table is dormant"]),
        (
            "add chain inet weir output { policy drop; }",
            &["the chain `output` has another hook than `type filter hook output"],
        ),
        ("add table ip weir", &["there is another table `ip weir`"]),
        ("add table ip6 weir", &["there is another table `ip6 weir`"]),
        ("delete table inet weir", &["there is no table `inet weir`"]),
        (
            "delete table inet weir; add table inet weir { chain input { }; }",
            &["the chain `input` has another hook than `type filter"],
        ),
    ] {
        pod.feed(
            "nft",
            &["-f", "-"],
            &change.replace("; add table inet weir {", "\nadd table inet weir {"),
        );
        match expected {
            // These leave more undone than one wants to name.
            [one] if change.contains("flush") || change.contains("{ chain") => {
                let (status, _, err) = told(pod.try_init(&verify));
                assert!(status == 1 && err.contains(one), "{change}: {err}");
                pod.init(&args);
            }
            _ => check(change, expected),
        }
    }
    for (chain, old, new, missing) in [
        (
            "inbound_exempt",
            "15902",
            Some("tcp dport 15903 accept"),
            "rule 2: `tcp dport 15902 accept`",
        ),
        (
            "inbound_exempt",
            "22-23",
            Some("tcp dport 22-24 accept"),
            "rule 3: `tcp dport 22-23 accept`",
        ),
        (
            "outbound_exempt",
            "64102",
            Some("meta skuid 64103 accept"),
            "rule 1: `meta skuid 64102 accept`",
        ),
        (
            "outbound_exempt",
            "127.0.0.0",
            Some("ip daddr 126.0.0.0/7 accept"),
            "rule 2: `ip daddr 127.0.0.0/8 accept`",
        ),
        ("outbound_exempt", "::1", Some("ip6 saddr ::1 accept"), "rule 3: `ip6 daddr ::1 accept`"),
        (
            "outbound_other",
            "udp",
            Some("ip daddr 10.96.0.10 tcp dport 53 accept"),
            "udp dport 53 accept`",
        ),
        ("outbound_other", "reject", Some("counter reject"), "reject with icmpx admin-prohibited`"),
        (
            "inbound_other",
            "established",
            Some("ct state established accept"),
            "ct direction reply accept`",
        ),
        (
            "prerouting",
            "redirect",
            Some("tcp flags syn / fin,syn,rst,ack redirect to :15907"),
            "rule 2: ",
        ),
        (
            "prerouting",
            "redirect",
            Some("tcp flags syn / fin,syn,rst,ack redirect to :15906-15907"),
            "rule 2: ",
        ),
        (
            "prerouting",
            "redirect",
            Some("tcp flags syn / fin,syn,rst,ack redirect to :15906 random"),
            "rule 2: ",
        ),
        (
            "prerouting",
            "redirect",
            Some("tcp flags syn / syn,rst,ack redirect to :15906"),
            "rule 2: ",
        ),
        // One address more, one less, another port, another choice of address, all in one.
        (
            "output_nat",
            "dnat",
            Some("tcp flags syn / fin,syn,rst,ack dnat ip to 127.0.0.1-127.0.0.65:15901"),
            "rule 2: `tcp flags syn / fin,syn,rst,ack dnat ip to 127.0.0.1-127.0.0.64:15901`",
        ),
        (
            "output_nat",
            "dnat",
            Some("tcp flags syn / fin,syn,rst,ack dnat ip to 127.0.0.2-127.0.0.64:15901"),
            "rule 2: ",
        ),
        (
            "output_nat",
            "dnat",
            Some("tcp flags syn / fin,syn,rst,ack dnat ip to 127.0.0.1-127.0.0.64:15902"),
            "rule 2: ",
        ),
        (
            "output_nat",
            "dnat",
            Some("tcp flags syn / fin,syn,rst,ack dnat ip to 127.0.0.1-127.0.0.64:15901-15902"),
            "rule 2: ",
        ),
        (
            "output_nat",
            "dnat",
            Some(
                "tcp flags syn / fin,syn,rst,ack dnat ip to 127.0.0.1-127.0.0.64:15901 persistent",
            ),
            "rule 2: ",
        ),
        (
            "output_nat",
            "dnat",
            Some("tcp flags syn / fin,syn,rst,ack dnat ip to 127.0.0.1:15901"),
            "rule 2: ",
        ),
        (
            "output_nat",
            "dnat",
            Some("tcp flags syn / fin,syn,rst,ack redirect to :15901"),
            "rule 2: ",
        ),
        (
            "output_nat",
            "nfproto ipv6",
            Some("tcp flags syn / fin,syn,rst,ack redirect to :15901"),
            "rule 3: `tcp flags syn / fin,syn,rst,ack meta nfproto ipv6 redirect to :15901`",
        ),
        (
            "input",
            "past",
            Some("tcp flags syn / fin,syn,rst,ack tcp dport 15906 counter drop"),
            "rule 3: ",
        ),
        ("input", "invalid", Some("meta l4proto tcp ct state invalid counter accept"), "rule 1: "),
        (
            "output",
            "jump outbound_other",
            Some("meta l4proto != tcp jump inbound_other"),
            "rule 4: ",
        ),
        (
            "output",
            "jump outbound_exempt",
            Some("tcp flags syn / fin,syn,rst,ack goto outbound_exempt"),
            "rule 2: ",
        ),
        ("output_nat", "jump", None, "rule 1: "),
    ] {
        let number = handle(&pod, chain, old);
        let rule = format!("rule inet weir {chain} handle {number}");
        let change = match new {
            Some(new) => format!("replace {rule} {new}"),
            None => format!("delete {rule}"),
        };
        pod.run("nft", &[&change]);
        let further = format!("the chain `{chain}` has a further rule");
        let misses = format!("the chain `{chain}` misses rule");
        let parts = [misses.as_str(), &further];
        let (_, _, err) = told(pod.try_init(&verify));
        assert!(err.contains(missing), "{change}: {err}");
        check(&change, if new.is_some() { &parts } else { &parts[..1] });
    }
    // The order of rules is meaning, too.
    let number = handle(&pod, "outbound_other", "reject");
    pod.run("nft", &["delete", "rule", "inet", "weir", "outbound_other", "handle", &number]);
    pod.run(
        "nft",
        &["insert rule inet weir outbound_other counter reject with icmpx admin-prohibited"],
    );
    check("the refusal first", &["misses rule", "has a further rule"]);
}

#[test]
fn comments_and_counts_are_no_drift() {
    let Some(net) = Network::new() else { return };
    let pod = net.pod();
    pod.init(&[]);
    let number = handle(&pod, "outbound_exempt", "64102");
    let rule =
        format!("replace rule inet weir outbound_exempt handle {number} meta skuid 64102 accept");
    pod.run("nft", &[&rule]);
    let number = handle(&pod, "output", "invalid");
    let rule = format!(
        "replace rule inet weir output handle {number} \
         meta l4proto tcp ct state invalid counter packets 7 bytes 9 drop comment \"mine\""
    );
    pod.run("nft", &[&rule]);
    // Nor is what others have.
    pod.feed("nft", &["-f", "-"], "table inet other { chain weir { accept; }; }\n");
    pod.init(&["--verify"]);
}

#[test]
fn it_runs_over_whatever_was_left() {
    let Some(net) = Network::new() else { return };
    let pod = net.pod();
    pod.init(&[]);
    let whole = listed(&pod, "inet");
    for left in [
        "",
        "flush table inet weir",
        "flush chain inet weir prerouting\ndelete chain inet weir prerouting",
        "add table inet weir { flags dormant; }",
        // As another version might have made it, with what this one does not use.
        "delete table inet weir
         table inet weir {
             set skipped { type inet_service; flags interval; elements = { 22, 80-90 }; }
             map ports { type inet_service : verdict; elements = { 443 : jump other }; }
             counter refused { }
             chain other { tcp dport @skipped counter name refused accept; }
             chain prerouting { type nat hook prerouting priority -110; tcp dport vmap @ports; }
             chain input { type filter hook forward priority 7; policy drop; }
         }",
        "table ip weir { chain output { type nat hook output priority -100; }; }",
        "table ip6 weir { }",
    ] {
        if !left.is_empty() {
            pod.feed("nft", &["-f", "-"], &format!("{left}\n"));
        }
        assert!(pod.init(&[]).starts_with("redirected: "));
        assert_eq!(listed(&pod, "inet"), whole, "{left}");
        assert_eq!(pod.run("nft", &["list", "tables"]), "table inet weir\n", "{left}");
        if !left.is_empty() {
            pod.feed("nft", &["-f", "-"], &format!("{left}\n"));
        }
        assert_eq!(pod.init(&["--remove"]), "removed the redirect\n", "{left}");
        assert_eq!(pod.run("nft", &["list", "ruleset"]), "", "{left}");
        assert_eq!(pod.init(&["--remove"]), "there was no redirect\n", "{left}");
        pod.init(&[]);
    }
}

/// One change that the kernel refuses leaves everything as it was.
#[test]
fn all_or_nothing() {
    let Some(net) = Network::new() else { return };
    let pod = net.pod();
    pod.init(&[]);
    // A table that a running program owns is no other's to remove.
    let mut owner = Command::new("nft");
    let mut owner =
        pod.enter(|| owner.arg("-i").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap());
    let mut input = owner.stdin.take().unwrap();
    input.write_all(b"add table ip weir { flags owner; }\n").unwrap();
    input.flush().unwrap();
    let end = Instant::now() + PATIENCE;
    while !pod.run("nft", &["list", "tables"]).contains("table ip weir") {
        assert!(Instant::now() < end, "nft made no table");
    }
    let before = listed(&pod, "inet");
    for args in [&["--inbound-port", "16006"][..], &["--remove"]] {
        let (status, _, err) = told(pod.try_init(args));
        assert_eq!(status, 1);
        assert!(err.contains("the kernel refused "), "{err}");
        assert!(
            err.contains("the table `ip weir`") && err.contains("nothing was changed"),
            "{err}"
        );
        assert_eq!(listed(&pod, "inet"), before);
    }
    drop(input);
    owner.wait().unwrap();
    pod.init(&["--inbound-port", "16006"]);
    assert!(listed(&pod, "inet").contains("redirect to :16006"));
}

#[test]
fn many_skips_go_in_one_batch() {
    let Some(net) = Network::new() else { return };
    let pod = net.pod();
    let ports: Vec<_> = (1..=2000).map(|number| (number * 2).to_string()).collect();
    let args =
        ["--skip-inbound-ports", &ports.join(","), "--skip-outbound-ports", &ports.join(",")];
    pod.init(&args);
    pod.init(&[&args[..], &["--verify"]].concat());
    assert!(listed(&pod, "inet").contains("tcp dport 4000 accept"));
}

#[test]
fn variables_say_the_same_as_flags() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.args(["init", "--print"]).envs([
        ("WEIR_PROXY_UID", "1337"),
        ("WEIR_INBOUND_PORT", "16006"),
        ("WEIR_OUTBOUND_PORT", "16001"),
        ("WEIR_ADMIN_PORT", "16002"),
        ("WEIR_SKIP_INBOUND_PORTS", "22, 9000-9010,"),
        ("WEIR_SKIP_OUTBOUND_PORTS", "25"),
        ("WEIR_SKIP_INBOUND_RANGES", "10.1.0.0/16,10.16.0.0/12,192.0.2.7,fd00:1::/32"),
        ("WEIR_SKIP_OUTBOUND_RANGES", "169.254.169.254,0.0.0.0/1,fd00:2::/33,2001:db8::7"),
        ("WEIR_OTHER", "refuse"),
        ("WEIR_DNS_SERVERS", "10.96.0.10,fd00::10"),
    ]);
    assert_eq!(told(command.output().unwrap()).1, printed(&FULL));
    // Set to nothing is not set.
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command
        .args(["init", "--print"])
        .env("WEIR_SKIP_INBOUND_PORTS", "")
        .env("WEIR_DNS_SERVERS", "");
    assert_eq!(told(command.output().unwrap()).1, printed(&[]));
}

#[test]
fn wrong_usage_is_told_with_what_to_write() {
    for (args, expected) in [
        (
            &["--skip-inbound-ports", "22,http"][..],
            "`http` is not a port or a range of ports: write 22",
        ),
        (&["--skip-outbound-ports", "9-8"], "write 8-9"),
        (&["--skip-inbound-ranges", "10.0.0.1/8"], "write 10.0.0.0/8, or 10.0.0.1 for the address"),
        (&["--skip-outbound-ranges", "example.org"], "`example.org` is not a range of addresses"),
        (
            &["--skip-inbound-ranges", "::ffff:10.0.0.0/104"],
            "which no packet bears: write 10.0.0.0/8",
        ),
        // To the kernel this number is no user.
        (&["--proxy-uid", "4294967295"], "write a user's number"),
        (&["--inbound-port", "0"], "write a port from 1 to 65535"),
        (&["--inbound-port", "15901"], "must be three different ones"),
        (&["--dns-server", "10.96.0.10"], "--dns-server goes with --other refuse"),
        (&["--other", "refuse", "--dns-server", "dns"], "`dns` is not an address"),
        (&["--print", "--verify"], "cannot be used with"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        let (status, out, err) = told(command.arg("init").args(args).output().unwrap());
        assert_eq!((status, out.as_str()), (2, ""), "{args:?}");
        assert!(err.starts_with("weir: error: ") && err.contains(expected), "{args:?}: {err}");
    }
}

//! `weir demo --transparent`: the same in network namespaces behind the real redirect. (root)

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, geteuid};
use serde_json::json;

mod support;

use support::demo::{
    CART, FRONTEND, STOCK, STORE, assert_all_learned, assert_learned, assert_nobody_noticed,
    assert_statistics_rise, assert_they_end, children, demo, dying_sidecars_are_told, is_empty,
    policy, signal, start, text, told,
};

#[test]
fn in_pods_a_sidecar_that_dies_is_told() {
    let tmp = tempfile::tempdir().unwrap();
    let Some(mut command) = transparent(tmp.path()) else { return };
    dying_sidecars_are_told(tmp.path(), &mut command);
}

/// The demo in pods, or none where it cannot be.
fn transparent(tmp: &Path) -> Option<Command> {
    if !geteuid().is_root() {
        support::skip("the demo in pods needs root");
        return None;
    }
    support::program("ip")?;
    // As /tmp is: the socket must be refused for its own sake, not the directory's.
    fs::set_permissions(tmp, Permissions::from_mode(0o755)).unwrap();
    let mut command = demo(tmp);
    command.arg("--transparent");
    Some(command)
}

/// The network namespaces of the demo's sidecars, as the kernel names them.
fn namespaces(of: &[Pid]) -> Vec<PathBuf> {
    let link = |path: &str| fs::read_link(path).unwrap();
    let own = link("/proc/self/ns/net");
    let found: Vec<PathBuf> =
        of.iter().map(|pid| link(&format!("/proc/{}/ns/net", pid.as_raw_nonzero()))).collect();
    assert_eq!(found.len(), 4);
    for (n, namespace) in found.iter().enumerate() {
        assert!(*namespace != own && !found[..n].contains(namespace), "{found:?}, own {own:?}");
    }
    found
}

/// Whoever holds one of these namespaces: a process in it, or a descriptor.
fn holders(namespaces: &[PathBuf]) -> Vec<PathBuf> {
    let names = |path: PathBuf| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let processes = names("/proc".into());
    let tasks = processes.iter().flat_map(|process| names(process.join("task")));
    let links =
        tasks.flat_map(|task| names(task.join("fd")).into_iter().chain([task.join("ns/net")]));
    links.filter(|link| fs::read_link(link).is_ok_and(|to| namespaces.contains(&to))).collect()
}

/// Nothing is left of a demo in pods: no process, nobody in its namespaces, no mount of one.
fn assert_nothing_is_left(sidecars: &[Pid], namespaces: &[PathBuf]) {
    assert_they_end(sidecars);
    assert_eq!(holders(namespaces), Vec::<PathBuf>::new());
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    for namespace in namespaces {
        assert!(!mounts.contains(namespace.to_str().unwrap()), "{mounts}");
    }
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap();
    assert!(!interfaces.contains("pod0"), "in this machine's network: {interfaces}");
}

#[test]
fn in_pods_customers_are_served_and_attacks_refused() {
    let tmp = tempfile::tempdir().unwrap();
    let Some(mut command) = transparent(tmp.path()) else { return };
    let (mut child, mut out, mut text) = start(&mut command, " 2 refused");
    let sidecars = children(&child);
    let namespaces = namespaces(&sidecars);
    assert!(!holders(&namespaces).is_empty());
    out.read_to_string(&mut text).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}{said}");
    assert_eq!(said, "");
    assert!(text.contains("Every customer was served and every attack refused."), "{text}");
    for (kind, reason) in [
        ("from a pod that may not:", "refused no_rule"),
        ("past the cart service:", "refused no_rule"),
        ("a dial outside:", "refused no_rule"),
        ("by its own sidecar: DELETE", "refused not_allowed"),
        ("by its own sidecar: CONFIG", "refused not_allowed"),
        ("by its own sidecar: shop.Stock/Reset", "refused not_allowed"),
        ("shop.Stock/Reset to the stock at", "refused no_rule"),
        ("Weir's own port, from another pod:", "refused "),
        ("Weir's own port, from its own pod:", "refused not_redirected"),
        ("UDP:", "refused by the kernel"),
        ("on its socket", "refused by the kernel"),
    ] {
        let (_, of_it) = text.split_once(kind).unwrap();
        let record = of_it.lines().find(|line| line.trim_start().starts_with("log ")).unwrap();
        assert!(record.contains(reason), "{kind} {record}");
    }
    if !text.contains("There is no IPv6 here") {
        assert!(text.contains("to [fd00::3]:6379"), "{text}");
    }
    assert_nothing_is_left(&sidecars, &namespaces);
    assert!(is_empty(tmp.path()), "files are left");
}

#[test]
fn in_pods_both_sides_are_learned() {
    let tmp = tempfile::tempdir().unwrap();
    let Some(mut command) = transparent(tmp.path()) else { return };
    let kept = tmp.path().join("kept");
    let output = command.arg("--keep").arg(&kept).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    let sides = [
        ("frontend in", 5),
        ("frontend out 8081", 3),
        ("frontend out 9090", 2),
        ("cart in", 3),
        ("cart out 6379", 6),
        ("store in", 6),
        ("stock in", 2),
    ];
    for (of, shapes) in sides {
        assert_statistics_rise(&text, of, shapes);
    }
    let ipv6 = !text.contains("There is no IPv6 here");
    let (customers, carts, stores): (&[&str], _, _) = match ipv6 {
        true => (&["10.0.0.50/32", "fd00::32/128"], "fd00::2/128", "fd00::3/128"),
        false => (&["10.0.0.50/32"], "10.0.0.2/32", "10.0.0.3/32"),
    };
    let [frontend, cart, store, stock] =
        ["frontend", "cart", "store", "stock"].map(|name| policy(&kept, name));
    assert_learned(&frontend, "inbound", customers, &FRONTEND);
    let outbound: [(&[&str], &[&str]); 2] = [(&["10.0.0.2/32"], &CART), (&["10.0.0.4/32"], &STOCK)];
    assert_all_learned(&frontend, "outbound", &outbound);
    assert_learned(&cart, "inbound", &["10.0.0.1/32"], &CART);
    assert_learned(&cart, "outbound", &[stores], &STORE);
    assert_learned(&store, "inbound", &[carts], &STORE);
    assert_learned(&stock, "inbound", &["10.0.0.1/32"], &STOCK);
    // Nothing is learned of one who dials nobody: that stands there from the start.
    assert_eq!(
        [&store, &stock].map(|policy| policy["spec"]["outbound"].clone()),
        [json!([]), json!([])]
    );
    assert_nobody_noticed(&kept);
    let pending = told(&text, "policy pending", 2);
    assert!(pending.contains("DELETE /carts/{int}"), "{pending}");
}

#[test]
fn in_pods_in_monitor_mode_attacks_get_through() {
    let tmp = tempfile::tempdir().unwrap();
    let Some(mut command) = transparent(tmp.path()) else { return };
    let kept = tmp.path().join("kept");
    let output = command.args(["--mode", "monitor", "--keep"]).arg(&kept).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("In monitor mode attacks get through"), "{text}");
    for tried in [
        "HGETALL to the store at 10.0.0.3:6379",
        "shop.Stock/Reset to the stock at 10.0.0.4:9090",
        "POST to 203.0.113.9:443",
    ] {
        let line = text.lines().find(|line| line.contains(tried)).unwrap();
        assert!(line.contains("GOT THROUGH"), "{line}");
    }
    assert!(!text.contains("has no record of it"), "{text}");
    for file in ["frontend.yaml", "cart.yaml", "store.yaml", "stock.yaml", "store.log"] {
        assert!(kept.join(file).is_file(), "{file}");
    }
    for name in ["frontend", "cart", "store", "stock"] {
        assert_eq!(policy(&kept, name)["spec"]["mode"], "monitor");
        assert!(kept.join(format!("weir/{name}.profile.yaml")).is_file());
    }
}

#[test]
fn in_pods_interrupted_or_killed_it_leaves_nothing() {
    for end in [Signal::TERM, Signal::KILL] {
        let tmp = tempfile::tempdir().unwrap();
        let Some(mut command) = transparent(tmp.path()) else { return };
        let (mut child, mut out, mut text) = start(&mut command, " 2 refused");
        let sidecars = children(&child);
        let namespaces = namespaces(&sidecars);
        signal(&child, end);
        out.read_to_string(&mut text).unwrap();
        child.wait().unwrap();
        assert_nothing_is_left(&sidecars, &namespaces);
        assert!(end == Signal::KILL || is_empty(tmp.path()), "files are left");
    }
}

#[test]
fn in_pods_without_root_it_says_what_is_missing() {
    let tmp = tempfile::tempdir().unwrap();
    // As an open file, since the directories above it may be root's alone.
    let program = File::open(env!("CARGO_BIN_EXE_weir")).unwrap();
    let mut command = Command::new(format!("/proc/self/fd/{}", program.as_raw_fd()));
    command.args(["demo", "--transparent"]).env("TMPDIR", tmp.path());
    if geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("which only root may: run it as root"), "{said}");
    assert_eq!(output.stdout, b"");
}

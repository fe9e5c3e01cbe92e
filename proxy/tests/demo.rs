//! `weir demo` as somebody runs it: its exit code, what it says, and what it leaves behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, File, Permissions};
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::{Value, json};

mod support;

/// The demo, with its temporary files under `tmp`.
fn demo(tmp: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.arg("demo").env("TMPDIR", tmp).stdin(Stdio::null());
    command
}

fn text(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Every sidecar's address that a transcript tells.
fn addresses(text: &str) -> Vec<SocketAddr> {
    let line = |line: &str| line.split_once(" is dialled at ")?.1.split(',').next()?.parse().ok();
    text.lines().filter_map(line).collect()
}

fn assert_stopped(text: &str) {
    let addresses = addresses(text);
    assert_eq!(addresses.len(), 3, "{text}");
    for address in addresses {
        assert!(TcpStream::connect(address).is_err(), "{address} still accepts");
    }
}

fn is_empty(dir: &Path) -> bool {
    dir.read_dir().unwrap().next().is_none()
}

/// The operations and shapes of each row that a transcript's table has of a sidecar's side.
fn rows(text: &str, of: &str) -> Vec<[u64; 2]> {
    let row = |line: &str| {
        let (after, rest) = line.trim_start().split_once("s  ")?;
        after.trim().parse::<f64>().ok()?;
        let mut numbers = rest.strip_prefix(of)?.split_whitespace();
        Some([numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?])
    };
    text.lines().filter_map(row).collect()
}

/// The table's numbers rise, up to these shapes.
fn assert_statistics_rise(text: &str, of: &str, shapes: u64) {
    let rows = rows(text, of);
    assert!(rows.len() > 1 && rows.is_sorted(), "{of}: {rows:?} {text}");
    let (first, last) = (rows[0], rows[rows.len() - 1]);
    assert!(first[0] + 20 < last[0], "{of}: {rows:?}");
    assert_eq!(last[1], shapes, "{of}: {rows:?}");
}

const FRONTEND: [&str; 5] = [
    "GET /carts/{int}",
    "GET /products",
    "GET /products/{int}",
    "POST /carts/{int}/checkout",
    "POST /carts/{int}/items",
];
const CART: [&str; 3] =
    ["GET /carts/{int}", "POST /carts/{int}/checkout", "POST /carts/{int}/items"];
const STORE: [&str; 6] = [
    "DEL cart:{int}",
    "GET order:{int}",
    "HGETALL cart:{int}",
    "HINCRBY cart:{int}",
    "INCR orders",
    "SET order:{int}",
];

/// A kept policy.
fn policy(kept: &Path, name: &str) -> Value {
    let text = fs::read_to_string(kept.join(format!("{name}.yaml"))).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// That a side of a policy is one rule, for these peers, with these entries and no more.
fn assert_learned(policy: &Value, side: &str, peers: &[&str], allow: &[&str]) {
    let rules = policy["spec"][side].as_array().unwrap();
    assert_eq!(rules.len(), 1, "{policy}");
    let who = if side == "inbound" { "from" } else { "to" };
    let cidrs: Vec<Value> = peers.iter().map(|peer| json!({"cidr": peer})).collect();
    assert_eq!(rules[0][who], json!(cidrs), "{policy}");
    assert_eq!(rules[0]["allow"], json!(allow), "{policy}");
}

/// A kept traffic log.
fn records(kept: &Path, name: &str) -> Vec<Value> {
    let log = fs::read_to_string(kept.join(format!("{name}.traffic.jsonl"))).unwrap();
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the customers asked of the front end all passed: first ungoverned, then by the policy.
fn assert_nobody_noticed(kept: &Path) {
    let all = records(kept, "frontend");
    let inbound =
        all.iter().filter(|record| record["side"] == "inbound" && record["op"] != json!(null));
    let reasons: Vec<&str> = inbound
        .map(|record| {
            assert_eq!(record["verdict"], "allowed", "{record}");
            record["reason"].as_str().unwrap()
        })
        .collect();
    let by = |wanted: &str| reasons.iter().filter(|reason| **reason == wanted).count();
    let (before, after) = (by("ungoverned"), by("entry"));
    assert!(before > 50 && after > 50, "{before} {after}");
    assert_eq!(before + after, reasons.len());
}

#[test]
fn what_the_customers_do_is_learned_and_enforced_and_nothing_else() {
    let tmp = tempfile::tempdir().unwrap();
    let kept = tmp.path().join("kept");
    let output = demo(tmp.path()).arg("--keep").arg(&kept).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for (of, shapes) in [("frontend in", 5), ("cart in", 3), ("store in", 6)] {
        assert_statistics_rise(&text, of, shapes);
    }
    assert!(text.contains("by the usual criteria 14 of 14 shapes would be left"), "{text}");
    assert!(text.contains("\n     mode: enforce\n"), "the cart's policy is not shown: {text}");
    let services = [("frontend", &FRONTEND[..]), ("cart", &CART), ("store", &STORE)];
    for (name, allow) in services {
        let policy = policy(&kept, name);
        assert_eq!(policy["spec"]["mode"], "enforce");
        assert_learned(&policy, "inbound", &["127.0.0.1/32"], allow);
    }
    assert_nobody_noticed(&kept);
    let refused =
        |name| records(&kept, name).iter().filter(|record| record["verdict"] == "refused").count();
    assert_eq!([refused("frontend"), refused("cart"), refused("store")], [0, 11, 8], "{text}");

    // What it says one can ask.
    let pending = told(&text, "policy pending", 2);
    assert!(pending.contains("DELETE /carts/{int}"), "{pending}");
    assert!(!pending.contains("GET /carts/{int} "), "{pending}");
    let accept = text.split_once("policy accept ").unwrap().1;
    let mut words: Vec<&str> = accept.split_whitespace().take(3).collect();
    words.push("DELETE /carts/{int}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    assert!(command.args(["policy", "accept"]).args(words).status().unwrap().success());
    assert_eq!(policy(&kept, "cart")["spec"]["inbound"][0]["allow"].as_array().unwrap().len(), 4);
}

/// What this program says to a command of so many words more that a transcript proposes.
fn told(text: &str, command: &str, words: usize) -> String {
    let proposed = text.split_once(&format!("{command} ")).unwrap().1.split_whitespace();
    let mut asked = Command::new(env!("CARGO_BIN_EXE_weir"));
    asked.args(command.split(' ')).args(proposed.filter(|word| *word != "\\").take(words));
    let output = asked.output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn customers_are_served_and_attacks_refused() {
    let tmp = tempfile::tempdir().unwrap();
    let output = demo(tmp.path()).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("Every customer was served and every attack refused."), "{text}");
    assert!(!text.contains("GOT THROUGH"), "{text}");
    assert!(!text.contains('\x1b'), "colours where there is no terminal");
    assert_stopped(&text);
    assert!(is_empty(tmp.path()), "files are left");
}

#[test]
fn in_monitor_mode_attacks_get_through_and_are_logged() {
    let tmp = tempfile::tempdir().unwrap();
    let kept = tmp.path().join("kept");
    let mut command = demo(tmp.path());
    let output = command.args(["--mode", "monitor", "--keep"]).arg(&kept).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("In monitor mode attacks get through"), "{text}");
    assert!(text.contains(" 0 of "), "{text}");
    assert!(!text.contains("has no record of it"), "{text}");
    assert_stopped(&text);

    let verdicts: Vec<Value> =
        records(&kept, "cart").iter().map(|record| record["verdict"].clone()).collect();
    assert!(verdicts.iter().any(|verdict| verdict == "would-refuse"), "{verdicts:?}");
    assert!(!verdicts.iter().any(|verdict| verdict == "refused"), "{verdicts:?}");
    for file in ["frontend.yaml", "store.profile.yaml", "store.traffic.jsonl", "store.log"] {
        assert!(kept.join(file).is_file(), "{file}");
    }
    let policy = policy(&kept, "cart");
    assert_eq!(policy["spec"]["mode"], "monitor");
    assert_learned(&policy, "inbound", &["127.0.0.1/32"], &CART);
}

/// Starts the demo and reads what it says up to a line with `until` in it.
fn start(command: &mut Command, until: &str) -> (Child, BufReader<ChildStdout>, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains(until) {
        assert!(out.read_line(&mut text).unwrap() > 0, "it ended too early:\n{text}");
    }
    (child, out, text)
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[test]
fn it_serves_until_it_is_interrupted() {
    let tmp = tempfile::tempdir().unwrap();
    let mut command = demo(tmp.path());
    let (mut child, mut out, mut text) = start(command.arg("--serve"), "tail -f");
    let explained = told(&text, "policy explain", 5);
    assert!(explained.contains("no entry allows it"), "{explained}");
    let pending = told(&text, "policy pending", 2);
    assert!(pending.contains("DELETE /carts/{int}"), "{pending}");
    let mode = told(&text, "mode --socket", 1);
    assert!(mode.contains("learn, where the policy names no other mode"), "{mode}");
    assert!(text.contains(" tap --socket "), "{text}");
    for address in addresses(&text) {
        assert!(TcpStream::connect(address).is_ok(), "{address} does not accept");
    }
    signal(&child, Signal::INT);
    out.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{text}");
    assert_stopped(&text);
    assert!(is_empty(tmp.path()), "files are left");
}

#[test]
fn interrupted_midway_it_stops_everything() {
    let tmp = tempfile::tempdir().unwrap();
    let (mut child, mut out, mut text) = start(&mut demo(tmp.path()), " 2 refused");
    signal(&child, Signal::TERM);
    out.read_to_string(&mut text).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{text}");
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("stopped by a signal"), "{said}");
    assert!(is_empty(tmp.path()), "files are left");
    assert_stopped(&text);
}

#[test]
fn a_sidecar_that_dies_is_told() {
    let tmp = tempfile::tempdir().unwrap();
    dying_sidecars_are_told(tmp.path(), &mut demo(tmp.path()));
}

#[test]
fn in_pods_a_sidecar_that_dies_is_told() {
    let tmp = tempfile::tempdir().unwrap();
    let Some(mut command) = transparent(tmp.path()) else { return };
    dying_sidecars_are_told(tmp.path(), &mut command);
}

fn dying_sidecars_are_told(tmp: &Path, command: &mut Command) {
    let (mut child, mut out, mut text) = start(command, " 2 refused");
    for sidecar in children(&child) {
        kill_process(sidecar, Signal::KILL).unwrap();
    }
    out.read_to_string(&mut text).unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{text}{said}");
    assert!(said.contains("cart's sidecar"), "{text}{said}");
    assert!(!is_empty(tmp), "the logs that would tell why are gone");
}

/// The processes that a process has started and that are still there.
fn children(of: &Child) -> Vec<Pid> {
    let children = format!("/proc/{0}/task/{0}/children", of.id());
    let children = fs::read_to_string(children).unwrap();
    children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect()
}

/// Whether it is there, and more than an end that nobody has asked about yet. (While threads are
/// left, so may its sockets be.)
fn runs(pid: Pid) -> bool {
    let proc = format!("/proc/{}", pid.as_raw_nonzero());
    let Ok(stat) = fs::read_to_string(format!("{proc}/stat")) else { return false };
    let threads = fs::read_dir(format!("{proc}/task")).map_or(0, Iterator::count);
    !stat.contains(") Z ") || threads > 1
}

/// Waits until these processes are gone.
fn assert_they_end(pids: &[Pid]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while pids.iter().any(|&pid| runs(pid)) {
        assert!(Instant::now() < deadline, "left running: {pids:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn killed_it_leaves_no_process() {
    let tmp = tempfile::tempdir().unwrap();
    let (mut child, _out, text) = start(&mut demo(tmp.path()), " 2 refused");
    let sidecars = children(&child);
    assert_eq!(sidecars.len(), 3);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_they_end(&sidecars);
    assert_stopped(&text);
}

#[test]
fn a_place_that_cannot_be_written_is_told() {
    let tmp = tempfile::tempdir().unwrap();
    let file = tmp.path().join("file");
    fs::write(&file, "").unwrap();
    let output = demo(tmp.path()).arg("--keep").arg(file.join("inside")).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no place for the demo's files"), "{said}");
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
    assert_eq!(found.len(), 3);
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
    let sides =
        [("frontend in", 5), ("frontend out", 3), ("cart in", 3), ("cart out", 6), ("store in", 6)];
    for (of, shapes) in sides {
        assert_statistics_rise(&text, of, shapes);
    }
    let ipv6 = !text.contains("There is no IPv6 here");
    let (customers, carts, stores): (&[&str], _, _) = match ipv6 {
        true => (&["10.0.0.50/32", "fd00::32/128"], "fd00::2/128", "fd00::3/128"),
        false => (&["10.0.0.50/32"], "10.0.0.2/32", "10.0.0.3/32"),
    };
    let [frontend, cart, store] = ["frontend", "cart", "store"].map(|name| policy(&kept, name));
    assert_learned(&frontend, "inbound", customers, &FRONTEND);
    assert_learned(&frontend, "outbound", &["10.0.0.2/32"], &CART);
    assert_learned(&cart, "inbound", &["10.0.0.1/32"], &CART);
    assert_learned(&cart, "outbound", &[stores], &STORE);
    assert_learned(&store, "inbound", &[carts], &STORE);
    // Nothing is learned of one who dials nobody: that stands there from the start.
    assert_eq!(store["spec"]["outbound"], json!([]));
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
    for tried in ["HGETALL to the store at 10.0.0.3:6379", "POST to 203.0.113.9:443"] {
        let line = text.lines().find(|line| line.contains(tried)).unwrap();
        assert!(line.contains("GOT THROUGH"), "{line}");
    }
    assert!(!text.contains("has no record of it"), "{text}");
    for file in ["frontend.yaml", "cart.yaml", "store.yaml", "store.traffic.jsonl", "store.log"] {
        assert!(kept.join(file).is_file(), "{file}");
    }
    for name in ["frontend", "cart", "store"] {
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

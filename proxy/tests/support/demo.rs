//! What the tests of `weir demo` share: starting it, and reading what it says and leaves.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// The demo, with its temporary files under `tmp`.
pub fn demo(tmp: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.arg("demo").env("TMPDIR", tmp).stdin(Stdio::null());
    command
}

pub fn text(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn is_empty(dir: &Path) -> bool {
    dir.read_dir().unwrap().next().is_none()
}

/// The operations and shapes of each row that a transcript's table has of a sidecar's side.
pub fn rows(text: &str, of: &str) -> Vec<[u64; 2]> {
    let row = |line: &str| {
        let (after, rest) = line.trim_start().split_once("s  ")?;
        after.trim().parse::<f64>().ok()?;
        let mut numbers = rest.strip_prefix(of)?.split_whitespace();
        Some([numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?])
    };
    text.lines().filter_map(row).collect()
}

/// The table's numbers rise, up to these shapes.
pub fn assert_statistics_rise(text: &str, of: &str, shapes: u64) {
    let rows = rows(text, of);
    assert!(rows.len() > 1 && rows.is_sorted(), "{of}: {rows:?} {text}");
    let (first, last) = (rows[0], rows[rows.len() - 1]);
    assert!(first[0] + 20 < last[0], "{of}: {rows:?}");
    assert_eq!(last[1], shapes, "{of}: {rows:?}");
}

pub const FRONTEND: [&str; 5] = [
    "GET /carts/{int}",
    "GET /products",
    "GET /products/{int}",
    "POST /carts/{int}/checkout",
    "POST /carts/{int}/items",
];

pub const CART: [&str; 3] =
    ["GET /carts/{int}", "POST /carts/{int}/checkout", "POST /carts/{int}/items"];
pub const STORE: [&str; 6] = [
    "DEL cart:{int}",
    "GET order:{int}",
    "HGETALL cart:{int}",
    "HINCRBY cart:{int}",
    "INCR orders",
    "SET order:{int}",
];

pub const STOCK: [&str; 3] =
    ["grpc.health.v1.Health/Check", "shop.Stock/Reserve", "shop.Stock/Watch"];

/// A kept policy.
pub fn policy(kept: &Path, name: &str) -> Value {
    let text = fs::read_to_string(kept.join(format!("{name}.yaml"))).unwrap();
    serde_saphyr::from_str(&text).unwrap()
}

/// That a side of a policy is one rule, for these peers, with these entries and no more.
pub fn assert_learned(policy: &Value, side: &str, peers: &[&str], allow: &[&str]) {
    assert_all_learned(policy, side, &[(peers, allow)]);
}

/// The same of several rules, in order.
pub fn assert_all_learned(policy: &Value, side: &str, expected: &[(&[&str], &[&str])]) {
    let rules = policy["spec"][side].as_array().unwrap();
    assert_eq!(rules.len(), expected.len(), "{policy}");
    let who = if side == "inbound" { "from" } else { "to" };
    for (rule, (peers, allow)) in rules.iter().zip(expected) {
        let cidrs: Vec<Value> = peers.iter().map(|peer| json!({"cidr": peer})).collect();
        assert_eq!(rule[who], json!(cidrs), "{policy}");
        assert_eq!(rule["allow"], json!(allow), "{policy}");
        let protocol = match allow[0] {
            op if op.contains(" /") => "http",
            op if op.contains('/') => "grpc",
            _ => "redis",
        };
        assert_eq!(rule["protocol"], protocol, "{policy}");
    }
}

/// A kept traffic log.
pub fn records(kept: &Path, name: &str) -> Vec<Value> {
    let log = fs::read_to_string(kept.join(format!("{name}.traffic.jsonl"))).unwrap();
    log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the customers asked of the front end all passed: first ungoverned, then by the policy.
pub fn assert_nobody_noticed(kept: &Path) {
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

/// What this program says to a command of so many words more that a transcript proposes.
pub fn told(text: &str, command: &str, words: usize) -> String {
    let proposed = text.split_once(&format!("{command} ")).unwrap().1.split_whitespace();
    let mut asked = Command::new(env!("CARGO_BIN_EXE_weir"));
    asked.args(command.split(' ')).args(proposed.filter(|word| *word != "\\").take(words));
    let output = asked.output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Starts the demo and reads what it says up to a line with `until` in it.
pub fn start(command: &mut Command, until: &str) -> (Child, BufReader<ChildStdout>, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains(until) {
        assert!(out.read_line(&mut text).unwrap() > 0, "it ended too early:\n{text}");
    }
    (child, out, text)
}

pub fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

pub fn dying_sidecars_are_told(tmp: &Path, command: &mut Command) {
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
pub fn children(of: &Child) -> Vec<Pid> {
    let children = format!("/proc/{0}/task/{0}/children", of.id());
    let children = fs::read_to_string(children).unwrap();
    children.split_whitespace().map(|pid| Pid::from_raw(pid.parse().unwrap()).unwrap()).collect()
}

/// Whether it is there, and more than an end that nobody has asked about yet. (While threads are
/// left, so may its sockets be.)
pub fn runs(pid: Pid) -> bool {
    let proc = format!("/proc/{}", pid.as_raw_nonzero());
    let Ok(stat) = fs::read_to_string(format!("{proc}/stat")) else { return false };
    let threads = fs::read_dir(format!("{proc}/task")).map_or(0, Iterator::count);
    !stat.contains(") Z ") || threads > 1
}

/// Waits until these processes are gone.
pub fn assert_they_end(pids: &[Pid]) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while pids.iter().any(|&pid| runs(pid)) {
        assert!(Instant::now() < deadline, "left running: {pids:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

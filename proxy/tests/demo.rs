//! `weir demo` as somebody runs it: its exit code, what it says, and what it leaves behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;

mod support;

use support::demo::{
    CART, FRONTEND, STOCK, STORE, assert_learned, assert_nobody_noticed, assert_statistics_rise,
    assert_they_end, children, demo, dying_sidecars_are_told, is_empty, policy, records, signal,
    start, text, told,
};

/// Every sidecar's address that a transcript tells.
fn addresses(text: &str) -> Vec<SocketAddr> {
    let line = |line: &str| line.split_once(" is dialled at ")?.1.split(',').next()?.parse().ok();
    text.lines().filter_map(line).collect()
}

fn assert_stopped(text: &str) {
    let addresses = addresses(text);
    assert_eq!(addresses.len(), 4, "{text}");
    for address in addresses {
        assert!(TcpStream::connect(address).is_err(), "{address} still accepts");
    }
}

#[test]
fn what_the_customers_do_is_learned_and_enforced_and_nothing_else() {
    let tmp = tempfile::tempdir().unwrap();
    let kept = tmp.path().join("kept");
    let output = demo(tmp.path()).arg("--keep").arg(&kept).output().unwrap();
    let text = text(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for (of, shapes) in [("frontend in", 5), ("cart in", 3), ("store in", 6), ("stock in", 2)] {
        assert_statistics_rise(&text, of, shapes);
    }
    assert!(text.contains("criteria 17 of 17 shapes would be left to a person"), "{text}");
    assert!(text.contains("\n     mode: enforce\n"), "the cart's policy is not shown: {text}");
    assert!(text.contains("\n       - shop.Stock/Watch "), "nor is the stock's: {text}");
    let services =
        [("frontend", &FRONTEND[..]), ("cart", &CART), ("store", &STORE), ("stock", &STOCK)];
    for (name, allow) in services {
        let policy = policy(&kept, name);
        assert_eq!(policy["spec"]["mode"], "enforce");
        assert_learned(&policy, "inbound", &["127.0.0.1/32"], allow);
    }
    assert_nobody_noticed(&kept);
    let refused =
        |name| records(&kept, name).iter().filter(|record| record["verdict"] == "refused").count();
    let refused = ["frontend", "cart", "store", "stock"].map(refused);
    assert_eq!(refused, [0, 12, 8, 7], "{text}");
    assert!(text.contains("27 of 27 refused, 0 reached their service, 27 in the log"), "{text}");
    assert_calls_refused(&text);

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

/// How the intruder's calls end, by gRPC's own words and by HTTP's.
fn assert_calls_refused(text: &str) {
    for (tried, got) in [
        ("ServerReflection/ServerReflectionInfo", "PERMISSION_DENIED, refused ("),
        ("an admin's method: shop.Stock/Reset", "PERMISSION_DENIED, refused ("),
        ("a guess: shop.Stock/Export", "PERMISSION_DENIED, refused ("),
        ("Reserve/../Reset", "PERMISSION_DENIED, refused ("),
        ("two allowed shop.Stock/Reserve on one connection", "OK, 7 bytes; PERMISSION_DENIED, "),
        ("Reset as application/json", "HTTP/2 403, id "),
        // The cart service speaks none, so that nothing can be answered by it.
        ("by HTTP/2: DELETE /carts/1", "nothing: the connection was "),
        ("Reset by HTTP/1.1", "nothing: the connection was "),
    ] {
        let (_, of_it) = text.split_once(tried).unwrap();
        let line = of_it.lines().nth(1).unwrap().trim_start();
        let told = line.strip_prefix("intruder ").is_some_and(|told| told.starts_with(got));
        assert!(told, "{tried}: {line}");
    }
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
    let sum = "0 of 27 refused, 27 reached their service, 27 in the log";
    assert!(text.contains(sum), "{text}");
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
fn killed_it_leaves_no_process() {
    let tmp = tempfile::tempdir().unwrap();
    let (mut child, _out, text) = start(&mut demo(tmp.path()), " 2 refused");
    let sidecars = children(&child);
    assert_eq!(sidecars.len(), 4);
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

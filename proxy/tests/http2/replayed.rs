//! The log of calls, replayed and explained: the example of the documentation, before a server.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::scene::run;
use crate::support::Weir;
use crate::visitor::{Visitor, ask};
use crate::web::Web;

/// Calls, and why they are refused. The peer is the front end.
const CALLS: [(&str, &str); 6] = [
    ("/shop.Cart/AddItem", ""),
    ("/shop.Cart/GetCart", ""),
    ("/shop.Cart/Drop", "denied"),
    ("/shop.Cart2/GetCart", "not_allowed"),
    ("/grpc.health.v1.Health/Check", "not_allowed"),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "not_allowed"),
];

/// The example, for this machine and a server's port.
fn example(port: u16) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/grpc.yaml");
    let text = std::fs::read_to_string(path).unwrap();
    let here = text.replace("10.0.1.0/24", "127.0.0.1/32").replace("9090", &port.to_string());
    here.replace("hosts: [cart.shop,", "hosts: [a,")
}

fn weir(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir")).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{said}");
    (output.status.code(), said)
}

/// One call after the other.
fn calls(at: std::net::SocketAddr) {
    run(async {
        let visitor = Visitor::connect(at).await;
        for (path, _) in CALLS {
            let request = ask("POST", path).header("content-type", "application/grpc");
            let request = request.header("te", "trailers").body(()).unwrap();
            visitor.post(request, bytes::Bytes::from_static(&[0; 5]), None).await.unwrap();
        }
    });
}

/// What a replay of a log says of each record, by the operation.
fn replay(policy: &Path, log: &Path) -> Vec<(String, String)> {
    let files = [policy, log].map(|path| path.to_str().unwrap());
    let (status, said) = weir(&["policy", "replay", "--json", "--each", files[0], files[1]]);
    assert_eq!(status, Some(0));
    let objects = said.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let mut said: Vec<_> = objects
        .filter(|object| object["id"].is_string())
        .map(|object| (object["id"].to_string(), object["reason"].as_str().unwrap_or("").into()))
        .collect();
    said.sort();
    said
}

#[test]
fn a_log_of_calls_is_decided_again() {
    let web = Web::start();
    let policy = example(web.at.port());
    for mode in ["enforce", "monitor"] {
        for detail in ["masked", "full"] {
            let policy = policy.replace("enforce", mode);
            let weir = Weir::start_with("learn", &policy, &[web.at], &["--log-detail", detail]);
            calls(weir.at());
            weir.until("logged", || weir.records().len() >= CALLS.len());
            let mut logged: Vec<_> = weir
                .records()
                .iter()
                .map(|record| {
                    let allowed = record["verdict"] == "allowed";
                    let reason = if allowed { "" } else { record["reason"].as_str().unwrap() };
                    (record["id"].to_string(), reason.to_owned())
                })
                .collect();
            logged.sort();
            let reasons: Vec<_> = logged.iter().map(|(_, reason)| &**reason).collect();
            assert_eq!(reasons, CALLS.map(|(_, reason)| reason), "{mode} {detail}");
            let file = weir.dir().join("policy.yaml");
            assert_eq!(replay(&file, &weir.dir().join("traffic.jsonl")), logged, "{mode} {detail}");
        }
    }
}

#[test]
fn what_nothing_governed_is_decided_by_a_policy_and_explained() {
    let web = Web::start();
    let sidecar = Weir::start("learn", "", web.at);
    calls(sidecar.at());
    sidecar.until("logged", || sidecar.records().len() >= CALLS.len());
    let log = sidecar.dir().join("traffic.jsonl");
    let policy = sidecar.dir().join("later.yaml");
    std::fs::write(&policy, example(web.at.port())).unwrap();
    let reasons: Vec<_> = replay(&policy, &log).into_iter().map(|(_, reason)| reason).collect();
    assert_eq!(reasons, CALLS.map(|(_, reason)| reason));

    let [policy, log] = [&policy, &log].map(|path| path.to_str().unwrap());
    let record = sidecar.record("Drop", |record| record["op"] == "shop.Cart/Drop");
    let id = record["id"].as_str().unwrap();
    let (_, of_log) = weir(&["policy", "explain", policy, "--log", log, "--id", id]);
    assert!(of_log.contains("\"shop.Cart/Drop\"") && of_log.contains("(denied)"), "{of_log}");
    let op = format!("inbound 127.0.0.1 :{} grpc a shop.Cart/Drop", web.at.port());
    let (_, of_op) = weir(&["policy", "explain", policy, "--op", &op]);
    assert!(of_op.lines().all(|line| of_log.contains(line)), "{of_log}\n{of_op}");
    // What would allow it does.
    let op = op.replace("Drop", "Lost").replace("Cart/", "Carts/");
    let (status, said) = weir(&["policy", "explain", policy, "--op", &op]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("refused") && said.contains("shop.Carts/Lost"), "{said}");
}

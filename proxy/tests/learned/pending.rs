//! `weir policy pending`: what a sidecar in monitor kept of what is outside its policy.

use serde_json::Value;

use crate::scene::{Scene, arg, ask, end, said};

#[test]
fn what_was_outside_is_listed_until_a_policy_allows_it() {
    let scene = Scene::new();
    let policy = scene.policy(&["GET /carts/{int}"]);
    let mut sidecar = scene.start("monitor", &policy, "p.yaml", &[]);
    ask(&sidecar, &[("GET /carts/7", 5), ("DELETE /carts/7", 4), ("GET /carts/7/export", 6)]);
    end(&mut sidecar);
    let profile = scene.at("p.yaml");
    let list = said(&["policy", "pending", arg(&profile)]);
    let port = scene.server.port();
    assert!(list.starts_with(&format!("inbound :{port} http from 127.0.0.1/32\n")), "{list}");
    for entry in ["DELETE /carts/{int}", "GET /carts/{int}/export"] {
        assert_eq!(list.lines().filter(|l| l.trim().starts_with(&format!("{entry}  "))).count(), 1);
    }
    assert!(list.contains("4 times outside the policy"), "{list}");
    assert!(!list.contains("GET /carts/{int} "), "what is allowed is no candidate: {list}");

    let wider = scene.policy(&["GET /carts/{int}", "DELETE /carts/{int}"]);
    let wider = scene.put("wider.yaml", &wider);
    let list = said(&["policy", "pending", arg(&profile), "--policy", arg(&wider)]);
    assert!(!list.contains("DELETE") && list.contains("GET /carts/{int}/export"), "{list}");

    let lines = said(&["policy", "pending", arg(&profile), "--json"]);
    let objects: Vec<Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(objects.len(), 2, "{lines}");
    let delete = objects.iter().find(|o| o["entry"] == "DELETE /carts/{int}").unwrap();
    assert_eq!(delete["operations"], 4);
    assert_eq!(delete["port"], port);
    assert_eq!(delete["side"], "inbound");
    assert_eq!(delete["protocol"], "http");
    assert_eq!(delete["peers"][0], "127.0.0.1/32");
    assert_eq!(delete["why"], "4 times outside the policy");
    let day = &delete["first"];
    assert!(day.is_u64() || day.is_string(), "{delete}");

    let all = scene.policy(&["GET /carts/*", "DELETE /carts/*"]);
    let all = scene.put("all.yaml", &all);
    let list = said(&["policy", "pending", arg(&profile), "--policy", arg(&all)]);
    assert_eq!(list, "nothing is pending\n");
    assert_eq!(said(&["policy", "pending", arg(&profile), "--policy", arg(&all), "--json"]), "");
}

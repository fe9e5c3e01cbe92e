//! A log of the real program, replayed against policies.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use support::{Server, Weir, read_until, serve, skip};

const POLICY: &str = r#"
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: web, namespace: shop}
spec:
  mode: MODE
  inbound:
  - from: [{any: true}]
    ports: [PORT]
    protocol: http
    allow: ["GET /carts/{int}", "GET /static/*", "PUT /users/{uuid}", {op: "GET /live", upgrade: websocket},
            {op: "GET /up/{}/x", permit: [dotSegments, encodedSlash]}]
    deny: ["GET /static/secret"]
"#;

const REQUESTS: &[&str] = &[
    "GET /carts/7 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /carts/13?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /static/css/site.css HTTP/1.1\r\nHost: a\r\n\r\n",
    "PUT /users/0f8fad5b-d9cb-469f-a165-70867728950e HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "GET /live HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "GET /up/..%2fy/x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /static/secret HTTP/1.1\r\nHost: a\r\n\r\n",
    "DELETE /carts/7 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /carts/7/../8 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /carts/9 HTTP/1.1\r\nHost: a\r\nX-HTTP-Method-Override: DELETE\r\n\r\n",
    "GET /carts/9 HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
];
/// The first so many are allowed.
const ALLOWED: usize = 6;

fn policy(mode: &str, at: SocketAddr) -> String {
    POLICY.replace("PORT", &at.port().to_string()).replace("MODE", mode)
}

/// Answers every head.
fn web() -> SocketAddr {
    serve(|mut stream| {
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while let Ok(1) = stream.read(&mut byte) {
            seen.push(byte[0]);
            if seen.ends_with(b"\r\n\r\n") {
                seen.clear();
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    })
}

/// A sidecar's log of the requests, each on a connection of its own.
fn log(mode: &str, policy: &str, server: SocketAddr, more: &[&str]) -> Weir {
    let weir = Weir::start_with(mode, policy, &[server], more);
    for request in REQUESTS {
        let mut stream = weir.connect();
        stream.write_all(request.as_bytes()).unwrap();
        read_until(&mut stream, b"\r\n\r\n");
    }
    weir
}

/// Exit status, the objects on standard output, and standard error.
fn replay(policy: &Path, log: &Path, more: &[&str]) -> (i32, Vec<Value>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["policy", "replay", "--json"])
        .args([policy, log])
        .args(more)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    (output.status.code().unwrap(), objects, String::from_utf8(output.stderr).unwrap())
}

fn totals(objects: &[Value]) -> [u64; 3] {
    let totals = &objects.last().unwrap()["totals"];
    ["allowed", "refused", "undecidable"].map(|name| totals[name].as_u64().unwrap())
}

/// The verdicts of the log, and those of a replay of the policy that was in force, are the same.
#[test]
fn what_was_decided_is_decided_again() {
    let server = web();
    for detail in ["masked", "full"] {
        for mode in ["enforce", "monitor"] {
            let policy = policy(mode, server);
            let weir = log(mode, &policy, server, &["--log-detail", detail]);
            weir.until("logged", || weir.records().len() >= REQUESTS.len());
            let (file, log) = (weir.dir().join("policy.yaml"), weir.dir().join("traffic.jsonl"));
            let (status, objects, err) = replay(&file, &log, &["--each"]);
            assert_eq!((status, err.as_str()), (0, ""));
            let refused = (REQUESTS.len() - ALLOWED) as u64;
            assert_eq!(totals(&objects), [ALLOWED as u64, refused, 0], "{detail}: {objects:#?}");
            for record in weir.records() {
                let said = objects.iter().find(|object| object["id"] == record["id"]).unwrap();
                let allowed = record["verdict"] == "allowed";
                assert_eq!(said["result"] == "allowed", allowed, "{record}\n{said}");
                if !allowed {
                    assert_eq!(said["reason"], record["reason"], "{record}\n{said}");
                }
            }
            let (status, _, err) = replay(&file, &log, &["--fail-on-refusal"]);
            assert_eq!(status, 1);
            assert!(err.contains("5 of 11 operations"), "{err}");
        }
    }
}

/// Nothing was governed; the log tells all that a policy must know.
#[test]
fn traffic_that_nothing_governed_is_decided_by_a_policy() {
    let server = web();
    for allowed in ["all", "summary"] {
        let mut weir = log("learn", "", server, &["--log-allowed", allowed]);
        let file = weir.dir().join("later.yaml");
        std::fs::write(&file, policy("enforce", server)).unwrap();
        weir.signal("TERM");
        weir.wait();
        let log = weir.dir().join("traffic.jsonl");
        let (_, objects, _) = replay(&file, &log, &[]);
        assert_eq!(totals(&objects), [6, 5, 0], "{allowed}: {objects:#?}");
    }
}

#[test]
fn a_narrower_policy_refuses_and_depends_on_values() {
    let server = web();
    for (detail, expected) in [("masked", [3, 6, 2]), ("full", [4, 7, 0])] {
        let policy = policy("enforce", server);
        let weir = log("enforce", &policy, server, &["--log-detail", detail]);
        weir.until("logged", || weir.records().len() >= REQUESTS.len());
        let narrow = policy
            .replace(r#""PUT /users/{uuid}", "#, "")
            .replace(r#"deny: ["#, r#"deny: ["GET /carts/13", "#);
        let file = weir.dir().join("narrow.yaml");
        std::fs::write(&file, narrow).unwrap();
        let (_, objects, _) = replay(&file, &weir.dir().join("traffic.jsonl"), &[]);
        assert_eq!(totals(&objects), expected, "{detail}: {objects:#?}");
        let users = objects.iter().find(|object| object["op"] == "PUT /users/{uuid}").unwrap();
        assert_eq!(
            (&users["result"], &users["reason"]),
            (&"refused".into(), &"not_allowed".into())
        );
    }
}

#[test]
fn commands_are_decided_again() {
    let Some(server) = Server::redis(&[]) else { return skip("there is no redis-server") };
    let text = format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: store}}\nspec:\n  \
         refusal: answer\n  inbound:\n  - from: [{{any: true}}]\n    ports: [{}]\n    \
         protocol: redis\n    databases: [0, 1]\n    \
         allow: [\"SET cart:{{int}}\", \"GET cart:{{int}}\", \"MGET cart:* user:{{}}\", PING, \
         \"EVALSHA sha1:* cart:*\", SELECT, \"SORT *\"]\n    deny: [\"GET cart:13\", \"CONFIG|*\"]\n",
        server.at.port()
    );
    for (detail, undecidable) in [("masked", 3), ("full", 0)] {
        let weir = Weir::start_with("enforce", &text, &[server.at], &["--log-detail", detail]);
        let mut stream = weir.connect();
        let commands = [
            "SET cart:7 x",
            "GET cart:7",
            "GET cart:13",
            "GET cart:x",
            "PING",
            "CONFIG GET dir",
            "MGET cart:7 cart:x:y user:ada",
            "MGET cart:7 other",
            "SORT cart:7 BY w_*",
            "FLUSHALL",
            "FROBNICATE cart:7",
            "SELECT 1",
            "GET cart:8",
            "SELECT 5",
            "GET user:1",
        ];
        for command in commands {
            stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            if byte == *b"$" || byte == *b"*" {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        weir.until("logged", || weir.records().len() >= commands.len());
        let (file, log) = (weir.dir().join("policy.yaml"), weir.dir().join("traffic.jsonl"));
        let (status, objects, _) = replay(&file, &log, &["--each"]);
        assert_eq!(status, 0);
        let mut doubts = 0;
        for record in weir.records() {
            let said = objects.iter().find(|object| object["id"] == record["id"]).unwrap();
            if said["result"] == "undecidable" {
                doubts += 1;
                continue;
            }
            let allowed = record["verdict"] == "allowed";
            assert_eq!(said["result"] == "allowed", allowed, "{record}\n{said}");
            assert!(allowed || said["reason"] == record["reason"], "{record}\n{said}");
        }
        assert_eq!(doubts, undecidable, "{detail}: {objects:#?}");
    }
}

#[test]
fn what_is_no_record_is_named_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (file, log) = (dir.path().join("p.yaml"), dir.path().join("log"));
    std::fs::write(&file, policy("enforce", ([127, 0, 0, 1], 80).into())).unwrap();
    let record = |id: &str, more: &str| {
        format!(
            "{{\"schema\":\"weir.dev/traffic/v1\",\"id\":\"{id}\",\"side\":\"inbound\",\
             \"port\":80,\"peer\":\"10.0.0.1\",\"protocol\":\"http\",\"op\":\"GET /carts/{{int}}\",\
             \"verdict\":\"allowed\",\"reason\":\"entry\"{more}}}\n"
        )
    };
    let text = [
        record("a-1", ",\"phase\":\"start\""),
        "{\"schema\":\"weir.dev/traffic/v1\",\"id\":\"half".to_owned() + "\n\n",
        record("a-1", ",\"phase\":\"open\""),
        record("a-1", ""),
        record("a-2", ",\"count\":40"),
        "{\"schema\":\"weir.dev/traffic/v9\"}\n".to_owned(),
        "x".repeat(1 << 20) + "\n",
        "{\"schema\":\"weir.dev/traffic/v1\",\"op\":\"other\",\"count\":2}\n".to_owned(),
    ];
    std::fs::write(&log, text.concat()).unwrap();
    let (status, objects, err) = replay(&file, &log, &["--fail-on-refusal"]);
    assert_eq!(status, 0);
    assert_eq!(totals(&objects), [41, 0, 2], "{objects:#?}");
    assert!(
        err.contains(
            "3 lines are no record and left out: line 2: it is no JSON record; line 7: its schema"
        ),
        "{err}"
    );
    std::fs::write(&log, "no log\n").unwrap();
    let (status, _, err) = replay(&file, &log, &[]);
    assert_eq!(status, 2);
    assert!(err.contains("has no record that can be replayed") && err.contains("hint: "), "{err}");
    let (status, _, err) = replay(&file, Path::new("/nonexistent/log"), &[]);
    assert_eq!(status, 2);
    assert!(err.contains("cannot read the log /nonexistent/log"), "{err}");
}

//! One record for each stream.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::client::Client;
use crate::echo::{Echo, Note};
use crate::scene::{ECHO, WEB, noise, policy, run};
use crate::support::Weir;
use crate::visitor::{Visitor, ask};
use crate::web::Web;

/// The record with this op, and nothing of its time that could not be.
fn of(weir: &Weir, op: &str) -> Value {
    let record = weir.record(op, |record| record["op"] == op);
    let count = weir.records().iter().filter(|record| record["op"] == op).count();
    assert_eq!(count, 1, "{op}");
    let (first, whole) = (&record["first_byte_us"], &record["duration_us"]);
    if record["verdict"] == "allowed" {
        assert!(first.as_u64().unwrap() <= whole.as_u64().unwrap(), "{record:#}");
    }
    record
}

fn has(record: &Value, fields: &[(&str, Value)]) {
    for (name, value) in fields {
        assert_eq!(&record[name], value, "{name} of {record:#}");
    }
}

#[test]
fn each_request_has_its_record() {
    for (mode, verdict) in [("enforce", "refused"), ("monitor", "would-refuse")] {
        let web = Web::start();
        let weir = Weir::start("learn", &policy(mode, "http", WEB, web.at, ""), web.at);
        run(async {
            let visitor = Visitor::connect(weir.at()).await;
            visitor.get("/ok").await.unwrap();
            visitor.get("/status/404").await.unwrap();
            visitor.echo("/echo/7", noise(1, 100_000)).await;
            let status = visitor.get("/private").await.unwrap().status;
            assert_eq!(status, if mode == "enforce" { 403 } else { 200 });
            let request = ask("POST", "/hold/x").body(()).unwrap();
            let (_unanswered, mut send) = visitor.begin(request, false).await.unwrap();
            crate::web::pass(&mut send, noise(1, 100)).await.unwrap();
            web.begun("/hold/x");
            send.send_reset(h2::Reason::CANCEL);
        });
        let allowed =
            [("verdict", "allowed".into()), ("protocol", "http".into()), ("mode", mode.into())];
        for (op, status, complete) in [
            ("GET /ok", "200".into(), true),
            ("GET /status/{int}", "404".into(), true),
            ("POST /echo/{int}", "200".into(), true),
            ("POST /hold/x", Value::Null, false),
        ] {
            let record = weir.record(op, |record| record["op"] == op);
            has(&record, &allowed);
            has(
                &record,
                &[("status", status), ("complete", complete.into()), ("host", "a".into())],
            );
        }
        let echo = of(&weir, "POST /echo/{int}");
        for bytes in ["bytes_in", "bytes_out"] {
            let bytes = echo[bytes].as_u64().unwrap();
            assert!((100_000..110_000).contains(&bytes), "{echo:#}");
        }
        let refused = of(&weir, "GET /private");
        has(&refused, &[("verdict", verdict.into()), ("reason", "not_allowed".into())]);
        let ids: std::collections::BTreeSet<_> =
            weir.records().iter().map(|record| record["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids.len(), 5);
        let conns = weir.records().iter().all(|record| record["conn"] == refused["conn"]);
        assert!(conns, "{:#?}", weir.records());
    }
}

#[test]
fn each_call_has_its_record_with_its_messages() {
    for (mode, verdict) in [("enforce", "refused"), ("monitor", "would-refuse")] {
        let echo = Echo::start();
        let weir = Weir::start("learn", &policy(mode, "grpc", ECHO, echo.at, ""), echo.at);
        run(async {
            let mut client = Client::connect(weir.at()).await;
            client.unary("Unary", Note::new(noise(1, 70_000), 1)).await.unwrap();
            let many = |count| tokio_stream::iter((0..count).map(|n| Note::new("x", n)));
            let answer = client.server_stream("ServerStream", Note::new("x", 300)).await.unwrap();
            assert_eq!(crate::client::collect(answer).await.0.len(), 300);
            client.client_stream(many(200)).await.unwrap();
            let answer = client.bidi(many(100)).await.unwrap();
            assert_eq!(crate::client::collect(answer).await.0.len(), 100);
            client.unary("Fail", Note::new("x", 5)).await.unwrap_err();
            let admin = client.unary("Admin", Note::new("x", 1)).await;
            assert_eq!(admin.is_err(), mode == "enforce");
        });
        for (method, status, messages) in [
            ("Unary", "OK", [1, 1]),
            ("ServerStream", "OK", [1, 300]),
            ("ClientStream", "OK", [200, 1]),
            ("Bidi", "OK", [100, 100]),
            ("Fail", "NOT_FOUND", [1, 0]),
        ] {
            let record = of(&weir, &format!("weir.test.Echo/{method}"));
            has(
                &record,
                &[
                    ("protocol", "grpc".into()),
                    ("verdict", "allowed".into()),
                    ("status", status.into()),
                    ("messages_in", messages[0].into()),
                    ("messages_out", messages[1].into()),
                    ("complete", true.into()),
                ],
            );
        }
        let record = of(&weir, "weir.test.Echo/Admin");
        has(&record, &[("verdict", verdict.into()), ("reason", "not_allowed".into())]);
        // As of the server, which says nothing of what it is not asked.
        let status = if mode == "enforce" { Value::Null } else { "OK".into() };
        has(&record, &[("status", status)]);
    }
}

/// What `weir tap` shows with these flags of one call of each kind, until it has seen `count`.
fn tapped(flags: &[&str], count: usize) -> Vec<(String, String)> {
    let echo = Echo::start();
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("weir.sock");
    let policy = policy("enforce", "grpc", ECHO, echo.at, "");
    let weir =
        Weir::start_with("learn", &policy, &[echo.at], &["--socket", socket.to_str().unwrap()]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.arg("tap").arg("--socket").arg(&socket).args(["--count", &count.to_string()]);
    let mut tap = command.args(flags).stdout(Stdio::piped()).spawn().unwrap();
    weir.until("tapped", || weir.metric("weir_taps") > 0.0);
    run(async {
        let mut client = Client::connect(weir.at()).await;
        client.unary("Unary", Note::new("x", 1)).await.unwrap();
        client.unary("Admin", Note::default()).await.unwrap_err();
        client.unary("Fail", Note::new("x", 5)).await.unwrap_err();
    });
    weir.until("shown", || tap.try_wait().unwrap().is_some());
    let output = tap.wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let records = said.lines().map(|line| serde_json::from_str::<Value>(line).expect(line));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut shown: Vec<_> = records.map(|r| (text(&r["op"]), text(&r["status"]))).collect();
    shown.sort();
    shown
}

#[test]
fn a_tap_shows_calls_by_method_and_status() {
    let [unary, admin, fail] =
        ["Unary", "Admin", "Fail"].map(|method| format!("weir.test.Echo/{method}"));
    let all = tapped(&["--protocol", "grpc"], 3);
    let ops: Vec<_> = all.iter().map(|(op, _)| op.clone()).collect();
    assert_eq!(ops, [admin.clone(), fail, unary.clone()]);
    // The server has said nothing to it.
    assert_eq!(tapped(&["--verdict", "refused"], 1), [(admin, String::new())]);
    assert_eq!(tapped(&["--op", "*/Unary", "--status", "OK"], 1), [(unary, "OK".to_owned())]);
}

//! What records say.

use proptest::prelude::*;

use super::*;

/// The fields in the order that docs/traffic-log.md promises.
const ORDER: [&str; 31] = [
    "schema",
    "time",
    "id",
    "conn",
    "side",
    "client",
    "server",
    "port",
    "peer",
    "claimed_client",
    "protocol",
    "host",
    "database",
    "user",
    "op",
    "detail",
    "complete",
    "status",
    "bytes_in",
    "bytes_out",
    "messages_in",
    "messages_out",
    "duration_us",
    "first_byte_us",
    "traceparent",
    "verdict",
    "reason",
    "decided_by",
    "mode",
    "phase",
    "count",
];

fn in_order(line: &str) -> bool {
    let mut last = 0;
    ORDER.iter().all(|name| match line.find(&format!("\"{name}\":")) {
        Some(at) if at < last => false,
        Some(at) => {
            last = at;
            true
        }
        None => true,
    })
}

#[test]
fn a_record_has_everything_in_order() {
    let log = Log::new(LogAllowed::All);
    let mut conn = log.conn();
    let operation = Operation::Http(http("GET", "/carts"));
    let detail = Detail {
        query: Some(b"q=shoes&token"),
        traceparent: Some(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        user: Some(b"ann"),
    };
    let now = Instant::now();
    let mut transaction = conn.begin(now, Protocol::Http, Some(&operation), &detail, ALLOWED);
    transaction.complete = true;
    transaction.status = Status::Http(200);
    (transaction.bytes_in, transaction.bytes_out) = (100, 200);
    let mut id = Vec::new();
    conn.id(transaction.seq, &mut id);
    conn.end(now + Duration::from_micros(1500), transaction);
    let path = log.path.clone();
    let conn_id = conn.conn_id().to_string();
    assert_eq!(String::from_utf8(id).unwrap(), format!("{conn_id}-1"));
    assert!(log.reporter.close(Duration::from_secs(10)));
    let text = std::fs::read_to_string(path).unwrap();
    assert!(in_order(&text), "{text}");
    let mut record: Value = serde_json::from_str(&text).unwrap();
    let time = record["time"].take();
    let time: jiff::Timestamp = time.as_str().unwrap().parse().unwrap();
    assert!(time.duration_since(jiff::Timestamp::now()).abs() < jiff::SignedDuration::from_secs(9));
    let expected = serde_json::json!({
        "schema": "weir.dev/traffic/v1", "time": null, "id": format!("{conn_id}-1"),
        "conn": conn_id, "side": "inbound", "client": "10.0.0.7:40112",
        "server": "10.0.0.9:8080", "port": 8080, "peer": "10.0.0.7", "protocol": "http",
        "host": "cart.shop", "user": "ann", "op": "GET /carts",
        "detail": "/carts?q={}&{}", "complete": true, "status": "200", "bytes_in": 100,
        "bytes_out": 200, "duration_us": 1500,
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "verdict": "allowed", "reason": "entry", "decided_by": "shop/cart spec.inbound[0] \"GET /carts\"",
        "mode": "enforce",
    });
    assert_eq!(record, expected);
}

/// An entry's number means something to its own policy alone.
#[test]
fn an_entry_is_described_by_the_policy_that_decided() {
    let log = Log::new(LogAllowed::All);
    let mut conn = log.conn();
    let now = Instant::now();
    let begin = |conn: &mut ConnReport, outcome| {
        let operation = Operation::Http(http("GET", "/carts"));
        conn.begin(now, Protocol::Http, Some(&operation), &Detail::default(), outcome)
    };
    let first = begin(&mut conn, ALLOWED);
    let mut second = begin(&mut conn, Outcome { entry: None, ..ALLOWED });
    conn.governed_by(policy("other"), Mode::Monitor);
    conn.end(now, first);
    second.entry = Some(EntryRef(1));
    conn.end(now, second);
    let unknown = begin(&mut conn, Outcome { entry: Some(EntryRef(99)), ..ALLOWED });
    conn.end(now, unknown);
    let records = log.read();
    let decided_by: Vec<_> = records.iter().map(|r| r.get("decided_by").cloned()).collect();
    let entry = |name| Some(format!("shop/{name} spec.inbound[0] \"GET /carts\"").into());
    assert_eq!(decided_by, [entry("cart"), entry("other"), None]);
    assert_eq!((&records[0]["mode"], &records[2]["mode"]), (&"enforce".into(), &"monitor".into()));
}

#[test]
fn what_is_absent_is_left_out() {
    let log = Log::new(LogAllowed::All);
    let mut conn = log.conn();
    let outcome = Outcome { reason: Reason::Malformed("bare_lf"), ..REFUSED };
    let now = Instant::now();
    let transaction = conn.begin(now, Protocol::Http, None, &Detail::default(), outcome);
    conn.end(now, transaction);
    let record = &log.read()[0];
    for name in ["host", "database", "user", "op", "detail", "status", "traceparent", "decided_by"]
    {
        assert!(record.get(name).is_none(), "{name}");
    }
    assert_eq!(record["reason"], "bare_lf");
    assert_eq!(record["complete"], false);
}

#[test]
fn redis_commands_name_database_and_keys() {
    let log = Log::new(LogAllowed::All);
    let mut conn = log.conn();
    let keys: [&[u8]; 2] = [b"cart:a", b"cart:b"];
    let command = RedisOp {
        databases: &[0, 3],
        command: b"mget",
        subcommand: None,
        keys: Keys::Known(&keys),
        channels: Keys::Known(&[] as &[&[u8]; 0]),
        script: Script::None,
    };
    let operation = Operation::Redis(command);
    let now = Instant::now();
    let detail = Detail::default();
    let mut transaction = conn.begin(now, Protocol::Redis, Some(&operation), &detail, ALLOWED);
    transaction.status = Status::Error(*b"WRONGTYPE\0\0\0\0\0\0");
    conn.end(now, transaction);
    let record = &log.read()[0];
    assert_eq!(record["database"], "0,3");
    assert_eq!(record["op"], "MGET cart:a cart:b");
    assert_eq!(record["status"], "WRONGTYPE");
}

/// What is kept of a call while it lasts: a connection may have hundreds of them at once.
#[test]
fn calls_are_told_and_take_little_room() {
    let log = Log::new(LogAllowed::All);
    let mut conn = log.conn();
    let call = |method| {
        Operation::Grpc(GrpcOp {
            service: b"shop.v1.CartService",
            method,
            authority: Some(b"ann:hunter2@cart.shop.svc.cluster.local:9090"),
        })
    };
    let detail = Detail {
        traceparent: Some(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ..Detail::default()
    };
    let now = Instant::now();
    let long = vec![b'a'; 900];
    let long = conn.begin(now, Protocol::Grpc, Some(&call(&long)), &detail, ALLOWED);
    conn.end(now, long);
    for status in [Status::Grpc(0), Status::Grpc(7), Status::Grpc(99)] {
        let mut transaction =
            conn.begin(now, Protocol::Grpc, Some(&call(b"AddItem")), &detail, ALLOWED);
        let size = size_of::<Transaction>() + transaction.text.size();
        assert!(size <= 256 + 512, "{size}");
        transaction.status = status;
        transaction.is_stream = true;
        transaction.messages = Some([1, 3]);
        transaction.first_byte = Some(now + Duration::from_micros(400));
        conn.started(&transaction);
        conn.received(crate::session::Leg::Client, 500);
        (transaction.bytes_in, transaction.bytes_out) = (10, 20);
        conn.end(now + Duration::from_micros(1500), transaction);
    }
    assert!(log.reporter.close(Duration::from_secs(10)));
    assert!(std::fs::read_to_string(&log.path).unwrap().lines().all(in_order));
    let records = lines(&log.path);
    assert!(records[1]["messages_in"].is_null() && records[1]["phase"] == "start");
    assert_eq!(records[1]["first_byte_us"], 400);
    let record = &records[2];
    for (name, value) in [
        ("protocol", "grpc"),
        ("host", "cart.shop.svc.cluster.local:9090"),
        ("op", "shop.v1.CartService/AddItem"),
        ("detail", "shop.v1.CartService/AddItem"),
        ("status", "OK"),
    ] {
        assert_eq!(record[name], value);
    }
    for (name, value) in [
        ("messages_in", 1),
        ("messages_out", 3),
        ("bytes_in", 10),
        ("bytes_out", 20),
        ("first_byte_us", 400),
        ("duration_us", 1500),
    ] {
        assert_eq!(record[name], value, "{name}");
    }
    assert_eq!(
        (&records[4]["status"], &records[6]["status"]),
        (&"PERMISSION_DENIED".into(), &"99".into())
    );
}

#[test]
fn user_and_password_of_an_authority_are_left_out() {
    let log = Log::new(LogAllowed::All);
    let mut conn = log.conn();
    let operation = HttpOp { authority: Some(b"ann:hunter2@cart.shop:80"), ..http("GET", "/") };
    transact(&mut conn, operation, ALLOWED);
    assert_eq!(log.read()[0]["host"], "cart.shop:80");
}

#[test]
fn secrets_in_a_query_stay_out_of_a_full_log() {
    let log = Log::with_detail(LogAllowed::All, LogDetail::Full);
    let mut conn = log.conn();
    let operation = Operation::Http(http("GET", "/login"));
    let detail = Detail { query: Some(b"user=ann&Api-Key=abc&x"), ..Detail::default() };
    let now = Instant::now();
    let transaction = conn.begin(now, Protocol::Http, Some(&operation), &detail, ALLOWED);
    conn.end(now, transaction);
    assert_eq!(log.read()[0]["detail"], "/login?user=ann&Api-Key={}&x");
}

#[test]
fn long_lived_transactions_have_a_start_and_an_end() {
    let log = Log::new(LogAllowed::All);
    let mut conn = log.conn();
    let start = Instant::now();
    let operation = Operation::Tls(TlsOp { sni: Some(b"db.shop") });
    let outcome =
        Outcome { verdict: Verdict::Unread, reason: Reason::Unread("encrypted"), entry: None };
    conn.connection_started(start, Protocol::Tls, &operation, outcome);
    conn.received(crate::session::Leg::Client, 500);
    conn.received(crate::session::Leg::Server, 900);
    let next = conn.periodic(start + Duration::from_secs(299)).unwrap();
    assert_eq!(next - start, Duration::from_secs(300));
    let next = conn.periodic(next).unwrap();
    assert_eq!(next - start, Duration::from_secs(600));
    conn.received(crate::session::Leg::Client, 1);
    conn.connection_ended(start + Duration::from_secs(301), true);
    assert_eq!(conn.periodic(next), None);
    drop(conn);
    let metrics = log.reporter.metrics().render();
    let records = log.read();
    let picked: Vec<_> = records
        .iter()
        .map(|r| (r["phase"].as_str(), r["bytes_in"].as_u64(), r["bytes_out"].as_u64()))
        .collect();
    let expected = [
        (Some("start"), Some(0), Some(0)),
        (Some("open"), Some(500), Some(900)),
        (None, Some(501), Some(900)),
    ];
    assert_eq!(picked, expected);
    assert_eq!(records[0].get("duration_us"), None);
    assert_eq!(records[2]["duration_us"], 301_000_000);
    assert!(records.iter().all(|r| r["id"] == records[0]["id"] && r["host"] == "db.shop"));
    assert!(metrics.contains("weir_unread_total{kind=\"encrypted\"} 1"), "{metrics}");
}

#[test]
fn a_dropped_connection_still_has_its_last_record() {
    let log = Log::new(LogAllowed::All);
    let mut conn = log.conn();
    let now = Instant::now();
    conn.connection_started(now, Protocol::Opaque, &Operation::Connection, ALLOWED);
    drop(conn);
    let records = log.read();
    assert_eq!(records.len(), 2);
    assert_eq!(records[1]["complete"], false);
}

#[test]
fn what_a_request_asks_for_besides_has_its_own_record() {
    for allowed in [LogAllowed::All, LogAllowed::Summary] {
        let log = Log::new(allowed);
        let mut conn = log.conn();
        let asks = HttpOp { upgrade: Some(b"websocket"), ..http("GET", "/live") };
        transact(&mut conn, asks, ALLOWED);
        let asks = HttpOp { override_header: Some(b"X-Original-URL"), ..http("GET", "/x") };
        transact(&mut conn, asks, ALLOWED);
        let records = log.read();
        let asked =
            |name: &str| records.iter().filter_map(|r| r[name].as_str()).collect::<Vec<_>>();
        assert_eq!(asked("upgrade"), ["websocket"]);
        assert_eq!(asked("override"), ["X-Original-URL"]);
        assert!(records.iter().all(|record| record["id"].is_string()), "{records:#?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_line_is_json(
        texts in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..40), proptest::option::of(
                proptest::collection::vec(any::<u8>(), 0..2000))),
            1..20,
        ),
    ) {
        let log = Log::new(LogAllowed::All);
        let mut conn = log.conn();
        for (short, long) in &texts {
            let long = long.as_deref();
            let operation = HttpOp {
                method: short,
                authority: long,
                path: long.unwrap_or(short),
                upgrade: None,
                override_header: None,
            };
            let detail = Detail { query: long, traceparent: long, user: Some(short) };
            let now = Instant::now();
            let operation = Operation::Http(operation);
            let transaction = conn.begin(now, Protocol::Http, Some(&operation), &detail, ALLOWED);
            conn.end(now, transaction);
        }
        let records = log.read();
        prop_assert_eq!(records.len(), texts.len());
        for (record, (short, _)) in records.iter().zip(&texts) {
            prop_assert_eq!(record["user"].as_str().unwrap(), String::from_utf8_lossy(short));
        }
    }
}

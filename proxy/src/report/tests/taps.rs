//! What taps have of transactions.

use super::*;
use crate::report::tap::{Filter, Room, Tap};

const ROOM: Room = Room { taps: 3, bytes: 1 << 20 };

fn attach(reporter: &Reporter) -> Tap {
    reporter.taps().attach(Filter::default(), ROOM).unwrap()
}

/// Ends the hub, and what the tap had.
async fn read(reporter: &Reporter, tap: Tap) -> Vec<Value> {
    use http_body_util::BodyExt as _;
    reporter.flush();
    reporter.taps().close();
    Arc::clone(reporter.taps()).run().await;
    let bytes = tap.collect().await.unwrap().to_bytes();
    let text = std::str::from_utf8(&bytes).unwrap();
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn without_log() -> Arc<Reporter> {
    let metrics = Arc::new(Metrics::new());
    Reporter::new(None, LogAllowed::All, LogDetail::Masked, metrics).unwrap()
}

#[tokio::test]
async fn a_tap_has_the_lines_of_the_log() {
    let log = Log::new(LogAllowed::All);
    let (mut conn, tap) = (log.conn(), attach(&log.reporter));
    transact(&mut conn, http("GET", "/carts/7"), ALLOWED);
    transact(&mut conn, http("DELETE", "/carts/7"), REFUSED);
    let tapped = read(&log.reporter, tap).await;
    assert_eq!(tapped.len(), 2);
    assert_eq!(tapped, log.read());
}

#[tokio::test]
async fn a_tap_has_what_the_log_leaves_out() {
    for allowed in [LogAllowed::Off, LogAllowed::Summary, LogAllowed::Sample(100)] {
        let log = Log::new(allowed);
        let (mut conn, tap) = (log.conn(), attach(&log.reporter));
        transact(&mut conn, http("GET", "/carts/7"), ALLOWED);
        let tapped = read(&log.reporter, tap).await;
        assert_eq!((tapped.len(), &tapped[0]["op"]), (1, &"GET /carts/{int}".into()));
    }
}

#[tokio::test]
async fn a_tap_without_a_log_has_texts_as_masked_as_the_log() {
    let reporter = without_log();
    let mut conn = conn(&reporter);
    let operation = Operation::Http(http("GET", "/carts/7"));
    let detail = Detail { query: Some(b"token=s3cret"), ..Detail::default() };
    let begin = |conn: &mut ConnReport| {
        conn.begin(Instant::now(), Protocol::Http, Some(&operation), &detail, ALLOWED)
    };
    let before = begin(&mut conn);
    let tap = attach(&reporter);
    let after = begin(&mut conn);
    conn.end(Instant::now(), before);
    conn.end(Instant::now(), after);
    let tapped = read(&reporter, tap).await;
    // What began before has no texts, and says nothing that is wrong.
    assert!(tapped[0]["op"].is_null() && tapped[0]["decided_by"].is_null());
    assert_eq!((&tapped[0]["mode"], &tapped[0]["verdict"]), (&"enforce".into(), &"allowed".into()));
    assert_eq!(tapped[1]["op"], "GET /carts/{int}");
    assert_eq!(tapped[1]["detail"], "/carts/{int}?token={}");
    assert_eq!(tapped[1]["decided_by"], "shop/cart spec.inbound[0] \"GET /carts\"");
}

#[tokio::test]
async fn a_tap_has_each_record_of_what_lives_long() {
    let reporter = without_log();
    let (mut conn, tap) = (conn(&reporter), attach(&reporter));
    let now = Instant::now();
    conn.connection_started(now, Protocol::Opaque, &Operation::Connection, ALLOWED);
    conn.periodic(now + Duration::from_secs(301));
    conn.connection_ended(now + Duration::from_secs(302), true);
    let tapped = read(&reporter, tap).await;
    let phases: Vec<_> = tapped.iter().map(|record| record["phase"].as_str()).collect();
    assert_eq!(phases, [Some("start"), Some("open"), None]);
    assert!(tapped.iter().all(|record| record["id"] == tapped[0]["id"]));
}

#[test]
fn without_taps_nothing_is_rendered_for_them() {
    let reporter = without_log();
    let mut conn = conn(&reporter);
    let operation = Operation::Http(http("GET", "/carts/7"));
    let detail = Detail::default();
    let now = Instant::now();
    let transaction = conn.begin(now, Protocol::Http, Some(&operation), &detail, ALLOWED);
    assert_eq!(transaction.text.size(), 0);
    conn.end(now, transaction);
}

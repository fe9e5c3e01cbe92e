use super::*;

fn set(key: &str, value: &[u8]) -> Vec<u8> {
    let mut raw = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n", key.len()).into_bytes();
    raw.extend_from_slice(format!("${}\r\n", value.len()).as_bytes());
    raw.extend_from_slice(value);
    raw.extend_from_slice(b"\r\n");
    raw
}

#[test]
fn a_big_value_passes_as_it_comes() {
    let mut d = driver(Refusal::Answer);
    let raw = set("k", &vec![b'v'; 1 << 20]);
    d.client(&raw[..1 << 19]);
    assert_eq!(d.to_server().len(), 1 << 19);
    d.client(&raw[1 << 19..raw.len() - 1]);
    // The CR waits for its LF.
    assert_eq!(d.to_server().len(), raw.len() - 2);
    d.client(&raw[raw.len() - 1..]);
    assert_eq!(d.to_server().as_bytes(), raw);
    d.client(resp("BAD x"));
    d.server(format!("+OK\r\n{UNKNOWN}"));
    assert_eq!(d.to_client(), format!("+OK\r\n{}", noperm(2)));
    let records = d.close();
    assert_eq!(told(records)[0], ("SET", Verdict::Allowed, Status::Ok));
    assert_eq!(records[0].bytes_in, raw.len() as u64);
}

#[test]
fn a_violation_cuts_the_server_and_is_told_at_its_turn() {
    let mut raw = String::from_utf8(set("k", &vec![b'v'; 1 << 17])).unwrap();
    raw = raw.replace("SET", "BAD");
    let mut d = driver(Refusal::Answer);
    d.client(resp("GET k") + &raw);
    assert!(d.to_server().len() < 100 && !d.ended.server_reset);
    d.server("$-1\r\n");
    assert_eq!(d.to_client(), format!("$-1\r\n{}", noperm(2)));
    assert!(d.ended.server_reset && d.ended.closed);
    assert_eq!(told(d.close())[1], ("BAD", Verdict::Refused, Status::None));
}

#[test]
fn the_byte_that_completes_a_match_is_withheld() {
    let mut value = vec![b'v'; 1 << 17];
    value.extend_from_slice(b"evil and more");
    let raw = set("k", &value);
    for step in [1 << 16, 1000, raw.len()] {
        let mut d = driver(Refusal::Answer);
        d.inspectors.push(Literal::content("evil"));
        raw.chunks(step).for_each(|chunk| d.client(chunk));
        assert!(d.to_server().ends_with("vevi"), "in chunks of {step}");
        assert!(d.ended.server_reset && d.ended.closed);
        assert_eq!(d.to_client(), noperm(1));
        assert_eq!(d.close()[0].reason, Reason::Inspector("literal"));
    }
}

#[test]
fn keys_over_the_limit_are_refused() {
    let mut d = driver(Refusal::Answer);
    d.client(set(&"k".repeat(1 << 17), b"v"));
    assert_eq!(d.to_client(), "-ERR weir refused a command over its limit (id conn-1)\r\n");
    assert!(d.ended.server_reset);
    assert_eq!(d.close()[0].reason, Reason::Limit("judging_bytes"));
}

#[test]
fn what_must_be_followed_cannot_stream() {
    let mut d = driver(Refusal::Answer);
    let line = format!("COPY a b DB 5 {}", "REPLACE ".repeat(10_000));
    d.client(resp(&line));
    assert_eq!(d.close()[0].reason, Reason::Limit("judging_bytes"));
}

#[test]
fn a_subscription_to_many_channels_streams() {
    let mut d = driver(Refusal::Answer);
    let channels: Vec<_> = (0..10_000).map(|n| n.to_string()).collect();
    let raw = resp(&format!("SUBSCRIBE {}", channels.join(" ")));
    assert!(raw.len() > d.limits.judging_bytes);
    d.client(&raw);
    assert_eq!(d.to_server(), raw);
    for n in 1..=10_000 {
        d.server(format!("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:{n}\r\n"));
    }
    assert_eq!(d.records.started.len(), 1);
    d.client(resp("PING"));
    d.server("*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    assert!(d.close().iter().all(|r| r.op != "PING" || r.complete));
}

#[test]
fn what_ends_badly_is_cut() {
    let mut d = driver(Refusal::Answer);
    let mut raw = set("k", &vec![b'v'; 1 << 17]);
    raw.truncate(raw.len() - 2);
    raw.extend_from_slice(b"xx");
    d.client(&raw);
    assert_eq!(d.to_client(), "-ERR Protocol error (weir, id conn-1)\r\n");
    assert!(d.ended.server_reset);
    // Cut short by the client.
    let mut d = driver(Refusal::Answer);
    d.client(&raw[..1 << 17]);
    d.client_eof();
    let records = d.close();
    assert_eq!(told(records), [("SET", Verdict::Allowed, Status::None)]);
    assert!(!records[0].complete);
}

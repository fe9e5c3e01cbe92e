use super::*;

fn confirmation(word: &str, topic: &str, count: u32) -> String {
    format!("*3\r\n${}\r\n{word}\r\n${}\r\n{topic}\r\n:{count}\r\n", word.len(), topic.len())
}

fn message(text: &str) -> String {
    format!("*3\r\n$7\r\nmessage\r\n$1\r\na\r\n${}\r\n{text}\r\n", text.len())
}

#[test]
fn a_subscription_lives_until_it_is_left() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("SUBSCRIBE a b"));
    d.server(confirmation("subscribe", "a", 1) + &message("x"));
    assert_eq!(d.records.started, []);
    d.server(confirmation("subscribe", "b", 2) + &message("y"));
    assert_eq!(told(&d.records.started), [("SUBSCRIBE", Verdict::Allowed, Status::Ok)]);
    assert_eq!(d.records.ended, []);
    d.client(resp("UNSUBSCRIBE;PING"));
    d.server(confirmation("unsubscribe", "a", 1) + &confirmation("unsubscribe", "b", 0));
    d.server("+PONG\r\n");
    let ended: Vec<_> = told(&d.records.ended).iter().map(|r| r.0).collect();
    assert_eq!(ended, ["SUBSCRIBE", "UNSUBSCRIBE", "PING"]);
    assert!(!d.ended.client_reset);
    assert_eq!(d.close().len(), 3);
}

#[test]
fn a_refusal_in_subscribed_mode() {
    for refusal in [Refusal::Answer, Refusal::Close] {
        let mut d = driver(refusal);
        d.client(resp("SUBSCRIBE a"));
        d.server(confirmation("subscribe", "a", 1));
        d.client(resp("BAD x"));
        d.client(resp("PING"));
        d.server(message("before") + UNKNOWN);
        assert!(d.to_client().ends_with(&(message("before") + &noperm(2))));
        if refusal == Refusal::Answer {
            d.server(message("after") + "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
            assert!(d.to_client().ends_with("pong\r\n$0\r\n\r\n"));
        }
        assert_eq!(d.ended.closed, refusal == Refusal::Close);
        assert!(!d.ended.client_reset);
    }
}

#[test]
fn leaving_everything_is_confirmed_for_each() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("SUBSCRIBE a b;PSUBSCRIBE p;SSUBSCRIBE s;UNSUBSCRIBE;PUNSUBSCRIBE;SUNSUBSCRIBE"));
    d.client(resp("SUNSUBSCRIBE;SUBSCRIBE;BAD x"));
    let script = [
        ("subscribe", "a", 1),
        ("subscribe", "b", 2),
        ("psubscribe", "p", 3),
        ("ssubscribe", "s", 1),
        ("unsubscribe", "b", 2),
        ("unsubscribe", "a", 1),
        ("punsubscribe", "p", 0),
        ("sunsubscribe", "s", 0),
    ];
    for (word, topic, count) in script {
        d.server(confirmation(word, topic, count));
    }
    d.server("*3\r\n$12\r\nsunsubscribe\r\n$-1\r\n:0\r\n-ERR wrong number of arguments\r\n");
    d.server(UNKNOWN);
    assert!(d.to_client().ends_with(&noperm(9)));
    let records = d.close();
    assert_eq!(records.len(), 9);
    assert!(records.iter().all(|r| r.complete));
}

#[test]
fn what_looks_like_a_message_is_a_reply_where_nothing_is_subscribed_to() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("LRANGE k 0 -1;EVAL x 0;BAD x"));
    d.server(message("x") + &confirmation("subscribe", "a", 1) + UNKNOWN);
    assert!(d.to_client().ends_with(&noperm(3)));
    assert!(d.close().iter().all(|r| r.complete));
}

#[test]
fn subscribing_twice_counts_once() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("SUBSCRIBE a a;UNSUBSCRIBE;GET k"));
    d.server(confirmation("subscribe", "a", 1).repeat(2));
    d.server(confirmation("unsubscribe", "a", 0) + "$-1\r\n");
    assert!(d.close().iter().all(|r| r.complete));
}

#[test]
fn monitor_lines_are_nobodys_reply() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("MONITOR;PING;BAD x"));
    let line = "+1795468486.349212 [0 127.0.0.1:54304] \"PING\"\r\n";
    d.server(format!("+OK\r\n+PONG\r\n{line}{line}{UNKNOWN}{line}"));
    assert_eq!(d.to_client(), format!("+OK\r\n+PONG\r\n{line}{line}{}{line}", noperm(3)));
    assert_eq!(told(&d.records.started), [("MONITOR", Verdict::Allowed, Status::Ok)]);
    d.client(resp("RESET"));
    d.server("+RESET\r\n");
    let records = d.close();
    assert_eq!(records.len(), 4);
    let monitor = records.iter().find(|r| r.op == "MONITOR").unwrap();
    assert_eq!(monitor.bytes_out, 5 + 3 * line.len() as u64);
}

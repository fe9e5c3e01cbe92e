use super::*;

#[test]
fn skipped_answers_stay_the_servers() {
    for refusal in [Refusal::Answer, Refusal::Close] {
        let mut d = driver(refusal);
        d.client(resp("CLIENT REPLY SKIP;BAD x"));
        d.client(resp("PING"));
        let substituted = format!("{}{SUBSTITUTE}", resp("CLIENT REPLY SKIP"));
        if refusal == Refusal::Close {
            assert!(d.ended.closed);
            assert_eq!(d.to_server(), substituted);
        } else {
            assert_eq!(d.to_server(), format!("{substituted}{}", resp("PING")));
            d.server("+PONG\r\n");
            assert_eq!(d.to_client(), "+PONG\r\n");
        }
        let records = d.close();
        assert_eq!(told(records)[1], ("BAD", Verdict::Refused, Status::Unanswered));
    }
}

#[test]
fn a_refusal_that_nobody_would_hear_cuts() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("CLIENT REPLY OFF;SET k v;BAD x"));
    assert!(d.ended.client_reset && d.ended.server_reset);
    assert_eq!(d.to_server(), resp("CLIENT REPLY OFF;SET k v"));
    assert_eq!(told(d.close())[2], ("BAD", Verdict::Refused, Status::Unanswered));
}

#[test]
fn replies_turned_on_again_are_matched() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("CLIENT REPLY OFF;SET k v;CLIENT REPLY SKIP;CLIENT REPLY ON;GET k;BAD x"));
    d.server(format!("+OK\r\n$1\r\nv\r\n{UNKNOWN}"));
    assert_eq!(d.to_client(), format!("+OK\r\n$1\r\nv\r\n{}", noperm(6)));
    let records = d.close();
    assert!(records.iter().all(|r| r.complete));
    // CLIENT REPLY in the place that SKIP skips, and RESET under OFF.
    let mut d = driver(Refusal::Answer);
    d.client(resp("CLIENT REPLY SKIP;CLIENT REPLY ON;CLIENT REPLY OFF;PING;RESET;BAD x"));
    d.server(format!("+OK\r\n+RESET\r\n{UNKNOWN}"));
    assert_eq!(d.to_client(), format!("+OK\r\n+RESET\r\n{}", noperm(6)));
    // An unknown mode is an error like any other.
    let mut d = driver(Refusal::Answer);
    d.client(resp("CLIENT REPLY MAYBE;CLIENT REPLY SKIP;CLIENT ID;CLIENT ID"));
    d.server("-ERR syntax error\r\n:5\r\n");
    assert!(!d.ended.client_reset);
    assert!(d.close().iter().all(|r| r.complete));
}

#[test]
fn a_subscription_is_confirmed_even_with_replies_off() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("CLIENT REPLY OFF;SUBSCRIBE a;RESET;PING"));
    d.server("*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n+RESET\r\n+PONG\r\n");
    assert!(!d.ended.client_reset);
    assert!(d.close().iter().all(|r| r.complete));
    // One that failed silently.
    let mut d = driver(Refusal::Answer);
    d.client(resp("CLIENT REPLY SKIP;SUBSCRIBE a;BAD x;PING"));
    d.server(format!("{UNKNOWN}+PONG\r\n"));
    let records = d.close();
    assert_eq!(records.len(), 4);
}

#[test]
fn hello_switches_protocol_and_user() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("HELLO 3 AUTH bob secret SETNAME x;SUBSCRIBE a;GET k;BAD x"));
    d.server("%1\r\n$5\r\nproto\r\n:3\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    assert_eq!(d.session.user.as_deref(), Some(&b"bob"[..]));
    // In RESP3 an array is a reply, whatever it says; a message is a push.
    d.server(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n*3\r\n$7\r\nmessage\r\n+a\r\n+b\r\n");
    d.server(UNKNOWN);
    assert!(d.to_client().ends_with(&noperm(4)));
    let records = d.close();
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|r| r.complete || r.op == "SUBSCRIBE"));
}

#[test]
fn a_failed_auth_changes_no_user() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("AUTH bob wrong;AUTH right"));
    d.server("-WRONGPASS no\r\n");
    assert_eq!(d.session.user, None);
    d.server("+OK\r\n");
    assert_eq!(d.session.user.as_deref(), Some(&b"default"[..]));
    assert_eq!(told(d.close())[0], ("AUTH", Verdict::Allowed, error("WRONGPASS")));
}

#[test]
fn replconf_ack_is_not_answered() {
    let mut d = observer();
    d.client(resp("REPLCONF ACK 5;REPLCONF getack *;PING;REPLCONF capa eof"));
    d.server("+PONG\r\n+OK\r\n");
    assert!(d.close().iter().all(|r| r.complete));
}

#[test]
fn replication_passes_unread_once_it_is_answered() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("PSYNC ? -1"));
    d.client(resp("REPLCONF ACK 0"));
    assert_eq!(d.to_server(), resp("PSYNC ? -1"));
    d.server("+FULLRESYNC x 0\r\n$EOF:abc");
    assert!(d.opaque);
    assert_eq!(d.to_server(), resp("PSYNC ? -1;REPLCONF ACK 0"));
    assert_eq!(d.to_client(), "+FULLRESYNC x 0\r\n$EOF:abc");
    let bytes = d.to_client().len() as u64;
    let records = d.close();
    assert_eq!(told(records)[0], ("PSYNC", Verdict::Allowed, Status::Ok));
    assert_eq!(records[1].reason, Reason::Unread("replication"));
    assert_eq!(records[1].verdict, Verdict::Unread);
    assert_eq!(records[1].bytes_out, bytes);
    // A refused PSYNC, and one that the server refuses.
    let mut d = driver(Refusal::Answer);
    d.client(resp("SYNC"));
    d.client(resp("PING"));
    d.server("-ERR no\r\n");
    assert_eq!(d.to_server(), resp("SYNC;PING"));
    assert!(!d.opaque);
}

#[test]
fn the_words_of_a_script_are_no_status() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("EVAL x 0;EVAL y 0;GET k"));
    d.server("-hunter2 x\r\n-Hunter-2\r\n-WRONGTYPE x\r\n");
    let status: Vec<_> = d.close().iter().map(|r| r.status).collect();
    assert_eq!(status, [error("ERR"), error("ERR"), error("WRONGTYPE")]);
}

use super::*;

#[test]
fn the_server_spoils_the_transaction() {
    for refusal in [Refusal::Answer, Refusal::Close] {
        let mut d = driver(refusal);
        d.client(resp("MULTI;SET k v;BAD x"));
        d.client(resp("EXEC"));
        let aborted = "-EXECABORT Transaction discarded because of previous errors.\r\n";
        d.server(format!("+OK\r\n+QUEUED\r\n{UNKNOWN}"));
        let before = format!("{}{SUBSTITUTE}", resp("MULTI;SET k v"));
        match refusal {
            Refusal::Close => {
                assert_eq!(d.to_server(), before);
                assert!(d.ended.closed);
            }
            _ => {
                d.server(aborted);
                assert_eq!(d.to_server(), before + &resp("EXEC"));
                assert!(d.to_client().ends_with(&format!("{}{aborted}", noperm(3))));
                assert!(!d.session.replies.in_multi && !d.session.in_multi);
            }
        }
    }
}

#[test]
fn the_database_is_uncertain_until_select_is_answered() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("SELECT 3;GET k"));
    assert_eq!(d.session.databases.possible(), [0, 3]);
    d.server("+OK\r\n");
    assert_eq!(d.session.databases.possible(), [3]);
    d.client(resp("SELECT 99"));
    d.server("$-1\r\n-ERR DB index is out of range\r\n");
    assert_eq!(d.session.databases.possible(), [3]);
    d.client(resp("MULTI;SELECT 5;SELECT 99;EXEC"));
    d.server("+OK\r\n+QUEUED\r\n+QUEUED\r\n");
    assert_eq!(d.session.databases.possible(), [3, 5, 99]);
    d.server("*2\r\n+OK\r\n-ERR DB index is out of range\r\n");
    assert_eq!(d.session.databases.possible(), [5]);
    d.client(resp("MULTI;SELECT 6;DISCARD"));
    d.server("+OK\r\n+QUEUED\r\n+OK\r\n");
    assert_eq!(d.session.databases.possible(), [5]);
    d.client(resp("MULTI;SELECT 6;EXEC"));
    d.server("+OK\r\n+QUEUED\r\n*-1\r\n");
    assert_eq!(d.session.databases.possible(), [5]);
    d.client(resp("RESET"));
    assert_eq!(d.session.databases.possible(), [5, 0]);
    d.server("+RESET\r\n");
    assert_eq!(d.session.databases.possible(), [0]);
    d.client(resp("CLIENT REPLY SKIP;SELECT 7;PING"));
    d.server("+PONG\r\n");
    assert_eq!(d.session.databases.possible(), [0, 7]);
    d.client(resp("SELECT 1"));
    d.server("+OK\r\n");
    assert_eq!(d.session.databases.possible(), [1]);
}

#[test]
fn what_cannot_be_followed_in_a_transaction_is_refused() {
    for command in ["SUBSCRIBE a", "CLIENT REPLY OFF", "PSYNC ? -1"] {
        let mut d = driver(Refusal::Answer);
        d.client(resp("MULTI") + &resp(command));
        assert_eq!(d.to_server(), format!("{}{SUBSTITUTE}", resp("MULTI")));
        d.server(format!("+OK\r\n{UNKNOWN}"));
        assert_eq!(d.close()[1].reason, Reason::Malformed("in_transaction"));
    }
}

#[test]
fn too_many_selects_are_refused() {
    let mut d = driver(Refusal::Answer);
    let line: Vec<_> = (0..40).map(|n| format!("SELECT {n}")).collect();
    d.client(resp(&line.join(";")));
    assert_eq!(d.to_server().matches(SUBSTITUTE).count(), 8);
}

#[test]
fn a_failed_multi_does_not_stick() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("MULTI"));
    d.server("-NOAUTH Authentication required.\r\n");
    d.client(resp("SUBSCRIBE a"));
    assert_eq!(d.to_server(), resp("MULTI;SUBSCRIBE a"));
}

#[test]
fn behind_a_blocking_command() {
    for refusal in [Refusal::Answer, Refusal::Close] {
        let mut d = driver(refusal);
        d.client(resp("BLPOP q 0;BAD x"));
        assert_eq!(d.to_server(), format!("{}{SUBSTITUTE}", resp("BLPOP q 0")));
        assert_eq!(d.to_client(), "");
        let popped = "*2\r\n$1\r\nq\r\n$1\r\nv\r\n";
        d.server(format!("{popped}{UNKNOWN}"));
        assert_eq!(d.to_client(), format!("{popped}{}", noperm(2)));
        assert_eq!(d.ended.closed, refusal == Refusal::Close);
    }
}

/// Whose answers could be taken for those of others, so that a SELECT seems to have failed.
#[test]
fn what_would_put_replies_out_of_step_is_refused() {
    let cases = [
        ("SUBSCRIBE a", "CLIENT REPLY OFF", "unanswered"),
        ("SUBSCRIBE", "CLIENT REPLY OFF", "unanswered"),
        ("CLIENT REPLY SKIP;SUBSCRIBE", "CLIENT REPLY OFF", "unanswered"),
        ("MULTI;DISCARD", "CLIENT REPLY SKIP", "unanswered"),
        ("CLIENT REPLY SKIP", "HELLO 3 AUTH a b", "unanswered"),
        ("MULTI", "HELLO 3", "in_transaction"),
        ("MULTI", "REPLCONF ACK 1", "in_transaction"),
        ("PING", "REPLCONF no x ACK 1", "unanswered"),
        ("PING", "REPLCONF ACK", "unanswered"),
        ("SUBSCRIBE a", "REPLCONF ACK 1", "unanswered"),
        ("MONITOR", "MONITOR", "monitoring"),
        ("MONITOR", "SELECT 1", "monitoring"),
        ("MONITOR", "SYNC", "monitoring"),
    ];
    for (before, line, label) in cases {
        let mut d = driver(Refusal::Answer);
        d.client(resp(before) + &resp(line));
        let records = d.close();
        assert!(
            records.iter().any(|r| r.reason == Reason::Malformed(label)),
            "{before};{line}: {:?}",
            reasons(records)
        );
        let told = d.to_server();
        assert_eq!(told.matches(&resp(line)).count(), resp(before).matches(&resp(line)).count());
    }
    let allowed = ["CLIENT REPLY SKIP", "HELLO 3", "REPLCONF capa eof", "MONITOR"];
    for line in allowed {
        let mut d = driver(Refusal::Answer);
        d.client(resp(&format!("SELECT 1;{line}")));
        assert!(d.to_server().ends_with(&resp(line)), "{line}");
    }
}

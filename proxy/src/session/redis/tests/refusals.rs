use std::time::Duration;

use super::*;
use crate::session::Leg;

#[test]
fn what_is_allowed_passes_unchanged() {
    let mut d = driver(Refusal::Close);
    let commands = resp("SET k v;GET k;PING");
    d.client(&commands);
    assert_eq!(d.to_server(), commands);
    d.server("+OK\r\n$1\r\nv\r\n+PONG\r\n");
    assert_eq!(d.to_client(), "+OK\r\n$1\r\nv\r\n+PONG\r\n");
    let records = d.close();
    let ok = |op| (op, Verdict::Allowed, Status::Ok);
    assert_eq!(told(records), [ok("SET"), ok("GET"), ok("PING")]);
    assert!(records.iter().all(|r| r.complete));
    assert_eq!((records[1].bytes_in, records[1].bytes_out), (20, 7));
}

#[test]
fn the_server_says_no() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("GET k;BAD x;GET k"));
    let expected = format!("{}{SUBSTITUTE}{}", resp("GET k"), resp("GET k"));
    assert_eq!(d.to_server(), expected);
    d.server(format!("$-1\r\n{UNKNOWN}$-1\r\n"));
    assert_eq!(d.to_client(), format!("$-1\r\n{}$-1\r\n", noperm(2)));
    let records = d.close();
    let expected = [
        ("GET", Verdict::Allowed, Status::Ok),
        ("BAD", Verdict::Refused, error("NOPERM")),
        ("GET", Verdict::Allowed, Status::Ok),
    ];
    assert_eq!(told(records), expected);
    assert_eq!(records[1].reason, Reason::Inspector("literal"));
}

#[test]
fn close_drops_what_follows_and_delivers_what_came_before() {
    let mut d = driver(Refusal::Close);
    d.client(resp("GET k;BAD x;FLUSHALL"));
    assert_eq!(d.to_server(), format!("{}{SUBSTITUTE}", resp("GET k")));
    assert!(d.ended.finishing && !d.ended.closed);
    assert_eq!(d.held(Leg::Client), 0);
    d.server("$1\r\nv\r\n");
    assert!(!d.ended.closed);
    d.server(UNKNOWN);
    assert!(d.ended.closed);
    assert_eq!(d.to_client(), format!("$1\r\nv\r\n{}", noperm(2)));
    assert_eq!(d.close().len(), 2);
}

#[test]
fn reset_tells_nothing() {
    let mut d = driver(Refusal::Reset);
    d.client(resp("BAD x"));
    assert!(d.ended.client_reset && d.ended.server_reset);
    assert_eq!((d.to_server(), d.to_client()), (String::new(), String::new()));
    assert_eq!(told(d.close()), [("BAD", Verdict::Refused, Status::None)]);
}

#[test]
fn a_deep_pipeline_keeps_its_order() {
    let mut d = driver(Refusal::Answer);
    let line = ["GET k", "BAD x"].repeat(200).join(";");
    d.client(resp(&line));
    assert_eq!(d.to_server().matches(SUBSTITUTE).count(), 200);
    d.server(format!(":1\r\n{UNKNOWN}").repeat(200));
    let expected: String = (1..=200).map(|n| format!(":1\r\n{}", noperm(2 * n))).collect();
    assert_eq!(d.to_client(), expected);
}

#[test]
fn the_queue_is_bounded() {
    let mut d = driver(Refusal::Answer);
    d.limits.pipeline_depth = 2;
    let ping = resp("PING");
    d.client(ping.repeat(5));
    assert_eq!(d.to_server(), ping.repeat(2));
    assert_eq!(d.held(Leg::Client), 3 * ping.len());
    d.server("+PONG\r\n");
    assert_eq!(d.to_server(), ping.repeat(3));
    d.server("+PONG\r\n+PONG\r\n");
    d.server("+PONG\r\n+PONG\r\n");
    assert_eq!(d.to_server(), ping.repeat(5));
    assert_eq!(d.close().len(), 5);
}

#[test]
fn what_waiting_records_hold_is_bounded() {
    let mut d = driver(Refusal::Answer);
    let ping = resp("PING");
    d.client(&ping);
    d.session.waiting_text = super::super::MOST_TEXT;
    d.client(ping.repeat(3));
    assert_eq!(d.to_server(), ping);
    assert_eq!(d.held(Leg::Client), 3 * ping.len());
    d.server("+PONG\r\n");
    assert_eq!(d.to_server(), ping.repeat(4));
    assert_eq!(d.session.pending.len(), 3);
}

#[test]
fn an_error_that_is_not_the_substitutes_cuts() {
    for reply in ["-ERR unknown command 'weir-0000000000000000'\r\n", "+OK\r\n", "*0\r\n", ":1\r\n"]
    {
        let mut d = driver(Refusal::Answer);
        d.client(resp("BAD x"));
        d.server(reply);
        assert!(d.ended.client_reset && d.ended.server_reset, "{reply}");
        assert_eq!(d.to_client(), "");
        let records = d.close();
        assert!(reasons(records).contains(&Reason::Malformed("substitute_mismatch")));
    }
}

#[test]
fn a_forged_error_changes_nothing() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("EVAL forge 0;BAD x"));
    d.server(format!("{UNKNOWN}{UNKNOWN}"));
    assert_eq!(d.to_client(), format!("{UNKNOWN}{}", noperm(2)));
}

#[test]
fn what_is_no_command_is_told_at_its_turn() {
    let cases =
        [("*1\r\n:1\r\n", "expected_bulk"), ("GET k\r\n", "expected_array"), ("*x", "bad_number")];
    for (bytes, label) in cases {
        let mut d = driver(Refusal::Answer);
        d.client(resp("GET k") + bytes);
        assert_eq!(d.to_server(), resp("GET k"));
        assert!(d.ended.finishing && !d.ended.closed);
        d.server("$-1\r\n");
        assert_eq!(d.to_client(), "$-1\r\n-ERR Protocol error (weir, id conn-2)\r\n");
        assert!(d.ended.closed);
        assert_eq!(d.close()[1].reason, Reason::Malformed(label));
    }
}

#[test]
fn another_protocol_is_noticed_at_once() {
    let options = Options { redis_inline: true, nonce: NONCE, ..Options::default() };
    for line in ["POST / HTTP/1.1\r\n", "Host: redis\r\n", "POST /"] {
        let mut d = Driver::new(Redis::new(&options, true));
        d.client(line);
        assert_eq!(d.to_server(), "");
        assert_eq!(d.to_client(), "-ERR Protocol error (weir, id conn-1)\r\n");
        assert!(d.ended.closed);
        assert_eq!(d.close()[0].reason, Reason::Malformed("cross_protocol"));
    }
}

#[test]
fn inline_commands_pass_and_are_refused() {
    let options = Options { redis_inline: true, nonce: NONCE, ..Options::default() };
    let mut d = Driver::new(Redis::new(&options, true));
    d.admission.refusal = Some(Refusal::Answer);
    d.inspectors.push(Literal::operation("BAD"));
    d.client("\r\nSET k \"a b\"\r\n");
    d.client("BAD 'x'\n*1\r\n$4\r\nPING\r\n");
    assert_eq!(d.to_server(), format!("\r\nSET k \"a b\"\r\n{SUBSTITUTE}{}", resp("PING")));
    d.client("SET \"a\r\n");
    d.server(format!("+OK\r\n{UNKNOWN}+PONG\r\n"));
    let expected =
        format!("+OK\r\n{}+PONG\r\n-ERR Protocol error (weir, id conn-4)\r\n", noperm(2));
    assert_eq!(d.to_client(), expected);
    assert_eq!(d.close()[3].reason, Reason::Malformed("unbalanced_quotes"));
}

#[test]
fn a_line_over_its_limit_is_refused() {
    let options = Options { redis_inline: true, nonce: NONCE, ..Options::default() };
    let mut d = Driver::new(Redis::new(&options, true));
    d.client("x".repeat(d.limits.judging_bytes));
    assert_eq!(d.to_client(), "-ERR weir refused a command over its limit (id conn-1)\r\n");
    assert_eq!(d.close()[0].reason, Reason::Limit("judging_bytes"));
}

#[test]
fn a_malformed_reply_cuts_both() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("GET k"));
    d.server("$3\r\nabcd\r\n");
    assert!(d.ended.client_reset && d.ended.server_reset);
    assert!(reasons(d.close()).contains(&Reason::Malformed("line_ending")));
}

#[test]
fn a_reply_that_nobody_asked_for_cuts_both() {
    let mut d = driver(Refusal::Answer);
    d.server("+OK\r\n");
    assert!(d.ended.client_reset && d.ended.server_reset);
    assert_eq!(d.to_client(), "");
    // But the server may say why it closes.
    let mut d = driver(Refusal::Answer);
    d.server("-ERR max number of clients reached\r\n");
    assert_eq!(d.to_client(), "-ERR max number of clients reached\r\n");
    assert_eq!(d.close(), []);
}

#[test]
fn a_command_of_which_a_part_has_passed_is_cut() {
    let mut d = driver(Refusal::Answer);
    d.judge = false;
    let bad = resp("BAD x");
    d.client(&bad[..12]);
    d.judge = true;
    d.client(&bad[12..]);
    assert_eq!(d.to_server(), bad[..12]);
    assert!(d.ended.server_reset && d.ended.closed);
    assert_eq!(d.to_client(), noperm(1));
    // What is allowed goes on.
    let mut d = driver(Refusal::Answer);
    d.judge = false;
    let get = resp("GET k");
    d.client(&get[..12]);
    d.judge = true;
    d.client(&get[12..]);
    assert_eq!(d.to_server(), get);
    assert!(!d.ended.closed);
}

#[test]
fn a_slow_command_is_refused() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("PING"));
    assert_eq!(d.alarm, None);
    d.client("*1\r\n$4\r\n");
    assert!(d.alarm.is_some());
    d.client("PING\r\n");
    assert_eq!(d.alarm, None);
    d.client("*1\r\n");
    d.sleep(Duration::from_secs(30));
    d.client("$4\r\n");
    d.sleep(Duration::from_secs(31));
    assert!(d.ended.finishing);
    d.server("+PONG\r\n+PONG\r\n");
    let expected = "-ERR weir refused a command that came too slowly (id conn-3)\r\n";
    assert!(d.to_client().ends_with(expected), "{}", d.to_client());
    assert!(d.ended.closed);
    assert_eq!(d.close()[2].reason, Reason::Timeout("slow_head"));
    assert_eq!(d.to_server(), resp("PING;PING"));
}

#[test]
fn a_command_is_not_slow_while_weir_does_not_read() {
    let mut d = driver(Refusal::Answer);
    d.client("*1\r\n");
    d.stall(Leg::Client, Duration::from_secs(600));
    d.sleep(Duration::from_secs(59));
    assert!(!d.ended.finishing && !d.ended.closed);
    d.sleep(Duration::from_secs(1));
    assert!(d.to_client().starts_with("-ERR weir refused a command that came too slowly"));
}

#[test]
fn silence_before_a_command_does_not_matter() {
    let mut d = driver(Refusal::Answer);
    d.sleep(Duration::from_secs(3600));
    d.client(resp("BAD x"));
    assert_eq!(d.to_server(), SUBSTITUTE);
}

#[test]
fn a_command_cut_short_goes_nowhere() {
    let mut d = driver(Refusal::Answer);
    d.client("*2\r\n$3\r\nGET\r\n$1\r\n");
    d.client_eof();
    assert_eq!(d.held(Leg::Client), 0);
    assert_eq!(d.to_server(), "");
    assert_eq!(d.close()[0].reason, Reason::Malformed("truncated"));
}

#[test]
fn content_is_shown_to_inspectors() {
    let mut d = driver(Refusal::Answer);
    d.inspectors.push(Literal::content("evil"));
    d.client(resp("SET k good;SET k evil"));
    assert_eq!(d.to_server(), format!("{}{SUBSTITUTE}", resp("SET k good")));
    // In an answer, the byte that completes it is withheld.
    let mut d = driver(Refusal::Answer);
    d.inspectors.push(Literal::content("evil"));
    d.client(resp("GET k"));
    d.server("$8\r\nan ev");
    d.server("il!\r\n");
    assert_eq!(d.to_client(), "$8\r\nan evi");
    assert!(d.ended.client_reset && d.ended.server_reset);
    let records = d.close();
    assert_eq!(told(records), [("GET", Verdict::Refused, Status::None)]);
    assert_eq!(records[0].bytes_out, 10);
}

#[test]
fn goodbye_is_said_between_commands() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("GET k"));
    d.say_goodbye();
    assert!(!d.ended.closed);
    d.server("$-1\r\n");
    assert!(d.ended.closed);
    let mut d = driver(Refusal::Answer);
    d.client(resp("MULTI"));
    d.server("+OK\r\n");
    d.say_goodbye();
    assert!(!d.ended.closed);
    d.client(resp("EXEC"));
    d.server("*0\r\n");
    assert!(d.ended.closed);
}

#[test]
fn a_server_that_ends_passes_what_there_is() {
    let mut d = driver(Refusal::Answer);
    d.client(resp("GET k"));
    d.server("+half");
    d.server_eof();
    assert_eq!(d.to_client(), "+half");
    let mut d = driver(Refusal::Answer);
    d.client(resp("BAD x"));
    d.server(&UNKNOWN[..30]);
    d.server_eof();
    assert_eq!(d.to_client(), "");
}

#[test]
fn what_has_passed_as_a_whole_was_observed() {
    let mut d = driver(Refusal::Answer);
    d.judge = false;
    d.limits.pipeline_depth = 1;
    d.client(resp("GET k;BAD x;BAD y"));
    d.judge = true;
    d.server("$-1\r\n");
    d.server("-ERR unknown command 'BAD'\r\n".repeat(2));
    d.client(resp("BAD z"));
    d.server(UNKNOWN);
    assert!(!d.ended.client_reset);
    assert!(d.to_client().ends_with(&noperm(4)));
    let verdicts: Vec<_> = d.close().iter().map(|r| r.verdict).collect();
    let expected = [Verdict::Allowed, Verdict::WouldRefuse, Verdict::WouldRefuse, Verdict::Refused];
    assert_eq!(verdicts, expected);
}

#[test]
fn content_of_a_message_is_nobodys_reply() {
    let mut d = driver(Refusal::Answer);
    d.inspectors.push(Literal::content("evil"));
    d.client(resp("HELLO 3;SUBSCRIBE a"));
    d.server("%0\r\n>3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n");
    d.client(resp("BLPOP q 0"));
    d.server(">3\r\n$7\r\nmessage\r\n$1\r\na\r\n$4\r\nevil\r\n");
    assert!(d.ended.client_reset && d.ended.server_reset);
    let records = d.close();
    let refused: Vec<_> = records.iter().filter(|r| r.verdict == Verdict::Refused).collect();
    assert_eq!((refused.len(), &*refused[0].op), (1, "-"));
}

#[test]
fn an_idle_connection_takes_little() {
    let session = std::mem::size_of::<Redis>();
    assert!(session <= 1024, "{session}");
    let pending = std::mem::size_of::<super::super::pending::Pending>();
    assert!(pending <= 256, "{pending}");
}

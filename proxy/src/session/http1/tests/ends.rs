//! How connections end: ends of streams, slow heads, goodbyes.

use super::*;
use std::time::Duration;

#[test]
fn a_client_may_stop_sending() {
    let mut driver = judged(Refusal::Close);
    driver.client(get("/a"));
    driver.client_eof();
    driver.server(OK);
    assert_eq!(driver.to_client(), OK);
    assert_eq!(driver.ended, Ended::default());
    assert_eq!(words(driver.close()), ["GET /a allowed ungoverned +"]);
}

#[test]
fn a_head_cut_short_does_not_pass() {
    let mut driver = judged(Refusal::Close);
    driver.client("GET /a HT");
    driver.client_eof();
    assert_eq!((driver.to_server().as_str(), driver.held(Leg::Client)), ("", 0));
    assert_eq!(driver.alarm, None);
    assert_eq!(words(driver.close()), ["- refused truncated"]);
    let mut driver = observed();
    driver.client("GET /a HT");
    driver.client_eof();
    assert_eq!(driver.held(Leg::Client), 0);
    assert_eq!(words(driver.close()), ["- would-refuse truncated"]);
}

#[test]
fn a_server_that_goes_away_unanswering_is_not_covered_up() {
    let mut driver = judged(Refusal::Close);
    driver.client(get("/a"));
    driver.server_eof();
    assert_eq!((driver.to_client().as_str(), driver.ended), ("", Ended::default()));
    assert_eq!(words(driver.close()), ["GET /a allowed ungoverned"]);
}

#[test]
fn truncated_answers() {
    let mut driver = judged(Refusal::Close);
    driver.client(get("/a"));
    driver.server("HTTP/1.1 20");
    driver.server_eof();
    assert_eq!(driver.to_client(), last_problem("502 Bad Gateway", 1));
    for (body, passes) in [
        ("Content-Length: 5\r\n\r\nab", "ab"),
        ("Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0", "1\r\na\r\n"),
    ] {
        let mut driver = judged(Refusal::Close);
        driver.client(get("/a"));
        driver.server(format!("HTTP/1.1 200 OK\r\n{body}"));
        driver.server_eof();
        assert!(driver.to_client().ends_with(&format!("\r\n\r\n{passes}")));
        assert_eq!((driver.held(Leg::Server), driver.ended), (0, Ended::default()));
        assert_eq!(words(driver.close()), ["GET /a allowed ungoverned"]);
    }
}

#[test]
fn a_slow_request_head_times_out() {
    let second = Duration::from_secs(1);
    let mut driver = judged(Refusal::Close);
    driver.sleep(second * 1000);
    driver.client("GET");
    driver.sleep(second * 59);
    driver.client(" /");
    assert_eq!(driver.ended, Ended::default());
    driver.sleep(second);
    assert_eq!(driver.to_client(), last_problem("408 Request Timeout", 1));
    assert_eq!(driver.ended, CLOSED);
    assert_eq!(words(driver.close()), ["- refused slow_head +"]);

    let mut driver = judged(Refusal::Close);
    driver.client("GET");
    driver.sleep(second * 59);
    driver.client(" / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(driver.alarm, None);

    let mut driver = observed();
    driver.client("GET");
    driver.sleep(second * 60);
    driver.client(" / HTTP/1.1\r\nHost: a\r\n\r\n");
    driver.server(OK);
    assert_eq!(words(driver.close()), ["- would-refuse slow_head", "GET / allowed ungoverned +"]);
}

#[test]
fn a_slow_response_head_times_out() {
    let mut driver = judged(Refusal::Close);
    driver.client(get("/a"));
    driver.sleep(Duration::from_secs(1000));
    driver.server("HTTP/1.1");
    driver.sleep(Duration::from_secs(60));
    assert_eq!(driver.to_client(), last_problem("504 Gateway Timeout", 1));
    assert!(driver.ended.closed);
}

/// What Weir did not read may have come: the time starts anew, of that leg alone.
#[test]
fn a_head_is_not_slow_while_weir_does_not_read() {
    let (second, ours) = (Duration::from_secs(1), last_problem("408 Request Timeout", 1));
    let mut driver = judged(Refusal::Close);
    driver.client("GET");
    driver.sleep(second * 59);
    driver.stall(Leg::Client, second * 600);
    driver.sleep(second * 59);
    assert_eq!(driver.ended, Ended::default());
    driver.sleep(second);
    assert_eq!(driver.to_client(), ours);

    let mut driver = judged(Refusal::Close);
    driver.client("GET");
    driver.stall(Leg::Server, second * 60);
    assert_eq!(driver.to_client(), ours);

    let mut driver = judged(Refusal::Close);
    driver.client(get("/a"));
    driver.server("HTTP/1.1");
    driver.stall(Leg::Server, second * 600);
    assert_eq!(driver.ended, Ended::default());
    driver.sleep(second * 60);
    assert_eq!(driver.to_client(), last_problem("504 Gateway Timeout", 1));
}

#[test]
fn no_clock_runs_once_the_connection_ends() {
    let mut driver = judged(Refusal::Close);
    driver.client("GET");
    driver.server("unsolicited");
    assert!(driver.ended.closed);
    driver.sleep(Duration::from_secs(100));
    assert_eq!(driver.alarm, None);
    assert_eq!(words(driver.close()), ["- refused unsolicited_response"]);
}

#[test]
fn goodbye_between_messages_closes() {
    for judge in [true, false] {
        let mut driver = judged(Refusal::Close);
        driver.judge = judge;
        driver.client(get("/a"));
        driver.server(OK);
        driver.say_goodbye();
        assert!(driver.ended.closed);
        assert_eq!(driver.to_client(), OK);
    }
}

#[test]
fn goodbye_is_said_in_the_last_answer() {
    let mut driver = judged(Refusal::Close);
    driver.client(get("/a") + &get("/b"));
    driver.say_goodbye();
    assert_eq!(driver.ended, Ended::default());
    driver.client(get("/c"));
    let answer = |connection| {
        format!(
            "HTTP/1.1 200 OK\r\n{connection}A:  b\r\nContent-Length: 2\r\nConnection: x\r\n\r\nok"
        )
    };
    driver.server(answer("connection: keep-alive\r\n").repeat(2));
    let said = answer("connection: close\r\n").replace("Connection: x\r\n", "");
    assert_eq!(driver.to_client(), answer("connection: keep-alive\r\n") + &said);
    assert!(driver.ended.closed);
    assert_eq!(driver.to_server(), get("/a") + &get("/b"), "the third can be sent elsewhere");

    let mut driver = judged(Refusal::Close);
    driver.client(get("/a"));
    driver.say_goodbye();
    driver.server(OK);
    assert_eq!(
        driver.to_client(),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
    );
    assert!(driver.ended.closed);
}

#[test]
fn goodbye_during_a_body_lets_it_end() {
    let mut driver = judged(Refusal::Close);
    driver.client(get("/a"));
    driver.server(&OK[..OK.len() - 1]);
    driver.client(get("/b"));
    driver.say_goodbye();
    assert!(!driver.ended.closed);
    driver.server("k");
    assert!(!driver.ended.closed, "the second request has passed: it is answered");
    driver.server(OK);
    assert!(driver.to_client().contains("Connection: close"));
    assert!(driver.ended.closed);
}

//! What passes, and how it is reported.

use super::*;
use crate::report::Status;

#[test]
fn requests_and_answers_pass_unchanged() {
    let requests = format!(
        "{}POST /b HTTP/1.1\r\nhOST:a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n{}",
        get("/a?q=1"),
        get("/c")
    );
    let answers = format!(
        "{OK}HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 \r\n\r\nHTTP/1.1 200 OK\r\n\
         Transfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\nx-t:  1\r\n\r\n"
    );
    for judge in [true, false] {
        let mut driver = judged(Refusal::Close);
        driver.judge = judge;
        driver.client(&requests);
        driver.server(&answers);
        assert_eq!(driver.to_server(), requests);
        assert_eq!(driver.to_client(), answers);
        assert_eq!(driver.alarm, None);
        assert_eq!(driver.ended, Ended::default());
        let records = driver.close().to_vec();
        assert_eq!(
            words(&records),
            [
                "GET /a allowed ungoverned +",
                "POST /b allowed ungoverned +",
                "GET /c allowed ungoverned +"
            ]
        );
        assert_eq!(records[0].status, Status::Http(200));
        assert_eq!(records[1].status, Status::Http(204));
        assert_eq!(records.iter().map(|r| r.bytes_in).sum::<u64>(), requests.len() as u64);
        assert_eq!(records.iter().map(|r| r.bytes_out).sum::<u64>(), answers.len() as u64);
    }
}

#[test]
fn nothing_of_a_head_passes_before_it_is_whole() {
    let mut driver = judged(Refusal::Close);
    let head = get("/a");
    for byte in head.as_bytes().chunks(1) {
        assert_eq!(driver.to_server(), "");
        driver.client(byte);
    }
    assert_eq!(driver.to_server(), head);
    for byte in OK.as_bytes().chunks(1) {
        driver.server(byte);
    }
    assert_eq!(driver.to_client(), OK);
}

#[test]
fn observing_passes_each_byte_as_it_comes() {
    let mut driver = observed();
    let head = get("/evil");
    for (at, byte) in head.as_bytes().chunks(1).enumerate() {
        driver.client(byte);
        assert_eq!(driver.to_server(), head[..=at]);
    }
    driver.server(OK);
    assert_eq!(words(driver.close()), ["GET /evil would-refuse literal +"]);
}

#[test]
fn body_bytes_pass_as_they_come() {
    let mut driver = judged(Refusal::Close);
    driver.client("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    driver.client("x");
    assert!(driver.to_server().ends_with("\r\n\r\nx"));
    driver.server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe");
    assert!(driver.to_client().ends_with("5\r\nhe"));
    // Framing is held until it can be checked.
    driver.server("llo\r\n0");
    assert!(driver.to_client().ends_with("hello\r\n"));
}

#[test]
fn early_answers_pass() {
    let mut driver = judged(Refusal::Close);
    driver.client("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nx");
    driver.server(OK);
    assert_eq!(driver.to_client(), OK);
    assert!(driver.records.ended.is_empty());
    driver.client(format!("yz{}", get("/b")));
    assert_eq!(driver.records.ended.len(), 1);
    driver.server(OK);
    assert_eq!(
        words(driver.close()),
        ["POST /a allowed ungoverned +", "GET /b allowed ungoverned +"]
    );
}

#[test]
fn expect_continue_waits_for_the_server_alone() {
    let mut driver = judged(Refusal::Close);
    let head = "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n";
    driver.client(head);
    assert_eq!(driver.to_server(), head);
    driver.server("HTTP/1.1 100 Continue\r\n\r\n");
    driver.client("x");
    driver.server(OK);
    assert_eq!(driver.to_client(), format!("HTTP/1.1 100 Continue\r\n\r\n{OK}"));
    assert_eq!(words(driver.close()), ["PUT /a allowed ungoverned +"]);
}

#[test]
fn a_deep_pipeline_waits_at_its_bound() {
    let mut driver = judged(Refusal::Close);
    driver.limits.pipeline_depth = 4;
    let requests: String = (0..10).map(|n| get(&format!("/{n}"))).collect();
    driver.client(&requests);
    assert_eq!(driver.to_server().matches("GET").count(), 4);
    driver.server(OK);
    assert_eq!(driver.to_server().matches("GET").count(), 5);
    driver.client_eof();
    driver.server(OK.repeat(4));
    driver.server(OK.repeat(4));
    driver.server(OK);
    assert_eq!(driver.to_server(), requests);
    assert_eq!(driver.to_client(), OK.repeat(10));
    assert_eq!(driver.ended, Ended::default());
}

#[test]
fn head_and_until_close() {
    let mut driver = judged(Refusal::Close);
    driver.client("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\n");
    driver.client(get("/b"));
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 700\r\n\r\n";
    let rest = "HTTP/1.1 200 OK\r\n\r\nall that comes";
    driver.server(format!("{head}{rest}"));
    driver.server(" until the end");
    driver.server_eof();
    assert_eq!(driver.to_client(), format!("{head}{rest} until the end"));
    assert_eq!(driver.ended, Ended::default());
    assert_eq!(
        words(driver.close()),
        ["HEAD /a allowed ungoverned +", "GET /b allowed ungoverned +"]
    );
}

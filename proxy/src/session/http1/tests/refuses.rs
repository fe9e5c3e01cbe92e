//! What does not pass, and what the client is told.

use super::*;

#[test]
fn close_answers_in_order_and_ends() {
    let mut driver = judged(Refusal::Close);
    driver.client(format!("{}{}{}{}", get("/a"), get("/b"), get("/evil"), get("/c")));
    assert_eq!(driver.to_server(), get("/a") + &get("/b"));
    assert_eq!(driver.ended, Ended { finishing: true, ..Ended::default() });
    driver.server(OK);
    assert_eq!(driver.to_client(), OK);
    driver.client(get("/d"));
    driver.server(&OK[..10]);
    driver.server(&OK[10..]);
    assert_eq!(driver.to_client(), OK.repeat(2) + &last_problem("403 Forbidden", 3));
    assert_eq!(driver.ended, CLOSED);
    assert_eq!(driver.to_server(), get("/a") + &get("/b"));
    assert_eq!(
        words(driver.close()),
        [
            "GET /a allowed ungoverned +",
            "GET /b allowed ungoverned +",
            "GET /evil refused literal +"
        ]
    );
}

#[test]
fn close_does_not_answer_out_of_turn() {
    let mut driver = judged(Refusal::Close);
    driver.client(get("/a") + &get("/evil"));
    driver.server_eof();
    assert_eq!(driver.to_client(), "");
    assert_eq!(driver.ended, CLOSED);
    assert_eq!(words(driver.close()), ["GET /a allowed ungoverned", "GET /evil refused literal"]);
}

#[test]
fn answer_keeps_the_connection() {
    let mut driver = judged(Refusal::Answer);
    driver.client(format!("{}{}{}", get("/a"), get("/evil"), get("/b")));
    assert_eq!(driver.to_server(), get("/a") + &get("/b"));
    assert_eq!(driver.to_client(), "");
    driver.server(OK.repeat(2));
    let forbidden = problem("403 Forbidden", 2, "");
    assert_eq!(driver.to_client(), format!("{OK}{forbidden}{OK}"));
    driver.client(get("/evil"));
    assert!(driver.to_client().ends_with(&problem("403 Forbidden", 4, "")));
    assert_eq!(driver.ended, Ended::default());
}

#[test]
fn answer_throws_a_small_body_away() {
    let mut driver = judged(Refusal::Answer);
    driver.client("POST /evil HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    driver.client(format!("cde{}", get("/b")));
    driver.client(
        "POST /evil HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
    );
    driver.client(get("/c"));
    assert_eq!(driver.to_server(), get("/b") + &get("/c"));
    driver.server(OK.repeat(2));
    let (first, second) = (problem("403 Forbidden", 1, ""), problem("403 Forbidden", 3, ""));
    assert_eq!(driver.to_client(), format!("{first}{OK}{second}{OK}"));
    assert_eq!(driver.ended, Ended::default());
}

#[test]
fn answer_closes_where_a_body_is_long_or_awaited() {
    for (fields, body) in [
        ("Content-Length: 70000\r\n", String::new()),
        ("Content-Length: 2\r\nExpect: 100-continue\r\n", String::new()),
        ("Connection: close\r\n", String::new()),
    ] {
        let mut driver = judged(Refusal::Answer);
        driver.client(format!("POST /evil HTTP/1.1\r\nHost: a\r\n{fields}\r\n{body}"));
        assert_eq!(driver.to_client(), last_problem("403 Forbidden", 1));
        assert_eq!(driver.ended, CLOSED);
        assert_eq!(driver.to_server(), "");
    }
    // How long chunks are shows only when they come.
    let mut driver = judged(Refusal::Answer);
    driver.client("POST /evil HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(driver.to_client(), problem("403 Forbidden", 1, ""));
    driver.client(format!("11170\r\n{}", "x".repeat(40000)));
    driver.client("x".repeat(30000));
    assert_eq!(driver.ended, CLOSED);
    assert_eq!(driver.to_server(), "");
}

#[test]
fn the_answer_to_head_has_no_body() {
    let mut driver = judged(Refusal::Close);
    driver.client("HEAD /evil HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = last_problem("403 Forbidden", 1);
    let head = answer.split_inclusive("\r\n\r\n").next().unwrap();
    assert_eq!(driver.to_client(), head);
}

#[test]
fn reset_says_nothing() {
    let mut driver = judged(Refusal::Reset);
    driver.client(get("/a"));
    driver.client(get("/evil"));
    assert_eq!((driver.to_client().as_str(), driver.ended), ("", RESET));
    assert_eq!(words(driver.close()), ["GET /a allowed ungoverned", "GET /evil refused literal"]);
}

#[test]
fn a_refused_upload_is_told_at_once() {
    let mut driver = judged(Refusal::Close);
    driver.client("PUT /evil HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\nabc");
    assert_eq!(driver.to_client(), last_problem("403 Forbidden", 1));
    assert_eq!((driver.to_server().as_str(), driver.ended), ("", CLOSED));
}

#[test]
fn malformed_requests_are_told_what_they_are() {
    for (request, status, label) in [
        ("GET / HTTP/1.1\r\n\r\n", "400 Bad Request", "host_missing"),
        ("GARBAGE\r\n", "400 Bad Request", "request_line"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400 Bad Request",
            "content_length_with_transfer_encoding",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            "501 Not Implemented",
            "transfer_encoding_unsupported",
        ),
        ("GET / HTTP/3.0\r\n", "505 HTTP Version Not Supported", "version_unsupported"),
        (
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "505 HTTP Version Not Supported",
            "http2_not_supported",
        ),
        (
            &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(70000)),
            "431 Request Header Fields Too Large",
            "head_bytes",
        ),
    ] {
        let mut driver = judged(Refusal::Answer);
        driver.client(get("/a"));
        driver.client(request);
        driver.server(OK);
        assert_eq!(driver.to_client(), OK.to_owned() + &last_problem(status, 2), "{label}");
        assert_eq!(driver.to_server(), get("/a"));
        assert_eq!(driver.ended, CLOSED);
        assert_eq!(words(driver.close())[1], format!("- refused {label} +"));
        // Observed, it passes and is counted, and nothing more is read.
        let mut driver = observed();
        driver.client(request);
        driver.client("more");
        assert_eq!(driver.to_server(), format!("{request}more"));
        assert!(driver.opaque);
        assert_eq!(words(&driver.records.started), [format!("- would-refuse {label}")]);
        assert_eq!(words(driver.close()), [format!("- would-refuse {label} +")]);
        assert_eq!(driver.records.ended[0].bytes_in, request.len() as u64 + 4);
    }
}

#[test]
fn broken_chunks_cut_the_server() {
    let head = "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut driver = judged(Refusal::Close);
    driver.client(format!("{head}1\r\nxy"));
    assert_eq!(driver.to_server(), format!("{head}1\r\nx"));
    assert_eq!(driver.to_client(), last_problem("400 Bad Request", 1));
    assert!(driver.ended.server_reset && driver.ended.closed && !driver.ended.client_reset);
    assert_eq!(words(driver.close()), ["POST /a refused chunk_end +"]);
    // Where an answer is under way, or an earlier one is waited for, there is nothing to say.
    for begin in [get("/first"), String::new()] {
        let mut driver = judged(Refusal::Close);
        driver.client(format!("{begin}{head}"));
        if begin.is_empty() {
            driver.server("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab");
        }
        let before = driver.to_client();
        driver.client("z");
        assert_eq!((driver.to_client(), driver.ended), (before, RESET));
    }
}

#[test]
fn malformed_responses() {
    for (answer, label) in [
        ("garbage", "status_line"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
            "content_length_repeated",
        ),
        (
            "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
            "upgrade_not_offered",
        ),
    ] {
        let mut driver = judged(Refusal::Close);
        driver.client(get("/a"));
        driver.server(answer);
        assert_eq!(driver.to_client(), last_problem("502 Bad Gateway", 1));
        assert!(driver.ended.closed);
        assert_eq!(words(driver.close()), [format!("GET /a refused {label} +")]);
        let mut driver = observed();
        driver.client(get("/a"));
        driver.server(answer);
        assert_eq!(driver.to_client(), answer);
        assert_eq!(
            words(driver.close()),
            ["GET /a allowed ungoverned".to_owned(), format!("- would-refuse {label} +")]
        );
    }
    let mut driver = judged(Refusal::Close);
    driver.client(get("/a"));
    driver.server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx");
    assert!(driver.ended.client_reset && driver.ended.closed);
    assert_eq!(words(driver.close()), ["GET /a refused chunk_size_invalid"]);
}

#[test]
fn unsolicited_responses_do_not_pass() {
    let mut driver = judged(Refusal::Close);
    driver.client(get("/a"));
    driver.server(format!("{OK}{OK}"));
    assert_eq!(driver.to_client(), OK);
    assert!(driver.ended.closed && !driver.ended.client_reset);
    assert_eq!(
        words(driver.close()),
        ["GET /a allowed ungoverned +", "- refused unsolicited_response"]
    );
    let mut driver = observed();
    driver.server(OK);
    assert!(driver.opaque);
}

#[test]
fn the_byte_that_completes_a_match_is_withheld() {
    for (chunks, passes) in [
        (vec!["Content-Length: 12\r\n\r\nxxse", "cr", "et", "more"], "xxsecre"),
        (
            vec!["Transfer-Encoding: chunked\r\n\r\n3\r\nsec\r\n4\r\nr", "etx\r\n0\r\n\r\n"],
            "3\r\nsec\r\n4\r\nre",
        ),
    ] {
        let mut driver = judged(Refusal::Close);
        driver.inspectors.push(Literal::content("secret"));
        driver.client("POST /a HTTP/1.1\r\nHost: a\r\n");
        chunks.iter().for_each(|chunk| driver.client(chunk));
        assert!(
            driver.to_server().ends_with(&format!("\r\n\r\n{passes}")),
            "{}",
            driver.to_server()
        );
        assert!(driver.ended.server_reset && !driver.ended.client_reset);
        assert_eq!(driver.to_client(), last_problem("403 Forbidden", 1));
        assert_eq!(words(driver.close()), ["POST /a refused literal +"]);

        let mut driver = judged(Refusal::Close);
        driver.inspectors.push(Literal::content("secret"));
        driver.client(get("/a"));
        driver.server("HTTP/1.1 200 OK\r\n");
        chunks.iter().for_each(|chunk| driver.server(chunk));
        assert!(driver.to_client().ends_with(&format!("\r\n\r\n{passes}")));
        assert!(driver.ended.client_reset && driver.ended.closed);

        let mut driver = observed();
        driver.inspectors.push(Literal::content("secret"));
        driver.client("POST /a HTTP/1.1\r\nHost: a\r\n");
        chunks.iter().for_each(|chunk| driver.client(chunk));
        driver.server(OK);
        assert!(driver.to_server().ends_with(chunks[chunks.len() - 1]));
        assert_eq!(words(&driver.close()[..1]), ["POST /a would-refuse literal +"]);
    }
}

#[test]
fn messages_do_not_match_across_their_ends() {
    let mut driver = judged(Refusal::Close);
    driver.inspectors.push(Literal::content("secret"));
    for body in ["sec", "ret"] {
        driver.client(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{body}"));
    }
    assert_eq!(driver.ended, Ended::default());
}

/// The mode became enforce while a message was passing.
#[test]
fn what_is_partly_gone_is_cut() {
    let mut driver = observed();
    driver.client("GET /ev");
    driver.judge = true;
    driver.client("il HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(driver.to_server(), "GET /ev");
    assert!(driver.ended.server_reset && driver.ended.closed);
    assert_eq!(driver.to_client(), last_problem("403 Forbidden", 1));

    let mut driver = observed();
    driver.client(get("/a") + "GET /ev");
    driver.judge = true;
    driver.client("il HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((driver.to_client().as_str(), driver.ended), ("", RESET));

    let mut driver = observed();
    driver.client("GET /go");
    driver.judge = true;
    driver.client("od HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(driver.to_server(), get("/good"));
}

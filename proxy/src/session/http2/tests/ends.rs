//! How connections end.

use std::time::Duration;

use weir_parsers::http2::{ErrorCode, FrameKind, PREFACE};
use weir_policy::decide::Refusal;

use super::peers::{Got, call, code, data, frame, post};
use super::*;
use crate::config::UnknownFrames;
use crate::session::testing::Driver;
use crate::session::{Options, Session};

const NONE: u32 = ErrorCode::NoError as u32;

#[test]
fn a_goodbye_has_two_steps() {
    let mut pair = Pair::new("http");
    pair.asks(1, "/ok");
    pair.driver.say_goodbye();
    assert_eq!(pair.client_got(), [Got::GoAway { last: (1 << 31) - 1, code: NONE }]);
    pair.asks(3, "/ok");
    pair.driver.sleep(Duration::from_secs(1));
    assert_eq!(pair.client_got(), [Got::GoAway { last: 3, code: NONE }]);
    pair.asks(5, "/ok");
    assert_eq!(pair.server_got().len(), 2);
    pair.answers(1);
    assert!(!pair.driver.ended.closed);
    pair.answers(3);
    assert!(pair.driver.ended.closed);
}

#[test]
fn no_goodbye_names_a_later_stream_than_one_before() {
    // The server's comes first.
    let mut pair = Pair::new("http");
    for stream in [1, 3, 5] {
        pair.asks(stream, "/ok");
    }
    pair.driver.server(answer::go_away(3, ErrorCode::NoError));
    pair.driver.say_goodbye();
    pair.driver.sleep(Duration::from_secs(1));
    let last = Got::GoAway { last: 3, code: NONE };
    assert_eq!(pair.client_got(), [last.clone(), last.clone()]);
    // Weir's comes first.
    let mut pair = Pair::refusing("http", weir_policy::decide::Refusal::Close);
    pair.asks(1, "/ok");
    pair.asks(3, "/evil");
    assert_eq!(pair.client_got().last(), Some(&last));
    pair.driver.server(answer::go_away((1 << 31) - 1, ErrorCode::InternalError));
    let code = code(ErrorCode::InternalError);
    assert_eq!(pair.client_got(), [Got::GoAway { last: 3, code }]);
}

#[test]
fn nothing_passes_behind_the_end() {
    let ping = frame(FrameKind::Ping, 0, 0, &[0; 8]);
    let mut pair = Pair::refusing("http", Refusal::Close);
    let headers = pair.client.headers(1, true, &get("/evil"));
    pair.driver.client([headers, ping.clone()].concat());
    assert!(pair.driver.ended.closed);
    assert_eq!(pair.server_got(), []);
    let mut pair = Pair::refusing("http", Refusal::Close);
    pair.asks(1, "/ok");
    pair.asks(3, "/evil");
    let headers = pair.server.headers(1, true, &ok());
    pair.client_got();
    pair.driver.server([headers, ping].concat());
    assert!(pair.driver.ended.closed);
    assert_eq!(pair.client_got().len(), 1);
}

#[test]
fn a_refusal_comes_behind_the_server_s_settings() {
    let mut pair = Pair::silent("http");
    let headers = pair.client.headers(1, true, &get("/evil"));
    pair.driver.client([PREFACE.to_vec(), answer::settings(&[]), headers].concat());
    assert_eq!(pair.client_got(), []);
    pair.driver.server(answer::settings(&[]));
    let got = pair.client_got();
    assert!(matches!(got[..], [Got::Settings(_), Got::Headers { stream: 1, .. }]), "{got:?}");
}

/// A whole session under a rule for HTTP, which it is told of or has to find out.
fn whole(told: bool, judge: bool) -> Driver<Session> {
    let policy = Pair::silent("http").driver.policy;
    let mut admission = policy.admit(&Driver::new(Http2::new(UnknownFrames::Pass)).endpoint);
    admission.refusal = Some(Refusal::Close);
    let known = admission.protocol;
    admission.protocol = known.filter(|_| told);
    let mut driver = Driver::new(Session::new(&admission, Options::default()));
    admission.protocol = known;
    (driver.policy, driver.admission, driver.judge) = (policy, admission, judge);
    driver
}

#[test]
fn what_the_server_said_first_comes_first() {
    let ping = frame(FrameKind::Ping, 0, 0, &[0; 8]);
    let begins = |told: bool, client: &[u8], cut: usize| {
        let mut driver = whole(told, true);
        driver.server([answer::settings(&[]), ping.clone()].concat());
        client.chunks(cut).for_each(|bytes| driver.client(bytes));
        driver.close();
        let reasons = driver.records.ended.iter().map(|record| record.reason);
        let out = [Leg::Client, Leg::Server].map(|leg| driver.towards(leg).to_vec());
        (reasons.collect::<Vec<_>>(), out)
    };
    let headers = Pair::silent("http").client.headers(1, true, &get("/evil"));
    let http2 = [PREFACE.to_vec(), answer::settings(&[]), headers, ping.clone()].concat();
    for told in [true, false] {
        // Once HTTP/1 it is, what came from the server answers nothing.
        for client in [&http2[..], b"PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n"] {
            let whole = begins(told, client, client.len());
            assert_eq!(whole, begins(told, client, 1), "{told}");
        }
        let (_, [to_client, _]) = begins(told, &http2, http2.len());
        let at = to_client.windows(ping.len()).position(|bytes| bytes == ping);
        assert!(at.is_some_and(|at| at < to_client.len() - 2 * ping.len()), "{to_client:?}");
    }
}

#[test]
fn a_server_that_says_its_settings_in_pieces_is_understood() {
    let settings = answer::settings(&[(3, 100)]);
    let client = [PREFACE.to_vec(), answer::settings(&[])].concat();
    for (told, judge) in [(true, true), (true, false), (false, true), (false, false)] {
        for cut in 1..settings.len() {
            for begun in [0, 1, PREFACE.len() - 1, client.len()] {
                let mut driver = whole(told, judge);
                driver.server(&settings[..cut]);
                driver.client(&client[..begun]);
                driver.server(&settings[cut..]);
                driver.client(&client[begun..]);
                let headers = Pair::silent("http").client.headers(1, true, &get("/ok"));
                driver.client(headers);
                let headers = Pair::silent("http").server.headers(1, true, &ok());
                driver.server(headers);
                let words = driver.records.ended.iter().map(|r| format!("{} {}", r.op, r.complete));
                let words: Vec<_> = words.collect();
                assert_eq!(words, ["GET /ok true"], "{told} {judge} {cut} {begun}");
            }
        }
    }
}

#[test]
fn a_server_that_ends_before_its_client_has_spoken_is_heard() {
    let goodbye = [answer::settings(&[(3, 100)]), answer::go_away(0, ErrorCode::NoError)].concat();
    for (told, judge) in [(true, true), (true, false), (false, true), (false, false)] {
        for begun in [0, 5] {
            let mut driver = whole(told, judge);
            driver.server(goodbye.clone());
            driver.client(&PREFACE[..begun]);
            driver.server_eof();
            let passed = driver.towards(Leg::Client);
            let said = |frame: Vec<u8>| passed.windows(frame.len()).any(|bytes| bytes == frame);
            // Where the client has begun it is not known what it would speak.
            if told || begun == 0 {
                assert!(said(answer::go_away(0, ErrorCode::NoError)), "{told} {judge} {begun}");
                assert_eq!(driver.records.ended.len(), 0, "{told} {judge} {begun}");
            }
        }
    }
}

#[test]
fn a_client_may_be_silent_behind_the_settings_of_its_server() {
    for told in [true, false] {
        let mut driver = whole(told, true);
        let settings = answer::settings(&[(3, 100)]);
        driver.server(&settings[..5]);
        driver.server(&settings[5..]);
        driver.sleep(driver.limits.slow_head * 2);
        let headers = Pair::silent("http").client.headers(1, true, &get("/ok"));
        driver.client([PREFACE.to_vec(), answer::settings(&[]), headers].concat());
        let headers = Pair::silent("http").server.headers(1, true, &ok());
        driver.server(headers);
        let words: Vec<_> = driver.records.ended.iter().map(|record| record.op.clone()).collect();
        assert_eq!(words, ["GET /ok"], "{told}");
    }
}

#[test]
fn a_client_that_looks_whether_a_port_is_open_is_nothing() {
    let settings = answer::settings(&[(3, 100)]);
    for (told, judge) in [(true, true), (true, false), (false, true), (false, false)] {
        for server_first in [true, false] {
            let mut driver = whole(told, judge);
            if server_first {
                driver.server(settings.clone());
                driver.client_eof();
            } else {
                driver.client_eof();
                driver.server(settings.clone());
            }
            driver.server_eof();
            driver.close();
            assert_eq!(driver.records.ended.len(), 0, "{told} {judge} {server_first}");
            let passed = driver.towards(Leg::Client).len();
            assert!(passed >= settings.len(), "{told} {judge} {server_first} {passed}");
        }
    }
}

#[test]
fn a_refusal_behind_a_frame_that_stalls_is_told_before_the_end() {
    let mut pair = Pair::refusing("http", Refusal::Close);
    let stalled = frame(FrameKind::Unknown(0x42), 0, 0, b"grease");
    pair.driver.server(&stalled[..10]);
    pair.asks(1, "/evil");
    assert!(!pair.driver.ended.closed);
    pair.driver.server(&stalled[10..]);
    assert!(pair.driver.ended.closed);
    let got = pair.client_got();
    assert!(matches!(got[1..], [Got::Headers { stream: 1, .. }, Got::GoAway { .. }]), "{got:?}");
}

#[test]
fn what_is_at_rest_and_observed_closes() {
    let mut pair = Pair::observed("http");
    pair.driver.say_goodbye();
    assert!(pair.driver.ended.closed);
}

#[test]
fn resets_end_their_streams() {
    let mut pair = Pair::new("http");
    let headers = pair.client.headers(1, false, &post("/ok"));
    pair.driver.client([headers, answer::rst_stream(1, ErrorCode::Cancel)].concat());
    let headers = pair.client.headers(3, false, &post("/ok"));
    pair.driver.client(headers);
    pair.answers(3);
    pair.driver.server(answer::rst_stream(3, ErrorCode::NoError));
    let headers = pair.client.headers(5, false, &post("/ok"));
    pair.driver.client(headers);
    pair.driver.server(answer::rst_stream(5, ErrorCode::InternalError));
    // Of those that the server has reset more may yet come.
    let trailers = pair.client.headers(5, true, &[("a", "b")]);
    pair.driver.client([data(5, false, b"late"), trailers].concat());
    assert_eq!(pair.server_got().len(), 6);
    assert_eq!(
        pair.words(),
        ["POST /ok allowed entry", "POST /ok allowed entry +", "POST /ok allowed entry"]
    );
    assert_eq!(pair.client_got().len(), 3);
}

#[test]
fn another_mode_within_a_parted_connection_ends_it() {
    let mut pair = Pair::new("http");
    pair.asks(1, "/evil");
    pair.driver.judge = false;
    pair.driver.goodbye = true; // The driver allows no resets while observing but for this.
    pair.driver.client([]);
    assert!(pair.driver.ended.client_reset && pair.driver.ended.server_reset);
}

#[test]
fn what_was_observed_is_judged_from_the_next_block_on() {
    let mut pair = Pair::observed("http");
    pair.asks(1, "/evil");
    pair.answers(1);
    assert_eq!((pair.server_got().len(), pair.client_got().len()), (1, 1));
    pair.driver.judge = true;
    pair.asks(3, "/evil");
    assert_eq!(pair.server_got(), []);
    assert!(matches!(pair.client_got()[0], Got::Headers { stream: 3, last: true, .. }));
}

#[test]
fn a_slow_block_ends_the_connection() {
    let mut pair = Pair::new("http");
    let headers = pair.client.headers(1, true, &get("/ok"));
    pair.driver.client(&headers[..12]);
    pair.driver.sleep(pair.driver.limits.slow_head);
    let calm = code(ErrorCode::EnhanceYourCalm);
    assert_eq!(pair.client_got(), [Got::GoAway { last: 0, code: calm }]);
    assert!(pair.driver.ended.closed);
}

#[test]
fn streams_that_the_server_will_not_answer_are_over() {
    let mut pair = Pair::refusing("http", Refusal::Close);
    pair.asks(1, "/ok");
    pair.asks(3, "/ok");
    pair.driver.server(answer::go_away(1, ErrorCode::NoError));
    assert_eq!(pair.words(), ["GET /ok allowed entry"]);
    // One that crosses with it.
    pair.asks(5, "/ok");
    assert_eq!(pair.words().len(), 2);
    assert_eq!(pair.server_got().len(), 3);
    pair.asks(7, "/evil");
    assert!(!pair.driver.ended.closed);
    pair.answers(1);
    assert!(pair.driver.ended.closed);
}

#[test]
fn trailers_for_a_stream_that_is_forgotten_end_nothing() {
    let mut pair = Pair::new("http");
    for stream in (1..2400).step_by(2) {
        let headers = pair.client.headers(stream, false, &post("/ok"));
        pair.driver.client(headers);
    }
    for stream in (1..2400).step_by(2) {
        pair.driver.server(answer::rst_stream(stream, ErrorCode::RefusedStream));
    }
    // They were on their way.
    let trailers = pair.client.headers(1, true, &[("a", "b")]);
    pair.driver.client(trailers);
    assert!(!pair.driver.ended.closed);
    // Another request is none of that.
    pair.asks(3, "/ok");
    assert!(pair.driver.ended.closed);
}

#[test]
fn a_goodbye_waits_for_what_is_to_be_said() {
    let mut pair = Pair::silent("http");
    let headers = pair.client.headers(1, true, &get("/evil"));
    pair.driver.client([PREFACE.to_vec(), answer::settings(&[]), headers].concat());
    pair.driver.say_goodbye();
    assert!(!pair.driver.ended.closed);
    pair.driver.server(answer::settings(&[]));
    let got = pair.client_got();
    assert!(matches!(got[1], Got::Headers { stream: 1, last: true, .. }), "{got:?}");
}

#[test]
fn a_call_that_is_answered_is_complete_whatever_its_client_does_then() {
    let mut pair = Pair::new("grpc");
    let headers = pair.client.headers(1, false, &call("/shop.Cart/Watch"));
    pair.driver.client(headers);
    let head = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "9")];
    let headers = pair.server.headers(1, true, &head);
    pair.driver.server(headers);
    pair.driver.client(answer::rst_stream(1, ErrorCode::Cancel));
    assert_eq!(pair.words(), ["shop.Cart/Watch allowed entry +"]);
}

#[test]
fn a_block_is_not_slow_while_weir_does_not_read() {
    let mut pair = Pair::new("http");
    let slow_head = pair.driver.limits.slow_head;
    let headers = pair.client.headers(1, true, &get("/ok"));
    pair.driver.client(&headers[..12]);
    pair.driver.stall(Leg::Client, slow_head * 10);
    pair.driver.sleep(slow_head / 2);
    assert!(!pair.driver.ended.closed);
    // Of the other leg it is no excuse.
    pair.driver.stall(Leg::Server, slow_head / 2);
    assert!(pair.driver.ended.closed);
}

#[test]
fn nor_is_a_beginning() {
    for told in [true, false] {
        let mut driver = whole(told, true);
        driver.client(&PREFACE[..12]);
        let slow_head = driver.limits.slow_head;
        driver.stall(Leg::Client, slow_head * 10);
        driver.sleep(slow_head / 2);
        assert!(!driver.ended.client_reset);
        driver.sleep(slow_head / 2);
        assert!(driver.ended.client_reset);
    }
}

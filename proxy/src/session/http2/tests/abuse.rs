//! What no peer does that means well.

use weir_parsers::http2::{ErrorCode, FrameKind, flag};
use weir_policy::decide::Refusal;

use super::peers::{Got, code, data, frame, post};
use super::*;

/// The connection has ended with this code, and the log says why.
#[track_caller]
fn ended(pair: &mut Pair, error: ErrorCode, reason: &str) {
    let got = pair.client_got();
    assert!(
        matches!(got.last(), Some(Got::GoAway { code: told, .. }) if *told == code(error)),
        "{got:?}"
    );
    assert!(pair.driver.ended.closed && pair.driver.ended.server_reset);
    let words = pair.words();
    assert!(words.contains(&format!("- refused {reason}")), "{words:?}");
}

#[test]
fn floods() {
    let floods: [(&str, Vec<u8>); 5] = [
        ("http2_pings", frame(FrameKind::Ping, 0, 0, &[0; 8])),
        ("http2_settings", answer::settings(&[])),
        ("http2_empty_frames", data(1, false, b"")),
        ("http2_empty_frames", frame(FrameKind::Priority, 0, 1, &[0, 0, 0, 3, 1])),
        ("http2_empty_frames", frame(FrameKind::Unknown(0x42), 0, 0, b"grease")),
    ];
    for (limit, flood) in floods {
        let mut pair = Pair::new("http");
        let limits = &mut pair.driver.limits;
        limits.http2_pings = 10;
        limits.http2_settings = 11;
        limits.http2_empty_frames = 10;
        let headers = pair.client.headers(1, false, &post("/ok"));
        pair.driver.client(headers);
        pair.driver.client(flood.repeat(10));
        assert!(!pair.driver.ended.closed, "{limit}");
        pair.driver.client(flood.repeat(2));
        ended(&mut pair, ErrorCode::EnhanceYourCalm, limit);
        assert_eq!(pair.driver.records.limits, [limit]);
    }
}

#[test]
fn streams_that_are_reset_at_once() {
    let mut pair = Pair::new("http");
    pair.driver.limits.http2_resets = 10;
    for stream in (1..23).step_by(2) {
        pair.asks(stream, "/ok");
        pair.driver.client(answer::rst_stream(stream, ErrorCode::Cancel));
    }
    ended(&mut pair, ErrorCode::EnhanceYourCalm, "http2_resets");
}

#[test]
fn a_block_that_does_not_end() {
    let mut pair = Pair::new("http");
    pair.driver.client(frame(FrameKind::Headers, 0, 1, b"\x82"));
    for _ in 0..64 {
        pair.driver.client(frame(FrameKind::Continuation, 0, 1, b""));
    }
    assert!(!pair.driver.ended.closed);
    pair.driver.client(frame(FrameKind::Continuation, 0, 1, b""));
    ended(&mut pair, ErrorCode::EnhanceYourCalm, "http2_continuations");
    let mut pair = Pair::new("http");
    pair.driver.client(frame(FrameKind::Headers, 0, 1, b"\x82"));
    pair.driver.client(frame(FrameKind::Ping, 0, 0, &[0; 8]));
    ended(&mut pair, ErrorCode::ProtocolError, "continuation_missing");
}

#[test]
fn a_list_that_is_too_long_is_one_stream_s_fault() {
    // In some frames that are held together, and in more than that.
    for value in [66_000, 100_000, 200_000] {
        let mut pair = Pair::new("http");
        pair.client.plain = true;
        let value = "x~".repeat(value / 2);
        let long = [&get("/ok")[..], &[("a", &value)]].concat();
        let headers = pair.client.headers(1, true, &long);
        pair.driver.client(headers);
        let got = pair.client_got();
        let Some(Got::Headers { stream: 1, fields, last: true }) = got.first() else {
            panic!("{got:?}")
        };
        assert_eq!(fields[0].1, "431");
        pair.asks(3, "/ok");
        assert_eq!(pair.server_got().len(), 1);
        assert_eq!(pair.words(), ["- refused head_bytes +"]);
    }
    let mut pair = Pair::new("http");
    pair.client.plain = true;
    let value = "x~".repeat(300_000);
    let headers = pair.client.headers(1, true, &[&get("/ok")[..], &[("a", &value)]].concat());
    pair.driver.client(headers);
    ended(&mut pair, ErrorCode::EnhanceYourCalm, "head_bytes");
}

#[test]
fn a_small_block_with_a_long_list() {
    // One entry of 4000 bytes, named by one byte, a hundred times.
    let mut pair = Pair::new("http");
    let value = "x".repeat(3900);
    let first = pair.client.headers(1, true, &[&get("/ok")[..], &[("a", &value)]].concat());
    pair.driver.client(first);
    assert_eq!(pair.server_got().len(), 1);
    let bomb = vec![("a", &*value); 100];
    let headers = pair.client.headers(3, true, &[&get("/ok")[..], &bomb].concat());
    assert!(headers.len() < 400);
    pair.driver.client(headers);
    assert!(matches!(&pair.client_got()[0], Got::Headers { stream: 3, fields, .. }
        if fields[0].1 == "431"));
}

#[test]
fn a_small_block_with_a_list_that_is_too_long_by_far() {
    let value = "x".repeat(3900);
    let bomb = vec![("a", &*value); 1000];
    let mut pair = Pair::new("http");
    let headers = pair.client.headers(1, true, &[&get("/ok")[..], &bomb].concat());
    assert!(headers.len() < 6000);
    pair.driver.client(headers);
    ended(&mut pair, ErrorCode::EnhanceYourCalm, "head_bytes");
}

#[test]
fn malformed_requests_are_their_stream_s_fault() {
    let bad: [(&str, &str, &str); 6] = [
        ("Upper", "x", "field_name_upper"),
        ("a", "x\r\ny", "cr"),
        ("a", "x\0", "nul"),
        ("connection", "close", "connection_field"),
        ("transfer-encoding", "chunked", "connection_field"),
        ("host", "other", "host_mismatch"),
    ];
    for (name, value, reason) in bad {
        let mut pair = Pair::new("http");
        let headers = pair.client.headers(1, true, &[&get("/ok")[..], &[(name, value)]].concat());
        pair.driver.client(headers);
        assert_eq!(pair.client_got(), [Got::Reset(1, code(ErrorCode::ProtocolError))], "{name}");
        assert_eq!(pair.server_got(), []);
        assert_eq!(pair.words(), [format!("- refused {reason} +")]);
        pair.asks(3, "/ok");
        assert_eq!(pair.server_got().len(), 1);
    }
}

#[test]
fn ids_are_used_once() {
    let mut pair = Pair::new("http");
    pair.asks(1, "/ok");
    pair.answers(1);
    pair.client_got();
    pair.asks(1, "/ok");
    ended(&mut pair, ErrorCode::StreamClosed, "stream_reused");
    let mut pair = Pair::new("http");
    pair.asks(2, "/ok");
    ended(&mut pair, ErrorCode::ProtocolError, "stream_id");
    let mut pair = Pair::new("http");
    pair.asks(5, "/ok");
    pair.client_got();
    pair.asks(3, "/ok");
    ended(&mut pair, ErrorCode::StreamClosed, "stream_reused");
}

#[test]
fn a_block_that_cannot_be_decoded() {
    let mut pair = Pair::new("http");
    pair.driver.client(frame(FrameKind::Headers, flag::END_HEADERS, 1, &[0xff, 0xff, 0xff]));
    let got = pair.client_got();
    let compression = code(ErrorCode::CompressionError);
    assert_eq!(got, [Got::GoAway { last: 0, code: compression }]);
}

#[test]
fn more_than_the_window() {
    let mut pair = Pair::new("http");
    let headers = pair.client.headers(1, false, &post("/ok"));
    pair.driver.client([headers, data(1, false, &[7; 16_000]).repeat(4)].concat());
    assert!(!pair.driver.ended.closed);
    pair.driver.client(data(1, false, &[7; 16_000]));
    ended(&mut pair, ErrorCode::FlowControlError, "window_exceeded");
}

#[test]
fn a_client_that_takes_nothing_cannot_make_answers_pile_up() {
    let mut pair = Pair::new("http");
    pair.asks(1, "/ok");
    let headers = pair.server.headers(1, false, &ok());
    pair.driver.server([headers, data(1, false, &[7; 100])[..50].to_vec()].concat());
    for stream in (3..20_001).step_by(2) {
        pair.asks(stream, "/evil");
    }
    assert!(pair.driver.ended.client_reset && pair.driver.ended.server_reset);
    assert_eq!(pair.driver.records.limits, ["http2_deferred_bytes"]);
}

#[test]
fn too_many_streams() {
    let mut pair = Pair::new("http");
    pair.driver.limits.http2_streams = 2;
    for stream in [1, 3, 5] {
        pair.asks(stream, "/ok");
    }
    assert_eq!(pair.server_got().len(), 2);
    assert_eq!(pair.client_got(), [Got::Reset(5, code(ErrorCode::RefusedStream))]);
}

#[test]
fn what_comes_late_is_counted() {
    let mut pair = Pair::new("http");
    pair.driver.limits.http2_late_frames = 2;
    let headers = pair.client.headers(1, false, &post("/evil"));
    pair.driver.client([headers, data(1, false, b"1"), data(1, false, b"2")].concat());
    assert!(!pair.driver.ended.closed);
    pair.driver.client(data(1, false, b"3"));
    ended(&mut pair, ErrorCode::EnhanceYourCalm, "http2_late_frames");
}

#[test]
fn the_server_pushes_nothing_and_answers_what_was_asked() {
    let mut pair = Pair::new("http");
    pair.asks(1, "/ok");
    pair.answers(3);
    ended(&mut pair, ErrorCode::InternalError, "response_unexpected");
    let mut pair = Pair::new("http");
    pair.asks(1, "/ok");
    let promise = [&[0, 0, 0, 2][..], b"\x82"].concat();
    pair.driver.server(frame(FrameKind::PushPromise, flag::END_HEADERS, 1, &promise));
    ended(&mut pair, ErrorCode::InternalError, "push_promise");
}

#[test]
fn what_waits_for_a_frame_that_stalls_is_bounded() {
    let mut pair = Pair::new("http");
    let headers = pair.client.headers(1, false, &post("/evil"));
    pair.driver.client(headers);
    assert_eq!(pair.client_got().len(), 1);
    let stalled = frame(FrameKind::Unknown(0x42), 0, 0, b"grease");
    pair.driver.server(&stalled[..10]);
    for _ in 0..1000 {
        pair.driver.client(data(1, false, b"12"));
    }
    let waiting = &pair.driver.session.directions[Leg::Server as usize].deferred;
    assert_eq!(waiting.len(), 13, "that no more of it is wanted");
    pair.driver.server(&stalled[10..]);
    assert_eq!(pair.client_got().last(), Some(&Got::Window(0, 2000)));
}

#[test]
fn a_request_on_a_stream_that_was_reset_does_not_pass() {
    for by_client in [true, false] {
        let mut pair = Pair::new("http");
        pair.asks(1, "/ok");
        let reset = answer::rst_stream(1, ErrorCode::Cancel);
        match by_client {
            true => pair.driver.client(reset),
            false => pair.driver.server(reset),
        }
        pair.server_got();
        pair.asks(1, "/evil");
        assert_eq!(pair.server_got(), []);
        pair.asks(3, "/ok");
        assert!(matches!(pair.server_got()[..], [Got::Headers { stream: 3, .. }]));
    }
}

#[test]
fn a_hundred_thousand_refusals_leave_nothing() {
    let mut pair = Pair::new("http");
    for stream in (1..200_001).step_by(2) {
        let headers = pair.client.headers(stream, false, &post("/evil"));
        pair.driver.client([headers, data(stream, true, &[7; 10])].concat());
    }
    let got = pair.client_got();
    let window: u32 = got.iter().map(|got| if let Got::Window(0, n) = got { *n } else { 0 }).sum();
    assert_eq!(window, 1_000_000);
    assert!(pair.driver.session.streams.remembered() <= 1024);
    pair.asks(300_001, "/ok");
    assert_eq!(pair.server_got().len(), 1);
}

/// What the server gets before a client is stopped that has it begin requests and give them up
/// (CVE-2023-44487, CVE-2025-8671), with a limit of ten of them.
fn given_up(mut one: impl FnMut(&mut Pair, u32)) -> usize {
    let mut pair = Pair::new("http");
    let limits = &mut pair.driver.limits;
    (limits.http2_resets, limits.http2_refusals) = (10, 10);
    for stream in (1..2001).step_by(2) {
        one(&mut pair, stream);
    }
    assert!(pair.driver.ended.closed);
    pair.server_got().iter().filter(|got| matches!(got, Got::Headers { .. })).count()
}

#[test]
fn requests_that_are_begun_to_be_given_up_are_bounded() {
    let content_behind_the_end = given_up(|pair, stream| {
        pair.asks(stream, "/ok");
        pair.driver.client(data(stream, true, b"x"));
    });
    assert_eq!(content_behind_the_end, 11);
    let trailers_that_are_none = given_up(|pair, stream| {
        let headers = pair.client.headers(stream, false, &post("/ok"));
        let trailers = pair.client.headers(stream, false, &[("a", "b")]);
        pair.driver.client([headers, trailers].concat());
    });
    assert_eq!(trailers_that_are_none, 11);
    let too_little_content = given_up(|pair, stream| {
        let length = [&post("/ok")[..], &[("content-length", "3")]].concat();
        let headers = pair.client.headers(stream, false, &length);
        pair.driver.client([headers, data(stream, true, b"x")].concat());
    });
    assert_eq!(too_little_content, 11);
    // A server must answer a window of nothing so (RFC 9113 §6.9).
    let reset_by_the_server = given_up(|pair, stream| {
        pair.asks(stream, "/ok");
        pair.driver.client(answer::window_update(stream, 0));
        pair.driver.server(answer::rst_stream(stream, ErrorCode::ProtocolError));
    });
    assert_eq!(reset_by_the_server, 11);
}

#[test]
fn blocks_for_streams_that_were_reset_are_bounded() {
    let mut pair = Pair::new("http");
    pair.driver.limits.http2_empty_frames = 10;
    let headers = pair.client.headers(1, false, &post("/ok"));
    pair.driver.client([headers, answer::rst_stream(1, ErrorCode::Cancel)].concat());
    for _ in 0..10 {
        let trailers = pair.client.headers(1, true, &[("a", "b")]);
        pair.driver.client(trailers);
    }
    assert!(!pair.driver.ended.closed);
    let trailers = pair.client.headers(1, true, &[("a", "b")]);
    pair.driver.client(trailers);
    assert!(pair.driver.ended.closed);
}

#[test]
fn streams_over_the_limit_are_postponed() {
    for refusal in [Refusal::Answer, Refusal::Close, Refusal::Reset] {
        let mut pair = Pair::refusing("http", refusal);
        (pair.driver.limits.http2_streams, pair.driver.limits.http2_refusals) = (2, 10);
        for stream in (1..30).step_by(2) {
            pair.asks(stream, "/ok");
        }
        let refused = (5..30).step_by(2).map(|id| Got::Reset(id, code(ErrorCode::RefusedStream)));
        assert_eq!(pair.client_got(), refused.collect::<Vec<_>>());
        pair.answers(1);
        pair.asks(31, "/ok");
        pair.answers(31);
        assert_eq!(pair.client_got().len(), 2);
    }
}

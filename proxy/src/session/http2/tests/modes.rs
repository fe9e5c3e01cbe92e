//! The mode changes while something is under way.

use weir_parsers::http2::{FrameKind, flag};

use super::peers::{data, frame, post};
use super::*;
use crate::session::testing::Literal;

fn is_reset(pair: &Pair) -> bool {
    pair.driver.ended.client_reset && pair.driver.ended.server_reset
}

/// The driver allows no resets while observing but for a goodbye.
fn observe(pair: &mut Pair) {
    pair.driver.judge = false;
    pair.driver.goodbye = true;
}

#[test]
fn what_was_kept_back_is_not_observed() {
    // Without any block that was encoded anew.
    let mut pair = Pair::new("http");
    pair.client.plain = true;
    let headers = pair.client.headers(1, false, &post("/evil"));
    pair.driver.client([headers, data(1, false, &[7; 100])[..50].to_vec()].concat());
    observe(&mut pair);
    pair.driver.client(&data(1, false, &[7; 100])[50..]);
    assert!(is_reset(&pair));
}

#[test]
fn a_frame_that_is_dropped_is_not_observed() {
    let mut pair = Pair::new("http");
    pair.driver.session.unknown = UnknownFrames::Drop;
    pair.driver.client(&frame(FrameKind::Unknown(0x42), 0, 0, &[0; 100])[..50]);
    observe(&mut pair);
    pair.driver.client(b"x");
    assert!(is_reset(&pair));
}

#[test]
fn half_a_frame_that_has_passed_cannot_be_kept_back() {
    let mut pair = Pair::observed("http");
    let length = [&post("/ok")[..], &[("content-length", "3")]].concat();
    let headers = pair.client.headers(1, false, &length);
    pair.driver.client(headers);
    let frame = data(1, false, b"more than that");
    pair.driver.client(&frame[..5]);
    pair.driver.judge = true;
    let before = pair.driver.towards(Leg::Server).len();
    pair.driver.client(&frame[5..]);
    assert!(is_reset(&pair));
    assert_eq!(pair.driver.towards(Leg::Server).len(), before, "nothing in the middle of a frame");
}

#[test]
fn a_block_whose_beginning_has_passed_cannot_be_kept_back() {
    let mut pair = Pair::observed("http");
    let headers = pair.client.headers(1, true, &get("/evil"));
    pair.driver.client(&headers[..12]);
    pair.driver.judge = true;
    pair.driver.client(&headers[12..]);
    assert!(is_reset(&pair));
    let mut pair = Pair::observed("http");
    let long = vec![b'x'; 16_000];
    pair.driver.client(frame(FrameKind::Headers, 0, 1, &long));
    for _ in 0..5 {
        pair.driver.client(frame(FrameKind::Continuation, 0, 1, &long));
    }
    pair.driver.judge = true;
    pair.driver.client(frame(FrameKind::Continuation, flag::END_HEADERS, 1, b"x"));
    assert!(is_reset(&pair));
}

#[test]
fn a_match_in_the_rest_of_a_frame_that_was_observed_does_not_pass() {
    let mut pair = Pair::observed("http");
    pair.driver.inspectors = vec![Literal::content("attack")];
    let headers = pair.client.headers(1, false, &post("/ok"));
    pair.driver.client(headers);
    let body = data(1, true, b"an attack");
    pair.driver.client(&body[..14]);
    pair.driver.judge = true;
    pair.driver.client(&body[14..]);
    assert!(is_reset(&pair));
    assert!(!pair.driver.towards(Leg::Server).windows(6).any(|six| six == b"attack"));
    assert_eq!(pair.words(), ["POST /ok refused literal"]);
}

//! One stream is refused, the others go on.

use weir_parsers::http2::{ErrorCode, FrameKind};
use weir_policy::decide::Refusal;

use super::peers::{Got, call, code, data, fields, frame, padded, post};
use super::*;
use crate::session::testing::Literal;

/// The answer to a refused request, and that nothing else came.
fn refusal(pair: &mut Pair, stream: u32) {
    let got = pair.client_got();
    let Some(Got::Headers { stream: answered, fields, last: true }) = got.first() else {
        panic!("{got:?}")
    };
    assert_eq!(*answered, stream);
    assert_eq!(fields[0], (":status".into(), "403".into()));
    assert!(fields.iter().any(|(name, id)| name == "weir-id" && id.starts_with("conn-")));
    assert_eq!(got.len(), 1, "{got:?}");
}

fn passes(pair: &mut Pair, stream: u32) {
    pair.asks(stream, "/ok");
    assert_eq!(
        pair.server_got(),
        [Got::Headers { stream, fields: fields(&get("/ok")), last: true }]
    );
    pair.answers(stream);
    assert_eq!(pair.client_got(), [Got::Headers { stream, fields: fields(&ok()), last: true }]);
}

#[test]
fn tables_part_and_go_on() {
    let mut pair = Pair::new("http");
    passes(&mut pair, 1);
    assert!(!pair.has_parted());
    pair.asks(3, "/evil");
    assert_eq!(pair.server_got(), []);
    refusal(&mut pair, 3);
    assert!(pair.has_parted(), "/evil is in the client's table alone");
    for stream in (5..205).step_by(2) {
        passes(&mut pair, stream);
    }
    pair.asks(301, "/evil");
    refusal(&mut pair, 301);
    passes(&mut pair, 303);
    assert_eq!(pair.words()[1], "GET /evil refused not_allowed +");
}

#[test]
fn what_is_in_no_table_parts_nothing() {
    let mut pair = Pair::new("http");
    pair.client.plain = true;
    passes(&mut pair, 1);
    pair.asks(3, "/evil");
    refusal(&mut pair, 3);
    passes(&mut pair, 5);
    assert!(!pair.has_parted());
}

#[test]
fn a_call_is_refused_with_trailers_alone() {
    let mut pair = Pair::new("grpc");
    let headers = pair.client.headers(1, false, &call("/shop.Cart/Add"));
    pair.driver.client(headers);
    let headers = pair.client.headers(3, false, &call("/shop.Admin/Drop"));
    pair.driver.client(headers);
    assert_eq!(pair.server_got().len(), 1);
    let got = pair.client_got();
    let Got::Headers { stream: 3, fields, last: true } = &got[0] else { panic!("{got:?}") };
    let field = |name| &fields.iter().find(|field| field.0 == name).unwrap().1;
    assert_eq!((&**field(":status"), &**field("grpc-status")), ("200", "7"));
    assert!(field("grpc-message").contains("conn-2"));
    assert_eq!(got.len(), 1);
}

#[test]
fn what_is_no_call_is_refused_on_a_port_of_calls() {
    let mut pair = Pair::new("grpc");
    let headers = pair.client.headers(1, true, &post("/shop.Cart/Add"));
    pair.driver.client(headers);
    refusal(&mut pair, 1);
    let mut fields = call("/shop.Cart/Add/x").to_vec();
    fields.push(("a", "b"));
    let headers = pair.client.headers(3, false, &fields);
    pair.driver.client(headers);
    assert_eq!(
        pair.words(),
        ["POST /shop.Cart/Add refused http +", "POST /shop.Cart/Add/x refused grpc_path +"]
    );
    assert_eq!(pair.server_got(), []);
}

#[test]
fn a_body_that_nobody_takes_gets_its_window_back() {
    let mut pair = Pair::new("http");
    let headers = pair.client.headers(1, false, &post("/evil"));
    pair.driver.client(headers);
    refusal(&mut pair, 1);
    pair.driver.client([data(1, false, &[7; 1000]), padded(1, true, &[7; 500], 99)].concat());
    let enough = Got::Reset(1, code(ErrorCode::NoError));
    assert_eq!(pair.client_got(), [enough, Got::Window(0, 1000), Got::Window(0, 600)]);
    assert_eq!(pair.server_got(), []);
    passes(&mut pair, 3);
}

#[test]
fn a_client_may_cancel_what_was_refused() {
    let mut pair = Pair::new("http");
    let headers = pair.client.headers(1, false, &post("/evil"));
    pair.driver.client(headers);
    pair.client_got();
    pair.driver.client(answer::rst_stream(1, ErrorCode::Cancel));
    pair.driver.client(answer::window_update(1, 10));
    let trailers = pair.client.headers(1, true, &[("late", "trailer")]);
    pair.driver.client(trailers);
    assert_eq!(pair.server_got(), []);
    passes(&mut pair, 3);
}

#[test]
fn an_answer_waits_for_the_end_of_a_frame_of_the_server() {
    let mut pair = Pair::new("http");
    pair.asks(1, "/ok");
    let frame = data(1, false, &[7; 100]);
    let headers = pair.server.headers(1, false, &ok());
    pair.driver.server([headers, frame[..50].to_vec()].concat());
    pair.asks(3, "/evil");
    assert_eq!(pair.client_got().len(), 1, "the headers of the answer");
    pair.driver.server(&frame[50..]);
    let got = pair.client_got();
    assert_eq!(got[0], Got::Data { stream: 1, content: 100, last: false });
    assert!(matches!(got[1], Got::Headers { stream: 3, last: true, .. }), "{got:?}");
}

#[test]
fn a_pending_size_update_leads() {
    // The client lowers what the server may use, and the server has said nothing since.
    let mut pair = Pair::new("http");
    passes(&mut pair, 1);
    pair.driver.client(answer::settings(&[(1, 100)]));
    pair.driver.server(peers::ack());
    pair.client.allows(100);
    pair.client_got();
    pair.server_got();
    pair.asks(3, "/evil");
    refusal(&mut pair, 3);
    pair.server.resize(100, 100);
    passes(&mut pair, 5);
    // The server lowers what the client may use; the block that says so is kept back.
    pair.driver.server(answer::settings(&[(1, 64)]));
    pair.driver.client(peers::ack());
    pair.server.allows(64);
    pair.client.resize(64, 64);
    pair.client_got();
    pair.server_got();
    pair.asks(7, "/evil");
    refusal(&mut pair, 7);
    passes(&mut pair, 9);
}

#[test]
fn many_refusals_end_the_connection_after_what_is_under_way() {
    let mut pair = Pair::new("http");
    pair.driver.limits.http2_refusals = 2;
    pair.asks(1, "/ok");
    for stream in [3, 5, 7] {
        pair.asks(stream, "/evil");
    }
    let got = pair.client_got();
    let calm = code(ErrorCode::EnhanceYourCalm);
    assert_eq!(got.last(), Some(&Got::GoAway { last: 7, code: calm }), "{got:?}");
    pair.asks(9, "/ok");
    assert!(!pair.driver.ended.closed);
    assert_eq!(pair.server_got().len(), 1, "the last is left to another connection");
    pair.answers(1);
    assert_eq!(pair.client_got().len(), 1);
    assert!(pair.driver.ended.closed);
}

#[test]
fn a_policy_may_ask_for_more_than_an_answer() {
    let mut pair = Pair::refusing("http", Refusal::Close);
    pair.asks(1, "/evil");
    let got = pair.client_got();
    let none = code(ErrorCode::NoError);
    assert_eq!(got.last(), Some(&Got::GoAway { last: 1, code: none }));
    assert!(pair.driver.ended.closed);
    let mut pair = Pair::refusing("http", Refusal::Reset);
    pair.asks(1, "/evil");
    assert!(pair.driver.ended.client_reset && pair.driver.ended.server_reset);
}

#[test]
fn a_call_with_an_override_field_is_refused() {
    let mut pair = Pair::new("grpc");
    let fields = [&call("/shop.Cart/Add")[..], &[("x-original-url", "/admin")]].concat();
    let headers = pair.client.headers(1, false, &fields);
    pair.driver.client(headers);
    assert_eq!(pair.server_got(), []);
    assert_eq!(pair.words(), ["shop.Cart/Add refused override_header +"]);
}

#[test]
fn without_a_rule_a_call_with_an_override_field_is_the_request_that_it_is() {
    let mut pair = Pair::new("http");
    pair.driver.admission.protocol = None;
    let call = [&call("/ok")[..], &[("x-original-url", "/other")]].concat();
    let headers = pair.client.headers(1, true, &call);
    pair.driver.client(headers);
    let call = [&super::peers::call("/a/b")[..], &[("x-original-url", "/other")]].concat();
    let headers = pair.client.headers(3, true, &call);
    pair.driver.client(headers);
    assert_eq!(
        pair.words(),
        ["POST /ok refused override_header +", "POST /a/b refused not_allowed +"]
    );
}

#[test]
fn windows_wait_together_for_the_end_of_a_frame() {
    let mut pair = Pair::new("http");
    pair.asks(1, "/ok");
    let frame = data(1, false, &[7; 100]);
    let headers = pair.server.headers(1, false, &ok());
    pair.driver.server([headers, frame[..50].to_vec()].concat());
    let headers = pair.client.headers(3, false, &post("/evil"));
    pair.driver.client(headers);
    for _ in 0..1000 {
        pair.driver.client(data(3, false, b"x"));
    }
    assert_eq!(pair.client_got().len(), 1);
    pair.driver.server(&frame[50..]);
    assert_eq!(pair.client_got().last(), Some(&Got::Window(0, 1000)));
}

#[test]
fn observed_everything_passes_as_it_came() {
    let mut pair = Pair::observed("http");
    pair.asks(1, "/evil");
    pair.answers(1);
    assert_eq!(pair.server_got().len(), 1);
    assert_eq!(pair.client_got().len(), 1);
    assert_eq!(pair.words(), ["GET /evil would-refuse not_allowed +"]);
}

#[test]
fn a_web_socket_is_the_operation_that_it_is_in_http_1() {
    let connect = |path| {
        [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "cart.shop"),
        ]
    };
    let mut pair = Pair::new("http");
    let headers = pair.client.headers(1, false, &connect("/live"));
    pair.driver.client(headers);
    assert_eq!(pair.server_got().len(), 1);
    let headers = pair.client.headers(3, false, &connect("/ok"));
    pair.driver.client(headers);
    assert_eq!(pair.server_got(), []);
    assert_eq!(pair.words(), ["GET /ok refused upgrade_not_permitted +"]);
}

#[test]
fn no_frame_of_a_refused_stream_passes_whatever_its_type() {
    let mut pair = Pair::new("http");
    let headers = pair.client.headers(1, false, &post("/evil"));
    pair.driver.client(headers);
    // METADATA of Envoy.
    pair.driver.client(frame(FrameKind::Unknown(0x4d), 4, 1, b"metadata of the refused request"));
    // Nor one that comes before it.
    pair.driver.client(frame(FrameKind::Unknown(0x4d), 4, 3, b"metadata of the next one"));
    assert_eq!(pair.server_got(), []);
    pair.driver.client(frame(FrameKind::Unknown(0x4d), 4, 0, b"metadata"));
    assert_eq!(pair.server_got(), [Got::Other(FrameKind::Unknown(0x4d), 0)]);
}

#[test]
fn a_server_sends_no_content_for_what_it_has_not_heard_of() {
    let mut pair = Pair::new("http");
    pair.asks(1, "/evil");
    pair.client_got();
    pair.driver.server(data(1, true, b"content out of nowhere"));
    assert!(matches!(pair.client_got()[..], [Got::GoAway { .. }]));
    assert!(pair.driver.ended.closed);
}

#[test]
fn a_threat_counts_as_a_refusal() {
    let mut pair = Pair::refusing("http", Refusal::Close);
    pair.driver.inspectors = vec![Literal::content("attack")];
    let headers = pair.client.headers(1, false, &post("/ok"));
    pair.driver.client([headers, data(1, true, b"attack")].concat());
    let got = pair.client_got();
    // All of the request has come: nothing of it is to be stopped.
    let [Got::Window(0, 6), Got::Headers { last: true, .. }, Got::GoAway { last: 1, .. }] = got[..]
    else {
        panic!("{got:?}")
    };
    assert!(pair.driver.ended.closed);
}

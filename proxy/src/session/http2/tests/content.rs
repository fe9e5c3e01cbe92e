//! Content: counted, followed, cut.

use weir_parsers::http2::ErrorCode;

use super::peers::{Got, call, code, data, padded, post};
use super::*;
use crate::report::Status;
use crate::session::testing::Literal;

#[test]
fn messages_are_counted_both_ways() {
    let mut pair = Pair::new("grpc");
    let message = |len: u8| [&[0, 0, 0, 0, len][..], &vec![7; usize::from(len)]].concat();
    let headers = pair.client.headers(1, false, &call("/shop.Cart/Watch"));
    pair.driver.client(headers);
    let messages = [message(3), message(0), message(200)].concat();
    let (first, rest) = messages.split_at(7);
    pair.driver.client([padded(1, false, first, 9), data(1, true, rest)].concat());
    let head = [(":status", "200"), ("content-type", "application/grpc")];
    let headers = pair.server.headers(1, false, &head);
    pair.driver.server([headers, data(1, false, &message(1))].concat());
    let trailers = pair.server.headers(1, true, &[("grpc-status", "5")]);
    pair.driver.server(trailers);
    let record = &pair.driver.records.ended[0];
    assert_eq!((record.messages, record.status), (Some([3, 1]), Status::Grpc(5)));
    assert!(record.complete);
}

#[test]
fn an_answer_that_is_no_call_s_has_no_messages() {
    let mut pair = Pair::new("grpc");
    let headers = pair.client.headers(1, true, &call("/shop.Cart/Add"));
    pair.driver.client(headers);
    let head = [(":status", "502"), ("content-type", "text/html")];
    let headers = pair.server.headers(1, false, &head);
    pair.driver.server([headers, data(1, true, b"\0\0\0\0\x01abc\0\0\0\0\0")].concat());
    let record = &pair.driver.records.ended[0];
    assert_eq!((record.messages, record.status), (Some([0, 0]), Status::Http(502)));
}

#[test]
fn the_length_that_was_said_is_the_length() {
    let with_length = |length| [&post("/ok")[..], &[("content-length", length)]].concat();
    for (length, sent) in [("10", 9), ("10", 11), ("0", 1)] {
        let mut pair = Pair::new("http");
        let headers = pair.client.headers(1, false, &with_length(length));
        pair.driver.client([headers, data(1, true, &vec![7; sent])].concat());
        let cancel = Got::Reset(1, code(ErrorCode::Cancel));
        assert_eq!(pair.server_got()[1..], [cancel], "{length} {sent}");
        let got = pair.client_got();
        assert_eq!(got[0], Got::Reset(1, code(ErrorCode::ProtocolError)));
        assert_eq!(pair.words(), ["POST /ok refused content_length_mismatch"]);
    }
    let mut pair = Pair::new("http");
    let headers = pair.client.headers(1, false, &with_length("10"));
    pair.driver.client([headers, data(1, false, &[7; 4]), padded(1, true, &[7; 6], 3)].concat());
    assert_eq!(pair.server_got().len(), 3);
}

fn inspected() -> Pair {
    let mut pair = Pair::new("http");
    pair.driver.inspectors = vec![Literal::content("attack")];
    pair
}

#[test]
fn a_match_in_a_request_ends_its_stream_alone() {
    let mut pair = inspected();
    let other = pair.client.headers(1, false, &post("/ok"));
    let headers = pair.client.headers(3, false, &post("/ok"));
    pair.driver.client([other, headers, data(1, false, b"att"), data(3, false, b"att")].concat());
    pair.driver.client(data(1, false, b"end"));
    assert_eq!(pair.server_got().len(), 5);
    pair.driver.client(data(3, true, b"ack"));
    assert_eq!(pair.server_got(), [Got::Reset(3, code(ErrorCode::Cancel))]);
    let got = pair.client_got();
    assert_eq!(got[0], Got::Window(0, 3));
    assert!(matches!(&got[1], Got::Headers { stream: 3, last: true, .. }), "{got:?}");
    pair.driver.client(data(1, true, b"more"));
    assert_eq!(pair.server_got().len(), 1);
}

#[test]
fn a_match_in_an_answer_resets_both_and_its_rest_is_consumed() {
    let mut pair = inspected();
    pair.asks(1, "/ok");
    pair.asks(3, "/ok");
    let headers = pair.server.headers(1, false, &ok());
    pair.driver.server([headers, data(1, false, b"an attack")].concat());
    let cancel = code(ErrorCode::Cancel);
    assert_eq!(pair.client_got().last(), Some(&Got::Reset(1, cancel)));
    let got = pair.server_got();
    assert_eq!(got[2..], [Got::Window(0, 9), Got::Reset(1, cancel)]);
    // What the server sends of it before it hears of that.
    let trailers = pair.server.headers(1, true, &[("new", "entry")]);
    pair.driver.server([data(1, false, &[7; 50]), trailers].concat());
    assert_eq!(pair.server_got(), [Got::Window(0, 50)]);
    assert_eq!(pair.client_got(), []);
    pair.answers(3);
    let got = pair.client_got();
    assert!(matches!(&got[0], Got::Headers { stream: 3, last: true, .. }), "{got:?}");
    pair.asks(5, "/ok");
    pair.answers(5);
    assert_eq!(pair.client_got().len(), 1);
}

#[test]
fn trailers_of_grpc_web_mean_nothing_elsewhere() {
    let mut pair = Pair::new("grpc");
    let headers = pair.client.headers(1, true, &call("/shop.Cart/Add"));
    pair.driver.client(headers);
    let head = [(":status", "200"), ("content-type", "application/grpc")];
    let headers = pair.server.headers(1, false, &head);
    let body = data(1, false, b"\x80\0\0\0\x0egrpc-status:0\n");
    let trailers = pair.server.headers(1, true, &[("grpc-status", "x")]);
    pair.driver.server([headers, body, trailers].concat());
    assert_eq!(pair.driver.records.ended[0].status, Status::Http(200));
}

#[test]
fn trailers_of_grpc_web_are_no_message_and_tell_the_status() {
    for cut in [1, 7, 1000] {
        let mut pair = Pair::new("grpc");
        let mut asked = call("/shop.Cart/Add");
        asked[5] = ("content-type", "application/grpc-web+proto");
        let headers = pair.client.headers(1, false, &asked);
        pair.driver.client([headers, data(1, true, b"\0\0\0\0\x01x")].concat());
        let head = [(":status", "200"), ("content-type", "application/grpc-web+proto")];
        let headers = pair.server.headers(1, false, &head);
        let body = [&b"\0\0\0\0\x01y\x80\0\0\0\x0f"[..], b"grpc-status:13\n"].concat();
        let bytes = [headers, data(1, true, &body)].concat();
        bytes.chunks(cut).for_each(|bytes| pair.driver.server(bytes));
        let record = &pair.driver.records.ended[0];
        assert_eq!((record.messages, record.status), (Some([1, 1]), Status::Grpc(13)));
    }
}

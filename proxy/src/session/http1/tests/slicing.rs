//! However both legs are cut, the same passes and the same is said.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

fn request() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just(get("/a")),
        1 => Just(get("/evil")),
        1 => Just("HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        2 => "[a-z]{1,20}".prop_map(|body| format!(
            "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())),
        1 => "[a-z]{1,20}".prop_map(|body| format!(
            "POST /evil HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())),
        2 => "[a-z]{1,15}".prop_map(|body| format!(
            "POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{:x};a\r\n{body}\r\n0\r\n\r\n",
            body.len())),
        1 => Just("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nasecretb".to_owned()),
        1 => Just("POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n".to_owned()),
        1 => Just("GET / HTTP/1.1\r\nHost : a\r\n\r\n".to_owned()),
    ]
}

fn response() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        6 => Just("HTTP/1.1 204 No Content\r\n\r\n"),
        2 => Just("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n"),
        1 => Just("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        1 => Just("HTTP/1.1 200 OK\r\nContent-Length: a\r\n\r\n"),
    ]
}

/// What a run comes to.
#[derive(Debug, PartialEq)]
struct Outcome {
    to_client: String,
    to_server: String,
    records: Vec<String>,
    ended: Ended,
    opaque: bool,
}

/// Sends all of the client's bytes, then all of the server's.
fn run(mode: (bool, Refusal), legs: [&[u8]; 2], sizes: &[usize]) -> Outcome {
    let mut driver = judged(mode.1);
    driver.judge = mode.0;
    driver.inspectors.push(Literal::content("secret"));
    for (leg, bytes) in legs.into_iter().enumerate() {
        let mut rest = bytes;
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (part, after) = rest.split_at((*size).min(rest.len()));
            if leg == 0 {
                driver.client(part)
            } else {
                driver.server(part)
            }
            rest = after;
        }
    }
    Outcome {
        records: words(driver.close()),
        to_client: driver.to_client(),
        to_server: driver.to_server(),
        ended: driver.ended,
        opaque: driver.opaque,
    }
}

proptest! {
    #[test]
    fn any_slicing_is_the_same(
        requests in vec(request(), 1..6),
        responses in vec(response(), 0..6),
        mode in (any::<bool>(), prop_oneof![
            Just(Refusal::Close), Just(Refusal::Answer), Just(Refusal::Reset)
        ]),
        sizes in vec(1..50usize, 1..6),
        flip in proptest::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        let mut requests = requests.concat().into_bytes();
        let responses = responses.concat();
        if let Some((at, byte)) = flip {
            let at = at.index(requests.len());
            requests[at] = byte;
        }
        let legs = [&requests[..], responses.as_bytes()];
        let whole = run(mode, legs, &[usize::MAX]);
        prop_assert_eq!(&run(mode, legs, &sizes), &whole);
        prop_assert_eq!(&run(mode, legs, &[1]), &whole);
        if !mode.0 {
            prop_assert_eq!(&whole.to_server, &String::from_utf8_lossy(&requests));
            prop_assert_eq!(&whole.to_client, &responses);
        }
    }
}

//! What clients and servers may send and mostly do not: it passes all the same.

use std::net::SocketAddr;
use std::time::Duration;

use crate::frames::*;
use crate::raw::{Event, Raw};
use crate::scene::{each_way, noise};
use crate::support::serve;
use crate::web::Web;

#[test]
fn padding_and_priorities_pass() {
    let web = Web::start();
    each_way("http", web.at, |at| async move {
        let mut raw = Raw::connect(at, &[]);
        // More than the connection's window, most of it padding.
        for n in 0..400 {
            let stream = 2 * n + 1;
            let block = block(&request("POST", "/echo", &[]));
            let prioritized = [&[0, 0, 0, 0, 16], &block[..]].concat();
            let flags = END_HEADERS | PADDED | PRIORITIZED;
            raw.send(HEADERS, flags, stream, &padded(&prioritized, 255));
            assert!(raw.room(600));
            raw.send(DATA, PADDED, stream, &padded(b"some", 255));
            raw.send(PRIORITY, 0, stream, &[0, 0, 0, 0, 1]);
            raw.send(DATA, PADDED | END_STREAM, stream, &padded(b"more", 200));
            let answer = raw.answer(stream);
            assert_eq!((&*answer.status, &*answer.body), ("200", &b"somemore"[..]));
        }
    });
}

#[test]
fn every_way_to_cut_a_connection_into_packets_is_the_same() {
    let web = Web::start();
    each_way("http", web.at, |at| async move {
        use std::io::Write as _;
        let mut all = PREFACE.to_vec();
        all.extend(frame(SETTINGS, 0, 0, &[]));
        let head = block(&request("POST", "/echo", &[("x", &"y".repeat(300))]));
        let (first, second) = head.split_at(100);
        all.extend(frame(HEADERS, 0, 1, first));
        all.extend(frame(CONTINUATION, END_HEADERS, 1, second));
        all.extend(frame(DATA, END_STREAM, 1, &noise(1, 500)));
        for step in [1, 7, 100] {
            let mut raw = Raw::bare(at);
            for part in all.chunks(step) {
                raw.stream.write_all(part).unwrap();
                std::thread::sleep(Duration::from_micros(200));
            }
            assert_eq!(raw.answer(1).body, noise(1, 500));
        }
    });
}

#[test]
fn a_client_that_takes_nothing_yet_is_answered_later() {
    let web = Web::start();
    each_way("http", web.at, |at| async move {
        let mut raw = Raw::connect(at, &[(INITIAL_WINDOW_SIZE, 0)]);
        raw.get(1, "/bytes/5000");
        let head = raw.until(|event| matches!(event, Event::Head { stream: 1, .. }));
        assert_ne!(head, Event::End);
        raw.settle(1);
        raw.send(WINDOW_UPDATE, 0, 1, &100u32.to_be_bytes());
        let Event::Data { length, .. } = raw.until(|e| matches!(e, Event::Data { .. })) else {
            panic!("no data")
        };
        assert_eq!(length, 100);
        raw.send(SETTINGS, 0, 0, &settings(&[(INITIAL_WINDOW_SIZE, 65_535)]));
        assert_eq!(raw.answer(1).body, noise(5000, 5000)[100..]);
    });
}

/// A server that answers each request with an early hint, with what it was asked, and with
/// trailers; in the middle it changes its mind about the size of the client's table.
pub(crate) fn changing_server() -> SocketAddr {
    serve(|stream| {
        let Some(mut raw) = Raw::accept(stream, &[(HEADER_TABLE_SIZE, 65_536)]) else { return };
        let mut requests = 0;
        loop {
            let Event::Head { stream, fields, .. } = raw.until(|e| matches!(e, Event::Head { .. }))
            else {
                return;
            };
            let asked = fields.iter().find(|(name, _)| name == "x-n").unwrap().1.clone();
            raw.head(stream, &block(&[(":status", "103"), ("link", "</style.css>")]), false);
            raw.head(stream, &block(&[(":status", "200"), ("x-n", &asked)]), false);
            raw.send(DATA, 0, stream, asked.as_bytes());
            raw.head(stream, &block(&[("x-end", &asked)]), true);
            requests += 1;
            let sizes = [0, 200, 65_536, 4096, 0];
            if requests % 20 == 0 {
                let size = sizes[requests / 20 % sizes.len()];
                raw.send(SETTINGS, 0, 0, &settings(&[(HEADER_TABLE_SIZE, size)]));
            }
        }
    })
}

#[test]
fn a_table_whose_size_changes_stays_in_step() {
    let server = changing_server();
    each_way("http", server, |at| async move {
        let visitor = crate::visitor::Visitor::connect(at).await;
        for n in 0..200 {
            let request =
                crate::visitor::ask("GET", "/ok").header("x-n", format!("value-{}", n / 3));
            let request = request.header("x-same", "s".repeat(100)).body(()).unwrap();
            let (answer, _) = visitor.begin(request, true).await.unwrap();
            let got = crate::visitor::whole(answer).await.unwrap();
            let wanted = format!("value-{}", n / 3);
            assert_eq!(got.fields["x-n"], *wanted);
            assert_eq!(got.body, wanted.as_bytes());
            assert_eq!(got.trailers.unwrap()["x-end"], *wanted);
        }
    });
}

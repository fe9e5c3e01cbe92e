//! Refused streams and flow control: what they take of the connection's windows comes back.

use crate::frames::*;
use crate::raw::{Event, Raw};
use crate::scene::{WEB, guard_patiently, guard_web, noise, run};
use crate::visitor::{Visitor, ask};
use crate::web::Web;

#[test]
fn refused_bodies_give_the_connections_window_back() {
    let web = Web::start();
    let weir = guard_patiently("http", WEB, web.at);
    run(async {
        let visitor = Visitor::connect(weir.at()).await;
        for n in 0..100 {
            let request = ask("POST", "/private").body(()).unwrap();
            let got = visitor.post(request, noise(n, 60_000), None).await.unwrap();
            assert_eq!(got.status, 403);
        }
        visitor.echo("/echo", noise(1, 1 << 20)).await;
    });
    assert_eq!(web.received().len(), 1);
}

/// The client sends on after the refusal, as it may until it has heard of it.
#[test]
fn what_is_sent_behind_a_refusal_gives_the_window_back_too() {
    let web = Web::start();
    let weir = guard_patiently("http", WEB, web.at);
    let mut raw = Raw::connect(weir.at(), &[]);
    for n in 0..200 {
        let stream = 2 * n + 1;
        raw.post(stream, "/private");
        assert_eq!(raw.answer(stream).status, "403");
        for _ in 0..3 {
            assert!(raw.room(10_000), "the window is not given back");
            raw.send(DATA, PADDED, stream, &padded(&noise(n.into(), 9000), 200));
        }
        raw.send(DATA, END_STREAM, stream, &[]);
    }
    raw.post(401, "/echo");
    for _ in 0..20 {
        assert!(raw.room(10_000));
        raw.send(DATA, 0, 401, &noise(1, 10_000));
        raw.settle(1);
    }
    raw.send(DATA, END_STREAM, 401, &[]);
    assert_eq!(raw.answer(401).body.len(), 200_000);
    assert_eq!(web.received().len(), 1);
}

#[test]
fn a_refused_stream_may_be_cancelled_at_any_time() {
    let web = Web::start();
    let weir = guard_patiently("http", WEB, web.at);
    let mut raw = Raw::connect(weir.at(), &[]);
    for n in 0..300 {
        let stream = 2 * n + 1;
        raw.post(stream, "/private");
        if n % 3 == 0 {
            assert_eq!(raw.answer(stream).status, "403");
        }
        if n % 2 == 0 {
            assert!(raw.room(1000));
            raw.send(DATA, 0, stream, &noise(1, 1000));
        }
        raw.send(RST_STREAM, 0, stream, &code::CANCEL.to_be_bytes());
    }
    raw.get(601, "/ok");
    assert_eq!(raw.answer(601).body, b"ok");
    assert_eq!(web.received().len(), 1);
}

#[test]
fn a_client_that_takes_no_data_is_refused_all_the_same() {
    let web = Web::start();
    let weir = guard_web(web.at);
    let mut raw = Raw::connect(weir.at(), &[(INITIAL_WINDOW_SIZE, 0)]);
    raw.get(1, "/private");
    assert_eq!(raw.answer(1).status, "403");
    raw.get(3, "/bytes/70000");
    raw.get(5, "/private");
    assert_eq!(raw.answer(5).status, "403");
    raw.send(WINDOW_UPDATE, 0, 3, &100_000u32.to_be_bytes());
    assert_eq!(raw.answer(3).body, noise(70_000, 70_000));
}

#[test]
fn padded_heads_are_refused_as_others() {
    let web = Web::start();
    let weir = guard_patiently("http", WEB, web.at);
    let mut raw = Raw::connect(weir.at(), &[]);
    for n in 0..50 {
        let path = if n % 2 == 0 { "/private" } else { "/ok/x" };
        let block = padded(&block(&request("POST", path, &[])), 200);
        raw.send(HEADERS, END_HEADERS | PADDED, 2 * n + 1, &block);
        raw.send(DATA, END_STREAM | PADDED, 2 * n + 1, &padded(b"", 255));
        assert!(raw.room(256));
        assert_eq!(raw.answer(2 * n + 1).status, if n % 2 == 0 { "403" } else { "200" });
    }
    assert_eq!(web.received().len(), 25);
}

#[test]
fn a_refusal_needs_no_window() {
    let web = Web::start();
    let weir = guard_web(web.at);
    let mut raw = Raw::connect(weir.at(), &[]);
    // Nobody takes this, so it uses the connection's window up.
    raw.post(1, "/hold/1");
    while raw.window > 0 {
        let length = raw.window.min(16_384);
        raw.send(DATA, 0, 1, &noise(1, usize::try_from(length).unwrap()));
    }
    raw.get(3, "/private");
    assert_eq!(raw.answer(3).status, "403");
    raw.post(5, "/private");
    assert_eq!(raw.answer(5).status, "403");
    raw.get(7, "/ok");
    assert_eq!(raw.answer(7).body, b"ok");
    web.release();
    assert!(raw.room(1));
    raw.send(DATA, END_STREAM, 1, b"x");
    assert_eq!(raw.answer(1).body, b"ok");
    assert_eq!(web.ended("/hold/1").body.len(), 65_536);
}

/// The same the other way: the answers that the client does not take.
#[test]
fn a_refusal_passes_answers_that_are_not_taken() {
    let web = Web::start();
    let weir = guard_web(web.at);
    let mut raw = Raw::connect(weir.at(), &[]);
    raw.polite = false;
    raw.get(1, "/bytes/100000");
    let mut taken = 0;
    while taken < 65_535 {
        match raw.until(|event| matches!(event, Event::Data { .. })) {
            Event::Data { length, .. } => taken += length,
            _ => panic!("the connection ended"),
        }
    }
    raw.get(3, "/private");
    assert_eq!(raw.answer(3).status, "403");
    raw.send(WINDOW_UPDATE, 0, 0, &65_535u32.to_be_bytes());
    raw.send(WINDOW_UPDATE, 0, 1, &65_535u32.to_be_bytes());
    assert_eq!(raw.answer(1).body.len(), 100_000 - taken);
}

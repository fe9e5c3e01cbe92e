//! How often a connection may be refused, and what becomes of it then.

use std::time::{Duration, Instant};

use crate::frames::code;
use crate::frames::*;
use crate::raw::{Event, Raw};
use crate::scene::{WEB, guard_patiently, guard_web, noise, policy};
use crate::support::Weir;
use crate::web::Web;

#[test]
fn a_hundred_thousand_refusals_on_one_connection_leave_nothing_behind() {
    let web = Web::start();
    let weir = guard_patiently("http", WEB, web.at);
    let mut raw = Raw::connect(weir.at(), &[]);
    let mut before = 0;
    let started = Instant::now();
    for round in 0..1000 {
        let first = 201 * 2 * round + 1;
        for n in 0..100 {
            raw.get(first + 2 * n, &format!("/private/{round}/{n}"));
        }
        for n in 0..100 {
            assert_eq!(raw.answer(first + 2 * n).status, "403");
        }
        raw.get(first + 200, "/ok");
        assert_eq!(raw.answer(first + 200).body, b"ok");
        if round == 100 {
            before = weir.resident();
        }
        assert!(started.elapsed() < Duration::from_secs(240));
    }
    let after = weir.resident();
    assert!(after < before + (4 << 20), "{before} bytes resident before, {after} after");
    weir.until("all logged", || weir.metric("weir_refusals_total") >= 100_000.0);
}

#[test]
fn after_ten_refusals_in_a_minute_the_connection_ends_in_order() {
    let web = Web::start();
    let weir = guard_web(web.at);
    let mut raw = Raw::connect(weir.at(), &[]);
    raw.post(1, "/echo/long");
    raw.send(DATA, 0, 1, &noise(1, 1000));
    for n in 1..=10 {
        raw.get(2 * n + 1, "/private");
        assert_eq!(raw.answer(2 * n + 1).status, "403", "{n}");
    }
    // One more may be needed to be too many.
    raw.get(23, "/private");
    let Event::GoAway { last, .. } = raw.until(|event| matches!(event, Event::GoAway { .. }))
    else {
        panic!("no goodbye")
    };
    assert!(last >= 1);
    // New streams are answered no more, but what is under way goes on.
    raw.get(25, "/ok");
    std::thread::sleep(Duration::from_millis(300));
    raw.send(DATA, END_STREAM, 1, &noise(2, 1000));
    assert_eq!(raw.answer(1).body, [noise(1, 1000), noise(2, 1000)].concat());
    let end = raw.until(|event| matches!(event, Event::Head { stream: 25, .. }));
    assert_eq!(end, Event::End, "{end:?}");
    assert_eq!(web.received().len(), 1);
    // The next connection has ten of its own.
    let mut raw = Raw::connect(weir.at(), &[]);
    raw.get(1, "/ok");
    assert_eq!(raw.answer(1).body, b"ok");
}

#[test]
fn with_close_the_connection_ends_behind_earlier_streams() {
    let web = Web::start();
    let policy = policy("enforce", "http", WEB, web.at, "  refusal: close\n");
    let weir = Weir::start("monitor", &policy, web.at);
    let mut raw = Raw::connect(weir.at(), &[]);
    raw.post(1, "/echo/long");
    raw.send(DATA, 0, 1, &noise(1, 1000));
    raw.settle(1);
    raw.get(3, "/private");
    assert_eq!(raw.answer(3).status, "403");
    assert!(raw.goaway().is_some());
    raw.send(DATA, END_STREAM, 1, &noise(2, 1000));
    assert_eq!(raw.answer(1).body, [noise(1, 1000), noise(2, 1000)].concat());
    assert_eq!(raw.until(|_| false), Event::End);
    weir.until("closed", || weir.metric("weir_connections_open") == 0.0);
}

#[test]
fn with_reset_the_connection_ends_at_once() {
    let web = Web::start();
    let policy = policy("enforce", "http", WEB, web.at, "  refusal: reset\n");
    let weir = Weir::start("monitor", &policy, web.at);
    let mut raw = Raw::connect(weir.at(), &[]);
    raw.get(1, "/ok");
    assert_eq!(raw.answer(1).body, b"ok");
    raw.get(3, "/private");
    let told = raw.until(|event| matches!(event, Event::Head { stream: 3, .. }));
    assert_eq!(told, Event::End);
    assert_eq!(web.received().len(), 1);
}

#[test]
fn a_drain_says_goodbye_and_lets_streams_end() {
    let web = Web::start();
    let policy = policy("enforce", "http", WEB, web.at, "");
    let mut weir = Weir::start_with("monitor", &policy, &[web.at], &["--grace", "5s"]);
    let mut raw = Raw::connect(weir.at(), &[]);
    raw.get(1, "/hold/1");
    raw.settle(1);
    weir.signal("TERM");
    assert_eq!(raw.goaway(), Some(code::NO_ERROR));
    web.release();
    assert_eq!(raw.answer(1).body, b"ok");
    assert_eq!(raw.until(|_| false), Event::End);
    assert_eq!(weir.wait(), Some(0));
}

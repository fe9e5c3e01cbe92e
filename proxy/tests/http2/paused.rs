//! Peers that take nothing for a while, and peers that send too slowly: what Weir did not read
//! in the meantime is nobody's slowness.

use std::net::SocketAddr;
use std::time::Duration;

use crate::frames::*;
use crate::raw::{Event, Raw};
use crate::scene::{WEB, not_allowed, policy};
use crate::support::{Weir, serve};

/// The clock of these tests, and a pause that is longer.
const SLOW: &str = "slow-head=1s";
const PAUSE: Duration = Duration::from_millis(2500);
/// How many long heads there are: more than the buffers of all sockets on the way hold, so that
/// what Weir has read of them ends within one.
const MANY: u32 = 700;

fn guard(mode: &str, at: SocketAddr) -> Weir {
    Weir::start_with(mode, &policy(mode, "http", WEB, at, ""), &[at], &["--limit", SLOW])
}

/// A value that makes a head long, and still one frame.
fn long() -> String {
    "v".repeat(12_000)
}

/// Takes no more at once than this, so that what the sender has left stays with Weir.
fn take_little(raw: &Raw) {
    socket2::SockRef::from(&raw.stream).set_recv_buffer_size(64 << 10).unwrap();
}

/// A server whose answers have many heads before the last one, which ends early if it is `cut`.
fn talkative(cut: bool) -> SocketAddr {
    serve(move |stream| {
        let Some(mut raw) = Raw::accept(stream, &[]) else { return };
        raw.until(|event| matches!(event, Event::Head { .. }));
        let early = block(&[(":status", "103"), ("link", &long())]);
        for _ in 0..MANY {
            raw.head(1, &early, false);
        }
        let last = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&[(":status", "200")]));
        let len = if cut { last.len() - 1 } else { last.len() };
        let _ = std::io::Write::write_all(&mut raw.stream, &last[..len]);
        raw.until(|_| false);
    })
}

/// A client that has asked, and has not read its answer for longer than a head may take.
fn paused(weir: &Weir) -> Raw {
    let mut raw = Raw::bare(weir.at());
    take_little(&raw);
    raw.greet(&[]);
    raw.get(1, "/ok");
    std::thread::sleep(PAUSE);
    raw
}

/// Nothing was held against anybody.
fn nobody_blamed(weir: &Weir) {
    weir.record("read", |record| record["verdict"] == "allowed");
    assert_eq!(not_allowed(weir), [] as [serde_json::Value; 0]);
}

fn a_client_may_pause(mode: &str) {
    let weir = guard(mode, talkative(false));
    let answer = paused(&weir).answer(1);
    assert_eq!((&*answer.status, answer.frames), ("200", MANY as usize + 1));
    nobody_blamed(&weir);
}

#[test]
fn a_client_may_pause_where_it_is_judged() {
    a_client_may_pause("enforce");
}

#[test]
fn a_client_may_pause_where_it_is_observed() {
    a_client_may_pause("monitor");
}

fn a_server_may_pause(mode: &str) {
    let at = serve(|stream| {
        let Some(mut raw) = Raw::accept(stream, &[]) else { return };
        take_little(&raw);
        std::thread::sleep(PAUSE);
        for n in 0..MANY {
            let stream = 2 * n + 1;
            raw.until(|event| matches!(event, Event::Head { stream: s, .. } if *s == stream));
            raw.head(stream, &block(&[(":status", "200")]), true);
        }
        raw.until(|_| false);
    });
    let weir = guard(mode, at);
    let mut raw = Raw::connect(weir.at(), &[]);
    let ask = block(&request("GET", "/ok", &[("x", &long())]));
    for n in 0..MANY {
        raw.head(2 * n + 1, &ask, true);
    }
    for n in 0..MANY {
        assert_eq!(raw.answer(2 * n + 1).status, "200");
    }
    nobody_blamed(&weir);
}

#[test]
fn a_server_may_pause_where_it_is_judged() {
    a_server_may_pause("enforce");
}

#[test]
fn a_server_may_pause_where_it_is_observed() {
    a_server_may_pause("monitor");
}

/// The pause of one peer does not stop the other's clock for good.
#[test]
fn a_head_that_stays_away_after_a_pause_is_too_slow() {
    let weir = guard("enforce", talkative(true));
    assert_eq!(paused(&weir).goaway(), Some(code::INTERNAL_ERROR));
    weir.record("refused", |record| record["reason"] == "slow_head");
}

/// A peer that takes nothing wins no time for what it sends itself.
#[test]
fn a_client_that_pauses_must_still_send_in_time() {
    let weir = guard("enforce", talkative(false));
    let mut raw = Raw::bare(weir.at());
    take_little(&raw);
    raw.greet(&[]);
    raw.get(1, "/ok");
    // The answer is under way before the clock begins.
    std::thread::sleep(Duration::from_millis(500));
    let half = frame(HEADERS, END_HEADERS | END_STREAM, 3, &block(&request("GET", "/ok", &[])));
    std::io::Write::write_all(&mut raw.stream, &half[..half.len() - 1]).unwrap();
    weir.record("refused", |record| record["reason"] == "slow_head");
}

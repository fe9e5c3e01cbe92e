use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::body::Body as _;
use weir_policy::op::Protocol;

use super::stream::Tap;
use super::*;

const ROOM: Room = Room { taps: 3, bytes: 1 << 20 };

fn hub() -> Arc<Hub> {
    Hub::new(Arc::new(Metrics::new()))
}

fn seen(port: u16) -> Seen {
    Seen {
        protocol: Protocol::Http,
        side: Side::Inbound,
        peer: "10.0.0.7".parse().unwrap(),
        port,
        verdict: Verdict::Allowed,
        status: Status::Http(200),
        duration_us: Some(1),
    }
}

fn attach(hub: &Arc<Hub>, query: &str) -> Tap {
    hub.attach(Filter::from_query(query).unwrap(), ROOM).unwrap()
}

fn put(outbox: &mut Outbox, hub: &Arc<Hub>, port: u16, line: &str) {
    outbox.line(hub, seen(port), b"\"GET /\"", |out| out.extend_from_slice(line.as_bytes()));
}

/// What the hub's task does.
fn deliver(hub: &Hub) {
    let mut received = hub.received.lock().unwrap();
    while let Ok(batch) = received.as_mut().unwrap().try_recv() {
        hub.deliver(batch);
    }
}

/// What a tap has now; none at its end.
fn take(tap: &mut Tap) -> Option<String> {
    let mut text = String::new();
    loop {
        match Pin::new(&mut *tap).poll_frame(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(Ok(frame))) => {
                text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            }
            Poll::Pending => return Some(text),
            Poll::Ready(None) if text.is_empty() => return None,
            Poll::Ready(None) => return Some(text),
        }
    }
}

fn gauge(hub: &Hub, name: &str) -> f64 {
    let text = hub.metrics.render();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.unwrap().parse().unwrap()
}

#[test]
fn each_tap_has_what_it_wants() {
    let (hub, mut outbox) = (hub(), Outbox::default());
    let mut all = attach(&hub, "");
    let mut some = attach(&hub, "port=2");
    let mut none = attach(&hub, "op=POST *");
    for port in [2, 1, 2, 2, 1] {
        put(&mut outbox, &hub, port, &format!("{{{port}}}\n"));
    }
    outbox.flush();
    deliver(&hub);
    assert_eq!(take(&mut all).unwrap(), "{2}\n{1}\n{2}\n{2}\n{1}\n");
    assert_eq!(take(&mut some).unwrap(), "{2}\n{2}\n{2}\n");
    assert_eq!(take(&mut none).unwrap(), "");
    assert_eq!(all.queue().bytes() + some.queue().bytes(), 0);
}

#[test]
fn a_panic_within_a_line_takes_that_line_alone() {
    let (hub, mut outbox) = (hub(), Outbox::default());
    let mut tap = attach(&hub, "");
    put(&mut outbox, &hub, 1, "{1}\n");
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        outbox.line(&hub, seen(2), b"", |out| {
            out.extend_from_slice(b"{2");
            panic!("a fault");
        });
    }));
    assert!(panicked.is_err());
    put(&mut outbox, &hub, 3, "{3}\n");
    outbox.flush();
    deliver(&hub);
    assert_eq!(take(&mut tap).unwrap(), "{1}\n{3}\n");
}

#[test]
fn taps_are_counted_and_bounded() {
    let hub = hub();
    assert!(!hub.has_taps());
    let mut taps: Vec<Tap> = (0..3).map(|_| attach(&hub, "")).collect();
    assert_eq!(hub.attach(Filter::default(), ROOM).unwrap_err(), NoTap::Busy(3));
    assert_eq!(gauge(&hub, "weir_taps"), 3.0);
    taps.pop();
    attach(&hub, "");
    taps.clear();
    assert!(!hub.has_taps());
    assert_eq!(gauge(&hub, "weir_taps"), 0.0);
}

#[test]
fn a_tap_that_does_not_read_loses_records_and_is_told() {
    let (hub, mut outbox) = (hub(), Outbox::default());
    let (mut slow, mut other) = (attach(&hub, "port=1"), attach(&hub, "port=2"));
    let line = format!("{{{}}}\n", "x".repeat(1000));
    for _ in 0..3000 {
        put(&mut outbox, &hub, 1, &line);
        deliver(&hub);
        assert!(slow.queue().bytes() <= ROOM.bytes);
    }
    outbox.flush();
    deliver(&hub);
    put(&mut outbox, &hub, 2, "{2}\n");
    outbox.flush();
    deliver(&hub);
    assert_eq!(take(&mut other).unwrap(), "{2}\n", "one that is slow takes nothing from others");
    let first = slow.queue().bytes() / line.len();
    assert!(first > 900, "{first}");
    let text = take(&mut slow).unwrap();
    let (mut got, mut told) = (0, 0);
    for each in text.lines() {
        match each.strip_prefix(NOTICE) {
            Some(notice) => {
                told += notice["\"dropped\":".len()..notice.len() - 1].parse::<u64>().unwrap();
            }
            None => {
                assert_eq!(each, line.trim_end());
                got += 1;
            }
        }
    }
    assert!(told > 0 && got + told == 3000, "{got} and {told}");
    assert_eq!(gauge(&hub, "weir_tap_dropped_total"), told as f64);
    // There is room again.
    put(&mut outbox, &hub, 1, "{1}\n");
    outbox.flush();
    deliver(&hub);
    assert_eq!(take(&mut slow).unwrap(), "{1}\n");
}

#[test]
fn what_could_not_be_filtered_is_told_to_all() {
    let (hub, mut outbox) = (hub(), Outbox::default());
    let (mut one, mut two) = (attach(&hub, "port=1"), attach(&hub, "port=2"));
    for _ in 0..BATCHES + 5 {
        put(&mut outbox, &hub, 1, "{1}\n");
        outbox.flush();
    }
    deliver(&hub);
    let notice = format!("{NOTICE}\"dropped\":5}}\n");
    assert_eq!(take(&mut one).unwrap(), notice.clone() + &"{1}\n".repeat(BATCHES));
    assert_eq!(take(&mut two).unwrap(), notice);
    assert_eq!(gauge(&hub, "weir_tap_dropped_total"), 5.0);
}

#[test]
fn a_thread_keeps_nothing_once_the_taps_are_gone() {
    let (hub, mut outbox) = (hub(), Outbox::default());
    let tap = attach(&hub, "");
    put(&mut outbox, &hub, 1, "{1}\n");
    drop(tap);
    outbox.flush();
    outbox.flush();
    assert!(hub.received.lock().unwrap().as_mut().unwrap().try_recv().is_err());
    assert_eq!(Arc::strong_count(&hub), 1);
}

#[tokio::test]
async fn taps_end_with_the_hub_and_have_what_came_before() {
    let (hub, mut outbox) = (hub(), Outbox::default());
    let mut tap = attach(&hub, "");
    put(&mut outbox, &hub, 1, "{1}\n");
    outbox.flush();
    hub.close();
    Arc::clone(&hub).run().await;
    assert_eq!(take(&mut tap).unwrap(), "{1}\n");
    assert_eq!(take(&mut tap), None);
    assert_eq!(hub.attach(Filter::default(), ROOM).unwrap_err(), NoTap::Ended);
}

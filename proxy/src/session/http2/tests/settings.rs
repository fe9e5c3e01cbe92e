//! What the peers say of themselves.

use weir_parsers::http2::{PREFACE, setting};

use super::super::direction::FRAME;
use super::peers::{Got, ack};
use super::*;

#[test]
fn what_sizes_weirs_memory_is_lowered() {
    let mut pair = Pair::silent("http");
    pair.driver.client(weir_parsers::http2::PREFACE);
    pair.driver.client(answer::settings(&[(1, 1 << 20), (4, 1 << 20), (5, 1 << 22), (0x99, 7)]));
    pair.driver.server(answer::settings(&[(3, 100), (6, 100)]));
    let list = 64 << 10;
    let lowered = vec![(1, 64 << 10), (4, 1 << 20), (5, 64 << 10), (0x99, 7), (2, 0), (6, list)];
    assert_eq!(pair.server_got(), [Got::Settings(lowered)]);
    assert_eq!(pair.client_got(), [Got::Settings(vec![(3, 100), (6, 100)])]);
    pair.driver.client([ack(), answer::settings(&[(6, u32::MAX), (2, 1)])].concat());
    assert_eq!(pair.server_got()[1..], [Got::Settings(vec![(6, list), (2, 0)])]);
}

#[test]
fn observed_they_pass_as_they_are() {
    let mut pair = Pair::silent("http");
    pair.driver.judge = false;
    let settings = answer::settings(&[(1, 1 << 20)]);
    pair.driver.client([&weir_parsers::http2::PREFACE[..], &settings].concat());
    assert!(pair.driver.towards(Leg::Server).ends_with(&settings));
}

#[test]
fn a_table_beyond_the_limit_makes_its_direction_unread() {
    let mut pair = Pair::silent("http");
    pair.driver.judge = false;
    pair.begin(&[(1, 1 << 20)], &[]);
    pair.client.allows(1 << 20);
    pair.server.resize(1 << 20, 1 << 20);
    pair.asks(1, "/ok");
    pair.answers(1);
    pair.asks(3, "/evil");
    assert_eq!(pair.server_got().len(), 2);
    assert_eq!(pair.client_got().len(), 1, "it passes all the same");
    let words = pair.words();
    assert!(words.contains(&"- would-refuse http2_table".to_owned()), "{words:?}");
    assert!(!pair.driver.opaque, "requests are still read");
}

#[test]
fn settings_are_no_longer_than_a_frame_may_be() {
    let mut pair = Pair::silent("http");
    let many = vec![(0x99, 7); FRAME / 6];
    pair.driver.client([PREFACE.to_vec(), answer::settings(&many)].concat());
    let got = pair.server_got();
    let [Got::Settings(settings)] = &got[..] else { panic!("{got:?}") };
    assert_eq!(settings.len(), FRAME / 6);
    assert!(settings.contains(&(setting::ENABLE_PUSH, 0)));
}

#[test]
fn a_client_is_told_how_many_streams_there_may_be() {
    for (offered, told) in [(None, 10_000), (Some(100), 100), (Some(u32::MAX), 10_000)] {
        let mut pair = Pair::silent("http");
        let settings: Vec<_> =
            offered.map(|n| (setting::MAX_CONCURRENT_STREAMS, n)).into_iter().collect();
        pair.driver.client([PREFACE.to_vec(), answer::settings(&[])].concat());
        pair.driver.server(answer::settings(&settings));
        let got = pair.client_got();
        let [Got::Settings(settings)] = &got[..] else { panic!("{got:?}") };
        assert!(settings.contains(&(setting::MAX_CONCURRENT_STREAMS, told)), "{settings:?}");
    }
}

//! Two HTTP/2 peers: what Weir lets pass between them, and what it says itself, is what each can
//! read; nothing that the policy refuses reaches the server; and windows are given back in full.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use weir::limits::Limits;
use weir_fuzz::drive::{Outcomes, Setting, drive};
use weir_fuzz::frames::{Event, Field, Read, read, tables};
use weir_fuzz::script::{Script, may, script};
use weir_fuzz::{Cuts, POLICY, Run};
use weir_parsers::http2::FrameKind;
use weir_policy::decide::Refusal;
use weir_policy::op::{Endpoint, Side};

/// With a rule for HTTP, for gRPC, and for any protocol.
const PORTS: [u16; 3] = [8080, 9090, 9000];

fuzz_target!(|input: &[u8]| {
    let [how, seed, rest @ ..] = input else { return };
    let port = PORTS[usize::from(how & 3) % PORTS.len()];
    let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
    let endpoint = Endpoint { side: Side::Inbound, peer, port };
    let mut admission = POLICY.admit(&endpoint);
    admission.refusal = match how >> 2 & 7 {
        0 => Some(Refusal::Close),
        1 => Some(Refusal::Reset),
        _ => None,
    };
    let mut limits = Limits { http2_refusals: 1000, ..Limits::default() };
    let small = how & 0x40 != 0;
    if small {
        (limits.head_bytes, limits.http2_table_bytes, limits.http2_frame_bytes) = (1024, 256, 512);
        (limits.http2_refusals, limits.http2_late_frames) = (3, 5);
        (limits.http2_continuations, limits.http2_streams) = (8, 4);
    }
    let script = script(rest, port, limits.http2_table_bytes);
    let setting = Setting {
        judge: false,
        policy: &POLICY,
        admission: &admission,
        endpoint: &endpoint,
        limits: &limits,
        ends: how & 0x80 != 0,
    };
    let observed = any_cut(setting, *seed, &script);
    let [client, server] = &script.sent;
    assert!(observed.out[0] == *server && observed.out[1] == *client, "observed bytes pass");

    let judged = any_cut(Setting { judge: true, ..setting }, *seed, &script);
    assert!(judged.most_held <= limits.head_bytes.max(limits.http2_frame_bytes).max(16384) + 18);
    let strict = script.valid && !small && admission.refusal.is_none();
    check(&script, &judged, port, strict);
});

/// Feeds a session the runs whole and in pieces, and answers what came of it each time.
fn any_cut(setting: Setting<'_>, seed: u8, script: &Script) -> Outcomes {
    let runs = || script.runs.iter().map(|(client, bytes)| Run { client: *client, bytes });
    let whole = drive(setting, runs(), || usize::MAX);
    let mut cuts = Cuts::new(seed);
    whole.assert_same(&drive(setting, runs(), || cuts.next_len()));
    whole
}

/// `strict`: nothing but the refused requests may be missing.
fn check(script: &Script, judged: &Outcomes, port: u16, strict: bool) {
    // First what each says of its table, then what the other makes of that.
    let [client, server] = &script.sent;
    let tables = [tables(client, true), tables(server, false)];
    let sent = [read(client, true, &tables[1]), read(server, false, &tables[0])];
    let got = [read(&judged.out[1], true, &tables[1]), read(&judged.out[0], false, &tables[0])];
    requests(&got[0], port);
    if !script.valid {
        return;
    }
    for (sent, got) in sent.iter().zip(&got) {
        assert_eq!(sent.fault, None, "a fault of the script");
        assert_eq!(got.fault, None);
    }
    let of_refused = |event: &&Event| {
        script.refused.contains(&event.stream()) && !is_of_kind(event, FrameKind::Priority)
    };
    assert_eq!(got[0].events.iter().find(of_refused), None, "the server hears of a refused stream");
    if judged.ended.is_none() {
        windows(&sent, &got);
    }
    if !strict {
        return;
    }
    assert_eq!(judged.ended, None, "nobody did wrong: {:?}", judged.records);
    for (sent, got) in sent.iter().zip(&got) {
        let (sent, got) = (passes(script, sent), passes(script, got));
        if let Some(at) = (0..sent.len().max(got.len())).find(|at| sent.get(*at) != got.get(*at)) {
            panic!("{at}: {:?} became {:?}", sent.get(at), got.get(at));
        }
    }
    for id in &script.refused {
        let answers = got[1].events.iter().filter(|event| event.stream() == *id);
        let answers: Vec<_> = answers.filter(|e| matches!(e, Event::Block { .. })).collect();
        match answers[..] {
            [Event::Block { last: true, fields, .. }] => assert!(is_refusal(fields), "{fields:?}"),
            _ => panic!("refused with {answers:?}"),
        }
    }
}

/// Each block that the server gets is a request that the policy may allow, or trailers of one.
fn requests(got: &Read, port: u16) {
    let mut highest = 0;
    for event in &got.events {
        let Event::Block { stream, last, fields, .. } = event else { continue };
        if *stream > highest {
            highest = *stream;
            assert!(may(port, fields), "{fields:?}");
        } else {
            let pseudo = |(name, ..): &Field| name.starts_with(b":");
            assert!(*last && !fields.iter().any(pseudo), "{stream}: {fields:?}");
        }
    }
}

/// What Weir takes of content it gives back as window.
fn windows(sent: &[Read; 2], got: &[Read; 2]) {
    for (leg, towards) in [(0, 1), (1, 0)] {
        let taken = sent[leg].data - got[leg].data;
        let given = got[towards].credit - sent[towards].credit;
        assert_eq!(taken, given, "of leg {leg}");
    }
}

/// What must pass: not what belongs to refused streams, or may cross with a reset; windows of the
/// connection are Weir's to add to.
fn passes<'a>(script: &Script, read: &'a Read) -> Vec<&'a Event> {
    let mut events: Vec<_> = read.events.iter().collect();
    events.retain(|event| {
        let id = event.stream();
        let may_differ = script.refused.contains(&id)
            || script.reset.contains(&id)
            || id == 0 && is_of_kind(event, FrameKind::WindowUpdate);
        !may_differ
    });
    events
}

fn is_of_kind(event: &Event, wanted: FrameKind) -> bool {
    matches!(event, Event::Frame { kind, .. } if *kind == wanted)
}

fn is_refusal(fields: &[Field]) -> bool {
    let has = |wanted: (&[u8], &[u8])| {
        fields.iter().any(|(name, value, _)| (name.as_slice(), value.as_slice()) == wanted)
    };
    has((b":status", b"403")) || has((b"grpc-status", b"7"))
}

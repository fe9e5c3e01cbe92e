//! A session says and does the same however the reads of its legs are cut, in observe and in
//! judge; in observe everything passes as it came.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use weir::limits::Limits;
use weir::report::Verdict;
use weir_fuzz::drive::{Outcomes, Setting, drive};
use weir_fuzz::{Cuts, POLICY, runs};
use weir_policy::decide::Refusal;
use weir_policy::op::{Endpoint, Protocol, Side};

/// With a rule for HTTP, for Redis, for TLS, for any protocol that is known, for any at all, and
/// for gRPC.
const PORTS: [u16; 6] = [8080, 6379, 8443, 9000, 9001, 9090];

fuzz_target!(|input: &[u8]| {
    let [how, seed, rest @ ..] = input else { return };
    let port = PORTS[usize::from(how & 7) % PORTS.len()];
    let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 7));
    let endpoint = Endpoint { side: Side::Inbound, peer, port };
    let mut admission = POLICY.admit(&endpoint);
    admission.refusal = match how >> 3 & 3 {
        0 => None,
        1 => Some(Refusal::Close),
        2 => Some(Refusal::Answer),
        _ => Some(Refusal::Reset),
    };
    let mut limits = Limits::default();
    if how & 0x20 != 0 {
        (limits.head_bytes, limits.judging_bytes, limits.detection_bytes) = (256, 128, 1024);
    }
    let setting = Setting {
        judge: false,
        policy: &POLICY,
        admission: &admission,
        endpoint: &endpoint,
        limits: &limits,
        ends: how & 0x40 != 0,
    };
    let observed = any_cut(setting, *seed, rest);
    let sent = |client: bool| -> Vec<u8> {
        runs(rest).filter(|run| run.client == client).flat_map(|run| run.bytes).copied().collect()
    };
    assert_eq!(observed.out, [sent(false), sent(true)], "observed bytes pass as they came");
    let judged = any_cut(Setting { judge: true, ..setting }, *seed, rest);
    // Of HTTP/2 much is an error of the connection where it is judged alone; `http2` looks at that.
    let http2 = sent(true).starts_with(weir_parsers::http2::PREFACE);
    if matches!(admission.protocol, Some(Protocol::Http | Protocol::Redis)) && !http2 {
        agree(&observed, &judged);
    }
});

/// Feeds a session the runs whole, in pieces and bytewise, and answers what came of it each time.
fn any_cut(setting: Setting<'_>, seed: u8, input: &[u8]) -> Outcomes {
    let whole = drive(setting, runs(input), || usize::MAX);
    let mut cuts = Cuts::new(seed);
    whole.assert_same(&drive(setting, runs(input), || cuts.next_len()));
    whole.assert_same(&drive(setting, runs(input), || 1));
    whole
}

/// Up to the first refusal, judging says what observing says; and where judging refuses,
/// observing says of something that enforce would. (A bad answer refuses its request where that
/// is judged, and has a record of its own where it is observed. One that is cut short is refused
/// there, and is only incomplete here.)
fn agree(observed: &Outcomes, judged: &Outcomes) {
    for (seen, judged) in observed.records.iter().zip(&judged.records) {
        assert_eq!(seen.op, judged.op);
        if judged.verdict == Verdict::Refused {
            let told = observed.records.iter().any(|seen| seen.verdict != Verdict::Allowed);
            assert!(told || judged.reason == "truncated", "{judged:?}\n{observed:?}");
            return;
        }
        assert_eq!(seen.verdict, judged.verdict, "{seen:?}\n{judged:?}");
    }
}

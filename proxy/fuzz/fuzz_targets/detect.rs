//! Detection over both legs says the same however their reads are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::{Cuts, Run, runs};
use weir_parsers::detect::{ClientBytes, Detection, Detector, proxy, tls};

fuzz_target!(|input: &[u8]| {
    let Some((&seed, rest)) = input.split_first() else { return };
    let mut cuts = Cuts::new(seed);
    let whole = feed(seed, runs(rest), || usize::MAX);
    let cut = feed(seed, runs(rest), || cuts.next_len());
    assert_eq!(whole, cut);
    assert_eq!(whole, feed(seed, runs(rest), || 1));
});

/// The last word, the PROXY header, and the server name of a ClientHello.
type Answer = (Detection, Option<proxy::Header>, Option<Result<Option<Vec<u8>>, tls::Reason>>);

fn feed<'a>(
    seed: u8,
    runs: impl Iterator<Item = Run<'a>>,
    mut cut: impl FnMut() -> usize,
) -> Answer {
    let budget = if seed & 1 == 0 { 32 << 10 } else { 100 };
    let passed = seed & 2 == 0;
    let mut detector = Detector::new(budget, seed & 4 != 0);
    let (mut client, mut server) = (Vec::new(), Vec::new());
    let mut last = Detection::More { server_first: false };
    let mut header = None;
    for run in runs {
        let mut left = run.bytes;
        while !left.is_empty() {
            let (now, later) = left.split_at(cut().min(left.len()));
            left = later;
            if !run.client {
                server.extend_from_slice(now);
                last = detector.server(&server, false);
                continue;
            }
            client.extend_from_slice(now);
            last = detector.client(ClientBytes { data: &client, eof: false, passed });
            if let Detection::Proxy(found) = last {
                header = Some(found);
                client.drain(..found.len);
                last = detector.client(ClientBytes { data: &client, eof: false, passed });
            }
        }
    }
    let name = match last {
        Detection::Tls(len) => {
            let mut scratch = Vec::new();
            let hello = tls::client_hello(&client[..len], &mut scratch);
            Some(hello.map(|hello| {
                let _ = hello.alpn.map(Iterator::count);
                hello.server_name.map(<[u8]>::to_vec)
            }))
        }
        _ => None,
    };
    (last, header, name)
}

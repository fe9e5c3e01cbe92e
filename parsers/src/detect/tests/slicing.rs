//! Any slicing of either leg, in any order of the legs, gives the same answer.

use proptest::prelude::*;

use super::*;

fn beginnings() -> Vec<Vec<u8>> {
    let hello = client_hello::sample();
    [
        &b"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"GET foo\r\n",
        b"\r\nPING\r\n",
        b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0",
        b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\nGET / HTTP/1.1\r\n",
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x10\x00\x00\x50PING\n",
        b"SSH-2.0-x\r\n",
        b"220 mail\r\n",
        b"+OK pop\r\n",
        b"+PONG\r\n",
        b"-ERR no\r\n",
        b"HTTP/1.1 408 x\r\n",
        b"\x4a\0\0\0\x0a8.0",
        b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64\0\0\0\x04\x01\0\0\0\0",
        b"\0\0\0\0\x0a8.0",
        b"",
        &client_hello::records(&hello, 9),
        &client_hello::records(&hello, 1 << 14),
    ]
    .map(<[u8]>::to_vec)
    .to_vec()
}

/// A known beginning, cut short, damaged in a place or two.
fn leg_bytes() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (prop::sample::select(beginnings()), any::<prop::sample::Index>(), damage, any::<bool>())
        .prop_map(|(mut bytes, cut, damage, whole)| {
            for (at, byte) in damage {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            if !whole {
                bytes.truncate(cut.index(bytes.len() + 1));
            }
            bytes
        })
}

/// Two legs' bytes, interleaved in runs; either leg may end.
fn runs() -> impl Strategy<Value = Vec<Run>> {
    let order = prop::collection::vec((any::<bool>(), 1..40_usize), 0..12);
    (leg_bytes(), leg_bytes(), order, any::<[bool; 3]>()).prop_map(
        |(from_client, from_server, order, [client_ends, server_ends, client_last])| {
            let mut left = [from_server.as_slice(), from_client.as_slice()];
            let mut runs = Vec::new();
            for (client, n) in order {
                let leg = &mut left[usize::from(client)];
                let (now, later) = leg.split_at(n.min(leg.len()));
                *leg = later;
                runs.push(Run { client, bytes: now.to_vec(), eof: false });
            }
            for client in [!client_last, client_last] {
                let eof = if client { client_ends } else { server_ends };
                runs.push(Run { client, bytes: left[usize::from(client)].to_vec(), eof });
            }
            runs
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_slicing_gives_the_same_answer(
        runs in runs(),
        cuts in prop::collection::vec(1..20_usize, 1..20),
        budget in prop_oneof![Just(1 << 15), 0..200_usize],
        passed: bool,
    ) {
        let whole = feed(&runs, budget, passed, || usize::MAX);
        let mut cycle = cuts.iter().copied().cycle();
        let cut = feed(&runs, budget, passed, || cycle.next().unwrap());
        prop_assert_eq!(whole, cut);
        prop_assert_eq!(whole, feed(&runs, budget, passed, || 1));
    }

    #[test]
    fn anything_at_all_is_answered(
        from_client in prop::collection::vec(any::<u8>(), 0..300),
        from_server in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let runs = [end(client(&from_client)), end(server(&from_server))];
        let (last, _) = feed(&runs, 1 << 15, true, || usize::MAX);
        prop_assert!(!matches!(last, Detection::More { .. } | Detection::Proxy(_)), "{:?}", last);
    }
}

//! Random things that a profile may say.

use ipnet::IpNet;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::entry::{List, Pattern};
use crate::learned::{Evidence, Learned, LearnedEntry, LearnedRule};
use crate::op::{Protocol, Side};
use crate::path::AMBIGUITIES;
use crate::pattern::Separators;

/// Entries of a protocol, the odd ones among them; sorted, each once.
fn ops(protocol: Protocol) -> BoxedStrategy<String> {
    let segment = || {
        prop_oneof![
            2 => "[a-c]{1,2}",
            2 => select(vec!["{}", "{int}", "{uuid}", "é", "", "null", "a%2Fb", "..", "1.5"])
                .prop_map(str::to_owned),
            1 => r#"[a:,&'"!\[\]@|>$~=+;`é-]{1,4}"#,
            1 => select(vec![r"\{", r"\*", r"\\", r"a\}b"]).prop_map(str::to_owned),
        ]
    };
    match protocol {
        Protocol::Http => prop_oneof![
            9 => (
                select(vec!["GET", "POST", "*", "M-SEARCH", "'", "NULL"]),
                prop::collection::vec(segment(), 1..4),
                any::<bool>(),
            )
                .prop_map(|(method, path, rest)| {
                    format!("{method} /{}{}", path.join("/"), if rest { "/*" } else { "" })
                }),
            1 => select(vec!["OPTIONS *", "CONNECT *", "CONNECT [2001:db8::1]:443"])
                .prop_map(str::to_owned),
        ]
        .boxed(),
        Protocol::Grpc => "([a-c]\\.)?[A-C._1-]{1,3}/([A-C_1.-]{1,3}|\\*)".boxed(),
        Protocol::Redis => (
            select(vec![
                "GET",
                "SET",
                "*",
                "1.5",
                "NULL",
                "on",
                "y",
                "-",
                "---",
                "...",
                "_x",
                "CONFIG|*",
                "CONFIG|GET",
                "0x1F",
                ".inf",
                "1e3",
                "~",
            ]),
            prop::collection::vec(
                prop_oneof![
                    r#"[a:,'"!\[\]@|>#$~=+;`é%?-]{1,4}\*?"#,
                    select(vec![r"a\ ", r"\ #b", "&news", "&", "{}", "cart:{int}", "*", r"\x00"])
                        .prop_map(str::to_owned),
                ],
                0..3,
            ),
        )
            .prop_map(|(command, keys)| {
                let keys: String = keys.iter().map(|key| format!(" {key}")).collect();
                format!("{command}{keys}")
            })
            .boxed(),
        _ => select(vec!["sni none", "sni *", "sni a.example", "sni *.shop", "sni ::1"])
            .prop_map(str::to_owned)
            .boxed(),
    }
}

fn evidence() -> impl Strategy<Value = Evidence> {
    let steps = select(vec!["{int}: 64 values", "two\nlines", "- GET /x", "odd\u{7}\t\u{202e}#"]);
    (
        (any::<u16>(), any::<bool>(), 0..6usize),
        (0..20_000u64, 0..3u64),
        prop::collection::vec(steps.prop_map(str::to_owned), 0..2),
    )
        .prop_map(|((operations, at_least, peers), (day, more), steps)| Evidence {
            operations: operations.into(),
            at_least,
            peers,
            first: day * 86_400,
            last: (day + more) * 86_400,
            steps,
        })
}

fn entry(protocol: Protocol) -> impl Strategy<Value = LearnedEntry> {
    let names = AMBIGUITIES.iter().map(|kind| kind.as_str()).collect::<Vec<_>>();
    let headers = vec!["X-HTTP-Method-Override".to_owned(), "NULL".to_owned(), "1".to_owned()];
    let options = (
        prop::bool::weighted(0.2),
        prop_oneof![3 => Just(Vec::new()), 1 => subsequence(names, 0..9)],
        prop_oneof![4 => Just(Vec::new()), 1 => subsequence(headers, 0..3)],
    );
    (ops(protocol), options, evidence()).prop_map(move |(op, options, evidence)| {
        let (upgrade, permit, override_headers) = match protocol {
            Protocol::Http => options,
            _ => (false, Vec::new(), Vec::new()),
        };
        let mut entry = LearnedEntry { op, upgrade, permit, override_headers, evidence };
        let (separators, permit) = (Separators::default(), entry.ambiguities());
        if Pattern::read(protocol, List::Allow, &entry.op, permit, separators).is_err() {
            let fine = match protocol {
                Protocol::Http => "GET /x",
                Protocol::Grpc => "a.B/C",
                _ => "PING",
            };
            fine.clone_into(&mut entry.op);
        }
        entry
    })
}

fn rule(side: Side, port: u16, protocol: Protocol) -> impl Strategy<Value = LearnedRule> {
    let nets = ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7/32", "2001:db8::/32", "0.0.0.0/0"];
    let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
    let entries = || prop::collection::vec(entry(protocol), 0..6);
    let words = vec!["seen on 3 days".to_owned(), "one\r\nanother: # \u{0}".to_owned()];
    (subsequence(nets, 0..3), subsequence(words, 0..2), entries(), entries(), any::<bool>())
        .prop_map(move |(peers, notes, mut entries, left, database)| {
            entries.sort();
            entries.dedup_by(|a, b| a.op == b.op);
            let mut left: Vec<_> =
                left.into_iter().map(|entry| (entry, "never\naccepted".to_owned())).collect();
            left.sort();
            let opaque = protocol == Protocol::Opaque;
            LearnedRule {
                side,
                peers,
                port,
                protocol,
                databases: if database && protocol == Protocol::Redis {
                    vec![0, 3]
                } else {
                    vec![]
                },
                notes,
                entries: if opaque { Vec::new() } else { entries },
                left: if opaque { Vec::new() } else { left },
            }
        })
}

/// What a profile may say; each port has one protocol.
pub(crate) fn learned() -> impl Strategy<Value = Learned> {
    let places = [
        (Side::Inbound, 80, Protocol::Http),
        (Side::Inbound, 80, Protocol::Http),
        (Side::Inbound, 6379, Protocol::Redis),
        (Side::Outbound, 443, Protocol::Tls),
        (Side::Outbound, 5671, Protocol::Opaque),
        (Side::Outbound, 6379, Protocol::Redis),
        (Side::Outbound, 8080, Protocol::Http),
        (Side::Inbound, 9090, Protocol::Grpc),
    ];
    subsequence(places.to_vec(), 0..=places.len()).prop_flat_map(|places| {
        let rules: Vec<_> =
            places.into_iter().map(|(side, port, protocol)| rule(side, port, protocol)).collect();
        rules.prop_map(|rules| Learned { rules })
    })
}

mod belief;
mod bounded;
mod calls;
mod lattice;
mod numbers;
mod secrets;
mod writable;

use std::net::IpAddr;

use super::key;
use super::{Counts, Key, Learner, Observation, Profile, Settings, WriterId};
use crate::op::{
    GrpcOp, HttpOp, KeySource, Keys, Operation, Protocol, RedisOp, Script, Side, TlsOp,
};

const DAY: u64 = 86_400;
/// 2026-11-01.
const START: u64 = 1_793_491_200;

/// Numbers that look random (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// An operation that owns its parts.
#[derive(Clone, Debug)]
struct Asked {
    protocol: Protocol,
    /// Method, command or service.
    name: String,
    /// The token to upgrade to; the subcommand.
    second: Option<String>,
    /// The override field; the function or the script's digest.
    third: Option<String>,
    /// The path, the SNI, the authority, the method; each key or channel.
    texts: Vec<Vec<u8>>,
    channels: bool,
    unknown: bool,
}

struct Texts<'a>(&'a [Vec<u8>]);

impl KeySource for Texts<'_> {
    fn all(&self, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().all(|text| visit(text))
    }
}

impl Asked {
    fn new(protocol: Protocol, name: &str, texts: &[&[u8]]) -> Self {
        Self {
            protocol,
            name: name.to_owned(),
            second: None,
            third: None,
            texts: texts.iter().map(|text| text.to_vec()).collect(),
            channels: false,
            unknown: false,
        }
    }

    fn with<R>(&self, f: impl FnOnce(&Operation<'_>) -> R) -> R {
        let text = self.texts.first().map(Vec::as_slice);
        let (second, third) = (self.second.as_deref(), self.third.as_deref());
        let (second, third) = (second.map(str::as_bytes), third.map(str::as_bytes));
        match self.protocol {
            Protocol::Http => f(&Operation::Http(HttpOp {
                method: self.name.as_bytes(),
                authority: if self.name == "CONNECT" { text } else { Some(b"shop") },
                path: if self.name == "CONNECT" { b"" } else { text.unwrap_or_default() },
                upgrade: second,
                override_header: third,
            })),
            Protocol::Grpc => f(&Operation::Grpc(GrpcOp {
                service: self.name.as_bytes(),
                method: text.unwrap_or_default(),
                authority: Some(b"shop"),
            })),
            Protocol::Redis => {
                let (texts, none) = (Texts(&self.texts), Texts(&[]));
                let (keys, channels) =
                    if self.channels { (&none, &texts) } else { (&texts, &none) };
                f(&Operation::Redis(RedisOp {
                    databases: &[0],
                    command: self.name.as_bytes(),
                    subcommand: second,
                    keys: if self.unknown { Keys::Unknown } else { Keys::Known(keys) },
                    channels: Keys::Known(channels),
                    script: match third {
                        None => Script::None,
                        Some(hex) if hex.len() == 40 => Script::Sha1(hex.try_into().unwrap()),
                        Some(name) => Script::Function(name),
                    },
                }))
            }
            Protocol::Tls => f(&Operation::Tls(TlsOp { sni: text })),
            Protocol::Opaque => f(&Operation::Connection),
        }
    }

    /// As learning sees it.
    fn key(&self) -> Option<String> {
        let mut out = Vec::new();
        self.with(|operation| key::write(operation, &mut out)).ok()?;
        Some(String::from_utf8(out).expect("a key is ASCII"))
    }
}

/// What was seen, with its key owned.
#[derive(Clone, Debug)]
struct Seen {
    side: Side,
    peer: IpAddr,
    port: u16,
    protocol: Protocol,
    database: Option<u32>,
    key: String,
    counts: Counts,
    at: u64,
}

impl Seen {
    fn by(&self, learner: &mut Learner) {
        learner.observe(&Observation {
            side: self.side,
            peer: self.peer,
            port: self.port,
            protocol: self.protocol,
            database: self.database,
            key: &self.key,
            counts: self.counts,
            first: self.at,
            last: self.at,
        });
    }
}

fn accepted(n: u64) -> Counts {
    Counts { accepted: n, ..Counts::default() }
}

/// One request to a server on 8080, from this peer.
fn get(path: &str, peer: &str, at: u64) -> Seen {
    let key = Asked::new(Protocol::Http, "GET", &[path.as_bytes()]).key().unwrap();
    seen(Protocol::Http, key, peer, at)
}

fn seen(protocol: Protocol, key: String, peer: &str, at: u64) -> Seen {
    Seen {
        side: Side::Inbound,
        peer: peer.parse().unwrap(),
        port: 8080,
        protocol,
        database: (protocol == Protocol::Redis).then_some(0),
        key,
        counts: accepted(1),
        at,
    }
}

fn writer(n: u64) -> WriterId {
    WriterId { started: START + n, random: n }
}

fn learner(n: u64) -> Learner {
    Learner::new(Profile::default(), Key::new([7; 16]), writer(n), Settings::default())
}

#[track_caller]
fn reads_back(profile: &Profile) {
    let yaml = profile.to_yaml();
    let read = Profile::from_yaml("p.yaml", &yaml).unwrap_or_else(|e| panic!("{e}\n{yaml}"));
    assert_eq!(&read, profile, "{yaml}");
}

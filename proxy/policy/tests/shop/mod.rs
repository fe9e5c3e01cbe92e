//! A simulated shop: 40 endpoints and 30 Redis key families over simulated days, with
//! operations that are rare, hourly, nightly or monthly. The clock is a number.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

use std::net::IpAddr;

use weir_policy::decide::Decision;
use weir_policy::learned::Learned;
use weir_policy::op::{
    Endpoint, HttpOp, KeySource, Keys, Operation, Protocol, RedisOp, Script, Side,
};
use weir_policy::profile::{Counts, Key, Learner, Observation, Settings, WriterId, key};
use weir_policy::{Addresses, Date, Defaults, Snapshot};

pub(crate) const HOUR: u64 = 3600;
pub(crate) const DAY: u64 = 24 * HOUR;
/// 2026-11-02, a Monday, in seconds since 1970.
pub(crate) const START: u64 = 20_759 * DAY;

/// A small random generator (SplitMix64): the same seed gives the same shop.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// When an operation comes.
#[derive(Clone, Copy)]
pub(crate) enum When {
    /// In proportion to this weight, by day more than by night.
    Busy(u64),
    /// About so many times a day, at any time.
    Daily(u64),
    /// About once in so many days.
    Rare(u64),
    /// At this minute of each hour.
    Hourly(u64),
    /// At this hour of each night.
    Nightly(u64),
    /// At noon of every 15th day.
    Monthly,
}

/// `<int>`, `<uuid>`, `<user>`, `<slug>` and `<hex>` are variable.
pub(crate) const ENDPOINTS: [(&str, When); 40] = [
    ("GET /", When::Busy(60)),
    ("GET /products", When::Busy(80)),
    ("GET /products/<int>", When::Busy(120)),
    ("GET /products/<int>/reviews", When::Busy(30)),
    ("POST /products/<int>/reviews", When::Busy(2)),
    ("GET /categories", When::Busy(20)),
    ("GET /categories/<slug>", When::Busy(40)),
    ("GET /search", When::Busy(50)),
    ("GET /search/suggest", When::Busy(60)),
    ("GET /carts/<uuid>", When::Busy(50)),
    ("POST /carts", When::Busy(15)),
    ("POST /carts/<uuid>/items", When::Busy(20)),
    ("DELETE /carts/<uuid>/items/<int>", When::Busy(5)),
    ("PUT /carts/<uuid>/items/<int>", When::Busy(6)),
    ("POST /carts/<uuid>/checkout", When::Busy(4)),
    ("POST /login", When::Busy(8)),
    ("POST /logout", When::Busy(4)),
    ("POST /register", When::Busy(1)),
    ("GET /users/<user>", When::Busy(12)),
    ("GET /users/<user>/orders", When::Busy(8)),
    ("PUT /users/<user>/address", When::Busy(1)),
    ("GET /orders/<int>", When::Busy(10)),
    ("GET /orders/<int>/invoice", When::Busy(2)),
    ("GET /static/app.js", When::Busy(40)),
    ("GET /static/app.css", When::Busy(40)),
    ("GET /images/<hex>", When::Busy(90)),
    ("GET /about", When::Daily(40)),
    ("GET /terms", When::Rare(2)),
    ("GET /contact", When::Rare(3)),
    ("POST /contact", When::Rare(5)),
    ("POST /orders/<int>/cancel", When::Daily(8)),
    ("POST /password/reset", When::Daily(10)),
    ("GET /api/v1/stock", When::Hourly(5)),
    ("POST /api/v1/prices", When::Hourly(35)),
    ("POST /internal/reindex", When::Nightly(2)),
    ("POST /internal/reports/daily", When::Nightly(3)),
    ("DELETE /internal/sessions/expired", When::Nightly(4)),
    ("POST /internal/reports/monthly", When::Monthly),
    ("GET /healthz", When::Busy(20)),
    ("GET /metrics", When::Busy(20)),
];

pub(crate) const COMMANDS: [(&str, When); 30] = [
    ("GET product:<int>", When::Busy(150)),
    ("GET product:<int>:stock", When::Busy(60)),
    ("GET category:<slug>", When::Busy(60)),
    ("GET session:<hex>", When::Busy(200)),
    ("SET session:<hex>", When::Busy(40)),
    ("EXPIRE session:<hex>", When::Busy(40)),
    ("HGETALL cart:<uuid>", When::Busy(60)),
    ("HSET cart:<uuid>", When::Busy(25)),
    ("HDEL cart:<uuid>", When::Busy(5)),
    ("DEL cart:<uuid>", When::Busy(4)),
    ("GET user:<user>:profile", When::Busy(20)),
    ("SET user:<user>:profile", When::Busy(2)),
    ("ZADD user:<user>:seen", When::Busy(30)),
    ("ZREVRANGE user:<user>:seen", When::Busy(20)),
    ("INCR rate:<int>", When::Busy(80)),
    ("EXPIRE rate:<int>", When::Busy(80)),
    ("LPUSH queue:mail", When::Busy(5)),
    ("LPUSH queue:orders", When::Busy(4)),
    ("PUBLISH &events:orders", When::Busy(4)),
    ("MGET product:<int> product:<int>:stock", When::Busy(20)),
    ("INCR stats:views", When::Busy(60)),
    ("HINCRBY stats:daily", When::Busy(20)),
    ("SADD newsletter:subscribers", When::Rare(2)),
    ("SREM newsletter:subscribers", When::Rare(3)),
    ("GET config:features", When::Hourly(1)),
    ("SET lock:prices", When::Hourly(35)),
    ("SET lock:reindex", When::Nightly(2)),
    ("DEL index:products", When::Nightly(2)),
    ("RENAME index:new index:products", When::Nightly(2)),
    ("DEL stats:daily", When::Monthly),
];

/// One operation of the shop.
pub(crate) struct Event {
    pub(crate) at: u64,
    pub(crate) http: bool,
    pub(crate) peer: IpAddr,
    pub(crate) text: String,
}

/// The operations of one day, about `count` of them, in order.
pub(crate) fn day(day: u64, count: u64, random: &mut Random) -> Vec<Event> {
    let mut events = Vec::new();
    for (http, table) in [(true, &ENDPOINTS[..]), (false, &COMMANDS[..])] {
        let weight = |(_, when): &(&str, When)| if let When::Busy(w) = when { *w } else { 0 };
        let all: u64 = table.iter().map(weight).sum();
        for (template, when) in table {
            for second in seconds(*when, day, count / 2, all, random) {
                events.push(Event {
                    at: START + day * DAY + second,
                    http,
                    peer: peer(http, *when, template, day, random),
                    text: fill(template, random),
                });
            }
        }
    }
    events.sort_by_key(|event| event.at);
    events
}

/// When on a day an operation comes; the busy ones share `count` by their weights.
fn seconds(when: When, day: u64, count: u64, all: u64, random: &mut Random) -> Vec<u64> {
    let times = match when {
        When::Busy(weight) => count * weight / all,
        When::Daily(n) => n / 2 + random.below(n + 1),
        When::Rare(n) => u64::from(random.below(n) == 0),
        When::Hourly(_) => 24,
        When::Nightly(_) => 1,
        When::Monthly => u64::from(day % 15 == 14),
    };
    let second = |n: u64| match when {
        When::Hourly(minute) => n * HOUR + minute * 60 + random.below(30),
        When::Nightly(hour) => hour * HOUR + random.below(600),
        When::Monthly => 12 * HOUR,
        // Twice as much by day as by night.
        _ if random.below(3) == 0 => random.below(DAY),
        _ => 8 * HOUR + random.below(12 * HOUR),
    };
    (0..times).map(second).collect()
}

/// Three front ends, replaced each day; a host for batch jobs; the node for probes; one Redis.
fn peer(http: bool, when: When, template: &str, day: u64, random: &mut Random) -> IpAddr {
    let last = |n: u64| u8::try_from(n % 250).unwrap() + 1;
    match (http, template) {
        (false, _) => IpAddr::from([10, 0, 9, 5]),
        (true, "GET /healthz" | "GET /metrics") => IpAddr::from([10, 0, 0, 1]),
        (true, _) if matches!(when, When::Nightly(_) | When::Monthly | When::Hourly(_)) => {
            IpAddr::from([10, 0, 2, 9])
        }
        (true, _) => IpAddr::from([10, 0, 1, last(day * 3 + random.below(3))]),
    }
}

fn fill(template: &str, random: &mut Random) -> String {
    const SLUGS: [&str; 12] = [
        "shoes",
        "hats",
        "red-coats",
        "bags",
        "belts",
        "scarves",
        "gloves",
        "shirts",
        "socks",
        "jackets",
        "dresses",
        "boots",
    ];
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        let (kind, after) = after.split_once('>').unwrap();
        text.push_str(&match kind {
            "int" => (1 + random.below(50_000)).to_string(),
            "hex" => format!("{:016x}{:016x}", random.next(), random.next()),
            "slug" => SLUGS[usize::try_from(random.below(12)).unwrap()].to_owned(),
            "user" => user(random.below(3000)),
            "uuid" => {
                let (a, b) = (random.next(), random.next());
                format!(
                    "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
                    a >> 32,
                    a & 0xffff,
                    (a >> 16) & 0xfff,
                    b & 0xfff,
                    b >> 16
                )
            }
            kind => panic!("{kind}"),
        });
        rest = after;
    }
    text + rest
}

/// A name, a plain word: nothing shows that it is variable.
fn user(n: u64) -> String {
    const FIRST: [&str; 20] = [
        "ada", "ben", "cleo", "dan", "eva", "finn", "gil", "hana", "ivo", "jan", "kim", "lea",
        "max", "nora", "otto", "pia", "quin", "rosa", "sam", "tess",
    ];
    const LAST: [&str; 15] = [
        "-berg", "-stone", "-field", "-wood", "-hill", "-lake", "-ford", "-well", "-dale", "-moor",
        "-brook", "-ley", "-ton", "-ham", "-worth",
    ];
    let pick =
        |list: &'static [&'static str], n: u64| list[usize::try_from(n).unwrap() % list.len()];
    let (a, b, c) = (n % 20, n / 20 % 15, n / 300);
    const SUFFIX: [&str; 10] = ["", "-jr", "-sr", "-i", "-ii", "-iii", "-iv", "-v", "-vi", "-vii"];
    format!("{}{}{}", pick(&FIRST, a), pick(&LAST, b), pick(&SUFFIX, c))
}

struct Words<'a>(Vec<&'a [u8]>);

impl KeySource for Words<'_> {
    fn all(&self, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().all(|word| visit(word))
    }
}

/// Calls `f` with the operation of an event.
pub(crate) fn with_operation<R>(event: &Event, f: impl FnOnce(&Operation<'_>) -> R) -> R {
    let (name, rest) = event.text.split_once(' ').unwrap_or((&event.text, ""));
    if event.http {
        return f(&Operation::Http(HttpOp {
            method: name.as_bytes(),
            authority: Some(b"shop.example"),
            path: rest.as_bytes(),
            upgrade: None,
            override_header: None,
        }));
    }
    let words: Vec<&[u8]> = rest.split(' ').filter(|w| !w.is_empty()).map(str::as_bytes).collect();
    let keys: Vec<&[u8]> = words.iter().copied().filter(|w| w[0] != b'&').collect();
    let channels: Vec<&[u8]> = words.iter().filter_map(|w| w.strip_prefix(b"&")).collect();
    f(&Operation::Redis(RedisOp {
        databases: &[0],
        command: name.as_bytes(),
        subcommand: None,
        keys: Keys::Known(&Words(keys)),
        channels: Keys::Known(&Words(channels)),
        script: Script::None,
    }))
}

impl Event {
    pub(crate) fn side(&self) -> Side {
        if self.http { Side::Inbound } else { Side::Outbound }
    }

    pub(crate) fn port(&self) -> u16 {
        if self.http { 8080 } else { 6379 }
    }
}

pub(crate) fn learner(writer: u64) -> Learner {
    let writer = WriterId { started: START + writer, random: writer };
    Learner::new(Default::default(), Key::new([7; 16]), writer, Settings::default())
}

/// Learns an event that the server accepted.
pub(crate) fn observe(learner: &mut Learner, event: &Event) {
    observe_as(learner, event, Counts { accepted: 1, ..Counts::default() });
}

pub(crate) fn observe_as(learner: &mut Learner, event: &Event, counts: Counts) {
    learner.observe(&Observation {
        side: event.side(),
        peer: event.peer,
        port: event.port(),
        protocol: if event.http { Protocol::Http } else { Protocol::Redis },
        database: (!event.http).then_some(0),
        key: &key_of(event),
        counts,
        first: event.at,
        last: event.at,
    });
}

/// The event as learning sees it.
pub(crate) fn key_of(event: &Event) -> String {
    let mut text = Vec::new();
    with_operation(event, |operation| key::write(operation, &mut text)).unwrap();
    String::from_utf8(text).unwrap()
}

/// Whether a policy allows an event.
pub(crate) fn allows(snapshot: &Snapshot, event: &Event) -> bool {
    let endpoint = Endpoint { side: event.side(), peer: event.peer, port: event.port() };
    let admission = snapshot.admit(&endpoint);
    with_operation(event, |operation| {
        matches!(snapshot.decide(&admission.rules, &endpoint, operation), Decision::Allowed(_))
    })
}

/// The policy of what was learned.
pub(crate) fn compile(learned: &Learned) -> Snapshot {
    let mut text = String::from(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: shop}\nspec:\n",
    );
    for side in ["inbound", "outbound"] {
        text.push_str(&format!("  {side}:\n"));
        for rule in learned.rules.iter().filter(|rule| rule.side.as_str() == side) {
            let peers = rule.peers.iter().map(|net| format!("{{cidr: {net}}}")).collect::<Vec<_>>();
            let peers = peers.join(", ");
            let from = if side == "inbound" { "from" } else { "to" };
            text.push_str(&format!(
                "  - {from}: [{peers}]\n    ports: [{}]\n    protocol: {}\n    allow:\n",
                rule.port, rule.protocol
            ));
            for entry in &rule.entries {
                text.push_str(&format!("    - {:?}\n", entry.op));
            }
        }
    }
    let policies = weir_policy::parse("learned", &text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let defaults = Defaults { mode: Default::default(), today: Date::new(2026, 11, 28).unwrap() };
    Snapshot::compile(policies, &defaults, &Addresses::default()).unwrap()
}

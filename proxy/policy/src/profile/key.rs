//! Operations as learning sees them: one line of text, variable parts that show it taken out.
//!
//! ```text
//! GET /carts/{int}
//! GET,upgrade=websocket /live
//! GET,permit=dotSegments /a/../b
//! MGET,together cart:{int} user:{int}
//! SUBSCRIBE,channel news:{int}
//! EVALSHA,sha1:0123… cart:{int}
//! SORT,unknown
//! shop.Cart/AddItem
//! sni shop.example
//! connection
//! ```
//!
//! The first word is the root: method, command or gRPC service, and after commas what an entry would have to
//! name besides. What follows are paths, key patterns or names, in the grammar of entries.

use crate::entry::grpc::is_name;
use crate::op::{GrpcOp, HttpOp, Keys, Operation, Protocol, RedisOp, Script};
use crate::path::{AMBIGUITIES, Ambiguities, scan};
use crate::pattern::Separators;
use crate::shape;

/// As long as a key's text may be, in bytes: what is longer is not learned.
pub const KEY_BYTES: usize = 1024;

/// Why an operation has no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unlearnable;

/// What of an operation its key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// A path, a name, or one Redis key at most.
    One,
    /// Several Redis keys, or channels.
    Several,
}

/// Appends the key of an operation.
///
/// # Errors
/// [`Unlearnable`] where it is longer than [`KEY_BYTES`] or has a name that no entry can hold;
/// `out` is as it was.
pub fn write(operation: &Operation<'_>, out: &mut Vec<u8>) -> Result<Extent, Unlearnable> {
    let start = out.len();
    let written = match operation {
        Operation::Http(http) => write_http(http, out).map(|()| Extent::One),
        Operation::Grpc(grpc) => write_grpc(grpc, out).map(|()| Extent::One),
        Operation::Redis(redis) => write_redis(redis, out),
        Operation::Tls(tls) => write_sni(tls.sni, out).map(|()| Extent::One),
        Operation::Connection => {
            out.extend_from_slice(b"connection");
            Ok(Extent::One)
        }
    };
    if written.is_err() || out.len() - start > KEY_BYTES {
        out.truncate(start);
        return Err(Unlearnable);
    }
    written
}

/// A method, command, field or name as the root holds it.
fn name(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unlearnable> {
    const MOST: usize = 64;
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(byte);
    if text.is_empty() || text.len() > MOST || !text.iter().all(plain) {
        return Err(Unlearnable);
    }
    out.extend_from_slice(text);
    Ok(())
}

fn write_http(http: &HttpOp<'_>, out: &mut Vec<u8>) -> Result<(), Unlearnable> {
    name(http.method, out)?;
    if let Some(token) = http.upgrade {
        out.extend_from_slice(b",upgrade=");
        name(&token.to_ascii_lowercase(), out)?;
    }
    if let Some(field) = http.override_header {
        out.extend_from_slice(b",override=");
        name(&field.to_ascii_lowercase(), out)?;
    }
    if http.method == b"CONNECT" && http.path.is_empty() {
        out.extend_from_slice(b",authority ");
        return name(&http.authority.ok_or(Unlearnable)?.to_ascii_lowercase(), out);
    }
    if http.path == b"*" {
        out.extend_from_slice(b",asterisk");
        return Ok(());
    }
    if http.path.len() > KEY_BYTES {
        return Err(Unlearnable);
    }
    let path = if http.path.is_empty() { b"/" } else { http.path };
    if path[0] != b'/' {
        return Err(Unlearnable);
    }
    permits(scan(path).ambiguities, out);
    out.push(b' ');
    shape::http_path(path, out);
    Ok(())
}

/// Its names are the schema's: no part of them is a value, whatever it looks like.
fn write_grpc(grpc: &GrpcOp<'_>, out: &mut Vec<u8>) -> Result<(), Unlearnable> {
    if !is_name(grpc.service) || !is_name(grpc.method) {
        return Err(Unlearnable);
    }
    for piece in [grpc.service, b"/", grpc.method] {
        out.extend_from_slice(piece);
    }
    Ok(())
}

fn permits(found: Ambiguities, out: &mut Vec<u8>) {
    if found.is_empty() {
        return;
    }
    for kind in AMBIGUITIES.into_iter().filter(|kind| found.contains(*kind)) {
        out.extend_from_slice(b",permit=");
        out.extend_from_slice(kind.as_str().as_bytes());
    }
}

fn write_redis(redis: &RedisOp<'_>, out: &mut Vec<u8>) -> Result<Extent, Unlearnable> {
    let start = out.len();
    name(redis.command, out)?;
    if let Some(subcommand) = redis.subcommand {
        out.push(b'|');
        name(subcommand, out)?;
    }
    out[start..].make_ascii_uppercase();
    match redis.script {
        Script::None => {}
        Script::Sha1(hex) => {
            out.extend_from_slice(b",sha1:");
            out.extend_from_slice(&hex);
        }
        Script::Function(function) => {
            out.extend_from_slice(b",function:");
            name(function, out)?;
        }
    }
    let (Keys::Known(keys), Keys::Known(channels)) = (&redis.keys, &redis.channels) else {
        out.extend_from_slice(b",unknown");
        return Ok(Extent::Several);
    };
    let root = out.len();
    let (mut all, mut count) = (true, 0);
    all &= keys.all(&mut |key| {
        count += 1;
        pattern(key, root, out)
    });
    if out.len() == root {
        all &= channels.all(&mut |channel| pattern(channel, root, out));
        if out.len() > root {
            insert(root, b",channel", out);
            count = usize::MAX;
        }
    } else if !channels.all(&mut |_| false) {
        return Err(Unlearnable);
    }
    if !all {
        return Err(Unlearnable);
    }
    let root =
        out[start..].iter().position(|byte| *byte == b' ').map_or(out.len(), |at| start + at);
    if memchr::memchr_iter(b' ', &out[root..]).nth(1).is_some() {
        insert(root, b",together", out);
    }
    Ok(if count > 1 { Extent::Several } else { Extent::One })
}

fn insert(at: usize, text: &[u8], out: &mut Vec<u8>) {
    out.splice(at..at, text.iter().copied());
}

/// Appends the pattern of one key unless it is there. Answers whether there is room for more.
fn pattern(key: &[u8], root: usize, out: &mut Vec<u8>) -> bool {
    if key.len() > KEY_BYTES {
        return false;
    }
    let word = out.len();
    out.push(b' ');
    shape::redis_key(key, Separators::default(), out);
    let (before, new) = out[root..].split_at(word - root);
    // What stands before the first space is no key: an empty key is another one.
    if before.split(|byte| *byte == b' ').skip(1).any(|known| known == &new[1..]) {
        out.truncate(word);
    }
    out.len() - root <= KEY_BYTES
}

fn write_sni(name: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), Unlearnable> {
    out.extend_from_slice(b"sni ");
    let Some(host) = name else {
        out.extend_from_slice(b"none");
        return Ok(());
    };
    // The name `none` would be taken for no name, and what has a colon is an address to entries.
    let host = host.to_ascii_lowercase();
    if host == b"none" || host.contains(&b':') {
        return Err(Unlearnable);
    }
    self::name(&host, out)
}

/// A key's text cut into its root and the parts of its path. Patterns that come together are one
/// path, so that they are believed together or not at all.
pub(super) fn parts(protocol: Protocol, text: &str) -> Vec<&str> {
    if protocol == Protocol::Grpc {
        return text.split('/').collect();
    }
    let Some((root, rest)) = text.split_once(' ') else { return vec![text] };
    let separator = separator(protocol);
    let mut parts = vec![root];
    match protocol {
        Protocol::Redis => {
            for (i, pattern) in rest.split(' ').enumerate() {
                parts.extend((i > 0).then_some(BETWEEN));
                parts.extend(pattern.split(separator));
            }
        }
        Protocol::Http => parts.extend(rest.strip_prefix('/').unwrap_or(rest).split(separator)),
        Protocol::Grpc | Protocol::Tls | Protocol::Opaque => parts.push(rest),
    }
    parts
}

/// What stands between parts; NUL where a text is one part.
pub(super) fn separator(protocol: Protocol) -> char {
    match protocol {
        Protocol::Http | Protocol::Grpc => '/',
        Protocol::Redis => ':',
        Protocol::Tls | Protocol::Opaque => '\0',
    }
}

/// Whether a place may become variable: the names of a schema are a list, however long.
pub(super) fn may_vary(protocol: Protocol) -> bool {
    protocol != Protocol::Grpc
}

/// The class that a part names.
pub(super) fn class(part: &str) -> Option<crate::class::Class> {
    let name = part.strip_prefix('{')?.strip_suffix('}')?;
    crate::class::Class::from_name(name)
}

/// Stands between two patterns of one command in a path; no part of a key is so.
pub(super) const BETWEEN: &str = " ";

/// Words that are part of the protocol, and no secret of anybody's.
pub(super) fn is_common(root: bool, part: &str) -> bool {
    const METHODS: [&str; 9] =
        ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];
    part.is_empty()
        || part == BETWEEN
        || (root && (METHODS.contains(&part) || part == "sni" || part == "connection"))
}

/// Whether this is what probes and scrapes ask: it is allowed as learned, and counts in no
/// statistic, which it would drown.
pub(super) fn is_probe(protocol: Protocol, text: &str) -> bool {
    const PATHS: [&str; 12] = [
        "/healthz",
        "/livez",
        "/readyz",
        "/health",
        "/live",
        "/ready",
        "/liveness",
        "/readiness",
        "/ping",
        "/metrics",
        "/-/healthy",
        "/-/ready",
    ];
    // The health-checking protocol of gRPC.
    const PROBES: [&str; 3] = [
        "grpc.health.v1.Health/Check",
        "grpc.health.v1.Health/List",
        "grpc.health.v1.Health/Watch",
    ];
    match protocol {
        Protocol::Http => {
            let path = text.strip_prefix("GET ").or_else(|| text.strip_prefix("HEAD "));
            path.is_some_and(|path| PATHS.contains(&path))
        }
        Protocol::Grpc => PROBES.contains(&text),
        Protocol::Redis => matches!(text, "PING" | "INFO" | "HELLO"),
        Protocol::Tls | Protocol::Opaque => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::OwnedOp;

    fn key(protocol: Protocol, text: &str) -> String {
        let op = OwnedOp::parse(protocol, text).unwrap();
        let mut out = Vec::new();
        write(&op.operation(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn of_http() {
        let http = |text| key(Protocol::Http, text);
        assert_eq!(http("- GET /carts/7"), "GET /carts/{int}");
        assert_eq!(http("- GET /"), "GET /");
        assert_eq!(http("- GET /live upgrade=websocket"), "GET,upgrade=websocket /live");
        assert_eq!(http("- GET /a/../b"), "GET,permit=dotSegments /a/../b");
        assert_eq!(http("- OPTIONS *"), "OPTIONS,asterisk");
        assert_eq!(http("db.shop:443 CONNECT"), "CONNECT,authority db.shop:443");
        assert_eq!(
            http("- POST /x override=X-HTTP-Method-Override"),
            "POST,override=x-http-method-override /x"
        );
        assert_eq!(http("- OPTIONS * override=X-O"), "OPTIONS,override=x-o,asterisk");
        assert_eq!(http("DB.shop:443 CONNECT"), "CONNECT,authority db.shop:443");
        assert_eq!(http("- GET /live upgrade=WebSocket"), "GET,upgrade=websocket /live");
    }

    #[test]
    fn what_no_entry_could_tell_apart_has_none() {
        let none = |operation: &Operation<'_>| {
            let mut out = b"before".to_vec();
            write(operation, &mut out) == Err(Unlearnable) && out == b"before"
        };
        let http = HttpOp {
            method: b"GET",
            authority: None,
            path: b"/",
            upgrade: None,
            override_header: None,
        };
        assert!(!none(&Operation::Http(http.clone())));
        let long = [b'/'; KEY_BYTES + 1];
        for path in [&b"x"[..], &long] {
            assert!(none(&Operation::Http(HttpOp { path, ..http.clone() })));
        }
        for method in [&b""[..], b"GE,T", b"{new}", &[b'X'; 65]] {
            assert!(none(&Operation::Http(HttpOp { method, ..http.clone() })));
        }
        for sni in [&b"none"[..], b"NONE", b"::1", b"", b"*.shop"] {
            assert!(none(&Operation::Tls(crate::op::TlsOp { sni: Some(sni) })));
        }
    }

    #[test]
    fn an_empty_key_is_a_key() {
        let of = |keys: &[&[u8]]| {
            let mut out = Vec::new();
            let none: [&[u8]; 0] = [];
            let keys = Listed(keys);
            let redis = RedisOp {
                databases: &[0],
                command: b"MGET",
                subcommand: None,
                keys: Keys::Known(&keys),
                channels: Keys::Known(&none),
                script: Script::None,
            };
            write(&Operation::Redis(redis), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(of(&[b""]), "MGET ");
        assert_eq!(of(&[b"", b""]), "MGET ");
        assert_eq!(of(&[b"a", b""]), "MGET,together a ");
        assert_eq!(of(&[b"", b"a", b"a"]), "MGET,together  a");
        assert_eq!(parts(Protocol::Redis, "MGET,together  a"), ["MGET,together", "", BETWEEN, "a"]);
    }

    struct Listed<'a>(&'a [&'a [u8]]);

    impl crate::op::KeySource for Listed<'_> {
        fn all(&self, visit: &mut dyn FnMut(&[u8]) -> bool) -> bool {
            self.0.iter().all(|key| visit(key))
        }
    }

    #[test]
    fn of_redis() {
        let redis = |text| key(Protocol::Redis, text);
        assert_eq!(redis("db0 get cart:7"), "GET cart:{int}");
        assert_eq!(redis("db0 MGET cart:7 cart:8"), "MGET cart:{int}");
        assert_eq!(redis("db0 MGET cart:7 user:8"), "MGET,together cart:{int} user:{int}");
        assert_eq!(redis("db0 PING"), "PING");
        assert_eq!(redis("db0 CONFIG|get"), "CONFIG|GET");
        assert_eq!(redis("db0 SUBSCRIBE &news:7"), "SUBSCRIBE,channel news:{int}");
        assert_eq!(redis("db0 SUBSCRIBE &a &b"), "SUBSCRIBE,channel,together a b");
        assert_eq!(redis("db0 SORT cart:7 ?"), "SORT,unknown");
        assert_eq!(redis("db0 FCALL f k"), "FCALL,function:f k");
    }

    #[test]
    fn of_grpc() {
        let grpc = |text| key(Protocol::Grpc, text);
        assert_eq!(grpc("- shop.Cart/AddItem"), "shop.Cart/AddItem");
        // Whatever they look like, names are no values.
        assert_eq!(grpc("- 7/0123456789abcdef"), "7/0123456789abcdef");
        assert_eq!(parts(Protocol::Grpc, "shop.Cart/AddItem"), ["shop.Cart", "AddItem"]);
        assert!(is_probe(Protocol::Grpc, "grpc.health.v1.Health/Check"));
        for odd in
            ["- shop.Cart/", "- shop.Cart/a/b", "- shop.Cart/{int}", "- shop.Cart/..", "- a:b/c"]
        {
            let op = OwnedOp::parse(Protocol::Grpc, odd).unwrap();
            assert_eq!(write(&op.operation(), &mut Vec::new()), Err(Unlearnable), "{odd}");
        }
    }

    #[test]
    fn says_whether_it_has_several_keys() {
        let extent = |text| {
            let op = OwnedOp::parse(Protocol::Redis, text).unwrap();
            write(&op.operation(), &mut Vec::new())
        };
        assert_eq!(extent("db0 GET cart:7"), Ok(Extent::One));
        assert_eq!(extent("db0 PING"), Ok(Extent::One));
        assert_eq!(extent("db0 MGET cart:7 cart:8"), Ok(Extent::Several));
        assert_eq!(extent("db0 SUBSCRIBE &news:7"), Ok(Extent::Several));
        assert_eq!(extent("db0 SORT cart:7 ?"), Ok(Extent::Several));
    }

    #[test]
    fn falls_into_parts() {
        let together = "MGET,together cart:{int} user:{int}";
        let expected = ["MGET,together", "cart", "{int}", BETWEEN, "user", "{int}"];
        assert_eq!(parts(Protocol::Redis, together), expected);
        assert_eq!(parts(Protocol::Http, "GET /"), ["GET", ""]);
        assert_eq!(parts(Protocol::Redis, "PING"), ["PING"]);
    }
}

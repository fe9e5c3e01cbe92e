//! What the intruder tries: one list, in the order of the transcript.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::calls;
use super::shop::Workload;
use super::shop::resp::command;

/// Where the intruder sits. (Without pods all of it is one machine.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// In this service's application.
    Application(Workload),
    /// In this service's pod, as Weir's own user: the redirect lets its connections out.
    Escaped(Workload),
    /// In a pod that has no business with the shop.
    Stranger,
}

/// Who must see nothing of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// A service of the shop.
    Service(Workload),
    /// The server outside.
    Outside,
    /// A service's sidecar itself.
    Sidecar(Workload),
}

impl Target {
    /// As the transcript has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Service(workload) => workload.name(),
            Self::Outside => "outside",
            Self::Sidecar(_) => "weir",
        }
    }
}

/// How an attack gets there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Dialled as everybody dials the target.
    Usual,
    /// By TCP to this address.
    Tcp(SocketAddr),
    /// By UDP to this address.
    Udp(SocketAddr),
    /// By a Unix socket.
    Unix(PathBuf),
}

/// One thing that the intruder tries.
pub(super) struct Attack {
    /// Where it is tried from.
    pub(super) who: Who,
    /// Whom it is meant for.
    pub(super) target: Target,
    /// How it gets there.
    pub(super) way: Way,
    /// Whose sidecar must refuse it and have it in its traffic log. None: the kernel refuses it.
    pub(super) guard: Option<Workload>,
    /// What kind of thing it is, for a reader.
    pub(super) kind: &'static str,
    /// What is sent, in short.
    pub(super) words: String,
    /// What is sent.
    pub(super) bytes: Vec<u8>,
    /// Bytes that nobody else sends: where they are, the attack has been.
    pub(super) trace: String,
    /// Answers to what is allowed in front of it.
    pub(super) allowed: usize,
}

/// All attacks. `run` is a random word that makes this run's traces unlike any other's.
pub(super) fn all(run: &str) -> Vec<Attack> {
    let mut list = Vec::new();
    http(&mut list, run);
    redis(&mut list, run);
    calls::add(&mut list, run);
    list
}

/// A trace that is one word: no attack's is the beginning of another's.
pub(super) fn trace(list: &[Attack], run: &str) -> String {
    format!("{run}{:02}", list.len() + 1)
}

/// An attack on the cart service; `write` is given its trace and answers what is sent.
fn add_http(
    list: &mut Vec<Attack>,
    run: &str,
    kind: &'static str,
    words: &str,
    write: impl FnOnce(&str) -> String,
) {
    let trace = trace(list, run);
    list.push(Attack {
        who: Who::Application(Workload::Frontend),
        target: Target::Service(Workload::Cart),
        way: Way::Usual,
        guard: Some(Workload::Cart),
        kind,
        words: words.to_owned(),
        bytes: write(&trace).into_bytes(),
        trace,
        allowed: 0,
    });
}

fn http(list: &mut Vec<Attack>, run: &str) {
    let simple = |method: &str, path: &str, fields: &str| {
        let (method, path, fields) = (method.to_owned(), path.to_owned(), fields.to_owned());
        move |trace: &str| {
            format!("{method} {path}?t={trace} HTTP/1.1\r\nHost: cart\r\n{fields}\r\n")
        }
    };
    add_http(
        list,
        run,
        "a forbidden path",
        "GET /admin/export",
        simple("GET", "/admin/export", ""),
    );
    add_http(list, run, "a forbidden method", "DELETE /carts/1", simple("DELETE", "/carts/1", ""));
    add_http(
        list,
        run,
        "an encoded traversal",
        "GET /carts/..%2fadmin%2fexport",
        simple("GET", "/carts/..%2fadmin%2fexport", ""),
    );
    add_http(
        list,
        run,
        "a method in disguise",
        "POST /carts/1/items, X-HTTP-Method-Override: DELETE",
        simple("POST", "/carts/1/items", "X-HTTP-Method-Override: DELETE\r\nContent-Length: 0\r\n"),
    );
    add_http(
        list,
        run,
        "a change of protocol",
        "GET /carts/1, Upgrade: h2c",
        simple(
            "GET",
            "/carts/1",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        ),
    );
    smuggling(list, run);
    list.push(calls::by_http2(list, run));
    add_http(list, run, "HTTP/2 that is none", "PRI * HTTP/2.0 and noise", |trace| {
        format!("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{trace} noise")
    });
    add_http(list, run, "garbage", "bytes that are no protocol", |trace| {
        format!("\x01\x02\x7f{trace}\0\x1b garbage\r\n\r\n")
    });
}

/// Requests that two parsers may read differently, each with another one hidden in it.
fn smuggling(list: &mut Vec<Attack>, run: &str) {
    let hidden =
        |trace: &str| format!("GET /admin/export?t={trace} HTTP/1.1\r\nHost: cart\r\n\r\n");
    let open = "POST /carts/1/items HTTP/1.1\r\nHost: cart\r\n";
    add_http(
        list,
        run,
        "a smuggled request",
        "POST with Content-Length and Transfer-Encoding",
        |trace| {
            let body = format!("0\r\n\r\n{}", hidden(trace));
            let length = body.len();
            format!("{open}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
        },
    );
    add_http(list, run, "a smuggled request", "POST with Content-Length: 0, 5", |trace| {
        format!("{open}Content-Length: 0, 5\r\n\r\n{}", hidden(trace))
    });
    add_http(
        list,
        run,
        "a smuggled request",
        "POST with a space before the colon of Transfer-Encoding",
        |trace| format!("{open}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{}", hidden(trace)),
    );
    add_http(list, run, "a folded header", "GET /carts/1 with obs-fold", |trace| {
        format!("GET /carts/1 HTTP/1.1\r\nHost: cart\r\nX-Note: a\r\n folded: {trace}\r\n\r\n")
    });
}

/// An attack on the store.
fn add_redis(
    list: &mut Vec<Attack>,
    kind: &'static str,
    words: &str,
    bytes: Vec<u8>,
    trace: String,
) {
    list.push(Attack {
        who: Who::Application(Workload::Cart),
        target: Target::Service(Workload::Store),
        way: Way::Usual,
        guard: Some(Workload::Store),
        kind,
        words: words.to_owned(),
        bytes,
        trace,
        allowed: 0,
    });
}

fn redis(list: &mut Vec<Attack>, run: &str) {
    let dir = trace(list, run);
    let bytes = command(&["CONFIG", "SET", "dir", &format!("/tmp/{dir}")]);
    add_redis(list, "a dangerous setting", "CONFIG SET dir", bytes, dir);

    // Nobody else says this, so that it is its own trace. (An export by the cart service would
    // say `KEYS cart:*`.)
    let bytes = command(&["KEYS", "*"]);
    let itself = String::from_utf8_lossy(&bytes).into_owned();
    add_redis(list, "a look around", "KEYS *", bytes, itself);

    let key = format!("secrets:{}", trace(list, run));
    let bytes = command(&["HGETALL", &key]);
    add_redis(list, "another's key", "HGETALL of a key that is no cart", bytes, key);

    let script = trace(list, run);
    let lua = format!("return redis.call('keys','{script}*')");
    let bytes = command(&["EVAL", &lua, "0"]);
    add_redis(list, "a script", "EVAL", bytes, script);

    let host = trace(list, run);
    let bytes = command(&["REPLICAOF", &host, "6379"]);
    add_redis(list, "a new master", "REPLICAOF", bytes, host);

    let mut bytes = command(&["HGETALL", "cart:1"]);
    bytes.extend_from_slice(&command(&["FLUSHALL"]));
    let words = "FLUSHALL behind an allowed HGETALL";
    let trace_word = "FLUSHALL".to_owned();
    add_redis(list, "a pipeline's tail", words, bytes, trace_word);
    if let Some(pipeline) = list.last_mut() {
        pipeline.allowed = 1;
    }

    let path = trace(list, run);
    let request = format!("POST /{path} HTTP/1.1\r\nHost: store\r\nContent-Length: 0\r\n\r\n");
    let words = "POST / HTTP/1.1";
    add_redis(list, "HTTP to the store", words, request.into_bytes(), path);

    let noise = trace(list, run);
    let bytes = format!("\x16\x03\x7f{noise}\0\r\n").into_bytes();
    add_redis(list, "garbage", "bytes that are no protocol", bytes, noise);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::all;

    #[test]
    fn every_attack_leaves_a_trace_of_its_own() {
        let attacks = all("w5eed");
        let traces: HashSet<&str> = attacks.iter().map(|a| a.trace.as_str()).collect();
        assert_eq!(traces.len(), attacks.len());
        for attack in &attacks {
            let text = String::from_utf8_lossy(&attack.bytes);
            assert!(text.contains(&attack.trace), "{}", attack.words);
            let others = attacks.iter().filter(|other| other.trace != attack.trace);
            for other in others {
                let text = String::from_utf8_lossy(&other.bytes);
                assert!(!text.contains(&attack.trace), "{}", other.words);
            }
        }
    }
}

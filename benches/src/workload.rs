//! The four kinds of traffic, with how much of each makes a run.

use std::sync::Arc;

use crate::answer::Expected;

/// The path of the small file: what a policy template with an integer matches.
pub const SMALL_PATH: &str = "/carts/7";
/// The path of the large file.
pub const LARGE_PATH: &str = "/downloads/image";
/// The key that Redis is asked for.
pub const KEY: &str = "cart:7";

const SMALL: usize = 1024;
const LARGE: usize = 16 * 1024 * 1024;
const VALUE: usize = 64;
const PIPELINE: usize = 16;
const AFRESH: usize = 6000;

/// Which of a target's two fronts the traffic goes to: it has the first two of these or the last two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Front {
    /// HTTP/1.1, to nginx.
    Http,
    /// Redis, to redis-server.
    Redis,
    /// HTTP/2, to the harness's own server.
    Http2,
    /// gRPC, to the same.
    Grpc,
}

/// One kind of traffic.
#[derive(Debug, Clone)]
pub struct Workload {
    /// A short name, used in JSON.
    pub key: &'static str,
    /// What it is, for a person.
    pub title: &'static str,
    /// Where it goes.
    pub front: Front,
    /// Connections that are open at once, each with one exchange in flight.
    pub connections: usize,
    /// Whether each exchange has a connection of its own.
    pub afresh: bool,
    /// Exchanges in a run, over all connections.
    pub exchanges: usize,
    /// Requests in an exchange: more than one if they are pipelined.
    pub requests_each: usize,
    /// The bytes of an exchange's requests: each exchange has the next of these.
    pub requests: Arc<[Vec<u8>]>,
    /// The bytes that must come back.
    pub expected: Arc<Expected>,
}

impl Workload {
    /// All four, with `percent` of the full number of exchanges.
    pub fn all(percent: usize) -> Vec<Self> {
        let redis = |key, title, exchanges, requests_each| Self {
            key,
            title,
            front: Front::Redis,
            connections: 32,
            afresh: false,
            exchanges,
            requests_each,
            requests: [redis_get(KEY).repeat(requests_each)].into(),
            expected: Arc::new(Expected::Exact(redis_reply().repeat(requests_each))),
        };
        let http = |key, title, connections, exchanges, path, body| Self {
            key,
            title,
            front: Front::Http,
            connections,
            afresh: false,
            exchanges,
            requests_each: 1,
            requests: [http_get(path)].into(),
            expected: Arc::new(Expected::Http(body)),
        };
        let mut all = vec![
            http(
                "http",
                "HTTP, 1 KiB answers, 32 connections",
                32,
                32_000,
                SMALL_PATH,
                small_file(),
            ),
            redis("redis", "Redis GET, 32 connections", 48_000, 1),
            redis("redis_pipelined", "Redis GET, 16 pipelined, 32 connections", 12_000, PIPELINE),
            http("bulk", "HTTP, 16 MiB downloads, 2 connections", 2, 64, LARGE_PATH, large_file()),
        ];
        for workload in &mut all {
            workload.exchanges = (workload.exchanges * percent / 100).max(workload.connections);
        }
        all
    }

    /// What is measured between pods: HTTP and Redis as above, and HTTP with a connection for each request, which the client closes.
    pub fn in_pods(percent: usize) -> Vec<Self> {
        let mut chosen = Self::all(percent);
        chosen.retain(|workload| matches!(workload.key, "http" | "redis"));
        chosen.extend(chosen.first().cloned().map(|http| Self {
            key: "connect",
            title: "HTTP, 1 KiB answers, a connection for each request, 32 at once",
            afresh: true,
            exchanges: (AFRESH * percent / 100).max(http.connections),
            ..http
        }));
        chosen
    }

    /// One request for the small file.
    pub fn small() -> Self {
        let mut all = Self::all(1);
        all.swap_remove(0)
    }

    /// The same, asking the server to close behind its answer (RFC 9112, section 9.6).
    #[must_use]
    pub fn closed_by_server(mut self) -> Self {
        let close = |request: &Vec<u8>| {
            [&request[..request.len() - 2], b"Connection: close\r\n\r\n"].concat()
        };
        self.requests = self.requests.iter().map(close).collect();
        self
    }

    /// What the exchange `turn` of a run sends.
    pub fn request(&self, turn: usize) -> &[u8] {
        &self.requests[turn % self.requests.len()]
    }
}

/// What the origin serves at [`SMALL_PATH`].
pub fn small_file() -> Vec<u8> {
    pattern(SMALL)
}

/// What the origin serves at [`LARGE_PATH`].
pub fn large_file() -> Vec<u8> {
    pattern(LARGE)
}

/// What the origin holds at [`KEY`].
pub fn value() -> Vec<u8> {
    vec![b'v'; VALUE]
}

/// An HTTP request as a program's client library writes it.
pub fn http_get(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: cart.shop\r\nUser-Agent: side-by-side/1\r\nAccept: */*\r\n\r\n"
    )
    .into_bytes()
}

/// A command that gets what is at a key.
pub(crate) fn redis_get(key: &str) -> Vec<u8> {
    format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()).into_bytes()
}

/// The command that puts [`value`] at each of these keys.
pub fn redis_set(keys: &[String]) -> Vec<u8> {
    let value = value();
    let mut command = format!("*{}\r\n$4\r\nMSET\r\n", 1 + 2 * keys.len()).into_bytes();
    for key in keys {
        for word in [key.as_bytes(), &value] {
            command.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            command.extend_from_slice(word);
            command.extend_from_slice(b"\r\n");
        }
    }
    command
}

/// What the server answers to [`redis_get`].
pub(crate) fn redis_reply() -> Vec<u8> {
    let value = value();
    [format!("${}\r\n", value.len()).as_bytes(), &value, b"\r\n"].concat()
}

/// Bytes without a short period, so that a part out of place is noticed.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    let mut state: u32 = 0x9e37_79b9;
    let mut bytes = Vec::with_capacity(length + 4);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_keeps_every_connection_busy() {
        for workload in Workload::all(1) {
            assert!(workload.exchanges >= workload.connections, "{}", workload.key);
        }
    }

    #[test]
    fn a_request_for_closing_is_whole() {
        let workload = Workload::small().closed_by_server();
        let text = String::from_utf8(workload.request(0).to_vec()).unwrap();
        assert!(text.ends_with("Accept: */*\r\nConnection: close\r\n\r\n"), "{text:?}");
    }

    #[test]
    fn sixteen_commands_are_sixteen_replies() {
        let all = Workload::all(100);
        let pipelined = all.iter().find(|w| w.key == "redis_pipelined").unwrap();
        assert_eq!(memchr::memmem::find_iter(pipelined.request(0), "GET").count(), PIPELINE);
        let Expected::Exact(replies) = &*pipelined.expected else { unreachable!() };
        assert_eq!(memchr::memmem::find_iter(replies, "$64\r\n").count(), PIPELINE);
    }
}

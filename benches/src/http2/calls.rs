//! What is asked over HTTP/2: the requests, and what must come back.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method};

use super::h2load::H2load;
use crate::{
    Error,
    load::Seen,
    rounds::{Traffic, WARM_UP_SHARE},
    workload::{Front, pattern, small_file},
};

/// Connections at once.
pub const CONNECTIONS: usize = 4;
/// Requests at once on each.
pub const STREAMS: usize = 32;

/// A call that is answered with one message and does not end.
pub(super) const HELD: &str = "/shop.Cart/Follow";
/// Whatever is not served, and not allowed.
pub(super) const OUTSIDE: &str = "/shop.Cart/Drop";

const BODY: usize = 16 * 1024;
const RECEIPT: usize = 64;
const MESSAGE: usize = 64;
const MESSAGES: usize = 100;

/// One kind of request.
#[derive(Debug, Clone)]
pub struct Call {
    /// A short name, used in JSON.
    pub key: &'static str,
    /// What it is, for a person.
    pub title: &'static str,
    /// Where it goes.
    pub front: Front,
    pub(super) path: &'static str,
    /// None is a GET.
    pub(super) body: Option<Bytes>,
    /// What comes back, in one DATA frame or more.
    pub(super) answer: Vec<Bytes>,
    /// Requests in a run.
    pub requests: usize,
}

impl Call {
    /// All four, with `percent` of the full number of requests.
    pub fn all(percent: usize) -> Vec<Self> {
        let one = || message(MESSAGE);
        let call = |key, title, front, path, body, answer, requests: usize| Self {
            key,
            title,
            front,
            path,
            body,
            answer,
            requests: (requests * percent / 100).max(CONNECTIONS * STREAMS),
        };
        vec![
            call(
                "h2_get",
                "HTTP/2 GET, 1 KiB answers",
                Front::Http2,
                "/carts/7",
                None,
                vec![small_file().into()],
                48_000,
            ),
            call(
                "h2_post",
                "HTTP/2 POST of 16 KiB",
                Front::Http2,
                "/carts/7/items",
                Some(pattern(BODY).into()),
                vec![pattern(RECEIPT).into()],
                16_000,
            ),
            call(
                "grpc_unary",
                "gRPC unary, messages of 64 bytes",
                Front::Grpc,
                "/shop.Cart/Add",
                Some(one()),
                vec![one()],
                48_000,
            ),
            call(
                "grpc_streaming",
                "gRPC server streaming, 100 messages of 64 bytes",
                Front::Grpc,
                "/shop.Cart/Watch",
                Some(one()),
                vec![one(); MESSAGES],
                4000,
            ),
        ]
    }

    /// A call whose answer begins and does not end.
    pub fn held() -> Self {
        let mut all = Self::all(1);
        let unary = all.swap_remove(2);
        Self { key: "grpc_held", title: "gRPC streams that stay open", path: HELD, ..unary }
    }

    pub(super) fn method(&self) -> Method {
        if self.body.is_some() { Method::POST } else { Method::GET }
    }

    /// The fields of the request besides those that every request has.
    pub(super) fn fields(&self) -> &'static [(&'static str, &'static str)] {
        match self.front {
            Front::Grpc => &[("content-type", "application/grpc"), ("te", "trailers")],
            _ => &[],
        }
    }

    /// The trailers that must come, empty if none may.
    pub(super) fn trailers(&self) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        if self.front == Front::Grpc {
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
        }
        trailers
    }

    /// Bytes of content in an answer.
    pub(super) fn answer_bytes(&self) -> usize {
        self.answer.iter().map(Bytes::len).sum()
    }
}

impl Traffic for Call {
    type Client = H2load;

    fn key(&self) -> &'static str {
        self.key
    }

    fn title(&self) -> &'static str {
        self.title
    }

    fn front(&self) -> Front {
        self.front
    }

    fn requests(&self) -> usize {
        self.requests
    }

    fn run(&self, client: &H2load, address: SocketAddr, whole: bool) -> Result<Seen, Error> {
        let warm_up = (self.requests / WARM_UP_SHARE).max(CONNECTIONS * STREAMS);
        client.run(address, self, if whole { self.requests } else { warm_up })
    }
}

/// A message of gRPC with its prefix (gRPC over HTTP2, "Length-Prefixed-Message"): not compressed, `length` bytes.
fn message(length: usize) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(&pattern(length));
    bytes.into()
}

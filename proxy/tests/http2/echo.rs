//! The gRPC service `weir.test.Echo`, served by tonic. Its messages are written by hand: no
//! protoc is needed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use hyper::http;
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::server::Grpc;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::scene::in_thread;

/// The service's only message.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Note {
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) body: Bytes,
    /// How many, how long or which, by the method.
    #[prost(uint32, tag = "2")]
    pub(crate) number: u32,
}

impl Note {
    pub(crate) fn new(body: impl Into<Bytes>, number: u32) -> Self {
        Self { body: body.into(), number }
    }
}

/// What the service saw.
#[derive(Default)]
pub(crate) struct Seen {
    calls: Mutex<BTreeMap<String, usize>>,
    /// Calls of `Slow` that ended before they were answered.
    pub(crate) cancelled: AtomicUsize,
}

impl Seen {
    /// How often this method was called.
    pub(crate) fn calls(&self, method: &str) -> usize {
        self.calls.lock().unwrap().get(method).copied().unwrap_or(0)
    }
}

/// A running service.
pub(crate) struct Echo {
    pub(crate) at: SocketAddr,
    pub(crate) seen: Arc<Seen>,
    shutdown: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Echo {
    pub(crate) fn start() -> Self {
        let seen = Arc::new(Seen::default());
        let (shutdown, told) = tokio::sync::oneshot::channel();
        let copy = seen.clone();
        let at = in_thread(|listener| async move {
            let service = tower::service_fn(move |request| {
                let seen = copy.clone();
                async move { Ok::<_, Infallible>(answer(seen, request).await) }
            });
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            let server = tonic::transport::Server::builder()
                .http2_max_header_list_size(1 << 20)
                .max_concurrent_streams(Some(4096));
            let told = async {
                let _ = told.await;
            };
            let _ = server.serve_with_incoming_shutdown(service, incoming, told).await;
        });
        Self { at, seen, shutdown: Some(shutdown) }
    }

    /// Has the server say goodbye to its clients, and end when they have.
    pub(crate) fn shut_down(&mut self) {
        let _ = self.shutdown.take().unwrap().send(());
    }
}

/// What [`Code::Aborted`] of `BigTrailers` brings along.
pub(crate) fn big_trailers() -> MetadataMap {
    let mut all = MetadataMap::new();
    for n in 0..20 {
        let name = format!("big-{n}");
        let name = tonic::metadata::AsciiMetadataKey::from_bytes(name.as_bytes()).unwrap();
        all.insert(name, "x".repeat(1000 + n).parse().unwrap());
    }
    all
}

async fn answer(seen: Arc<Seen>, request: http::Request<Body>) -> http::Response<Body> {
    let method = request.uri().path().strip_prefix("/weir.test.Echo/").unwrap_or("?").to_owned();
    *seen.calls.lock().unwrap().entry(method.clone()).or_default() += 1;
    let codec = ProstCodec::<Note, Note>::default();
    let mut grpc = Grpc::new(codec).max_decoding_message_size(64 << 20);
    match &*method {
        "Unary" | "Admin" => {
            let service =
                |request: Request<Note>| async { Ok(Response::new(request.into_inner())) };
            grpc.unary(tower::service_fn(service), request).await
        }
        "ServerStream" => {
            let service = |request: Request<Note>| async {
                let Note { body, number } = request.into_inner();
                let notes = (0..number).map(move |n| Ok(Note::new(body.clone(), n)));
                Ok(Response::new(tokio_stream::iter(notes)))
            };
            grpc.server_streaming(tower::service_fn(service), request).await
        }
        "ClientStream" => {
            let service = |request: Request<Streaming<Note>>| async {
                let (mut notes, mut all, mut count) = (request.into_inner(), Vec::new(), 0);
                while let Some(note) = notes.next().await {
                    all.extend_from_slice(&note?.body);
                    count += 1;
                }
                Ok(Response::new(Note::new(all, count)))
            };
            grpc.client_streaming(tower::service_fn(service), request).await
        }
        "Bidi" => {
            let service = |request: Request<Streaming<Note>>| async {
                Ok(Response::new(request.into_inner()))
            };
            grpc.streaming(tower::service_fn(service), request).await
        }
        "Fail" => {
            let service = |request: Request<Note>| async move {
                let code = Code::from(i32::try_from(request.into_inner().number).unwrap());
                Err::<Response<Note>, _>(Status::new(code, "as wanted: 100% \u{fc}"))
            };
            grpc.unary(tower::service_fn(service), request).await
        }
        "BigTrailers" => {
            let service = |request: Request<Note>| async {
                let end = Status::with_metadata(Code::Aborted, "big", big_trailers());
                Ok(Response::new(tokio_stream::iter([Ok(request.into_inner()), Err(end)])))
            };
            grpc.server_streaming(tower::service_fn(service), request).await
        }
        "Slow" => {
            let service = move |request: Request<Note>| {
                let unanswered = Unanswered(Some(seen.clone()));
                async move {
                    let note = request.into_inner();
                    tokio::time::sleep(Duration::from_millis(note.number.into())).await;
                    unanswered.answered();
                    Ok(Response::new(note))
                }
            };
            grpc.unary(tower::service_fn(service), request).await
        }
        _ => Status::unimplemented(method).into_http(),
    }
}

/// Counts a call that is dropped before it has its answer.
struct Unanswered(Option<Arc<Seen>>);

impl Unanswered {
    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(seen) = &self.0 {
            seen.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

//! A client by h2, which indexes what it sends.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{RecvStream, SendStream};
use hyper::http::{HeaderMap, Request};

use crate::web::{finish, pass};

/// One connection.
#[derive(Clone)]
pub(crate) struct Visitor(pub(crate) SendRequest<Bytes>);

/// An answer.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) fields: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Got {
    /// A field of the head; empty if it has none.
    pub(crate) fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// A request for a path, of which more may be said.
pub(crate) fn ask(method: &str, path: &str) -> hyper::http::request::Builder {
    Request::builder().method(method).uri(format!("http://a{path}"))
}

impl Visitor {
    pub(crate) async fn connect(at: SocketAddr) -> Self {
        Self::connect_by(at, &mut Builder::new()).await
    }

    /// The same with settings of one's own.
    pub(crate) async fn connect_by(at: SocketAddr, builder: &mut Builder) -> Self {
        // Many small bodies that nobody has taken yet are no flood here.
        builder.max_header_list_size(1 << 20).data_frame_budget(1 << 24);
        let stream = tokio::net::TcpStream::connect(at).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (send, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        Self(send)
    }

    /// Begins a request: where its body goes, and its answer.
    pub(crate) async fn begin(
        &self,
        request: Request<()>,
        end: bool,
    ) -> Result<(h2::client::ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.0.clone().ready().await?.send_request(request, end)
    }

    /// A request without a body.
    pub(crate) async fn get(&self, path: &str) -> Result<Got, h2::Error> {
        let (answer, _) = self.begin(ask("GET", path).body(()).unwrap(), true).await?;
        whole(answer).await
    }

    /// A request with a body, and trailers if there are any.
    pub(crate) async fn post(
        &self,
        request: Request<()>,
        body: Bytes,
        trailers: Option<HeaderMap>,
    ) -> Result<Got, h2::Error> {
        let (answer, mut send) = self.begin(request, false).await?;
        let upload = async {
            // Whoever has answered may want no more of it.
            if pass(&mut send, body).await.is_ok() {
                let _ = finish(&mut send, trailers);
            }
        };
        let (got, ()) = tokio::join!(whole(answer), upload);
        got
    }

    /// Has `/echo` hand a body back, and compares it.
    pub(crate) async fn echo(&self, path: &str, body: Bytes) {
        let got = self.post(ask("POST", path).body(()).unwrap(), body.clone(), None).await.unwrap();
        assert!(got.status == 200 && got.body == body, "{path}: {}", got.status);
    }
}

/// Takes all of an answer.
pub(crate) async fn whole(answer: h2::client::ResponseFuture) -> Result<Got, h2::Error> {
    let (head, mut content) = answer.await?.into_parts();
    let body = rest(&mut content).await?;
    let trailers = content.trailers().await?;
    Ok(Got { status: head.status.as_u16(), fields: head.headers, body, trailers })
}

/// Takes what is left of a body.
pub(crate) async fn rest(content: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = content.data().await {
        let chunk = chunk?;
        content.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

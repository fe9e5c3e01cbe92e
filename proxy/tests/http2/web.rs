//! An HTTP/2 server by h2 that says what it received.
//!
//! `/ok` is answered with `ok`; `/echo` with the body and trailers of the request as they come;
//! `/bytes/N` with as many; `/status/N` with it; `/trailers/N` with as many bytes of trailers;
//! `/hold` takes nothing of the body and answers `ok` only once [`Web::release`] was called.
//! Each answer has the `x-n` of its request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use hyper::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::scene::{in_thread, noise};
use crate::support::PATIENCE;

/// A request as the server saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    /// In order.
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
    /// How it ended: whole, or by this error.
    pub(crate) end: Option<Result<(), String>>,
}

impl Received {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| &**value)
    }
}

/// What goes on in the server.
#[derive(Default)]
struct State {
    received: Vec<Received>,
    connections: usize,
}

/// A running server.
#[derive(Clone)]
pub(crate) struct Web {
    pub(crate) at: SocketAddr,
    state: Arc<Mutex<State>>,
    released: Arc<watch::Sender<bool>>,
    goodbye: Arc<watch::Sender<bool>>,
}

impl Web {
    pub(crate) fn start() -> Self {
        Self::start_by(Builder::new().data_frame_budget(1 << 24))
    }

    /// The same with settings of one's own.
    pub(crate) fn start_by(builder: &Builder) -> Self {
        let state = Arc::<Mutex<State>>::default();
        let (released, goodbye) = (watch::channel(false).0, watch::channel(false).0);
        let (released, goodbye) = (Arc::new(released), Arc::new(goodbye));
        let connection = Connection {
            builder: builder.clone(),
            state: state.clone(),
            released: released.subscribe(),
            goodbye: goodbye.subscribe(),
        };
        let at = in_thread(|listener| async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                connection.state.lock().unwrap().connections += 1;
                tokio::spawn(connection.clone().serve(stream));
            }
        });
        Self { at, state, released, goodbye }
    }

    /// Answers what is on `/hold`.
    pub(crate) fn release(&self) {
        let _ = self.released.send(true);
    }

    /// Has all connections say goodbye.
    pub(crate) fn shut_down(&self) {
        let _ = self.goodbye.send(true);
    }

    /// All requests so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// The request for a path, once it has come to an end.
    pub(crate) fn ended(&self, path: &str) -> Received {
        self.find(path, |received| received.end.is_some())
    }

    /// The request for a path, once it has come.
    pub(crate) fn begun(&self, path: &str) -> Received {
        self.find(path, |_| true)
    }

    fn find(&self, path: &str, ready: impl Fn(&Received) -> bool) -> Received {
        let end = Instant::now() + PATIENCE;
        loop {
            let all = self.received();
            if let Some(found) = all.iter().find(|r| r.path == path && ready(r)) {
                return found.clone();
            }
            assert!(Instant::now() < end, "{path} is not among {all:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// What each connection has.
#[derive(Clone)]
struct Connection {
    builder: Builder,
    state: Arc<Mutex<State>>,
    released: watch::Receiver<bool>,
    goodbye: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(mut self, stream: TcpStream) {
        let Ok(mut connection) = self.builder.handshake::<_, Bytes>(stream).await else { return };
        let mut told = false;
        loop {
            let request = tokio::select! {
                request = connection.accept() => request,
                _ = self.goodbye.wait_for(|goodbye| *goodbye), if !told => {
                    told = true;
                    connection.graceful_shutdown();
                    continue;
                }
            };
            let Some(Ok((request, respond))) = request else { return };
            let index = self.note(&request);
            tokio::spawn(Exchange { all: self.clone(), index }.run(request, respond));
        }
    }

    fn note(&self, request: &Request<RecvStream>) -> usize {
        let received = Received {
            method: request.method().to_string(),
            authority: request.uri().authority().map(ToString::to_string).unwrap_or_default(),
            path: request.uri().path().to_owned(),
            fields: list(request.headers()),
            ..Received::default()
        };
        let all = &mut self.state.lock().unwrap().received;
        all.push(received);
        all.len() - 1
    }
}

/// One request and its answer.
struct Exchange {
    all: Connection,
    index: usize,
}

impl Exchange {
    async fn run(mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let path = request.uri().path().to_owned();
        let end = self.answer(&path, request.into_body(), &mut respond).await;
        self.edit(|received| received.end = Some(end.map_err(|error| error.to_string())));
    }

    fn edit(&self, edit: impl FnOnce(&mut Received)) {
        edit(&mut self.all.state.lock().unwrap().received[self.index]);
    }

    async fn answer(
        &mut self,
        path: &str,
        mut body: RecvStream,
        respond: &mut SendResponse<Bytes>,
    ) -> Result<(), h2::Error> {
        let mut parts = path.split('/').skip(1);
        let kind = parts.next().unwrap_or_default();
        let number: usize = parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
        if kind == "echo" {
            let mut send = respond.send_response(self.head(), false)?;
            let trailers = self.take(&mut body, Some(&mut send)).await?;
            return finish(&mut send, trailers);
        }
        if kind == "hold" {
            let released = async { self.all.released.wait_for(|released| *released).await.is_ok() };
            tokio::select! {
                _ = released => {}
                // Only a reset: nothing of the body is asked for.
                reason = std::future::poll_fn(|cx| respond.poll_reset(cx)) => {
                    return Err(reason?.into());
                }
            }
        }
        self.take(&mut body, None).await?;
        let mut answer = self.head();
        let mut content = Bytes::from_static(b"ok");
        let mut trailers = None;
        match kind {
            "bytes" => content = noise(number as u64, number),
            "status" => *answer.status_mut() = u16::try_from(number).unwrap().try_into().unwrap(),
            "trailers" => trailers = Some(big(number)),
            _ => {}
        }
        let mut send = respond.send_response(answer, false)?;
        pass(&mut send, content).await?;
        finish(&mut send, trailers)
    }

    /// The head of an answer.
    fn head(&self) -> Response<()> {
        let received = &self.all.state.lock().unwrap().received[self.index];
        let mut answer = Response::new(());
        if let Some(n) = received.field("x-n") {
            answer.headers_mut().insert("x-n", n.parse().unwrap());
        }
        answer
    }

    /// Takes the body as it comes, and hands it back if there is somewhere.
    async fn take(
        &self,
        body: &mut RecvStream,
        mut back: Option<&mut SendStream<Bytes>>,
    ) -> Result<Option<HeaderMap>, h2::Error> {
        while let Some(chunk) = body.data().await {
            let chunk = chunk?;
            let length = chunk.len();
            self.edit(|received| received.body.extend_from_slice(&chunk));
            if let Some(back) = &mut back {
                pass(back, chunk).await?;
            }
            body.flow_control().release_capacity(length)?;
        }
        let trailers = body.trailers().await?;
        self.edit(|received| received.trailers = trailers.as_ref().map(list).unwrap_or_default());
        Ok(trailers)
    }
}

/// Trailers of about as many bytes.
pub(crate) fn big(bytes: usize) -> HeaderMap {
    let field = |n: usize| {
        let name = HeaderName::try_from(format!("big-{n}")).unwrap();
        (name, HeaderValue::try_from("y".repeat(500)).unwrap())
    };
    (0..bytes.div_ceil(500)).map(field).collect()
}

/// Sends bytes as the other side's windows allow.
pub(crate) async fn pass(send: &mut SendStream<Bytes>, mut all: Bytes) -> Result<(), h2::Error> {
    while !all.is_empty() {
        send.reserve_capacity(all.len());
        let room = std::future::poll_fn(|cx| send.poll_capacity(cx)).await;
        let room = room.ok_or(h2::Reason::CANCEL)??;
        send.send_data(all.split_to(room.min(all.len())), false)?;
    }
    Ok(())
}

/// Ends a stream, with trailers if there are any.
pub(crate) fn finish(
    send: &mut SendStream<Bytes>,
    trailers: Option<HeaderMap>,
) -> Result<(), h2::Error> {
    match trailers {
        Some(trailers) => send.send_trailers(trailers),
        None => send.send_data(Bytes::new(), true),
    }
}

/// The fields as texts, in order.
pub(crate) fn list(fields: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    fields.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

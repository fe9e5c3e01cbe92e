//! The origin: a small HTTP/2 server on the h2 crate, in a process of its own, that answers [`Call`]s.

use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use http::{HeaderValue, Request, Response, StatusCode};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::Builder,
};

use super::calls::{Call, HELD};
use crate::{
    Error,
    child::{Program, free_port},
    workload::Front,
};

/// More than anybody asks for.
const STREAMS: u32 = 10_000;
/// Large enough that no body waits for a window.
const WINDOW: u32 = 1 << 24;

/// The running origin. It does not tell its ports apart: there are two so that a policy can.
#[derive(Debug)]
pub struct Origin {
    program: Program,
    pub(super) http: SocketAddr,
    pub(super) grpc: SocketAddr,
}

impl Origin {
    /// Starts `program` with the arguments `http2-origin` and two addresses, as which [`serve`] must run.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(program: &Path, room: &Path) -> Result<Self, Error> {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (http, grpc) = (at(free_port()?), at(free_port()?));
        let mut command = Command::new(program);
        command.arg("http2-origin").args([http, grpc].map(|address| address.to_string()));
        let mut program = Program::start("http2-origin", room, None, &mut command)?;
        program.await_listening(http)?;
        program.await_listening(grpc)?;
        Ok(Self { program, http, grpc })
    }

    pub(super) fn pid(&self) -> u32 {
        self.program.pid()
    }
}

/// Serves at these addresses until the process ends.
///
/// # Errors
/// If it cannot listen there.
pub fn serve(addresses: &[SocketAddr]) -> Result<(), Error> {
    let runtime = Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(Error::io("the origin"))?;
    runtime.block_on(async {
        let answers = Arc::new(Answers::new());
        for address in addresses {
            let listener = TcpListener::bind(address).await;
            let listener = listener.map_err(Error::io(address.to_string()))?;
            tokio::spawn(accept(listener, Arc::clone(&answers)));
        }
        std::future::pending().await
    })
}

async fn accept(listener: TcpListener, answers: Arc<Answers>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, Arc::clone(&answers)));
    }
}

/// A client that breaks off is no matter of the origin's: what it has not had it will miss.
async fn connection(stream: TcpStream, answers: Arc<Answers>) -> Result<(), h2::Error> {
    stream.set_nodelay(true).map_err(|_: io::Error| h2::Reason::INTERNAL_ERROR)?;
    let mut connection = server::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_concurrent_streams(STREAMS)
        .handshake::<_, Bytes>(stream)
        .await?;
    while let Some(accepted) = connection.accept().await {
        let (request, mut respond) = accepted?;
        if request.body().is_end_stream() {
            answers.answer(request.uri().path(), &mut respond)?;
        } else {
            tokio::spawn(exchange(request, respond, Arc::clone(&answers)));
        }
    }
    Ok(())
}

/// Reads a request to its end, then answers.
async fn exchange(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    answers: Arc<Answers>,
) -> Result<(), h2::Error> {
    let (head, mut body) = request.into_parts();
    while let Some(part) = body.data().await {
        body.flow_control().release_capacity(part?.len())?;
    }
    if head.uri.path() != HELD {
        return answers.answer(head.uri.path(), &mut respond);
    }
    let held = Call::held();
    let mut content = respond.send_response(head_of(&held), false)?;
    for part in held.answer {
        content.send_data(part, false)?;
    }
    // Until the client gives it up.
    poll_fn(|cx| content.poll_reset(cx)).await.map(drop)
}

/// What is answered, by path.
struct Answers(HashMap<&'static str, Call>);

impl Answers {
    fn new() -> Self {
        Self(Call::all(1).into_iter().map(|call| (call.path, call)).collect())
    }

    fn answer(&self, path: &str, respond: &mut SendResponse<Bytes>) -> Result<(), h2::Error> {
        let Some(call) = self.0.get(path) else {
            return respond.send_response(nothing(path), true).map(drop);
        };
        let trailers = call.trailers();
        let mut content = respond.send_response(head_of(call), false)?;
        let last = call.answer.len() - 1;
        for (index, part) in call.answer.iter().enumerate() {
            content.send_data(part.clone(), index == last && trailers.is_empty())?;
        }
        if trailers.is_empty() { Ok(()) } else { content.send_trailers(trailers) }
    }
}

fn head_of(call: &Call) -> Response<()> {
    let mut response = Response::new(());
    if call.front == Front::Grpc {
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
    } else {
        let fields = response.headers_mut();
        let octets = HeaderValue::from_static("application/octet-stream");
        fields.insert(http::header::CONTENT_TYPE, octets);
        fields.insert(http::header::CONTENT_LENGTH, call.answer_bytes().into());
        let server = HeaderValue::from_static("side-by-side/1");
        fields.insert(http::header::SERVER, server);
    }
    response
}

/// There is nothing at `path`: 404, or to a call `UNIMPLEMENTED`.
fn nothing(path: &str) -> Response<()> {
    let mut response = Response::new(());
    if path.starts_with("/shop.") {
        let fields = response.headers_mut();
        let grpc = HeaderValue::from_static("application/grpc");
        fields.insert(http::header::CONTENT_TYPE, grpc);
        fields.insert("grpc-status", HeaderValue::from_static("12"));
    } else {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    response
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::http2::client::{Client, check, within};

    fn origin() -> SocketAddr {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
        thread::spawn(move || serve(&[address]));
        while std::net::TcpStream::connect(address).is_err() {
            thread::yield_now();
        }
        address
    }

    #[test]
    fn every_call_is_answered_as_it_must_be() {
        let address = origin();
        check(|_| address, &Call::all(1), false).unwrap();
        assert!(check(|_| address, &Call::all(1), true).is_err(), "it refuses nothing");
        let mut other = Call::all(1);
        other[2].answer[0] = Bytes::from_static(b"other");
        assert!(check(|_| address, &other, false).is_err(), "every byte is compared");
    }

    #[test]
    fn a_held_stream_has_its_message_and_no_end() {
        let (address, call) = (origin(), Call::held());
        let read = within(async {
            let mut client = Client::connect(address).await?;
            let mut answer = client.ask(&call, call.path).await?;
            answer.read(&call.answer.concat()).await?;
            Ok(answer.is_open())
        });
        assert!(read.unwrap());
    }
}

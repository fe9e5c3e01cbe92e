//! A client that reads answers whole: h2load counts bytes and statuses, and sees neither content nor trailers.

use std::{future::Future, net::SocketAddr, time::Duration};

use bytes::Bytes;
use h2::{
    RecvStream,
    client::{self, SendRequest},
};
use http::{HeaderMap, Request, Response};
use tokio::{net::TcpStream, runtime::Builder, time::timeout};

use super::calls::{Call, OUTSIDE};
use crate::{Error, answer::Wrong, workload::Front};

const LIMIT: Duration = Duration::from_secs(30);
/// Windows that never fill.
const WINDOW: u32 = 1 << 24;

/// Runs `work`, for half a minute at most.
pub(super) fn within<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::io("a runtime"))?;
    let done = runtime.block_on(async { timeout(LIMIT, work).await });
    done.unwrap_or_else(|_| Err(Error::Program(format!("no answer within {LIMIT:?}"))))
}

/// A connection.
pub(super) struct Client {
    requests: SendRequest<Bytes>,
}

/// An answer whose head has come.
pub(super) struct Answer {
    pub(super) head: http::response::Parts,
    body: RecvStream,
}

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Result<Self, Error> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(Error::io(format!("connecting to {address}")))?;
        stream.set_nodelay(true).map_err(Error::io("TCP_NODELAY"))?;
        let handshake = client::Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .enable_push(false)
            .handshake(stream);
        let (requests, connection) = handshake.await.map_err(broken)?;
        // Its error is also that of the requests.
        tokio::spawn(connection);
        Ok(Self { requests })
    }

    /// Asks for `path` as `call` does for its own, and awaits the head of the answer.
    pub(super) async fn ask(&mut self, call: &Call, path: &str) -> Result<Answer, Error> {
        let mut request = Request::builder().method(call.method());
        request = request.uri(format!("http://cart.shop{path}"));
        for (name, value) in call.fields() {
            request = request.header(*name, *value);
        }
        let request = request.body(()).map_err(|e| Error::Program(e.to_string()))?;
        let mut requests = self.requests.clone().ready().await.map_err(broken)?;
        let body = call.body.clone();
        let (answer, mut content) =
            requests.send_request(request, body.is_none()).map_err(broken)?;
        if let Some(body) = body {
            content.send_data(body, true).map_err(broken)?;
        }
        let (head, body) = Response::into_parts(answer.await.map_err(broken)?);
        Ok(Answer { head, body })
    }

    /// Has one exchange and compares every byte of its answer, and its trailers.
    pub(super) async fn exchange(&mut self, call: &Call) -> Result<(), Error> {
        let mut answer = self.ask(call, call.path).await?;
        if answer.head.status != 200 {
            return Err(Wrong::Status(answer.head.status.to_string()).into());
        }
        answer.read(&call.answer.concat()).await?;
        let trailers = answer.trailers().await?;
        if trailers != call.trailers() {
            return Err(Error::Program(format!("trailers {trailers:?}")));
        }
        Ok(())
    }
}

impl Answer {
    /// Reads so much content, which must be this.
    pub(super) async fn read(&mut self, expected: &[u8]) -> Result<(), Error> {
        let mut from = 0;
        while from < expected.len() {
            let Some(part) = self.body.data().await else { return Err(Wrong::Closed(from).into()) };
            let part = part.map_err(broken)?;
            self.body.flow_control().release_capacity(part.len()).map_err(broken)?;
            let to = from + part.len();
            if expected.get(from..to) != Some(&part[..]) {
                return Err(Wrong::Content { from, to }.into());
            }
            from = to;
        }
        Ok(())
    }

    /// Its end has not come.
    #[cfg(test)]
    pub(super) fn is_open(&self) -> bool {
        !self.body.is_end_stream()
    }

    /// Reads on to the end, which must be here.
    async fn trailers(&mut self) -> Result<HeaderMap, Error> {
        if let Some(part) = self.body.data().await {
            let length = part.map_err(broken)?.len();
            if length > 0 {
                return Err(Wrong::Excess(length).into());
            }
        }
        Ok(self.body.trailers().await.map_err(broken)?.unwrap_or_default())
    }
}

/// Asks each call once, and for what the policy does not allow, which only one that `enforces` refuses.
pub(super) fn check(
    address: impl Fn(Front) -> SocketAddr,
    calls: &[Call],
    enforces: bool,
) -> Result<(), Error> {
    within(async {
        for call in calls {
            let mut client = Client::connect(address(call.front)).await?;
            client.exchange(call).await?;
            let grpc = call.front == Front::Grpc;
            let outside = if grpc { OUTSIDE } else { "/not/in/the/policy" };
            let head = client.ask(call, outside).await?.head;
            let expected = match (grpc, enforces) {
                (true, true) => "200 7",
                (true, false) => "200 12",
                (false, true) => "403 ",
                (false, false) => "404 ",
            };
            let status = head.headers.get("grpc-status").map_or("", |v| v.to_str().unwrap_or("?"));
            let found = format!("{} {status}", head.status.as_u16());
            if found != expected {
                let what = format!("answers {found:?} to {outside}, not {expected:?}");
                return Err(Error::Program(what));
            }
        }
        Ok(())
    })
}

fn broken(error: h2::Error) -> Error {
    Error::Program(format!("HTTP/2: {error}"))
}

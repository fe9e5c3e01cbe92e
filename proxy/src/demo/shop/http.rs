//! The little HTTP that the shop needs: a hyper server that records, and a client that sends
//! one request at a time.

use std::io;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Line;
use super::listen::each_connection;
use super::recorder::Recorder;

/// What a handler answers.
pub(super) type Reply = Response<Full<Bytes>>;

/// Largest body that the shop reads, and largest answer that its client takes.
const LIMIT: usize = 64 << 10;

/// Serves one connection after another, all at once. `connect` makes a handler's state for
/// each connection; `handle` answers a request with it.
pub(super) async fn serve<S, C, H, F>(
    listener: TcpListener,
    recorder: Recorder,
    connect: C,
    handle: H,
) where
    S: Clone + Send + 'static,
    C: Fn() -> S,
    H: Fn(S, Request<Incoming>) -> F + Clone + Send + 'static,
    F: Future<Output = Reply> + Send + 'static,
{
    each_connection(listener, |stream| {
        let io = TokioIo::new(recorder.listen(stream));
        let state = connect();
        let handle = handle.clone();
        async move {
            let service = service_fn(move |request| {
                let reply = handle(state.clone(), request);
                async move { Ok::<_, std::convert::Infallible>(reply.await) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            // An error here is a client that broke off or spoke nonsense: the client's trouble.
            let _ = http.serve_connection(io, service).await;
        }
    })
    .await;
}

/// A text answer.
pub(super) fn text(status: StatusCode, body: impl Into<String>) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body.into())));
    *reply.status_mut() = status;
    reply
}

/// The whole body as text.
///
/// # Errors
/// It is too large, not UTF-8, or broke off.
pub(super) async fn body(request: Request<Incoming>) -> Result<String, Reply> {
    let bad = || text(StatusCode::BAD_REQUEST, "that body cannot be read\n");
    let body = Limited::new(request.into_body(), LIMIT);
    let bytes = body.collect().await.map_err(|_| bad())?.to_bytes();
    String::from_utf8(bytes.into()).map_err(|_| bad())
}

/// An answer as a client sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::demo) struct Answer {
    /// The status code.
    pub(in crate::demo) status: u16,
    /// The status line, without its end.
    pub(in crate::demo) line: String,
    /// The content.
    pub(in crate::demo) body: String,
}

impl Answer {
    /// The answer at the start of `bytes`, once it is whole. Its length must be stated.
    pub(in crate::demo) fn parse(bytes: &[u8]) -> Option<Self> {
        let end = memmem::find(bytes, b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&bytes[..end]);
        let mut lines = head.split("\r\n");
        let line = lines.next()?.to_owned();
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let length = lines
            .filter_map(|field| field.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .map_or(Some(0), |(_, value)| value.trim().parse().ok())?;
        let body = bytes[end + 4..].get(..length)?;
        Some(Self { status, line, body: String::from_utf8_lossy(body).into_owned() })
    }
}

/// A connection that asks one thing at a time.
pub(in crate::demo) struct Client {
    stream: TcpStream,
    host: &'static str,
}

impl Client {
    /// Connects; `host` is what the `Host` field will say.
    ///
    /// # Errors
    /// Those of the connect.
    pub(in crate::demo) async fn connect(to: &Line, host: &'static str) -> io::Result<Self> {
        Ok(Self { stream: to.dial().await?, host })
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// The connection broke or ended before the answer was whole, or the answer is too large.
    pub(in crate::demo) async fn call(
        &mut self,
        method: &str,
        target: &str,
        body: &str,
    ) -> io::Result<Answer> {
        let host = self.host;
        let length = match method {
            "GET" => String::new(),
            _ => format!("Content-Length: {}\r\n", body.len()),
        };
        let request = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{length}\r\n{body}");
        self.stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        loop {
            if let Some(answer) = Answer::parse(&bytes) {
                return Ok(answer);
            }
            if bytes.len() > LIMIT {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.stream.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn an_answer_is_taken_only_when_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        for cut in 0..whole.len() {
            assert_eq!(Answer::parse(&whole[..cut]), None, "cut at {cut}");
        }
        let answer = Answer::parse(whole).unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "abc"));
    }
}

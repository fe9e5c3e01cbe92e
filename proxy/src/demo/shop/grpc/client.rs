//! A client that makes one call at a time.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::reply::Reply;
use super::{Connection, head, message};
use crate::demo::shop::Line;

/// A call that has no whole answer after this long has none.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection that asks one thing at a time.
pub(in crate::demo::shop) struct Client {
    connection: Connection<TcpStream>,
    host: &'static str,
    /// The stream of the next call.
    stream: u32,
}

impl Client {
    /// Connects; `host` is what `:authority` will say.
    ///
    /// # Errors
    /// Those of the connect.
    pub(in crate::demo::shop) async fn connect(to: &Line, host: &'static str) -> io::Result<Self> {
        let connection = Connection::open(to.dial().await?, PATIENCE);
        Ok(Self { connection, host, stream: 1 })
    }

    /// Calls `method`, as in `shop.Stock/Reserve`, and waits for all the messages that it answers.
    ///
    /// # Errors
    /// The connection broke or ended, no answer came in time, or it has another status than OK.
    pub(in crate::demo::shop) async fn call(
        &mut self,
        method: &str,
        content: &[u8],
    ) -> io::Result<Vec<Vec<u8>>> {
        let (stream, path) = (self.stream, format!("/{method}"));
        self.stream += 2;
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", self.host),
            (":path", &path),
            ("content-type", "application/grpc"),
            ("te", "trailers"),
        ];
        head(stream, &fields, false, &mut self.connection.out);
        message(stream, content, true, &mut self.connection.out);
        let reply = timeout(PATIENCE, self.reply(stream)).await??;
        match reply.code() {
            Some(0) => reply.messages().ok_or_else(super::nonsense),
            _ => Err(io::Error::other(reply.words())),
        }
    }

    async fn reply(&mut self, stream: u32) -> io::Result<Reply> {
        let mut reply = Reply::default();
        while !reply.ended() {
            let event = self.connection.next().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            reply.take(stream, event);
        }
        Ok(reply)
    }
}

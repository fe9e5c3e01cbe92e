//! A connection, as either side has it.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use weir_parsers::http2::{FrameKind, PREFACE, flag};

use super::reader::{Event, Reader};
use super::{frame, nonsense};

/// Frames come in and go out.
pub(in crate::demo::shop) struct Connection<S> {
    stream: S,
    reader: Reader,
    /// What has come and was not read.
    unread: Vec<u8>,
    /// What is to be sent.
    pub(in crate::demo::shop) out: Vec<u8>,
    /// A peer that says nothing, or takes nothing, for so long is gone.
    patience: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn new(stream: S, patience: Duration) -> Self {
        let mut out = Vec::new();
        frame(FrameKind::Settings, 0, 0, &[], &mut out);
        Self { stream, reader: Reader::default(), unread: Vec::new(), out, patience }
    }

    /// A client's side.
    pub(super) fn open(stream: S, patience: Duration) -> Self {
        let mut connection = Self::new(stream, patience);
        connection.out.splice(..0, *PREFACE);
        connection
    }

    /// A server's side, once the client has said what HTTP/2 begins with.
    ///
    /// # Errors
    /// It says something else, or nothing.
    pub(in crate::demo::shop) async fn accept(stream: S, patience: Duration) -> io::Result<Self> {
        let mut connection = Self::new(stream, patience);
        while connection.unread.len() < PREFACE.len() {
            if !PREFACE.starts_with(&connection.unread) {
                return Err(nonsense());
            }
            if !connection.read().await? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        if !connection.unread.starts_with(PREFACE) {
            return Err(nonsense());
        }
        connection.unread.drain(..PREFACE.len());
        Ok(connection)
    }

    /// Sends what is to be sent, and answers what comes next for a stream; none at the end. What
    /// concerns the connection alone is done here.
    ///
    /// # Errors
    /// It broke, or what came is no HTTP/2, or nothing came for too long.
    pub(in crate::demo::shop) async fn next(&mut self) -> io::Result<Option<Event>> {
        loop {
            let mut rest = self.unread.as_slice();
            let event = self.reader.next(&mut rest)?;
            let left = rest.len();
            self.unread.drain(..self.unread.len() - left);
            match event {
                None => {
                    self.flush().await?;
                    if !self.read().await? {
                        return Ok(None);
                    }
                }
                Some(Event::Settings) => {
                    frame(FrameKind::Settings, flag::ACK, 0, &[], &mut self.out);
                }
                Some(Event::Ping(data)) => {
                    frame(FrameKind::Ping, flag::ACK, 0, &data, &mut self.out);
                }
                Some(Event::Other) => {}
                Some(event) => {
                    if let Event::Data { stream, length, end, .. } = event {
                        self.give_back(0, length);
                        if !end {
                            self.give_back(stream, length);
                        }
                    }
                    return Ok(Some(event));
                }
            }
        }
    }

    /// Makes room in a window again.
    fn give_back(&mut self, stream: u32, length: usize) {
        if let Ok(length @ 1..) = u32::try_from(length) {
            let payload = length.to_be_bytes();
            frame(FrameKind::WindowUpdate, 0, stream, &payload, &mut self.out);
        }
    }

    /// Sends what is to be sent.
    ///
    /// # Errors
    /// The connection broke, or takes nothing.
    pub(in crate::demo::shop) async fn flush(&mut self) -> io::Result<()> {
        if !self.out.is_empty() {
            timeout(self.patience, self.stream.write_all(&self.out)).await??;
            self.out.clear();
        }
        Ok(())
    }

    /// Reads more; false at the end.
    async fn read(&mut self) -> io::Result<bool> {
        let read = self.stream.read_buf(&mut self.unread);
        Ok(timeout(self.patience, read).await?? > 0)
    }
}

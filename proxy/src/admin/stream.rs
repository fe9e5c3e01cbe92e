//! Asks a running sidecar over its Unix socket for an answer without end: `GET /tap`.

use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

use super::client::{self, Error};

/// The longest head of an answer, and the longest line within it.
const HEAD: u64 = 16 << 10;

/// The body of such an answer. Reading it ends with nothing when the sidecar ends it in order, and
/// with `UnexpectedEof` when it just stops.
#[derive(Debug)]
pub struct Body {
    stream: BufReader<UnixStream>,
    /// What is left of the chunk.
    left: u64,
    ended: bool,
}

/// `GET target`: the beginning of the answer has come.
///
/// # Errors
/// See [`enum@Error`].
pub fn open(path: &Path, target: &str) -> Result<Body, Error> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n");
    let failed = |error| client::failed(path, error);
    let mut stream = BufReader::new(client::send(path, &request).map_err(failed)?);
    let status = head(&mut stream).map_err(failed)?.ok_or_else(|| Error::Garbled(path.into()))?;
    if status == 200 {
        stream.get_ref().set_read_timeout(None).map_err(failed)?;
        return Ok(Body { stream, left: 0, ended: false });
    }
    let mut body = Vec::new();
    stream.take(HEAD).read_to_end(&mut body).map_err(failed)?;
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    Err(client::refused(status, &body))
}

/// Reads the head of an answer: its status, if it is one.
fn head(stream: &mut BufReader<UnixStream>) -> io::Result<Option<u16>> {
    let first = line(stream)?;
    if first.is_empty() {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    let status = first.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    while !line(stream)?.trim_end().is_empty() {}
    Ok(status)
}

fn line(stream: &mut BufReader<UnixStream>) -> io::Result<String> {
    let mut line = Vec::new();
    stream.take(HEAD).read_until(b'\n', &mut line)?;
    Ok(String::from_utf8_lossy(&line).into_owned())
}

impl Body {
    /// Reads the length of the next chunk.
    fn next_chunk(&mut self) -> io::Result<()> {
        let text = line(&mut self.stream)?;
        if text.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let digits = text.split(';').next().unwrap_or_default().trim();
        self.left = u64::from_str_radix(digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
        self.ended = self.left == 0;
        Ok(())
    }
}

impl Read for Body {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.ended {
            self.next_chunk()?;
        }
        if self.ended || out.is_empty() {
            return Ok(0);
        }
        let n = (&mut self.stream).take(self.left).read(out)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= n as u64;
        if self.left == 0 {
            // The line end behind a chunk.
            line(&mut self.stream)?;
        }
        Ok(n)
    }
}

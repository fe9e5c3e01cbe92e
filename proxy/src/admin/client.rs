//! Asks a running sidecar over its Unix socket: one request, one JSON answer, and the end.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

/// Time for each read and write.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer.
const ANSWER: u64 = 16 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket cannot be reached.
    #[error("cannot reach a sidecar at {path}: {error} (is it running with `--socket`?)")]
    Unreachable {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It hung up at once.
    #[error("the sidecar at {0} answers its own user and root alone")]
    TurnedAway(PathBuf),
    /// It answered with an error.
    #[error("the sidecar says no ({status}): {reason}")]
    Refused {
        /// The HTTP status code.
        status: u16,
        /// Its words.
        reason: String,
    },
    /// What came is no answer.
    #[error("what came from {0} is no answer of a sidecar")]
    Garbled(PathBuf),
}

/// `GET target`.
///
/// # Errors
/// See [`enum@Error`].
pub fn get(path: &Path, target: &str) -> Result<Value, Error> {
    ask(path, "GET", target, None, json)
}

/// `GET target`, where the answer is a text.
///
/// # Errors
/// See [`enum@Error`].
pub fn text(path: &Path, target: &str) -> Result<String, Error> {
    ask(path, "GET", target, None, |body| Some(body.to_owned()))
}

/// `POST target` without a body.
///
/// # Errors
/// See [`enum@Error`].
pub fn post(path: &Path, target: &str) -> Result<Value, Error> {
    ask(path, "POST", target, None, json)
}

/// `PUT target` with `body`.
///
/// # Errors
/// See [`enum@Error`].
pub fn put(path: &Path, target: &str, body: &Value) -> Result<Value, Error> {
    ask(path, "PUT", target, Some(body), json)
}

/// `DELETE target`.
///
/// # Errors
/// See [`enum@Error`].
pub fn delete(path: &Path, target: &str) -> Result<Value, Error> {
    ask(path, "DELETE", target, None, json)
}

fn json(body: &str) -> Option<Value> {
    serde_json::from_str(body).ok()
}

/// Asks; `take` makes of a good answer's body what is wanted, if it can.
fn ask<T>(
    path: &Path,
    method: &str,
    target: &str,
    body: Option<&Value>,
    take: fn(&str) -> Option<T>,
) -> Result<T, Error> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let request = format!(
        "{method} {target} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    match exchange(path, &request) {
        Ok(answer) if answer.is_empty() => Err(Error::TurnedAway(path.into())),
        Ok(answer) => read(&answer, take).unwrap_or_else(|| Err(Error::Garbled(path.into()))),
        Err(error) => Err(failed(path, error)),
    }
}

/// What a failure to speak with the sidecar means.
pub(super) fn failed(path: &Path, error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
            Error::TurnedAway(path.into())
        }
        _ => Error::Unreachable { path: path.into(), error },
    }
}

fn exchange(path: &Path, request: &str) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    send(path, request)?.take(ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

/// Connects and sends a request.
pub(super) fn send(path: &Path, request: &str) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

/// Takes an answer apart: its status line, and the body that goes on to the end.
fn read<T>(answer: &[u8], take: fn(&str) -> Option<T>) -> Option<Result<T, Error>> {
    let answer = std::str::from_utf8(answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status: u16 = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    if (200..300).contains(&status) {
        return Some(Ok(take(body)?));
    }
    Some(Err(refused(status, &json(body)?)))
}

/// What an answer says that is none of those wanted.
pub(super) fn refused(status: u16, body: &Value) -> Error {
    let reason = body.get("error").and_then(Value::as_str).unwrap_or("no reason given").to_owned();
    Error::Refused { status, reason }
}

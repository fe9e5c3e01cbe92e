//! The little Redis protocol (RESP2) that the shop needs: its store's side and its client's.

use std::io;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::Line;

/// Longest line and longest bulk string.
const LIMIT: u64 = 64 << 10;

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::demo) enum Value {
    /// `+OK` and the like.
    Status(String),
    /// A bulk string.
    Text(String),
    /// `-ERR …`, without the dash.
    Error(String),
    /// `:7`
    Integer(i64),
    /// The null bulk string.
    Nil,
    /// An array of plain values.
    List(Vec<Value>),
}

impl Value {
    /// The reply as it goes over the wire.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let line = match self {
            Self::Status(word) => format!("+{word}\r\n"),
            Self::Text(text) => format!("${}\r\n{text}\r\n", text.len()),
            Self::Error(words) => format!("-{words}\r\n"),
            Self::Integer(n) => format!(":{n}\r\n"),
            Self::Nil => "$-1\r\n".to_owned(),
            Self::List(values) => format!("*{}\r\n", values.len()),
        };
        out.extend_from_slice(line.as_bytes());
        if let Self::List(values) = self {
            values.iter().for_each(|value| value.encode(out));
        }
    }
}

/// A command as it goes over the wire.
pub(in crate::demo) fn command(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    out
}

/// Reads a command: an array of bulk strings, or a line of words. None at the end.
///
/// # Errors
/// The connection broke, or what came is not a command.
pub(super) async fn read_command<R: AsyncBufRead + Unpin>(
    from: &mut R,
) -> io::Result<Option<Vec<String>>> {
    let Some(line) = read_line(from).await? else {
        return Ok(None);
    };
    let Some(count) = line.strip_prefix('*') else {
        return Ok(Some(line.split_whitespace().map(str::to_owned).collect()));
    };
    let mut words = Vec::new();
    for _ in 0..number(count)?.min(64) {
        let line = read_line(from).await?.ok_or_else(nonsense)?;
        let length = line.strip_prefix('$').ok_or_else(nonsense)?;
        words.push(read_bulk(from, number(length)?).await?);
    }
    Ok(Some(words))
}

/// Reads a reply.
///
/// # Errors
/// The connection broke or ended, or what came is not a reply.
async fn read_value<R: AsyncBufRead + Unpin>(from: &mut R) -> io::Result<Value> {
    let line = read_line(from).await?;
    let line = line.ok_or(io::ErrorKind::UnexpectedEof)?;
    if let Some(count) = line.strip_prefix('*') {
        let mut values = Vec::new();
        for _ in 0..number(count)? {
            let line = read_line(from).await?.ok_or_else(nonsense)?;
            values.push(plain(&line, from).await?);
        }
        return Ok(Value::List(values));
    }
    plain(&line, from).await
}

async fn plain<R: AsyncBufRead + Unpin>(line: &str, from: &mut R) -> io::Result<Value> {
    let (kind, rest) = line.split_at_checked(1).ok_or_else(nonsense)?;
    Ok(match kind {
        "+" => Value::Status(rest.to_owned()),
        "-" => Value::Error(rest.to_owned()),
        ":" => Value::Integer(rest.parse().map_err(|_| nonsense())?),
        "$" if rest == "-1" => Value::Nil,
        "$" => Value::Text(read_bulk(from, number(rest)?).await?),
        _ => return Err(nonsense()),
    })
}

async fn read_line<R: AsyncBufRead + Unpin>(from: &mut R) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    from.take(LIMIT).read_until(b'\n', &mut line).await?;
    if line.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&line);
    match text.strip_suffix('\n') {
        Some(text) => Ok(Some(text.trim_end_matches('\r').to_owned())),
        None => Err(nonsense()),
    }
}

async fn read_bulk<R: AsyncBufRead + Unpin>(from: &mut R, length: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(length + 2).read_to_end(&mut bytes).await?;
    match bytes.strip_suffix(b"\r\n") {
        Some(text) => Ok(String::from_utf8_lossy(text).into_owned()),
        None => Err(nonsense()),
    }
}

fn number(text: &str) -> io::Result<u64> {
    let n = text.parse().map_err(|_| nonsense())?;
    if n > LIMIT { Err(nonsense()) } else { Ok(n) }
}

fn nonsense() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// A connection to a store that sends one command at a time.
pub(super) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// Those of the connect.
    pub(super) async fn connect(to: &Line) -> io::Result<Self> {
        Ok(Self { stream: BufReader::new(to.dial().await?) })
    }

    /// Sends a command and waits for its reply.
    ///
    /// # Errors
    /// The connection broke, or the reply cannot be read.
    pub(super) async fn call(&mut self, words: &[&str]) -> io::Result<Value> {
        self.stream.write_all(&command(words)).await?;
        read_value(&mut self.stream).await
    }
}

#[cfg(test)]
mod tests {
    use super::{Value, command, read_command, read_value};

    #[tokio::test]
    async fn commands_are_read_as_arrays_and_as_lines() {
        let mut bytes = command(&["SET", "order:1", "tea 2\r\n"]);
        bytes.extend_from_slice(b"PING  now\r\n");
        let mut bytes = bytes.as_slice();
        let first = read_command(&mut bytes).await.unwrap().unwrap();
        assert_eq!(first, ["SET", "order:1", "tea 2\r\n"]);
        let second = read_command(&mut bytes).await.unwrap().unwrap();
        assert_eq!(second, ["PING", "now"]);
        assert_eq!(read_command(&mut bytes).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_value_survives_the_wire() {
        let value = Value::List(vec![
            Value::Text("a".into()),
            Value::Nil,
            Value::Integer(-7),
            Value::Error("ERR no".into()),
        ]);
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        assert_eq!(read_value(&mut bytes.as_slice()).await.unwrap(), value);
    }
}

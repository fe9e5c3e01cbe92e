//! The intruder: somebody who runs code where an application does, and can dial what it can.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_parsers::http2::PREFACE;

use super::attacks::{Attack, Target};
use super::origin::Origin;
use super::shop::Workload;
use super::shop::grpc::{Reply, replies};
use super::shop::http::Answer;
use crate::net;

/// Silence for so long is taken for the end of what will come.
const SILENCE: Duration = Duration::from_millis(800);
/// No answer of interest is longer.
const LIMIT: usize = 64 << 10;

/// What the intruder got for an attack.
pub(super) struct Booty {
    /// The intruder's own address on this connection, if there is one: the log's `client`.
    pub(super) from: Option<SocketAddr>,
    /// What came back, in a few words.
    pub(super) words: String,
    /// Whether that is a no: a refusal in the protocol's words, or a closed door.
    pub(super) refused: bool,
    /// The id that the refusal tells.
    pub(super) id: Option<String>,
}

impl Booty {
    /// What somebody got who was not even let in.
    pub(super) fn nothing(error: &io::Error) -> Self {
        Self { from: None, words: format!("an error: {error}"), refused: true, id: None }
    }
}

/// Tries one thing on a connection of its own.
///
/// # Errors
/// Nothing can be reached at `at`.
pub(super) async fn attempt(attack: &Attack, origin: &Origin, at: SocketAddr) -> io::Result<Booty> {
    let (from, connected) = origin.try_to_connect(at).await?;
    let booty = match connected {
        Ok(stream) => converse(attack, stream).await,
        // Accepted and reset, before it was seen that it was accepted.
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
            told(attack, &[], End::Reset)
        }
        Err(error) => return Err(error),
    };
    Ok(Booty { from: Some(from), ..booty })
}

async fn converse(attack: &Attack, mut stream: TcpStream) -> Booty {
    // A door that closes while we talk is an outcome, seen again in the reading.
    let _ = stream.write_all(&attack.bytes).await;
    let mut bytes = Vec::new();
    let end = loop {
        if complete(attack, &bytes) || bytes.len() > LIMIT {
            break End::Answered;
        }
        match tokio::time::timeout(SILENCE, stream.read_buf(&mut bytes)).await {
            Ok(Ok(0)) => break End::Closed,
            Ok(Ok(_)) => {}
            Ok(Err(_)) => break End::Reset,
            Err(_) => break End::Silent,
        }
    };
    told(attack, &bytes, end)
}

fn told(attack: &Attack, bytes: &[u8], end: End) -> Booty {
    let (refused, words) = judge(attack, bytes, end);
    let id = match by_http2(attack, bytes) {
        Some(replies) => replies.iter().find_map(Reply::id),
        None => id(&String::from_utf8_lossy(bytes)),
    };
    Booty { from: None, words, refused, id }
}

/// Sends one datagram, and waits a while for an answer or an error.
///
/// # Errors
/// No socket can be made.
pub(super) async fn send(attack: &Attack, origin: &Origin, to: SocketAddr) -> io::Result<Booty> {
    let socket = origin.datagrams(net::any_port(to)).await?;
    let talk = async {
        socket.connect(to).await?;
        socket.send(&attack.bytes).await?;
        socket.recv(&mut [0; 512]).await
    };
    let (refused, words) = match tokio::time::timeout(SILENCE, talk).await {
        Ok(Err(error)) => (true, format!("an error: {error}")),
        Ok(Ok(_)) => (false, "an answer".to_owned()),
        Err(_) => (false, "no error: it was sent".to_owned()),
    };
    Ok(Booty { from: None, words, refused, id: None })
}

/// Connects to a Unix socket and speaks.
pub(super) async fn knock(attack: &Attack, origin: &Origin, path: &Path) -> Booty {
    let mut stream = match origin.connect_unix(path.to_owned()).await {
        Ok(stream) => stream,
        Err(error) => return Booty::nothing(&error),
    };
    let mut bytes = Vec::new();
    let talked = async {
        stream.write_all(&attack.bytes).await?;
        stream.read_to_end(&mut bytes).await
    };
    let _ = tokio::time::timeout(SILENCE, talked).await;
    let words =
        if bytes.is_empty() { "the connection was closed".into() } else { first_line(&bytes) };
    Booty { from: None, words, refused: bytes.is_empty(), id: None }
}

#[derive(Clone, Copy)]
enum End {
    Answered,
    Closed,
    Reset,
    Silent,
}

fn complete(attack: &Attack, bytes: &[u8]) -> bool {
    match attack.target {
        Target::Service(Workload::Store) => error(bytes).is_some(),
        _ if let Some(replies) = by_http2(attack, bytes) => {
            replies.iter().filter(|reply| reply.ended()).count() > attack.allowed
        }
        _ => Answer::parse(bytes).is_some(),
    }
}

/// The first Redis error, once its line is whole.
fn error(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let (lines, _rest) = text.rsplit_once("\r\n")?;
    let line = lines.split("\r\n").find(|line| line.starts_with('-'))?;
    Some(line.to_owned())
}

fn judge(attack: &Attack, bytes: &[u8], end: End) -> (bool, String) {
    if attack.target == Target::Service(Workload::Store) {
        if let Some(line) = error(bytes) {
            let before = bytes.split(|&b| b == b'\r').next().unwrap_or_default();
            let refused = attack.allowed == 0 || before.starts_with(b"*");
            return (refused, line);
        }
    } else if let Some(replies) = by_http2(attack, bytes) {
        let words: Vec<String> = replies.iter().map(Reply::words).collect();
        // Those that are allowed must have been answered as well.
        let refused = replies.iter().filter(|reply| reply.refused()).count() == 1
            && replies.iter().filter(|reply| reply.code() == Some(0)).count() == attack.allowed;
        if !words.is_empty() {
            return (refused, words.join("; "));
        }
    } else if let Some(answer) = Answer::parse(bytes) {
        return (answer.status >= 400, answer.line);
    }
    match (end, bytes.is_empty()) {
        (End::Closed, true) => (true, "nothing: the connection was closed".to_owned()),
        (End::Reset, true) => (true, "nothing: the connection was reset".to_owned()),
        (End::Silent, true) => (false, "no answer yet".to_owned()),
        _ => (false, first_line(bytes)),
    }
}

/// The answers, where it was HTTP/2 that was spoken.
fn by_http2(attack: &Attack, bytes: &[u8]) -> Option<Vec<Reply>> {
    attack.bytes.starts_with(PREFACE).then(|| replies(bytes))
}

fn first_line(bytes: &[u8]) -> String {
    let line = bytes.split(|&b| b == b'\r' || b == b'\n').next();
    String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
}

/// The id that a refusal tells: `"id":"…"` in a problem document, `(id …)` in a Redis error.
fn id(text: &str) -> Option<String> {
    let rest = match text.split_once("\"id\":") {
        Some((_, rest)) => rest.trim_start().strip_prefix('"')?,
        None => text.rsplit_once("id ")?.1,
    };
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))?;
    (end > 0).then(|| rest[..end].to_owned())
}

#[cfg(test)]
mod tests {
    use super::{error, id};

    #[test]
    fn an_id_is_found_in_either_protocols_refusal() {
        let http = r#"{"type":"about:blank","status":403,"id":"4f1c-2"}"#;
        assert_eq!(id(http).as_deref(), Some("4f1c-2"));
        let redis = "-NOPERM refused by weir (id 4f1c-2)\r\n";
        assert_eq!(id(redis).as_deref(), Some("4f1c-2"));
        assert_eq!(id("HTTP/1.1 200 OK\r\n\r\n"), None);
    }

    #[test]
    fn an_error_counts_when_its_line_is_whole() {
        assert_eq!(error(b"*0\r\n-NOPERM no"), None);
        assert_eq!(error(b"*0\r\n-NOPERM no\r\n").as_deref(), Some("-NOPERM no"));
        assert_eq!(error(b"$2\r\nhi\r\n"), None);
    }
}

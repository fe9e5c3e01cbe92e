//! The server's first bytes.

use super::{Detection, Unknown};
use crate::http2::{FRAME_HEADER, FrameKind, flag};

/// The longest first line that is taken for a Redis answer. Redis cuts what it quotes in errors.
const ANSWER_LINE: usize = 512;

/// Who greets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Greeting {
    /// SSH (RFC 4253 §4.2).
    Ssh,
    /// SMTP (RFC 5321 §4.2) or FTP (RFC 959): `220`.
    Mail,
    /// IMAP (RFC 3501 §7.1).
    Imap,
    /// POP3 (RFC 1939 §4).
    Pop3,
    /// MySQL's handshake version 10, or its error at connect.
    Mysql,
    /// None that is known here.
    Other,
}

impl Greeting {
    /// The label in log and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Greeting::Ssh => "ssh",
            Greeting::Mail => "smtp_or_ftp",
            Greeting::Imap => "imap",
            Greeting::Pop3 => "pop3",
            Greeting::Mysql => "mysql",
            Greeting::Other => "server_first",
        }
    }

    /// The protocol has a name, though this build has no parser for it.
    pub fn is_known(self) -> bool {
        self != Greeting::Other
    }
}

/// What the server's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// More are needed.
    More {
        /// HTTP and Redis are out.
        server_first: bool,
    },
    /// A SETTINGS frame, which a server of HTTP/2 may send before the client's preface has come
    /// (RFC 9113 §3.4). The client's bytes say whether it is understood.
    Settings,
    /// This.
    Found(Detection),
}

/// The text greetings, no one the beginning of another.
const GREETINGS: [(&[u8], Greeting); 5] = [
    (b"SSH-", Greeting::Ssh),
    (b"220 ", Greeting::Mail),
    (b"220-", Greeting::Mail),
    (b"* OK", Greeting::Imap),
    (b"+OK", Greeting::Pop3),
];

/// A server that speaks before the client has.
pub(super) fn greeting(data: &[u8]) -> Heard {
    if data.is_empty() {
        return Heard::More { server_first: false };
    }
    if let Some(heard) = status_line(data).or_else(|| settings(data)).or_else(|| redis_error(data))
    {
        return heard;
    }
    for (start, greeting) in GREETINGS {
        if data.starts_with(start) {
            return Heard::Found(Detection::ServerFirst(greeting));
        }
        if start.starts_with(data) {
            return Heard::More { server_first: true };
        }
    }
    mysql(data)
}

/// A server that answers bytes which are not certain. `line`: they are a whole line, which an
/// inline Redis command would be.
pub(super) fn answer(data: &[u8], line: bool) -> Heard {
    let more = Heard::More { server_first: false };
    if data.is_empty() {
        return more;
    }
    if let Some(heard) = status_line(data) {
        return heard;
    }
    if line {
        return match is_reply(data) {
            None => more,
            Some(true) => Heard::Found(Detection::Redis),
            Some(false) => unrecognised(),
        };
    }
    settings(data).or_else(|| redis_error(data)).unwrap_or_else(unrecognised)
}

fn unrecognised() -> Heard {
    Heard::Found(Detection::Unknown(Unknown::Unrecognised))
}

/// An HTTP status line: a server that gives up on a silent client says 408 (RFC 9110 §15.5.9).
fn status_line(data: &[u8]) -> Option<Heard> {
    const VERSION: &[u8] = b"HTTP/1.";
    if data.starts_with(VERSION) {
        return Some(Heard::Found(Detection::Http1));
    }
    VERSION.starts_with(data).then_some(Heard::More { server_first: false })
}

/// The header of a SETTINGS frame that acknowledges nothing (RFC 9113 §4.1, §6.5). Its length is
/// taken to be below 2^16: ten thousand settings.
fn settings(data: &[u8]) -> Option<Heard> {
    let fits = |i: usize, byte: u8| match i {
        1 | 2 => true,
        3 => FrameKind::from(byte) == FrameKind::Settings,
        4 => byte & flag::ACK == 0,
        // The reserved bit of the stream's number says nothing.
        5 => byte & 0x7f == 0,
        _ => byte == 0,
    };
    let head = data.get(..FRAME_HEADER).unwrap_or(data);
    let whole_settings = match head {
        [_, high, low, ..] => u16::from_be_bytes([*high, *low]) % 6 == 0,
        _ => true,
    };
    if !whole_settings || !head.iter().enumerate().all(|(i, &byte)| fits(i, byte)) {
        return None;
    }
    Some(match head.len() {
        FRAME_HEADER => Heard::Settings,
        _ => Heard::More { server_first: false },
    })
}

/// A Redis error that nobody asked for: `-DENIED` in protected mode, `-ERR max number of clients
/// reached`.
fn redis_error(data: &[u8]) -> Option<Heard> {
    match data {
        [b'-'] => Some(Heard::More { server_first: false }),
        [b'-', b'A'..=b'Z', ..] => Some(Heard::Found(Detection::Redis)),
        _ => None,
    }
}

/// MySQL's first packet: 3 bytes of length (in use below 512), sequence 0, then 10 for the
/// handshake or 255 for an error. Source: MySQL's internals manual, "Protocol::Handshake".
fn mysql(data: &[u8]) -> Heard {
    let fits = |i: usize, byte: u8| match i {
        0 => true,
        1 => byte <= 1,
        2 | 3 => byte == 0,
        _ => matches!(byte, 0x0a | 0xff),
    };
    let head = data.get(..5).unwrap_or(data);
    if !head.iter().enumerate().all(|(i, &byte)| fits(i, byte)) {
        Heard::Found(Detection::ServerFirst(Greeting::Other))
    } else if head.len() == 5 {
        Heard::Found(Detection::ServerFirst(Greeting::Mysql))
    } else {
        Heard::More { server_first: true }
    }
}

/// Whether the data begin with a RESP reply's first line; none: more is needed.
fn is_reply(data: &[u8]) -> Option<bool> {
    let (&kind, rest) = data.split_first()?;
    let fits: fn(u8) -> bool = match kind {
        b'+' | b'-' => |b| b >= b' ' && b != 0x7f,
        b':' | b'$' | b'*' | b'%' | b'~' | b'>' | b'|' => |b| b.is_ascii_digit() || b == b'-',
        b'_' => |_| false,
        _ => return Some(false),
    };
    let line = rest.iter().take(ANSWER_LINE).position(|&b| !fits(b));
    match line {
        None if rest.len() < ANSWER_LINE => None,
        None => Some(false),
        Some(0) if kind != b'_' => Some(false),
        Some(n) => match rest.get(n..).unwrap_or_default() {
            [b'\r'] => None,
            [b'\r', b'\n', ..] => Some(true),
            _ => Some(false),
        },
    }
}

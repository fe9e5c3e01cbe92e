//! The client's first bytes.

use memchr::memchr2;

use super::tls::{self, HelloScan};
use super::{Detection, Unknown, proxy};

/// The connection preface of HTTP/2 (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the client's first bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// There are none.
    Nothing,
    /// More are needed.
    More,
    /// A line of text that is no HTTP request line: an inline Redis command, if the server
    /// answers it so.
    Line,
    /// A whole PROXY header.
    Proxy(proxy::Header),
    /// This.
    Found(Detection),
}

/// Reads the client's first bytes, each once.
#[derive(Clone, Debug, Default)]
pub(super) struct Scan {
    state: State,
    /// A second PROXY header is not looked for.
    behind_proxy: bool,
}

#[derive(Clone, Debug, Default)]
enum State {
    #[default]
    Start,
    Tls(HelloScan),
    Text(Text),
}

impl Scan {
    /// Looks at all that has come. Found is final; after a PROXY header, what follows it is
    /// handed in.
    pub(super) fn look(&mut self, data: &[u8]) -> Said {
        if matches!(self.state, State::Start) {
            match self.start(data) {
                Ok(state) => self.state = state,
                Err(said) => return said,
            }
        }
        match &mut self.state {
            State::Start => Said::More,
            State::Text(text) => text.look(data),
            State::Tls(scan) => match scan.find(data) {
                Ok(None) => Said::More,
                Ok(Some(len)) => Said::Found(Detection::Tls(len)),
                Err(tls::Reason::NotTls) => unknown(Unknown::Unrecognised),
                Err(reason) => unknown(Unknown::Tls(reason)),
            },
        }
    }

    /// Tells the protocols apart that begin with fixed bytes.
    fn start(&mut self, data: &[u8]) -> Result<State, Said> {
        match data {
            [] => return Err(Said::Nothing),
            [tls::HANDSHAKE, ..] => return Ok(State::Tls(HelloScan::default())),
            _ if data.starts_with(HTTP2_PREFACE) => return Err(Said::Found(Detection::Http2)),
            _ => {}
        }
        if !self.behind_proxy {
            match proxy::header(data) {
                proxy::Found::Not => {}
                proxy::Found::More => return Err(Said::More),
                proxy::Found::Bad(reason) => return Err(unknown(Unknown::Proxy(reason))),
                proxy::Found::Header(header) => {
                    self.behind_proxy = true;
                    return Err(Said::Proxy(header));
                }
            }
        }
        if HTTP2_PREFACE.starts_with(data) {
            return Err(Said::More);
        }
        Ok(State::Text(Text::default()))
    }
}

fn unknown(why: Unknown) -> Said {
    Said::Found(Detection::Unknown(why))
}

/// The first line, up to its CR or LF, empty lines before it skipped: HTTP servers (RFC 9112
/// §2.2) and Redis both skip them.
#[derive(Clone, Debug, Default)]
struct Text {
    /// Where the line begins.
    start: usize,
    /// Everything before this was looked at.
    at: usize,
    /// The first word is over.
    spaced: bool,
    line: bool,
}

impl Text {
    fn look(&mut self, data: &[u8]) -> Said {
        if self.line {
            return Said::Line;
        }
        while !self.spaced {
            let Some(&byte) = data.get(self.at) else { return Said::More };
            match byte {
                b'\r' | b'\n' if self.at == self.start => self.start += 1,
                b'\r' | b'\n' => return self.line(data),
                b' ' | b'\t' if self.at > self.start => self.spaced = true,
                _ if is_token(byte) => {}
                _ => return unknown(Unknown::Unrecognised),
            }
            self.at += 1;
        }
        let rest = data.get(self.at..).unwrap_or_default();
        match memchr2(b'\r', b'\n', rest) {
            Some(n) => {
                self.at += n;
                self.line(data)
            }
            None => {
                self.at = data.len();
                Said::More
            }
        }
    }

    fn line(&mut self, data: &[u8]) -> Said {
        let line = data.get(self.start..self.at).unwrap_or_default();
        if names_http(line) {
            Said::Found(Detection::Http1)
        } else if is_array_header(line) {
            Said::Found(Detection::Redis)
        } else if line.first().is_some_and(u8::is_ascii_alphabetic) {
            self.line = true;
            Said::Line
        } else {
            unknown(Unknown::Unrecognised)
        }
    }
}

/// Whether a word behind the first is an HTTP version, in whatever case and place: the parser
/// says which of them it takes.
fn names_http(line: &[u8]) -> bool {
    let version = |word: &[u8]| {
        word.split_at_checked(5).is_some_and(|(name, number)| {
            name.eq_ignore_ascii_case(b"HTTP/") && number.first().is_some_and(u8::is_ascii_digit)
        })
    };
    line.split(|&b| matches!(b, b' ' | b'\t' | 0x0b | 0x0c)).skip(1).any(version)
}

/// `*` and a number: the header of a RESP array.
fn is_array_header(line: &[u8]) -> bool {
    let Some(number) = line.strip_prefix(b"*") else { return false };
    let digits = number.strip_prefix(b"-").unwrap_or(number);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

//! The end of a head, found as its bytes come.

use super::Reason;
use crate::http::chars::{TOKEN, control, run};

/// Which kind of head is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadKind {
    /// A request line, then fields.
    Request,
    /// A status line, then fields.
    Response,
}

/// Finds the end of a head without looking at any byte twice.
///
/// One is made for each head. It is strict from the first byte on: what can no longer become a
/// head is an error at once, so nothing waits for more of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct HeadScan {
    at: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In the method, or in the version of a response.
    #[default]
    FirstWord,
    /// In the rest of the start line.
    StartLine,
    /// At the first byte of the first field line.
    FirstField,
    /// At the first byte of a later field line.
    NextField,
    /// Within a field line.
    Field,
    /// Behind the CR of the empty line.
    End,
}

impl HeadScan {
    /// For a trailer section: fields alone, and the empty line (RFC 9112 §7.1.2).
    pub(super) fn trailers() -> Self {
        Self { at: 0, state: State::FirstField }
    }

    /// Looks for the end of the head that begins `buf`.
    ///
    /// `buf` is the same as at the last call, with more behind it. Answers the head's length, its
    /// empty line included, once it is there.
    ///
    /// # Errors
    /// What no continuation can mend: a byte that cannot stand where it stands, an unknown version,
    /// or no end within `limit` bytes.
    pub fn find(
        &mut self,
        buf: &[u8],
        kind: HeadKind,
        limit: usize,
    ) -> Result<Option<usize>, Reason> {
        let limit = limit.min(u32::MAX as usize);
        let window = &buf[..buf.len().min(limit)];
        match self.advance(window, kind)? {
            Some(end) => Ok(Some(end)),
            None if buf.len() >= limit => Err(Reason::HeadTooLong),
            None => Ok(None),
        }
    }

    fn advance(&mut self, buf: &[u8], kind: HeadKind) -> Result<Option<usize>, Reason> {
        let mut at = self.at as usize;
        while at < buf.len() {
            let (next, state) = match (self.state, buf[at]) {
                (State::FirstWord, _) => match first_word(buf, at, kind)? {
                    (end, true) => (end, State::StartLine),
                    (end, false) => (end, State::FirstWord),
                },
                (State::StartLine, _) => match line_end(buf, at)? {
                    LineEnd::At(end) => {
                        if kind == HeadKind::Request {
                            request_version(&buf[..end])?;
                        }
                        (end + 2, State::FirstField)
                    }
                    LineEnd::Beyond(seen) => return Ok(self.pause(seen)),
                },
                (State::FirstField | State::NextField, b'\r') => (at + 1, State::End),
                (State::FirstField, b' ' | b'\t') => return Err(Reason::WhitespaceBeforeField),
                (State::NextField, b' ' | b'\t') => return Err(Reason::ObsFold),
                (State::FirstField | State::NextField | State::Field, _) => {
                    match line_end(buf, at)? {
                        LineEnd::At(end) => (end + 2, State::NextField),
                        LineEnd::Beyond(seen) => {
                            self.state = State::Field;
                            return Ok(self.pause(seen));
                        }
                    }
                }
                (State::End, b'\n') => return Ok(Some(at + 1)),
                (State::End, _) => return Err(Reason::BareCr),
            };
            (at, self.state) = (next, state);
        }
        Ok(self.pause(at))
    }

    fn pause(&mut self, at: usize) -> Option<usize> {
        // Never above the limit, which was made to fit.
        self.at = u32::try_from(at).unwrap_or(u32::MAX);
        None
    }
}

/// Checks the method or the version as far as it has come: where it stopped, and whether the
/// rest of the line begins there.
fn first_word(buf: &[u8], at: usize, kind: HeadKind) -> Result<(usize, bool), Reason> {
    if at == 0 {
        match buf[0] {
            b'\r' => return Err(Reason::EmptyLine),
            b'\n' => return Err(Reason::BareLf),
            _ => {}
        }
    }
    if kind == HeadKind::Response {
        const PREFIX: &[u8] = b"HTTP/1.";
        let end = buf.len().min(PREFIX.len());
        let fits = buf[at..end] == PREFIX[at..end];
        if !fits && buf.starts_with(b"HTTP/") && !buf[5..].starts_with(b"1") {
            return Err(Reason::Version);
        }
        return if fits { Ok((end, end == PREFIX.len())) } else { Err(Reason::StatusLine) };
    }
    let end = at + run(&buf[at..], TOKEN);
    match buf.get(end) {
        None => Ok((end, false)),
        Some(b' ') if end > 0 => Ok((end, true)),
        Some(b'\r' | b'\n') => Err(Reason::RequestLine),
        Some(0) => Err(Reason::Nul),
        Some(_) => Err(Reason::MethodInvalid),
    }
}

/// What follows in a line from a given place on.
pub(super) enum LineEnd {
    /// Its CRLF begins here.
    At(usize),
    /// It has not come; this many bytes need not be looked at again.
    Beyond(usize),
}

/// Looks for the CRLF of the line that `at` stands in.
///
/// # Errors
/// A control character before it.
#[inline]
pub(super) fn line_end(buf: &[u8], at: usize) -> Result<LineEnd, Reason> {
    let Some(found) = control(&buf[at..]) else { return Ok(LineEnd::Beyond(buf.len())) };
    let found = at + found;
    match (buf[found], buf.get(found + 1)) {
        (b'\r', Some(b'\n')) => Ok(LineEnd::At(found)),
        (b'\r', None) => Ok(LineEnd::Beyond(found)),
        (b'\r', _) => Err(Reason::BareCr),
        (b'\n', _) => Err(Reason::BareLf),
        (0, _) => Err(Reason::Nul),
        _ => Err(Reason::ControlByte),
    }
}

/// Checks how a request line (without its CRLF) ends, so that a client that speaks another
/// version and waits is told at once.
fn request_version(line: &[u8]) -> Result<(), Reason> {
    let tail = line.len().checked_sub(9).map_or(line, |at| &line[at..]);
    match tail {
        b" HTTP/1.1" | b" HTTP/1.0" => Ok(()),
        _ if line == b"PRI * HTTP/2.0" => Err(Reason::Http2),
        [b' ', b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Reason::Version)
        }
        _ => Err(Reason::RequestLine),
    }
}

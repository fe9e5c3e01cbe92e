//! The line before a chunk: its size and its extensions (RFC 9112 §7.1).

use super::Reason;
use crate::http::chars::{TOKEN, is};

/// Reads one chunk line, byte by byte as they come:
/// `1*HEXDIG *( ";" token [ "=" ( token / quoted-string ) ] ) CRLF`.
///
/// The bad whitespace that RFC 9112 §7.1.1 lets readers accept is refused: readers differ.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ChunkLine {
    size: u64,
    at: u32,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// Behind `;`.
    NameStart,
    Name,
    /// Behind `=`.
    ValueStart,
    Value,
    Quoted,
    /// Behind `\` in a quoted string.
    Escaped,
    /// Behind the closing quote.
    Unquoted,
    /// Behind CR.
    Cr,
}

impl ChunkLine {
    /// Answers the line's length with its CRLF, and the chunk's size, once the line is whole.
    pub(super) fn read(
        &mut self,
        buf: &[u8],
        limit: usize,
    ) -> Result<Option<(usize, u64)>, Reason> {
        let limit = limit.min(u32::MAX as usize);
        let seen = self.at as usize;
        // The limit may have become smaller since the last call.
        for &byte in buf.get(seen..buf.len().min(limit)).unwrap_or_default() {
            self.state = self.step(byte)?;
            self.at += 1;
            if self.state == State::Size && byte == b'\n' {
                return Ok(Some((self.at as usize, self.size)));
            }
        }
        if buf.len() >= limit { Err(Reason::ChunkLineTooLong) } else { Ok(None) }
    }

    fn step(&mut self, byte: u8) -> Result<State, Reason> {
        match (self.state, byte) {
            (State::Cr, b'\n') => Ok(State::Size),
            (State::Cr, _) => Err(Reason::BareCr),
            (_, b'\n') => Err(Reason::BareLf),
            (_, 0) => Err(Reason::Nul),
            (State::Size, b'\r' | b';') if self.at == 0 => Err(Reason::ChunkSizeInvalid),
            (State::Size | State::Name | State::Value | State::Unquoted, b'\r') => Ok(State::Cr),
            (State::Size | State::Name | State::Value | State::Unquoted, b';') => {
                Ok(State::NameStart)
            }
            (State::Size, _) => self.digit(byte),
            (State::Name, b'=') => Ok(State::ValueStart),
            (State::NameStart | State::Name, _) if is(byte, TOKEN) => Ok(State::Name),
            (State::ValueStart, b'"') => Ok(State::Quoted),
            (State::ValueStart | State::Value, _) if is(byte, TOKEN) => Ok(State::Value),
            (State::Quoted, b'"') => Ok(State::Unquoted),
            (State::Quoted, b'\\') => Ok(State::Escaped),
            (State::Quoted | State::Escaped, b'\t' | b' '..=b'~' | 0x80..) => Ok(State::Quoted),
            _ => Err(Reason::ChunkExtensionInvalid),
        }
    }

    fn digit(&mut self, byte: u8) -> Result<State, Reason> {
        let digit = char::from(byte).to_digit(16).ok_or(Reason::ChunkSizeInvalid)?;
        if self.at >= 16 || self.size >> 59 != 0 {
            return Err(Reason::ChunkSizeOverflow);
        }
        self.size = self.size << 4 | u64::from(digit);
        Ok(State::Size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_shrinks_within_a_line_ends_it() {
        let mut line = ChunkLine::default();
        assert_eq!(line.read(b"5;name=val", 64), Ok(None));
        assert_eq!(line.read(b"5;name=value\r\n", 4), Err(Reason::ChunkLineTooLong));
    }
}

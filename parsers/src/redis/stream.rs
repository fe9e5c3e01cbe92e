//! Reading a command piece by piece, when it is too big to be held.

use super::Reason;
use super::number::{crlf, integer, to_usize};
use super::scan::{args, bulk};

/// Reads one command after the other, piece by piece. The caller disposes of the bytes of each
/// piece and hands in what follows them.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommandStream {
    state: State,
    argc: u32,
    index: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Header,
    Arg,
    Data(u64),
}

/// What stands at the start of the bytes handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandPiece {
    /// Too little to say.
    Partial,
    /// The array's header, `len` bytes.
    Header {
        /// How many arguments follow.
        argc: u32,
        /// Its length.
        len: usize,
    },
    /// The header of an argument, `len` bytes.
    ArgStart {
        /// Which argument; the name is 0.
        index: u32,
        /// The size of its content.
        size: u64,
        /// The header's length.
        len: usize,
    },
    /// So many bytes of an argument's content, at least one.
    ArgData(usize),
    /// The CR LF behind an argument.
    ArgEnd(usize),
    /// The command is complete; this takes no bytes, and the next call begins another.
    End,
}

impl CommandStream {
    /// Names the piece at the start of `buf`. `bulk_limit` bounds each argument.
    ///
    /// # Errors
    /// As [`CommandScan::find`](super::CommandScan::find). An empty line is not taken here.
    pub fn next(&mut self, buf: &[u8], bulk_limit: u64) -> Result<CommandPiece, Reason> {
        match self.state {
            State::Header => self.header(buf),
            State::Arg if self.index == self.argc => {
                *self = Self::default();
                Ok(CommandPiece::End)
            }
            State::Arg => self.arg(buf, bulk_limit),
            State::Data(0) => self.end(buf),
            State::Data(_) if buf.is_empty() => Ok(CommandPiece::Partial),
            State::Data(left) => {
                let n = buf.len().min(to_usize(left));
                self.state = State::Data(left - n as u64);
                Ok(CommandPiece::ArgData(n))
            }
        }
    }

    fn header(&mut self, buf: &[u8]) -> Result<CommandPiece, Reason> {
        let rest = match buf {
            [] => return Ok(CommandPiece::Partial),
            [b'*', rest @ ..] => rest,
            _ => return Err(Reason::ExpectedArray),
        };
        let Some((n, used)) = integer(rest)? else { return Ok(CommandPiece::Partial) };
        self.argc = args(n)?;
        self.state = State::Arg;
        Ok(CommandPiece::Header { argc: self.argc, len: 1 + used })
    }

    fn arg(&mut self, buf: &[u8], bulk_limit: u64) -> Result<CommandPiece, Reason> {
        let Some((size, len)) = bulk(buf, bulk_limit)? else { return Ok(CommandPiece::Partial) };
        self.state = State::Data(size);
        Ok(CommandPiece::ArgStart { index: self.index, size, len })
    }

    fn end(&mut self, buf: &[u8]) -> Result<CommandPiece, Reason> {
        if !crlf(buf)? {
            return Ok(CommandPiece::Partial);
        }
        self.index += 1;
        self.state = State::Arg;
        Ok(CommandPiece::ArgEnd(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `raw` as it would come in slices of `step` bytes, joining runs of data.
    fn pieces(raw: &[u8], step: usize) -> Result<Vec<CommandPiece>, Reason> {
        let mut stream = CommandStream::default();
        let (mut at, mut have, mut list) = (0, 0, Vec::new());
        loop {
            let piece = stream.next(&raw[at..have], 512 << 20)?;
            at += match piece {
                CommandPiece::Partial if have == raw.len() => return Ok(list),
                CommandPiece::Partial => {
                    have = raw.len().min(have + step);
                    continue;
                }
                CommandPiece::Header { len, .. } | CommandPiece::ArgStart { len, .. } => len,
                CommandPiece::ArgData(n) | CommandPiece::ArgEnd(n) => n,
                CommandPiece::End => 0,
            };
            match (list.last_mut(), piece) {
                (Some(CommandPiece::ArgData(m)), CommandPiece::ArgData(n)) => *m += n,
                _ => list.push(piece),
            }
        }
    }

    #[test]
    fn pieces_are_the_same_over_any_cut() {
        let raw = b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n*0\r\n*1\r\n$4\r\nPING\r\n";
        let expected = [
            CommandPiece::Header { argc: 2, len: 4 },
            CommandPiece::ArgStart { index: 0, size: 3, len: 4 },
            CommandPiece::ArgData(3),
            CommandPiece::ArgEnd(2),
            CommandPiece::ArgStart { index: 1, size: 0, len: 4 },
            CommandPiece::ArgEnd(2),
            CommandPiece::End,
            CommandPiece::Header { argc: 0, len: 4 },
            CommandPiece::End,
            CommandPiece::Header { argc: 1, len: 4 },
            CommandPiece::ArgStart { index: 0, size: 4, len: 4 },
            CommandPiece::ArgData(4),
            CommandPiece::ArgEnd(2),
            CommandPiece::End,
        ];
        for step in 1..=raw.len() {
            assert_eq!(pieces(raw, step).unwrap(), expected, "in slices of {step}");
        }
    }

    #[test]
    fn content_must_end_where_its_length_says() {
        assert_eq!(pieces(b"*1\r\n$1\r\nab\r\n", 1), Err(Reason::LineEnding));
        assert_eq!(pieces(b"PING\r\n", 1), Err(Reason::ExpectedArray));
        assert_eq!(pieces(b"*1\r\n$1\r\na\r\r", 1), Err(Reason::LineEnding));
    }
}

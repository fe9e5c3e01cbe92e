//! The body of a message, read as its bytes come (RFC 9112 §6, §7).

use super::chunk::ChunkLine;
use super::fields::{Fields, trailers};
use super::{HeadKind, HeadScan, Reason};

/// How long the body of a request is (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks tell.
    Chunked,
}

/// How long the body of a response is (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    /// There is none.
    None,
    /// So many bytes, at least one.
    Length(u64),
    /// Chunks tell.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// What the next bytes of a body are.
#[derive(Clone, Debug)]
pub enum BodyPart<'a> {
    /// More bytes are needed to tell. Those at hand are handed in again with them.
    Partial,
    /// So many bytes of content.
    Data(usize),
    /// So many bytes of chunk framing.
    Framing(usize),
    /// The trailer section of a chunked body, the empty line that ends it included.
    Trailers {
        /// Its length in bytes.
        len: usize,
        /// The fields in it; often none.
        fields: Fields<'a>,
    },
    /// The message is complete; this takes no bytes.
    End,
}

/// Reads one body. The same for both legs.
#[derive(Clone, Copy, Debug)]
pub struct Body {
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Length(u64),
    UntilClose,
    ChunkLine(ChunkLine),
    ChunkData(u64),
    ChunkEnd,
    Trailers(HeadScan),
    Done,
}

impl From<BodyLength> for Body {
    fn from(length: BodyLength) -> Self {
        let state = match length {
            BodyLength::None => State::Done,
            BodyLength::Length(length) => State::Length(length),
            BodyLength::Chunked => State::ChunkLine(ChunkLine::default()),
        };
        Self { state }
    }
}

impl From<ResponseBody> for Body {
    fn from(length: ResponseBody) -> Self {
        let state = match length {
            ResponseBody::None => State::Done,
            ResponseBody::Length(length) => State::Length(length),
            ResponseBody::Chunked => State::ChunkLine(ChunkLine::default()),
            ResponseBody::UntilClose => State::UntilClose,
        };
        Self { state }
    }
}

impl Body {
    /// Says what the next bytes are. `buf` begins behind what earlier answers have taken; a chunk
    /// line or a trailer section may have up to `limit` bytes.
    ///
    /// # Errors
    /// The framing is outside the grammar: where the message ends cannot be known.
    pub fn next<'a>(&mut self, buf: &'a [u8], limit: usize) -> Result<BodyPart<'a>, Reason> {
        match &mut self.state {
            State::Done => return Ok(BodyPart::End),
            State::Length(0) => {
                self.state = State::Done;
                return Ok(BodyPart::End);
            }
            State::ChunkData(0) => self.state = State::ChunkEnd,
            _ => {}
        }
        if buf.is_empty() {
            return Ok(BodyPart::Partial);
        }
        match &mut self.state {
            State::Length(left) | State::ChunkData(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(buf.len());
                *left -= taken as u64;
                Ok(BodyPart::Data(taken))
            }
            State::UntilClose => Ok(BodyPart::Data(buf.len())),
            State::ChunkLine(line) => match line.read(buf, limit)? {
                None => Ok(BodyPart::Partial),
                Some((len, size)) => {
                    self.state = match size {
                        0 => State::Trailers(HeadScan::trailers()),
                        size => State::ChunkData(size),
                    };
                    Ok(BodyPart::Framing(len))
                }
            },
            State::ChunkEnd => match buf {
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkLine(ChunkLine::default());
                    Ok(BodyPart::Framing(2))
                }
                [b'\r'] => Ok(BodyPart::Partial),
                _ => Err(Reason::ChunkEnd),
            },
            State::Trailers(scan) => match scan.find(buf, HeadKind::Request, limit) {
                Ok(None) => Ok(BodyPart::Partial),
                Ok(Some(len)) => {
                    self.state = State::Done;
                    Ok(BodyPart::Trailers { len, fields: trailers(&buf[..len])? })
                }
                Err(Reason::HeadTooLong) => Err(Reason::TrailersTooLong),
                Err(reason) => Err(reason),
            },
            State::Done => Ok(BodyPart::End),
        }
    }

    /// The connection has ended, and every byte has been read.
    ///
    /// # Errors
    /// [`Reason::Truncated`] if the body has not ended.
    pub fn eof(&self) -> Result<(), Reason> {
        match self.state {
            State::Done | State::UntilClose | State::Length(0) => Ok(()),
            _ => Err(Reason::Truncated),
        }
    }
}

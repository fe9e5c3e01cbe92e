//! Header blocks: gathered, decoded, and passed on or kept back.

use std::cell::Cell;

use weir_parsers::http2::hpack::{self, Decoded, FieldList};
use weir_parsers::http2::{self, ErrorCode, FRAME_HEADER, FrameHeader, FrameKind, Metadata, flag};

use super::direction::{At, Gathered};
use super::frames::{held, take};
use super::stream::{Gone, Known};
use super::{Actions, Cursor, Cx, Http2, Leg};
use crate::report::Reason;

thread_local! {
    /// The fields of the block at hand: one list for each thread, as it is empty between calls.
    static FIELDS: Cell<Option<FieldList>> = const { Cell::new(None) };
    /// The block at hand, where its frames do not have it in one piece.
    static BLOCK: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// How much longer than a list may be its encoding may be, to be decoded at least: the request
/// is refused, and the connection lives.
const GATHERED: usize = 4;

/// A block that has come whole.
pub(super) struct Block<'a> {
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    /// The id that a PUSH_PROMISE promises.
    pub(super) promised: Option<u32>,
    pub(super) fields: &'a FieldList,
    pub(super) metadata: Metadata,
    pub(super) decoded: Decoded,
    /// The priority fields of its HEADERS frame (RFC 9113 §6.2).
    pub(super) priority: Option<[u8; 5]>,
    /// The length of its frames, none of which has been disposed of; zero where they are gone.
    pub(super) frames: usize,
    /// The length of its frames.
    pub(super) len: u64,
}

impl Block<'_> {
    /// The list of this block is longer than it may be.
    pub(super) fn is_too_long(&self, cx: &Cx<'_>) -> bool {
        !self.is_at_hand() || self.decoded.list_size > cx.limits.head_bytes as u64
    }

    /// Whether its frames have been held, so that they can pass or be kept back.
    pub(super) fn is_at_hand(&self) -> bool {
        self.frames > 0
    }
}

/// The frames of a block at the front of some bytes.
enum Front {
    More,
    Whole(usize),
    /// It does not end within what is held, which its first frames fill so far.
    Long(usize),
    Broken(Reason, ErrorCode),
}

impl Http2 {
    /// A block begins with the frame at hand.
    pub(super) fn block(
        &mut self,
        leg: Leg,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let promise = FrameHeader::read(cur.rest()).map(|h| h.kind) == Some(FrameKind::PushPromise);
        if promise && leg == Leg::Client {
            let reason = Reason::Malformed("push_promise");
            return self.broken(leg, reason, ErrorCode::ProtocolError, cx, out);
        }
        match front(cur.rest(), cx) {
            Front::More => {
                self.direction(leg).waits(cx);
                false
            }
            Front::Broken(reason, code) => self.broken(leg, reason, code, cx, out),
            Front::Long(len) => {
                let frames = cur.rest().get(..len).unwrap_or_default();
                match gathered(frames, !cx.judge) {
                    Ok(gathered) => self.direction(leg).at = At::Gathering(Box::new(gathered)),
                    Err(reason) => return self.bad_frame(leg, reason, cx, out),
                }
                self.direction(leg).waits(cx);
                take(len, !cx.judge, cur, out);
                true
            }
            Front::Whole(len) => {
                self.direction(leg).came();
                let frames = cur.rest().get(..len).unwrap_or_default();
                let mut scratch = BLOCK.take();
                scratch.clear();
                let go_on = match one_piece(frames, &mut scratch) {
                    Ok((head, block)) => self.whole(leg, head, block, len, cur, cx, out),
                    Err(reason) => self.bad_frame(leg, reason, cx, out),
                };
                BLOCK.set(scratch);
                go_on
            }
        }
    }

    /// A block that is too long to be held goes on.
    pub(super) fn gather(
        &mut self,
        leg: Leg,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let Some(header) = FrameHeader::read(cur.rest()) else { return false };
        let At::Gathering(gathered) = &mut self.direction(leg).at else { return false };
        if gathered.passes && cx.judge {
            // Its beginning has passed while the connection was only observed.
            self.reset(cx, out);
            return false;
        }
        if header.kind != FrameKind::Continuation || header.stream != gathered.head.stream {
            let reason = Reason::Malformed("continuation_missing");
            return self.broken(leg, reason, ErrorCode::ProtocolError, cx, out);
        }
        gathered.frames += 1;
        let len = FRAME_HEADER + header.length;
        if gathered.frames > cx.limits.http2_continuations
            || gathered.block.len() + header.length > GATHERED * cx.limits.head_bytes
            || len > held(cx)
        {
            let reason = Reason::Limit(if gathered.frames > cx.limits.http2_continuations {
                "http2_continuations"
            } else {
                "head_bytes"
            });
            return self.broken(leg, reason, ErrorCode::EnhanceYourCalm, cx, out);
        }
        let Some(frame) = cur.rest().get(..len) else {
            gathered.frames -= 1;
            return false;
        };
        gathered.block.extend_from_slice(frame.get(FRAME_HEADER..).unwrap_or_default());
        gathered.head.len += len as u64;
        take(len, !cx.judge, cur, out);
        if !header.has(flag::END_HEADERS) {
            return true;
        }
        let At::Gathering(gathered) = std::mem::replace(&mut self.direction(leg).at, At::Frame)
        else {
            return false;
        };
        self.direction(leg).came();
        self.between(leg, out);
        let Gathered { head, block, .. } = *gathered;
        self.whole(leg, head, &block, 0, cur, cx, out)
    }

    /// A block has come whole. `frames`: the length of its frames, if they are at hand.
    #[expect(clippy::too_many_arguments, reason = "what is known of a block, and the usual four")]
    fn whole(
        &mut self,
        leg: Leg,
        head: Head,
        block: &[u8],
        frames: usize,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if self.direction(leg).unread {
            return self.unread_block(leg, &head, frames, cur, cx, out);
        }
        let mut fields = FIELDS.take().unwrap_or_default();
        fields.clear();
        let go_on =
            match self.direction(leg).decoder.decode(block, cx.limits.head_bytes, &mut fields) {
                Ok(decoded) => {
                    self.direction(leg).told_size();
                    let block = Block {
                        stream: head.stream,
                        end_stream: head.end_stream,
                        promised: head.promised,
                        fields: &fields,
                        metadata: self.direction(leg).metadata,
                        decoded,
                        priority: head.priority,
                        frames,
                        len: head.len,
                    };
                    match leg {
                        Leg::Client => self.request_block(&block, cur, cx, out),
                        Leg::Server => self.response_block(&block, cur, cx, out),
                    }
                }
                Err(error) => self.undecodable(leg, error, &head, frames, cur, cx, out),
            };
        FIELDS.set(Some(fields));
        go_on && self.is_open()
    }

    /// A block that cannot be decoded (RFC 7541 §2.2 and §4.2), or is not: nothing after it can.
    #[expect(clippy::too_many_arguments, reason = "what is known of a block, and the usual four")]
    fn undecodable(
        &mut self,
        leg: Leg,
        error: hpack::Error,
        head: &Head,
        frames: usize,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let reason = match error {
            // What the receiver offers is more than Weir keeps (or the sender does as it likes).
            hpack::Error::SizeTooLarge if !cx.judge => Reason::Unread("http2_table"),
            // Too long by far to be read to its end and answered for itself.
            hpack::Error::ListTooLong => Reason::Limit("head_bytes"),
            error => Reason::Malformed(error.label()),
        };
        if cx.judge {
            return self.broken(leg, reason, http2::Reason::from(error).code(), cx, out);
        }
        if let Reason::Limit(name) = reason {
            cx.report.limit_reached(name);
        }
        let transaction = super::ending::unreadable(reason, cx);
        cx.report.end(cx.now, transaction);
        self.direction(leg).unread = true;
        self.unread_block(leg, head, frames, cur, cx, out)
    }

    /// A block of a direction that cannot be followed: what its frames say is still known.
    fn unread_block(
        &mut self,
        leg: Leg,
        head: &Head,
        frames: usize,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if cx.judge {
            // The policy changed: what is unread is not to live.
            let reason = Reason::Unread("http2_table");
            return self.broken(leg, reason, ErrorCode::CompressionError, cx, out);
        }
        if leg == Leg::Client {
            self.streams.opened(head.stream);
            if matches!(self.streams.get(head.stream), Known::Closed) {
                // A stream that is not followed: what comes of it passes.
                self.streams.leave(head.stream, Gone::Reset);
            }
        }
        if head.end_stream {
            self.side_ended(leg, head.stream, cx);
        }
        cur.forward(frames, out);
        true
    }
}

/// What the frames of a block say beside it.
#[derive(Debug)]
pub(super) struct Head {
    stream: u32,
    end_stream: bool,
    promised: Option<u32>,
    priority: Option<[u8; 5]>,
    len: u64,
}

/// Looks for the end of the block at the front of `bytes`, which begin with its first frame.
fn front(bytes: &[u8], cx: &Cx<'_>) -> Front {
    let (mut at, mut frames, mut stream) = (0, 0, None);
    loop {
        let Some(header) = bytes.get(at..).and_then(FrameHeader::read) else { return Front::More };
        let id = *stream.get_or_insert(header.stream);
        if frames > 0 && (header.kind != FrameKind::Continuation || header.stream != id) {
            let reason = Reason::Malformed("continuation_missing");
            return Front::Broken(reason, ErrorCode::ProtocolError);
        }
        let len = FRAME_HEADER + header.length;
        if frames > cx.limits.http2_continuations {
            let reason = Reason::Limit("http2_continuations");
            return Front::Broken(reason, ErrorCode::EnhanceYourCalm);
        }
        if at + len > held(cx) {
            return match at {
                0 => Front::Broken(Reason::Limit("head_bytes"), ErrorCode::EnhanceYourCalm),
                at => Front::Long(at),
            };
        }
        at += len;
        if bytes.len() < at {
            return Front::More;
        }
        if header.has(flag::END_HEADERS) {
            return Front::Whole(at);
        }
        frames += 1;
    }
}

/// What the first frame of a block says, with its fragment.
fn first_frame(frames: &[u8]) -> Result<(Head, &[u8], usize), http2::Reason> {
    let truncated = http2::Reason::FrameTooShort;
    let header = FrameHeader::read(frames).ok_or(truncated)?;
    let end = FRAME_HEADER + header.length;
    let payload = frames.get(FRAME_HEADER..end).ok_or(truncated)?;
    let mut head = Head {
        stream: header.stream,
        end_stream: false,
        promised: None,
        priority: None,
        len: frames.len() as u64,
    };
    let fragment = if header.kind == FrameKind::PushPromise {
        let (promised, fragment) = http2::push_promise_fragment(&header, payload)?;
        head.promised = Some(promised);
        fragment
    } else {
        let fragment = http2::headers_fragment(&header, payload)?;
        head.end_stream = header.has(flag::END_STREAM);
        if header.has(flag::PRIORITY) {
            let from = usize::from(header.has(flag::PADDED));
            head.priority = payload.get(from..from + 5).and_then(|five| five.try_into().ok());
        }
        fragment
    };
    Ok((head, fragment, end))
}

/// The whole block, copied to `scratch` if it lies in several frames.
fn one_piece<'a>(
    frames: &'a [u8],
    scratch: &'a mut Vec<u8>,
) -> Result<(Head, &'a [u8]), http2::Reason> {
    let (head, fragment, end) = first_frame(frames)?;
    if end == frames.len() {
        return Ok((head, fragment));
    }
    scratch.extend_from_slice(fragment);
    continuations(frames.get(end..).unwrap_or_default(), scratch);
    Ok((head, scratch))
}

/// The first frames of a block that goes on beyond them.
fn gathered(frames: &[u8], passes: bool) -> Result<Gathered, http2::Reason> {
    let (head, fragment, end) = first_frame(frames)?;
    let mut block = fragment.to_vec();
    let count = continuations(frames.get(end..).unwrap_or_default(), &mut block);
    Ok(Gathered { head, block, frames: count, passes })
}

/// Appends the fragments of whole CONTINUATION frames. Answers how many there were.
fn continuations(mut frames: &[u8], block: &mut Vec<u8>) -> u32 {
    let mut count = 0;
    while let Some(header) = FrameHeader::read(frames) {
        let end = FRAME_HEADER + header.length;
        block.extend_from_slice(frames.get(FRAME_HEADER..end).unwrap_or_default());
        frames = frames.get(end..).unwrap_or_default();
        count += 1;
    }
    count
}

//! DATA: content of streams, followed as it passes.

use weir_parsers::grpc::{self, Piece};
use weir_parsers::http2::{self, DataLayout, ErrorCode, FRAME_HEADER, FrameHeader, flag};

use super::direction::{At, Content};
use super::frames::{held, take};
use super::stream::{Gone, Known, Stream};
use super::{Action, Actions, Cursor, Cx, Http2, Leg, answer};
use crate::inspect::{self, Part};
use crate::report::{Reason, Status};

/// How much of the trailers of a gRPC-Web answer is looked at.
const WEB_TRAILERS: usize = 4096;

impl Http2 {
    /// A DATA frame begins: what becomes of it is known by its header.
    pub(super) fn data(
        &mut self,
        leg: Leg,
        header: FrameHeader,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let first = cur.rest().get(FRAME_HEADER).copied();
        let layout = match http2::data_layout(&header, first) {
            None => return false,
            Some(Err(reason)) => return self.bad_frame(leg, reason, cx, out),
            Some(Ok(layout)) => layout,
        };
        let (id, last) = (header.stream, header.has(flag::END_STREAM));
        let len = FRAME_HEADER + header.length;
        if cx.judge
            && !cx.inspectors.is_empty()
            && cur.rest().len() < len
            && self.streams.live(id).is_some()
        {
            // Nothing of a frame passes before it was looked at.
            return len > held(cx) && self.too_long(leg, cx, out);
        }
        self.clear_pings();
        if !self.direction(leg).sent(header.length) && cx.judge {
            let reason = Reason::Malformed("window_exceeded");
            return self.broken(leg, reason, ErrorCode::FlowControlError, cx, out);
        }
        if layout.content == 0 && !last && self.says_little(leg, cx, out) {
            return false;
        }
        let pass = match self.streams.get(id) {
            Known::Live(stream) if stream.ended[leg as usize] => {
                let reason = Reason::Malformed("data_after_end");
                self.cut(leg, id, (reason, ErrorCode::StreamClosed), cx, out);
                !cx.judge
            }
            Known::Live(stream) if leg == Leg::Server && !stream.answered => {
                let reason = Reason::Malformed("data_before_head");
                self.cut(leg, id, (reason, ErrorCode::ProtocolError), cx, out);
                !cx.judge
            }
            Known::Live(stream) => {
                if let Some(frame) = cur.rest().get(..FRAME_HEADER + header.length) {
                    let read = read_whole(stream, leg, &layout, last, frame, cx.judge);
                    return self.whole_frame(leg, id, last, frame.len(), read, cur, cx, out);
                }
                match tally(stream, leg, &layout, last) {
                    Ok(()) => true,
                    Err(reason) => {
                        self.cut(leg, id, (reason, ErrorCode::ProtocolError), cx, out);
                        !cx.judge
                    }
                }
            }
            // It answers what it has not heard of (RFC 9113 §5.1, "idle").
            Known::Gone(Gone::Refused, _) if cx.judge && leg == Leg::Server => {
                return self.idle(leg, cx, out);
            }
            Known::Gone(why, late) => {
                let passes = !cx.judge || why == Gone::Reset;
                *late += u32::from(!passes);
                if !passes && *late > cx.limits.http2_late_frames {
                    self.flooded(leg, "http2_late_frames", cx, out);
                    return false;
                }
                if !passes && why == Gone::Refused && *late == 1 && !last {
                    // RFC 9113 §8.1: the rest need not be sent. A short body comes to its end by
                    // itself, and some clients take a reset in its middle for a failure.
                    self.send(leg, answer::rst_stream(id, ErrorCode::NoError), out);
                }
                passes
            }
            Known::Closed => {
                let passes = !cx.judge || leg == Leg::Server || !self.streams.keeps_back();
                if !passes && self.says_little(leg, cx, out) {
                    return false;
                }
                passes
            }
            Known::Idle if cx.judge => return self.idle(leg, cx, out),
            Known::Idle => true,
        };
        if !pass {
            self.consumed(leg, header.length, out);
        } else if let Some(stream) = self.streams.live(id) {
            stream.count(leg, FRAME_HEADER + header.length);
        }
        take(FRAME_HEADER + layout.before, pass, cur, out);
        let (left, padding) = (layout.content, layout.padding);
        self.direction(leg).at = At::Content(Content { stream: id, left, padding, last, pass });
        if left + padding == 0 {
            self.content_ended(leg, id, last, cx, out);
        }
        true
    }

    /// Content or padding passes, or is consumed.
    pub(super) fn content(
        &mut self,
        leg: Leg,
        mut content: Content,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let bytes = cur.rest();
        let (bytes, len) = match content.left {
            0 => (&[][..], bytes.len().min(content.padding)),
            left => {
                let bytes = bytes.get(..left).unwrap_or(bytes);
                (bytes, bytes.len())
            }
        };
        if let Some(stream) = self.streams.live(content.stream).filter(|_| content.pass) {
            follow(stream, leg, bytes);
            if let Err((_, name)) = inspect::data(&mut stream.inspectors, part(leg), bytes) {
                stream.condemn(cx.judge, Reason::Inspector(name));
                if cx.judge {
                    // The rest of a frame of which some had passed while it was only observed.
                    self.reset(cx, out);
                    return false;
                }
            }
        }
        match content.left {
            0 => content.padding -= len,
            _ => content.left -= len,
        }
        take(len, content.pass, cur, out);
        self.direction(leg).at = At::Content(content);
        if content.left + content.padding == 0 {
            self.content_ended(leg, content.stream, content.last, cx, out);
        }
        true
    }

    fn content_ended(&mut self, leg: Leg, id: u32, last: bool, cx: &mut Cx<'_>, out: &mut Actions) {
        self.direction(leg).at = At::Frame;
        if last {
            self.side_ended(leg, id, cx);
        }
        self.between(leg, out);
    }

    /// A frame of `len` bytes has come whole, and was looked at: it passes or ends its stream.
    #[expect(clippy::too_many_arguments, reason = "what is known of a frame, and the usual four")]
    fn whole_frame(
        &mut self,
        leg: Leg,
        id: u32,
        last: bool,
        len: usize,
        read: Result<(), Reason>,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if let Err(reason) = read {
            cur.discard(len, out);
            if let Reason::Inspector(_) = reason {
                self.consumed(leg, len - FRAME_HEADER, out);
                self.cut_by_threat(leg, id, last, reason, cx, out);
            } else {
                self.cut(leg, id, (reason, ErrorCode::ProtocolError), cx, out);
                self.consumed(leg, len - FRAME_HEADER, out);
            }
            return self.is_open();
        }
        cur.forward(len, out);
        if last {
            self.side_ended(leg, id, cx);
        }
        self.between(leg, out);
        true
    }

    /// Flow-controlled bytes that their receiver will never see: the sender gets their window
    /// back.
    fn consumed(&mut self, leg: Leg, len: usize, out: &mut Actions) {
        let Ok(len @ 1..) = u32::try_from(len) else { return };
        self.direction(leg).widen(len);
        let towards = self.direction(leg.other());
        if towards.takes_own() && towards.deferred.is_empty() {
            out.push(Action::Inject(leg, answer::window_update(0, len).into()));
        } else {
            towards.credit = towards.credit.saturating_add(len);
        }
    }
}

/// Reads the content of a whole frame: most come so. An error where it is judged, and must not
/// pass.
fn read_whole(
    stream: &mut Stream,
    leg: Leg,
    layout: &DataLayout,
    last: bool,
    frame: &[u8],
    judge: bool,
) -> Result<(), Reason> {
    let from = FRAME_HEADER + layout.before;
    let content = frame.get(from..from + layout.content).unwrap_or_default();
    let found = |stream: &mut Stream, reason| match judge {
        true => Err(reason),
        false => {
            stream.condemn(false, reason);
            Ok(())
        }
    };
    if let Err(reason) = tally(stream, leg, layout, last) {
        found(stream, reason)?;
    }
    if let Err((_, name)) = inspect::data(&mut stream.inspectors, part(leg), content) {
        found(stream, Reason::Inspector(name))?;
    }
    follow(stream, leg, content);
    stream.count(leg, frame.len());
    Ok(())
}

/// Counts content against the request's `content-length` (RFC 9113 §8.1.1).
fn tally(stream: &mut Stream, leg: Leg, layout: &DataLayout, last: bool) -> Result<(), Reason> {
    let Some(left) = stream.left.as_mut().filter(|_| leg == Leg::Client) else { return Ok(()) };
    match left.checked_sub(layout.content as u64) {
        Some(rest) if rest == 0 || !last => {
            *left = rest;
            Ok(())
        }
        _ => Err(Reason::Malformed("content_length_mismatch")),
    }
}

/// Follows the messages in content.
fn follow(stream: &mut Stream, leg: Leg, mut content: &[u8]) {
    let Some(messages) = &mut stream.messages else { return };
    let unfollowed = &mut stream.unfollowed[leg as usize];
    let messages = &mut messages[leg as usize];
    while !*unfollowed && let Some(piece) = messages.next(&mut content) {
        match piece {
            // Its receiver will say so; there is nothing to count any more.
            Piece::Malformed => *unfollowed = true,
            Piece::Begin { trailers: true, .. } if stream.kind != Some(grpc::Kind::Web) => {
                *unfollowed = true;
            }
            Piece::Payload(bytes) if messages.is_trailers() && leg == Leg::Server => {
                let room = WEB_TRAILERS - stream.web_trailers.len();
                stream.web_trailers.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
            }
            Piece::End if messages.is_trailers() && leg == Leg::Server => {
                // They come last (PROTOCOL-WEB.md).
                *unfollowed = true;
                if let Some(code) = grpc::web_status(&std::mem::take(&mut stream.web_trailers)) {
                    stream.transaction.status = Status::Grpc(code);
                }
            }
            Piece::Begin { .. } | Piece::Payload(_) | Piece::End => {}
        }
    }
}

pub(super) fn part(leg: Leg) -> Part {
    match leg {
        Leg::Client => Part::Request,
        Leg::Server => Part::Response,
    }
}

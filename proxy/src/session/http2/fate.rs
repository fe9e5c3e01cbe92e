//! What becomes of a block that was read: it passes, or is kept back.

use weir_parsers::http2::ErrorCode;

use super::blocks::Block;
use super::direction::own;
use super::requests::is_trailers;
use super::stream::{Gone, Known};
use super::{Action, Actions, Cursor, Cx, Http2, Leg, answer};
use crate::report::Reason;

/// Why a block must not pass, and how its stream is reset then.
pub(super) type Bad = (Reason, ErrorCode);

impl Http2 {
    /// A block of a stream under way was read: it passes, or its stream is cut.
    pub(super) fn read_block(
        &mut self,
        leg: Leg,
        read: Result<(), Bad>,
        block: &Block<'_>,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if let Err(bad) = read {
            self.cut(leg, block.stream, bad, cx, out);
            if cx.judge {
                self.keep_back(leg, block, cur, cx, out);
                return self.is_open();
            }
        }
        self.pass(leg, block, cur, cx, out);
        if block.end_stream {
            self.side_ended(leg, block.stream, cx);
        }
        true
    }

    /// A block of a stream that is over.
    pub(super) fn late_block(
        &mut self,
        leg: Leg,
        block: &Block<'_>,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if leg == Leg::Client && self.says_little(leg, cx, out) {
            return false;
        }
        // Of a stream that is forgotten: the server may never have heard of it.
        let mut why = match leg == Leg::Client && self.streams.keeps_back() {
            true => Gone::Cut,
            false => Gone::Reset,
        };
        if let Known::Gone(gone, late) = self.streams.get(block.stream) {
            why = gone;
            *late += u32::from(why != Gone::Reset);
            if cx.judge && *late > cx.limits.http2_late_frames {
                self.flooded(leg, "http2_late_frames", cx, out);
                return false;
            }
        }
        // Nobody waits for it: it passes only where the receiver needs it for its table. What is
        // no trailers was not judged, and a server that has forgotten the stream could take it for
        // a request.
        let trailers = is_trailers(block) && !block.is_too_long(cx);
        let harmless = !cx.judge || leg == Leg::Server || trailers;
        let needed = self.direction(leg).encoder.is_none();
        if why == Gone::Reset && needed && harmless && block.is_at_hand() {
            self.pass(leg, block, cur, cx, out);
        } else {
            self.keep_back(leg, block, cur, cx, out);
        }
        true
    }

    /// The block goes on to its receiver: as it came, or, if something was kept back before, in
    /// Weir's own encoding.
    pub(super) fn pass(
        &mut self,
        leg: Leg,
        block: &Block<'_>,
        cur: &mut Cursor<'_>,
        cx: &Cx<'_>,
        out: &mut Actions,
    ) {
        if let Some(stream) = self.streams.live(block.stream) {
            let len = usize::try_from(block.len).unwrap_or(usize::MAX);
            stream.count(leg, len);
        }
        let direction = self.direction(leg);
        let Some(encoder) = direction.encoder.as_mut().filter(|_| cx.judge) else {
            return cur.forward(block.frames, out);
        };
        if let Some(update) = block.decoded.update {
            encoder.resize(own(update));
        }
        let mut encoded = Vec::new();
        encoder.encode(block.fields.iter(), &mut encoded);
        let mut frames = Vec::with_capacity(encoded.len() + 32);
        let priority = block.priority.as_ref().map(<[u8; 5]>::as_slice);
        answer::block(block.stream, block.end_stream, priority, &encoded, &mut frames);
        cur.discard(block.frames, out);
        out.push(Action::Inject(leg.other(), frames.into()));
    }

    /// The block does not pass. If it has changed its sender's table, the receiver's is another
    /// from now on.
    pub(super) fn keep_back(
        &mut self,
        leg: Leg,
        block: &Block<'_>,
        cur: &mut Cursor<'_>,
        cx: &Cx<'_>,
        out: &mut Actions,
    ) {
        if !cx.judge {
            return cur.forward(block.frames, out);
        }
        cur.discard(block.frames, out);
        self.direction(leg).part(&block.decoded);
    }
}

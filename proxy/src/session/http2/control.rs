//! Frames of the connection, and the short ones of streams.

use weir_parsers::http2::{
    self, ErrorCode, FRAME_HEADER, FrameHeader, FrameKind, Metadata, check_setting, flag, setting,
    settings,
};

use super::direction::FRAME;
use super::frames::take;
use super::stream::{Gone, Known};
use super::{Action, Actions, Cursor, Cx, Http2, Leg, answer};
use crate::report::Reason;

/// The last stream of a GOAWAY that only warns (RFC 9113 §6.8).
pub(super) const ANY_STREAM: u32 = (1 << 31) - 1;
/// Behind a whole answer `RST_STREAM` with these takes nothing back (RFC 9113 §8.1): no more of
/// the request is to come, or nobody cares.
const HARMLESS: [ErrorCode; 2] = [ErrorCode::NoError, ErrorCode::Cancel];
/// With these a server blames the client.
const BLAMES: [ErrorCode; 3] =
    [ErrorCode::ProtocolError, ErrorCode::FlowControlError, ErrorCode::StreamClosed];

impl Http2 {
    /// A frame that is neither DATA nor of a header block, whole.
    pub(super) fn control(
        &mut self,
        leg: Leg,
        header: FrameHeader,
        payload: &[u8],
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let len = FRAME_HEADER + payload.len();
        let mut pass = true;
        let of_stream = matches!(header.kind, FrameKind::RstStream | FrameKind::WindowUpdate);
        if of_stream && cx.judge && header.stream != 0 && self.streams.is_unopened(header.stream) {
            return self.idle(leg, cx, out);
        }
        match header.kind {
            FrameKind::Settings if header.has(flag::ACK) => self.direction(leg).acknowledged(),
            FrameKind::Settings => return self.settings(leg, payload, cur, cx, out),
            FrameKind::Ping if header.has(flag::ACK) => {}
            FrameKind::Ping => {
                let most = cx.limits.http2_pings;
                if self.direction(leg).rates.pings.exceeds(most, cx.now)
                    && self.flooded(leg, "http2_pings", cx, out)
                {
                    return false;
                }
            }
            FrameKind::RstStream => {
                let most = cx.limits.http2_resets;
                let unanswered = self.streams.live(header.stream).is_some_and(|s| !s.answered);
                // A client may have its server do it, by what RFC 9113 wants to be answered so.
                let of_client = leg == Leg::Client || is_one_of(&BLAMES, payload);
                if of_client
                    && unanswered
                    && self.direction(Leg::Client).rates.resets.exceeds(most, cx.now)
                    && self.flooded(Leg::Client, "http2_resets", cx, out)
                {
                    return false;
                }
                pass = self.is_known(leg, header.stream, cx);
                self.stream_reset(header.stream, payload, cx);
            }
            FrameKind::WindowUpdate if header.stream == 0 => {
                let increment = match http2::window_increment(&header, payload) {
                    Err(reason) if cx.judge => return self.bad_frame(leg, reason, cx, out),
                    increment => increment.unwrap_or_default(),
                };
                if !self.direction(leg.other()).widen(increment) && cx.judge {
                    let reason = Reason::Malformed("window_overflow");
                    return self.broken(leg, reason, ErrorCode::FlowControlError, cx, out);
                }
            }
            FrameKind::WindowUpdate => pass = self.is_known(leg, header.stream, cx),
            FrameKind::Priority if self.says_little(leg, cx, out) => return false,
            FrameKind::Priority => pass = self.is_known(leg, header.stream, cx),
            FrameKind::GoAway if self.says_little(leg, cx, out) => return false,
            FrameKind::GoAway if leg == Leg::Server => {
                return self.server_goes_away(payload, cur, cx, out);
            }
            _ => {}
        }
        if let Some(stream) = self.streams.live(header.stream) {
            stream.count(leg, len);
        }
        take(len, pass, cur, out);
        true
    }

    /// Whether the receiver knows the stream that a leg's frame names.
    pub(super) fn is_known(&mut self, leg: Leg, id: u32, cx: &Cx<'_>) -> bool {
        match self.streams.get(id) {
            _ if !cx.judge => true,
            Known::Live(_) | Known::Idle | Known::Gone(Gone::Reset, _) => true,
            Known::Gone(Gone::Refused | Gone::Cut, _) => false,
            Known::Closed => leg == Leg::Server || !self.streams.keeps_back(),
        }
    }

    fn stream_reset(&mut self, id: u32, code: &[u8], cx: &mut Cx<'_>) {
        if self.streams.live(id).is_none() {
            return;
        }
        let Some(stream) = self.streams.leave(id, Gone::Reset) else { return };
        // Behind a whole answer either side may say that no more of the request is to come.
        let answered = stream.ended[Leg::Server as usize];
        let mut transaction = stream.into_transaction();
        transaction.complete = answered && is_one_of(&HARMLESS, code);
        cx.report.end(cx.now, transaction);
    }

    /// The server says goodbye. The client is never told of a later last stream than before
    /// (RFC 9113 §6.8), which Weir may have told it of.
    fn server_goes_away(
        &mut self,
        payload: &[u8],
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let len = FRAME_HEADER + payload.len();
        let word = |at: usize| payload.get(at..at + 4).and_then(|word| word.try_into().ok());
        let last = word(0).map_or(u32::MAX, u32::from_be_bytes) & ANY_STREAM;
        if last < self.last {
            for stream in self.streams.take_above(last) {
                // It is left to another connection (RFC 9113 §6.8).
                cx.report.end(cx.now, stream.into_transaction());
            }
        }
        if last <= self.last || !cx.judge {
            self.last = self.last.min(last);
            cur.forward(len, out);
            return true;
        }
        let mut frame = answer::go_away(self.last, ErrorCode::NoError);
        if let (Some(code), Some(place)) = (payload.get(4..8), frame.get_mut(FRAME_HEADER + 4..)) {
            place.copy_from_slice(code);
        }
        cur.discard(len, out);
        out.push(Action::Inject(Leg::Client, frame.into()));
        true
    }

    /// What a leg says of itself. What sizes Weir's own memory is lowered where it is judged.
    fn settings(
        &mut self,
        leg: Leg,
        payload: &[u8],
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let most = cx.limits.http2_settings;
        let waiting = self.direction(leg.other()).unacknowledged();
        if (self.direction(leg).rates.settings.exceeds(most, cx.now) || waiting >= most as usize)
            && self.flooded(leg, "http2_settings", cx, out)
        {
            return false;
        }
        if waiting >= most as usize {
            // Observed: which of them are in force cannot be followed.
            self.direction(leg.other()).unread = true;
        }
        let bad = settings(payload).find_map(|(id, value)| check_setting(id, value).err());
        if let Some(reason) = bad.filter(|_| cx.judge) {
            return self.bad_frame(leg, reason, cx, out);
        }
        let first = !std::mem::replace(&mut self.direction(leg).settled, true);
        let offered: Vec<(u16, u32)> = settings(payload).collect();
        let len = FRAME_HEADER + payload.len();
        let written = if cx.judge && !cur.is_part_gone() {
            clamped(&offered, leg, first, cx)
        } else {
            offered.clone()
        };
        self.announce(leg, &written, cx);
        if written == offered {
            cur.forward(len, out);
        } else {
            cur.discard(len, out);
            out.push(Action::Inject(leg.other(), answer::settings(&written).into()));
        }
        true
    }

    /// These settings of a leg bind what comes towards it.
    fn announce(&mut self, leg: Leg, settings: &[(u16, u32)], cx: &Cx<'_>) {
        let direction = self.direction(leg.other());
        if direction.unread {
            return;
        }
        let last = |id| settings.iter().rev().find(|(i, _)| *i == id).map(|(_, value)| *value);
        // An encoder may use less than it is offered: what is beyond the limit makes nothing
        // unread before it is used.
        let most = u32::try_from(cx.limits.http2_table_bytes).unwrap_or(u32::MAX);
        let table = last(setting::HEADER_TABLE_SIZE);
        direction.offer(table.map(|table| table.min(most)));
        if last(setting::TRUE_BINARY_METADATA) == Some(1) {
            direction.metadata = Metadata::Binary;
        }
        if let Some(frame) = last(setting::MAX_FRAME_SIZE) {
            direction.max_frame = direction.max_frame.max(frame as usize);
        }
    }
}

/// Settings as Weir lets them pass: lowered to its limits, and in the first frame with those that
/// are absent and would mean more.
fn clamped(offered: &[(u16, u32)], leg: Leg, first: bool, cx: &Cx<'_>) -> Vec<(u16, u32)> {
    let limit = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
    let (list, streams) = (limit(cx.limits.head_bytes), cx.limits.http2_streams);
    let mut written: Vec<_> = offered
        .iter()
        .map(|&(id, value)| {
            let most = match id {
                setting::HEADER_TABLE_SIZE => limit(cx.limits.http2_table_bytes),
                setting::MAX_FRAME_SIZE => limit(cx.limits.http2_frame_bytes.max(FRAME)),
                setting::MAX_HEADER_LIST_SIZE => list,
                setting::ENABLE_PUSH if leg == Leg::Client => 0,
                setting::MAX_CONCURRENT_STREAMS if leg == Leg::Server => limit(streams),
                // Controls in values are what is refused.
                setting::TRUE_BINARY_METADATA => 0,
                _ => u32::MAX,
            };
            (id, value.min(most))
        })
        .collect();
    let absent = |id| !offered.iter().any(|(i, _)| *i == id);
    if first && leg == Leg::Client && absent(setting::ENABLE_PUSH) {
        written.push((setting::ENABLE_PUSH, 0));
    }
    if first && leg == Leg::Server && absent(setting::MAX_CONCURRENT_STREAMS) {
        written.push((setting::MAX_CONCURRENT_STREAMS, limit(streams)));
    }
    if first && absent(setting::MAX_HEADER_LIST_SIZE) {
        written.push((setting::MAX_HEADER_LIST_SIZE, list));
    }
    // One frame has no more; nobody has so many to say.
    written.drain(..written.len().saturating_sub(FRAME / 6));
    written
}

/// Whether the payload of `RST_STREAM` is one of these.
fn is_one_of(codes: &[ErrorCode], payload: &[u8]) -> bool {
    codes.iter().any(|code| payload == (*code as u32).to_be_bytes())
}

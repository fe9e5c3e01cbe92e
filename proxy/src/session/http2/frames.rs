//! Reading one leg, frame by frame.

use weir_parsers::http2::{self, ErrorCode, FRAME_HEADER, FrameHeader, FrameKind, PREFACE};

use super::direction::{At, FRAME};
use super::{Action, Actions, Cursor, Cx, Http2, Leg, answer};
use crate::config::UnknownFrames;
use crate::report::Reason;

/// The longest frame that its header can tell of (RFC 9113 §4.1).
const LONGEST: usize = (1 << 24) - 1;

impl Http2 {
    /// Reads one more piece. Answers whether there may be another.
    pub(super) fn step(
        &mut self,
        leg: Leg,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if cur.is_at_end() {
            return false;
        }
        match &mut self.direction(leg).at {
            At::Preface => self.preface(leg, cur, cx, out),
            At::Frame => self.frame(leg, cur, cx, out),
            At::Content(content) => {
                let content = *content;
                self.content(leg, content, cur, cx, out)
            }
            At::Rest { left, pass } => {
                let (len, pass) = (cur.rest().len().min(*left), *pass);
                *left -= len;
                if *left == 0 {
                    self.direction(leg).at = At::Frame;
                }
                take(len, pass, cur, out);
                self.between(leg, out);
                true
            }
            At::Gathering(_) => self.gather(leg, cur, cx, out),
        }
    }

    fn preface(
        &mut self,
        leg: Leg,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let rest = cur.rest();
        let len = rest.len().min(PREFACE.len());
        if rest.get(..len) != PREFACE.get(..len) {
            let reason = Reason::Protocol("not_http2");
            return self.broken(leg, reason, ErrorCode::ProtocolError, cx, out);
        }
        if len < PREFACE.len() {
            self.direction(leg).waits(cx);
            return false;
        }
        self.direction(leg).came();
        self.direction(leg).at = At::Frame;
        cur.forward(len, out);
        true
    }

    fn frame(
        &mut self,
        leg: Leg,
        cur: &mut Cursor<'_>,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        let Some(header) = FrameHeader::read(cur.rest()) else {
            return false;
        };
        let is_settings = header.kind == FrameKind::Settings && !header.has(http2::flag::ACK);
        if !self.direction(leg).settled && !is_settings {
            let reason = Reason::Malformed("settings_missing");
            return self.broken(leg, reason, ErrorCode::ProtocolError, cx, out);
        }
        let most = if cx.judge { self.direction(leg).max_frame } else { LONGEST };
        if let Err(reason) = header.check(most) {
            return self.bad_frame(leg, reason, cx, out);
        }
        match header.kind {
            FrameKind::Data => return self.data(leg, header, cur, cx, out),
            FrameKind::Headers | FrameKind::PushPromise => return self.block(leg, cur, cx, out),
            FrameKind::Continuation => {
                let reason = Reason::Malformed("continuation_unexpected");
                return self.broken(leg, reason, ErrorCode::ProtocolError, cx, out);
            }
            FrameKind::Unknown(_) => return self.unknown(leg, header, cx, out),
            _ => {}
        }
        let len = FRAME_HEADER + header.length;
        if len > held(cx) {
            return self.too_long(leg, cx, out);
        }
        let Some(frame) = cur.rest().get(..len) else {
            self.direction(leg).waits(cx);
            return false;
        };
        self.direction(leg).came();
        let payload = frame.get(FRAME_HEADER..).unwrap_or_default();
        let go_on = self.control(leg, header, payload, cur, cx, out);
        self.between(leg, out);
        go_on
    }

    /// A frame that is longer than what may be held of it.
    pub(super) fn too_long(&mut self, leg: Leg, cx: &mut Cx<'_>, out: &mut Actions) -> bool {
        let reason = Reason::Limit("http2_frame_bytes");
        self.broken(leg, reason, ErrorCode::FrameSizeError, cx, out)
    }

    fn unknown(
        &mut self,
        leg: Leg,
        header: FrameHeader,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        if self.says_little(leg, cx, out) {
            return false;
        }
        let id = header.stream;
        let known = id == 0 || self.is_known(leg, id, cx) && !self.streams.is_unopened(id);
        let pass = !cx.judge || (known && self.unknown == UnknownFrames::Pass);
        self.direction(leg).at = At::Rest { left: FRAME_HEADER + header.length, pass };
        true
    }

    /// Between two frames: what waited for that goes out.
    pub(super) fn between(&mut self, leg: Leg, out: &mut Actions) {
        let direction = self.direction(leg);
        if !direction.has_deferred() || !direction.takes_own() {
            return;
        }
        let mut bytes = std::mem::take(&mut direction.deferred);
        if direction.credit > 0 {
            bytes.extend(answer::window_update(0, std::mem::take(&mut direction.credit)));
        }
        out.push(Action::Inject(leg.other(), bytes.into()));
    }

    /// A frame against the rules of RFC 9113 §6.
    pub(super) fn bad_frame(
        &mut self,
        leg: Leg,
        reason: http2::Reason,
        cx: &mut Cx<'_>,
        out: &mut Actions,
    ) -> bool {
        self.broken(leg, Reason::Malformed(reason.label()), reason.code(), cx, out)
    }
}

/// The most bytes that are held for what must come whole.
pub(super) fn held(cx: &Cx<'_>) -> usize {
    cx.limits.http2_frame_bytes.max(cx.limits.head_bytes).max(FRAME) + FRAME_HEADER
}

/// Lets bytes pass, or consumes them.
pub(super) fn take(len: usize, pass: bool, cur: &mut Cursor<'_>, out: &mut Actions) {
    match pass {
        true => cur.forward(len, out),
        false => cur.discard(len, out),
    }
}

//! Frames of Weir's own.

use weir_parsers::grpc;
use weir_parsers::http2::hpack::Representation;
use weir_parsers::http2::{ErrorCode, FrameHeader, FrameKind, flag};

use super::direction::FRAME;
use crate::report::Report;

/// A field of an answer.
pub(super) type Field = (&'static [u8], Vec<u8>);

/// What a refused request is answered with, in one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// This status.
    Http(u16),
    /// Trailers alone, with `PERMISSION_DENIED` (gRPC over HTTP2, "Responses").
    Grpc(grpc::Kind),
}

impl Answer {
    /// How a refusal is told to who speaks gRPC so, or does not.
    pub(super) fn refusal(kind: Option<grpc::Kind>) -> Self {
        kind.map_or(Self::Http(403), Self::Grpc)
    }

    /// The fields: a status, and the id of the transaction. They are not worth a place in
    /// anybody's table.
    pub(super) fn fields(self, seq: u64, report: &dyn Report) -> Vec<Field> {
        let mut id = Vec::with_capacity(48);
        report.id(seq, &mut id);
        match self {
            Self::Http(status) => vec![
                (b":status", status.to_string().into_bytes()),
                (b"content-length", b"0".to_vec()),
                (b"weir-id", id),
            ],
            Self::Grpc(kind) => {
                let content = match kind {
                    grpc::Kind::Grpc => "application/grpc",
                    grpc::Kind::Web => "application/grpc-web+proto",
                    grpc::Kind::WebText => "application/grpc-web-text+proto",
                };
                let mut message = b"refused (".to_vec();
                message.extend_from_slice(&id);
                message.push(b')');
                vec![
                    (b":status", b"200".to_vec()),
                    (b"content-type", content.into()),
                    (b"grpc-status", b"7".to_vec()),
                    (b"grpc-message", message),
                ]
            }
        }
    }
}

/// How a field of Weir's own is written where a table is kept for the direction.
pub(super) const WRITTEN: Representation = Representation::Without;

/// A block in one HEADERS frame and, if it must be, CONTINUATION frames. `priority`: the fields
/// that the original had.
pub(super) fn block(
    stream: u32,
    end_stream: bool,
    priority: Option<&[u8]>,
    block: &[u8],
    out: &mut Vec<u8>,
) {
    let priority = priority.unwrap_or_default();
    let (first, mut rest) = block.split_at(block.len().min(FRAME - priority.len()));
    let mut flags = if end_stream { flag::END_STREAM } else { 0 };
    if !priority.is_empty() {
        flags |= flag::PRIORITY;
    }
    if rest.is_empty() {
        flags |= flag::END_HEADERS;
    }
    let length = first.len() + priority.len();
    FrameHeader { length, kind: FrameKind::Headers, flags, stream }.write(out);
    out.extend_from_slice(priority);
    out.extend_from_slice(first);
    while !rest.is_empty() {
        let (next, after) = rest.split_at(rest.len().min(FRAME));
        let flags = if after.is_empty() { flag::END_HEADERS } else { 0 };
        let kind = FrameKind::Continuation;
        FrameHeader { length: next.len(), kind, flags, stream }.write(out);
        out.extend_from_slice(next);
        rest = after;
    }
}

pub(super) fn rst_stream(stream: u32, code: ErrorCode) -> Vec<u8> {
    short(FrameKind::RstStream, stream, &[code as u32])
}

pub(super) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    short(FrameKind::WindowUpdate, stream, &[increment])
}

pub(super) fn go_away(last: u32, code: ErrorCode) -> Vec<u8> {
    short(FrameKind::GoAway, 0, &[last, code as u32])
}

fn short(kind: FrameKind, stream: u32, words: &[u32]) -> Vec<u8> {
    let mut out = Vec::with_capacity(17);
    FrameHeader { length: 4 * words.len(), kind, flags: 0, stream }.write(&mut out);
    words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
    out
}

/// A SETTINGS frame with these.
pub(super) fn settings(settings: &[(u16, u32)]) -> Vec<u8> {
    let mut out = Vec::with_capacity(9 + 6 * settings.len());
    let length = 6 * settings.len();
    FrameHeader { length, kind: FrameKind::Settings, flags: 0, stream: 0 }.write(&mut out);
    for (id, value) in settings {
        out.extend_from_slice(&id.to_be_bytes());
        out.extend_from_slice(&value.to_be_bytes());
    }
    out
}

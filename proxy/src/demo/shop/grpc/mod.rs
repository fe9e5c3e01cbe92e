//! The little gRPC that the shop needs, over HTTP/2 without TLS: its stock's side, its client's,
//! and what the intruder reads.
//!
//! Frames and field blocks are Weir's own readers'. What is sent is short and fits the windows
//! that every connection begins with; what is received is given back at once.

mod client;
mod connection;
pub(in crate::demo) mod proto;
mod reader;
mod reply;

use weir_parsers::http2::hpack::{Field, Representation, encode_plain};
use weir_parsers::http2::{FrameHeader, FrameKind, flag};

pub(super) use client::Client;
pub(super) use connection::Connection;
pub(super) use reader::Event;
pub(in crate::demo) use reply::{Reply, replies};

/// Writes a frame.
pub(in crate::demo) fn frame(
    kind: FrameKind,
    flags: u8,
    stream: u32,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    FrameHeader { length: payload.len(), kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

/// Writes fields into a block, without any table.
pub(in crate::demo) fn fields<'a>(fields: &[(&'a str, &'a str)], out: &mut Vec<u8>) {
    let field = |&(name, value): &(&'a str, &'a str)| Field {
        name: name.as_bytes(),
        value: value.as_bytes(),
        representation: Representation::Without,
    };
    encode_plain(fields.iter().map(field), out);
}

/// Writes a HEADERS frame.
pub(super) fn head(stream: u32, list: &[(&str, &str)], end: bool, out: &mut Vec<u8>) {
    let mut block = Vec::new();
    fields(list, &mut block);
    let end = if end { flag::END_STREAM } else { 0 };
    frame(FrameKind::Headers, flag::END_HEADERS | end, stream, &block, out);
}

/// Writes a message, with the prefix that gRPC has, in a DATA frame.
pub(in crate::demo) fn message(stream: u32, message: &[u8], end: bool, out: &mut Vec<u8>) {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let data = [&[0][..], &length.to_be_bytes(), message].concat();
    let end = if end { flag::END_STREAM } else { 0 };
    frame(FrameKind::Data, end, stream, &data, out);
}

/// Not what was to come.
fn nonsense() -> std::io::Error {
    std::io::ErrorKind::InvalidData.into()
}

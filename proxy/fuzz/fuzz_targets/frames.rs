//! Frames divide into what they say, whatever follows; gRPC messages in their content are the
//! same however they are cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::Cuts;
use weir_parsers::grpc::{Messages, Piece};
use weir_parsers::http2::{
    FRAME_HEADER, FrameHeader, FrameKind, data_layout, headers_fragment, push_promise_fragment,
    settings, window_increment,
};

const MAX_FRAME: usize = 16384;

fuzz_target!(|input: &[u8]| {
    let Some((&seed, mut rest)) = input.split_first() else { return };
    let mut content = Vec::new();
    while let Some(header) = FrameHeader::read(rest) {
        let mut written = Vec::new();
        header.write(&mut written);
        assert_eq!(FrameHeader::read(&written), Some(header));
        if header.check(MAX_FRAME).is_err() {
            break;
        }
        let Some(payload) = rest[FRAME_HEADER..].get(..header.length) else { break };
        rest = &rest[FRAME_HEADER + header.length..];
        frame(&header, payload, &mut content);
    }
    let mut cuts = Cuts::new(seed);
    let whole = messages(&content, || usize::MAX);
    assert_eq!(whole, messages(&content, || cuts.next_len()));
    assert_eq!(whole, messages(&content, || 1));
});

fn frame(header: &FrameHeader, payload: &[u8], content: &mut Vec<u8>) {
    match header.kind {
        FrameKind::Data => {
            let layout = data_layout(header, payload.first().copied());
            if let Ok(layout) = layout.expect("its first byte is there, if it has one") {
                let end = layout.before + layout.content;
                assert_eq!(end + layout.padding, header.length);
                content.extend_from_slice(&payload[layout.before..end]);
            }
        }
        FrameKind::Headers => {
            let fragment = headers_fragment(header, payload);
            assert!(fragment.is_err() || fragment.is_ok_and(|f| f.len() <= payload.len()));
        }
        FrameKind::PushPromise => {
            if let Ok((stream, fragment)) = push_promise_fragment(header, payload) {
                assert!(stream > 0 && stream % 2 == 0 && fragment.len() + 4 <= payload.len());
            }
        }
        FrameKind::Settings => assert_eq!(settings(payload).count() * 6, payload.len()),
        FrameKind::WindowUpdate => {
            assert!(
                window_increment(header, payload).is_ok_and(|n| n > 0) || payload[1..] == [0; 3]
            );
        }
        _ => {}
    }
}

/// The pieces, each as its kind and size, those of one payload put together.
fn messages(content: &[u8], mut cut: impl FnMut() -> usize) -> (Vec<(u8, u64)>, u64, bool) {
    let mut messages = Messages::new();
    let mut pieces: Vec<(u8, u64)> = Vec::new();
    let mut left = content;
    while !left.is_empty() {
        let (mut now, later) = left.split_at(cut().min(left.len()));
        left = later;
        while let Some(piece) = messages.next(&mut now) {
            let (kind, size) = match piece {
                Piece::Begin { length, compressed, trailers } => {
                    (u8::from(compressed) | u8::from(trailers) << 1, u64::from(length))
                }
                Piece::Payload(payload) => (4, payload.len() as u64),
                Piece::End => (5, 0),
                Piece::Malformed => (6, 0),
            };
            match pieces.last_mut() {
                Some((4, sum)) if kind == 4 => *sum += size,
                _ => pieces.push((kind, size)),
            }
        }
        assert!(now.is_empty());
    }
    (pieces, messages.count(), messages.is_between())
}

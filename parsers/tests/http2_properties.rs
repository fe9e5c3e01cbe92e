//! Frames, heads and gRPC messages of any bytes: nothing panics, and slicing changes nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use weir_parsers::grpc::{self, Messages, Piece};
use weir_parsers::http2::hpack::{FieldList, Representation};
use weir_parsers::http2::{
    FRAME_HEADER, FrameHeader, FrameKind, Metadata, data_layout, headers_fragment,
    push_promise_fragment, request, response, settings, trailers, window_increment,
};

/// What follows one another, with the pieces of one payload put together.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Begin(u32, bool, bool),
    Payload(Vec<u8>),
    End,
    Malformed,
}

fn follow<'a>(slices: impl Iterator<Item = &'a [u8]>) -> (Vec<Event>, u64, bool, bool) {
    let mut messages = Messages::new();
    let mut events = Vec::new();
    for mut data in slices {
        while let Some(piece) = messages.next(&mut data) {
            match (piece, events.last_mut()) {
                (Piece::Payload(more), Some(Event::Payload(bytes))) => bytes.extend(more),
                (Piece::Payload(bytes), _) => events.push(Event::Payload(bytes.to_vec())),
                (Piece::Begin { length, compressed, trailers }, _) => {
                    events.push(Event::Begin(length, compressed, trailers));
                }
                (Piece::End, _) => events.push(Event::End),
                (Piece::Malformed, _) => events.push(Event::Malformed),
            }
        }
        assert!(data.is_empty());
    }
    (events, messages.count(), messages.compressed(), messages.is_between())
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let flags = prop_oneof![20 => select(vec![0u8, 1, 0x80, 0x81]), 1 => any::<u8>()];
    (flags, vec(any::<u8>(), 0..40)).prop_map(|(flags, payload)| {
        let length = u32::try_from(payload.len()).unwrap();
        [&[flags][..], &length.to_be_bytes(), &payload].concat()
    })
}

/// A field that heads have rules for, or any.
fn field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let names = [
        ":method",
        ":scheme",
        ":path",
        ":authority",
        ":status",
        ":protocol",
        "host",
        "te",
        "content-length",
        "content-type",
        "expect",
        "grpc-status",
        "x-original-url",
    ];
    let values = [
        "GET", "CONNECT", "OPTIONS", "https", "/", "/a?b", "*", "shop", "shop:1", "200", "trailers",
    ];
    let text =
        |words: &[&'static str]| select(words.to_vec()).prop_map(|word| word.as_bytes().to_vec());
    let any = || vec(any::<u8>(), 0..12);
    (prop_oneof![8 => text(&names), 1 => any()], prop_oneof![8 => text(&values), 1 => any()])
}

proptest! {
    #[test]
    fn messages_do_not_depend_on_slicing(bodies in vec(message(), 0..6), cut in 1usize..9, lost in 0usize..6) {
        let mut body = bodies.concat();
        body.truncate(body.len().saturating_sub(lost));
        let whole = follow([&body[..]].into_iter());
        prop_assert_eq!(&whole, &follow(body.chunks(cut)));
        prop_assert_eq!(&whole, &follow(body.chunks(1)));
    }

    #[test]
    fn any_frame(bytes in vec(any::<u8>(), 0..40), max_frame in 0usize..1 << 24) {
        let Some(header) = FrameHeader::read(&bytes) else {
            prop_assert!(bytes.len() < FRAME_HEADER);
            return Ok(());
        };
        let mut out = Vec::new();
        header.write(&mut out);
        out[5] |= bytes[5] & 0x80;
        prop_assert_eq!(&out[..], &bytes[..FRAME_HEADER]);
        let payload = &bytes[FRAME_HEADER..];
        if header.check(max_frame).is_ok() {
            prop_assert!(header.length <= max_frame);
        }
        let whole = FrameHeader { length: payload.len(), ..header };
        for header in [header, whole] {
            if let Some(Ok(layout)) = data_layout(&header, payload.first().copied()) {
                prop_assert_eq!(layout.before + layout.content + layout.padding, header.length);
            }
        }
        if let Ok(fragment) = headers_fragment(&whole, payload) {
            prop_assert!(fragment.len() <= payload.len());
        }
        let _ = push_promise_fragment(&whole, payload);
        let _ = window_increment(&whole, payload);
        prop_assert_eq!(settings(payload).count(), payload.len() / 6);
        prop_assert_eq!(u8::from(FrameKind::from(bytes[3])), bytes[3]);
    }

    #[test]
    fn any_head(fields in vec(field(), 0..8)) {
        let mut list = FieldList::new();
        for (name, value) in &fields {
            list.push(name, value, Representation::Without);
        }
        if let Ok(head) = request(&list, Metadata::Encoded) {
            prop_assert!(matches!(head.path, b"*" | b"" | [b'/', ..]));
            prop_assert!(response(&list, Metadata::Encoded).is_err() && trailers(&list, Metadata::Encoded).is_err());
            let _ = grpc::method(head.path);
        }
        if let Ok(head) = response(&list, Metadata::Encoded) {
            prop_assert!((100..1000).contains(&head.status));
            prop_assert!(trailers(&list, Metadata::Encoded).is_err());
        }
    }
}

//! The published frame cases (<https://github.com/http2jp/http2-frame-test-case>): each valid one
//! reads as it is described, and each other one is refused with a code that it asks for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a test that skips says so")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_parsers::http2::{
    FRAME_HEADER, FrameHeader, FrameKind, Reason, data_layout, headers_fragment,
    push_promise_fragment, settings, window_increment,
};

const MAX_FRAME: usize = 16384;

fn cases() -> Vec<(PathBuf, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/h2/frames");
    let Ok(kinds) = std::fs::read_dir(&root) else {
        println!("skipped: {} is not there", root.display());
        return Vec::new();
    };
    let files = kinds.flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap());
    let paths = files.map(|file| file.unwrap().path());
    paths
        .map(|p| (p.clone(), serde_json::from_slice(&std::fs::read(p).unwrap()).unwrap()))
        .collect()
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap())
        .collect()
}

/// A frame, and what its payload says in the words of the cases: only what Weir reads.
type Frame = (FrameHeader, Vec<(&'static str, Value)>);

fn read(wire: &[u8]) -> Result<Frame, Reason> {
    let header = FrameHeader::read(wire).unwrap();
    header.check(MAX_FRAME)?;
    let payload = &wire[FRAME_HEADER..];
    let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
    let content = match header.kind {
        FrameKind::Data => {
            let layout = data_layout(&header, payload.first().copied()).unwrap()?;
            let content = &payload[layout.before..][..layout.content];
            vec![("data", text(content)), ("padding_length", layout.padding.into())]
        }
        FrameKind::Headers => {
            vec![("header_block_fragment", text(headers_fragment(&header, payload)?))]
        }
        FrameKind::PushPromise => {
            let (stream, fragment) = push_promise_fragment(&header, payload)?;
            vec![("promised_stream_id", stream.into()), ("header_block_fragment", text(fragment))]
        }
        FrameKind::Continuation => vec![("header_block_fragment", text(payload))],
        FrameKind::Settings => {
            let pairs = settings(payload).map(|(id, value)| vec![u32::from(id), value]);
            vec![("settings", pairs.collect::<Vec<_>>().into())]
        }
        FrameKind::WindowUpdate => {
            vec![("window_size_increment", window_increment(&header, payload)?.into())]
        }
        _ => Vec::new(),
    };
    Ok((header, content))
}

#[test]
fn every_case() {
    for (path, case) in cases() {
        let wire = hex(case["wire"].as_str().unwrap());
        let frame = &case["frame"];
        let name = path.display();
        if frame.is_null() {
            let codes = case["error"].as_array().unwrap();
            let reason = read(&wire).expect_err(&name.to_string());
            assert!(codes.contains(&Value::from(reason.code() as u32)), "{name}: {reason}");
            continue;
        }
        let (header, content) = read(&wire).unwrap_or_else(|reason| panic!("{name}: {reason}"));
        assert_eq!(Value::from(header.length), frame["length"], "{name}");
        assert_eq!(Value::from(u8::from(header.kind)), frame["type"], "{name}");
        assert_eq!(Value::from(header.flags), frame["flags"], "{name}");
        assert_eq!(Value::from(header.stream), frame["stream_identifier"], "{name}");
        for (key, value) in content {
            assert_eq!(value, frame["frame_payload"][key], "{name}: {key}");
        }
        let mut out = Vec::new();
        header.write(&mut out);
        assert_eq!(out, wire[..FRAME_HEADER], "{name}");
    }
}

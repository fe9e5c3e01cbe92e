//! The published field compression cases (<https://github.com/http2jp/hpack-test-case>): each
//! story decodes to its fields, and encoded anew it does so again.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "a test that skips says so")]

use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_parsers::http2::hpack::{Decoder, Encoder, FieldList};

type Fields = Vec<(Vec<u8>, Vec<u8>)>;

struct Case {
    table_size: Option<usize>,
    wire: Vec<u8>,
    fields: Fields,
}

/// The stories of every implementation; none if they are not there.
fn stories() -> Vec<(PathBuf, Vec<Case>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/h2/hpack");
    let Ok(encoders) = std::fs::read_dir(&root) else {
        println!("skipped: {} is not there", root.display());
        return Vec::new();
    };
    let files = encoders.flat_map(|dir| std::fs::read_dir(dir.unwrap().path()).unwrap());
    files.map(|file| file.unwrap().path()).map(|path| (path.clone(), story(&path))).collect()
}

fn story(path: &Path) -> Vec<Case> {
    let story: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    story["cases"].as_array().unwrap().iter().map(case).collect()
}

fn case(case: &Value) -> Case {
    let text = |value: &Value| value.as_str().unwrap().as_bytes().to_vec();
    let headers = case["headers"].as_array().unwrap().iter();
    Case {
        table_size: case["header_table_size"].as_u64().map(|size| usize::try_from(size).unwrap()),
        wire: hex(case["wire"].as_str().unwrap()),
        fields: headers
            .flat_map(|header| header.as_object().unwrap())
            .map(|(name, value)| (name.as_bytes().to_vec(), text(value)))
            .collect(),
    }
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len() / 2)
        .map(|at| u8::from_str_radix(&digits[at * 2..at * 2 + 2], 16).unwrap())
        .collect()
}

fn plain(list: &FieldList) -> Fields {
    list.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect()
}

#[test]
fn every_story_decodes() {
    for (path, cases) in stories() {
        let (mut decoder, mut list) = (Decoder::new(), FieldList::new());
        for (at, case) in cases.iter().enumerate() {
            if let Some(size) = case.table_size {
                decoder.allow(size);
            }
            let decoded = decoder.decode(&case.wire, usize::MAX, &mut list);
            let decoded = decoded.unwrap_or_else(|e| panic!("{}: {at}: {e}", path.display()));
            assert_eq!(plain(&list), case.fields, "{}: {at}", path.display());
            let bytes = case.fields.iter().map(|(name, value)| name.len() + value.len() + 32);
            assert_eq!(decoded.list_size, bytes.sum::<usize>() as u64);
        }
    }
}

#[test]
fn every_story_encodes_anew() {
    for (path, cases) in stories() {
        let (mut decoder, mut list) = (Decoder::new(), FieldList::new());
        let (mut encoder, mut again) = (Encoder::new(4096), Decoder::new());
        for (at, case) in cases.iter().enumerate() {
            if let Some(size) = case.table_size {
                decoder.allow(size);
            }
            if let Some(update) = decoder.decode(&case.wire, usize::MAX, &mut list).unwrap().update
            {
                encoder.resize(update);
            }
            let mut block = Vec::new();
            encoder.encode(list.iter(), &mut block);
            let mut second = FieldList::new();
            again.decode(&block, usize::MAX, &mut second).unwrap();
            assert_eq!(plain(&second), case.fields, "{}: {at}", path.display());
            assert_eq!(again.size_limit(), decoder.size_limit());
        }
    }
}

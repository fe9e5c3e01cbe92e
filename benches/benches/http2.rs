//! What reading HTTP/2 costs: the header blocks of a call, once both tables are warm; and blocks that
//! are made to cost much.

use std::hint::black_box;

use criterion::{BatchSize, Criterion};
use weir_parsers::http2::hpack::{Decoder, Encoder, Error, Field, FieldList, Representation};
use weir_parsers::http2::{Metadata, request};

const LIMIT: usize = 64 * 1024;

/// The longest block that is gathered to be decoded.
const LONGEST: usize = 4 * LIMIT;

/// As a client of gRPC sends them. What differs from call to call does not enter the table.
const CALL: [(&str, &str, Representation); 9] = [
    (":method", "POST", Representation::Incremental),
    (":scheme", "http", Representation::Incremental),
    (":path", "/shop.Cart/Add", Representation::Incremental),
    (":authority", "cart.shop:9090", Representation::Incremental),
    ("content-type", "application/grpc", Representation::Incremental),
    ("user-agent", "grpc-go/1.60.0", Representation::Incremental),
    ("te", "trailers", Representation::Incremental),
    ("grpc-timeout", "999900u", Representation::Without),
    (
        "traceparent",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        Representation::Without,
    ),
];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("http2/call");
    let all = CALL.map(|(name, value, representation)| Field {
        name: name.as_bytes(),
        value: value.as_bytes(),
        representation,
    });
    for (name, fields) in [("indexed", &all[..7]), ("with a trace", &all[..])] {
        let (mut encoder, mut decoder) = (Encoder::new(4096), Decoder::new());
        let mut list = FieldList::new();
        let mut block = Vec::new();
        // The first fills the tables.
        for _ in 0..2 {
            block.clear();
            encoder.encode(fields.iter().copied(), &mut block);
            list.clear();
            decoded(&mut decoder, &block, &mut list);
        }
        group.bench_function(format!("{name}, decoded"), |bencher| {
            bencher.iter(|| {
                list.clear();
                decoded(&mut decoder, black_box(&block), &mut list);
            });
        });
        group.bench_function(format!("{name}, read"), |bencher| {
            bencher.iter(|| black_box(request(black_box(&list), Metadata::Encoded).is_ok()));
        });
    }
    group.finish();
    long_blocks(&mut criterion);
    criterion.final_summary();
}

/// Blocks of the greatest length: one that names a long entry of the table with each two bytes, and
/// one of short fields that it spells out.
fn long_blocks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http2/long block");
    for table in [4096, 65536] {
        let mut decoder = Decoder::new();
        decoder.allow(table);
        let name = vec![b'~'; table - 100];
        let field = Field { name: &name, value: b"", representation: Representation::Incremental };
        let (mut block, mut list) = (Vec::new(), FieldList::new());
        Encoder::new(table).encode([field].into_iter(), &mut block);
        decoded(&mut decoder, &block, &mut list);
        let bomb = b"\x7e\x00".repeat(LONGEST / 2);
        group.bench_function(format!("a bomb, table of {table}"), |bencher| {
            let setup = || decoder.clone();
            let run = |mut decoder: Decoder| {
                let ended = decoder.decode(black_box(&bomb), LIMIT, &mut list);
                assert_eq!(ended, Err(Error::ListTooLong));
            };
            bencher.iter_batched(setup, run, BatchSize::LargeInput);
        });
    }
    let spelt = b"\x40\x01a\x01b".repeat(LONGEST / 5);
    let (mut decoder, mut list) = (Decoder::new(), FieldList::new());
    group.bench_function("of short fields", |bencher| {
        bencher.iter(|| decoded(&mut decoder, black_box(&spelt), &mut list));
    });
    group.finish();
}

/// A benchmark of an error would measure the wrong thing.
fn decoded(decoder: &mut Decoder, block: &[u8], list: &mut FieldList) {
    let Ok(_) = decoder.decode(block, LIMIT, list) else { unreachable!("the block is whole") };
}

//! What reading Redis costs: commands with their keys, pipelines, replies.

use std::hint::black_box;

use criterion::Criterion;
use weir_parsers::redis::{
    CommandScan, Keys, ReplyLimits, ReplyPiece, ReplyStream, Table, inline, keys,
};

const BULK_LIMIT: u64 = 512 * 1024 * 1024;
const REPLY_LIMITS: ReplyLimits =
    ReplyLimits { depth: 32, line_bytes: 64 * 1024, bulk_bytes: BULK_LIMIT };

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    commands(&mut criterion);
    replies(&mut criterion);
    criterion.final_summary();
}

fn commands(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("redis/command");
    let get = command(&["GET", "cart:7"]);
    let mut mset = vec!["MSET".to_owned()];
    for index in 0..10 {
        mset.extend([format!("cart:{index}"), "value".repeat(10)]);
    }
    let mset = command(&mset.iter().map(String::as_str).collect::<Vec<_>>());
    let config = command(&["CONFIG", "SET", "dir", "/tmp"]);
    let pipeline = get.repeat(16);
    for (name, bytes, count) in [
        ("GET", &get, 1),
        ("CONFIG SET", &config, 0),
        ("MSET of ten", &mset, 10),
        ("GET, 16 pipelined", &pipeline, 16),
    ] {
        assert_eq!(read(bytes), count, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| read(black_box(bytes))));
    }
    let mut form = Vec::with_capacity(256);
    group.bench_function("inline SET", |bencher| {
        bencher.iter(|| {
            form.clear();
            assert!(inline(black_box(b"SET cart:7 \"two words\"\r\n"), &mut form).is_ok());
        });
    });
    group.finish();
}

fn command(args: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n{arg}\r\n", arg.len()).as_bytes());
    }
    bytes
}

/// Reads commands to the end of `rest`, each with its entry in the table; how many keys they have.
fn read(mut rest: &[u8]) -> usize {
    let table = Table::builtin();
    let mut found = 0;
    while !rest.is_empty() {
        let Ok(Some(command)) = CommandScan::default().find(rest, BULK_LIMIT) else {
            unreachable!("the command is whole")
        };
        let resolved = table.resolve(&command);
        match keys(resolved.info, &command) {
            Keys::Known(keys) => found += keys.count(),
            Keys::Unknown => unreachable!("the command is in the table"),
        }
        rest = &rest[command.raw().len()..];
    }
    found
}

fn replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("redis/reply");
    let bulk = [b"$64\r\n".as_slice(), &[b'v'; 64], b"\r\n"].concat();
    let array = [b"*100\r\n".as_slice(), &bulk.repeat(100)].concat();
    let large = [b"$65536\r\n".as_slice(), &[b'v'; 65_536], b"\r\n"].concat();
    for (name, bytes) in
        [("status", &b"+OK\r\n".to_vec()), ("bulk of 64", &bulk), ("array of 100", &array)]
            .into_iter()
            .chain([("bulk of 64 KiB", &large)])
    {
        assert_eq!(ends(bytes), 1, "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| ends(black_box(bytes))));
    }
    group.finish();
}

/// Reads replies to the end of `rest`; how many there are.
fn ends(mut rest: &[u8]) -> usize {
    let mut stream = ReplyStream::default();
    let mut count = 0;
    while !rest.is_empty() {
        let (taken, ends) = match stream.next(rest, &REPLY_LIMITS) {
            Ok(ReplyPiece::Value { len, ends, .. } | ReplyPiece::Data { len, ends, .. }) => {
                (len, ends)
            }
            Ok(ReplyPiece::Partial) | Err(_) => unreachable!("the reply is whole"),
        };
        count += usize::from(ends);
        rest = &rest[taken..];
    }
    count
}

//! Redis commands and replies say the same however they are cut; commands read whole and piece
//! by piece have the same arguments and keys; an inline line is one command.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::Cuts;
use weir_parsers::redis::{
    ArgRole, Command, CommandPiece, CommandScan, CommandStream, KeyWalker, Keys, Kind, Reason,
    ReplyLimits, ReplyPiece, ReplyStream, Table, inline, keys,
};

const BULK_LIMIT: u64 = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&seed, data)) = input.split_first() else { return };
    match seed & 3 {
        0 => same(seed, data, commands),
        1 => same(seed, data, replies),
        _ => one_line(data),
    }
});

/// Reads the data whole, cut, and bytewise.
fn same<T: PartialEq + std::fmt::Debug>(
    seed: u8,
    data: &[u8],
    read: fn(&[u8], &mut dyn FnMut() -> usize) -> T,
) {
    let mut cuts = Cuts::new(seed);
    let whole = read(data, &mut || usize::MAX);
    assert_eq!(whole, read(data, &mut || cuts.next_len()));
    assert_eq!(whole, read(data, &mut || 1));
}

type Commands = (Vec<Vec<Vec<u8>>>, Option<Reason>);

fn commands(data: &[u8], cut: &mut dyn FnMut() -> usize) -> Commands {
    let (mut start, mut end) = (0, 0);
    let mut scan = CommandScan::default();
    let mut list = Vec::new();
    while end < data.len() {
        end = end.saturating_add(cut()).min(data.len());
        loop {
            match scan.find(&data[start..end], BULK_LIMIT) {
                Err(reason) => return (list, Some(reason)),
                Ok(None) => break,
                Ok(Some(command)) => {
                    assert!(scan.at_least() >= command.raw().len());
                    list.push(command.args().map(<[u8]>::to_vec).collect());
                    start += command.raw().len();
                    check(&command);
                }
            }
            scan = CommandScan::default();
        }
    }
    (list, None)
}

/// A whole command against the same command piece by piece.
fn check(command: &Command<'_>) {
    assert_eq!(command.args().count(), command.argc());
    if command.raw().starts_with(b"\r\n") {
        return;
    }
    let info = Table::builtin().resolve(command).info;
    let mut walker = KeyWalker::new(info, command.argc());
    let mut found = Vec::new();
    let mut unknown = false;
    let mut stream = CommandStream::default();
    let mut left = command.raw();
    loop {
        let taken = match stream.next(left, BULK_LIMIT) {
            Ok(CommandPiece::Header { argc, len }) => {
                assert_eq!(argc as usize, command.argc());
                len
            }
            Ok(CommandPiece::ArgStart { index, size, len }) => {
                let arg = command.arg(index as usize).expect("an argument of the command");
                assert_eq!(arg.len() as u64, size);
                let role = match walker.arg(index as usize, None) {
                    ArgRole::NeedContent => walker.arg(index as usize, Some(arg)),
                    role => role,
                };
                match role {
                    ArgRole::Key => found.push(arg),
                    ArgRole::Unknown => unknown = true,
                    _ => {}
                }
                len
            }
            Ok(CommandPiece::ArgData(n) | CommandPiece::ArgEnd(n)) => n,
            Ok(CommandPiece::End) => break,
            other => panic!("{other:?} in a command that is whole"),
        };
        left = &left[taken..];
    }
    assert!(left.is_empty());
    if !unknown && command.argc() > 0 {
        match keys(info, command) {
            Keys::Known(keys) => assert_eq!(keys.collect::<Vec<_>>(), found),
            Keys::Unknown => panic!("keys of {command:?} are known piece by piece alone"),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Event {
    Value(usize, Kind, Vec<u8>, bool),
    Content(usize),
    Ends(bool),
    Error(Reason),
}

fn replies(data: &[u8], cut: &mut dyn FnMut() -> usize) -> Vec<Event> {
    let limits = ReplyLimits { depth: 8, line_bytes: 200, bulk_bytes: BULK_LIMIT };
    let mut stream = ReplyStream::default();
    let mut events = Vec::new();
    let (mut start, mut end) = (0, 0);
    while end < data.len() {
        end = end.saturating_add(cut()).min(data.len());
        loop {
            match stream.next(&data[start..end], &limits) {
                Err(reason) => {
                    events.push(Event::Error(reason));
                    return events;
                }
                Ok(ReplyPiece::Partial) => break,
                Ok(ReplyPiece::Value { depth, kind, line, len, ends }) => {
                    events.push(Event::Value(depth, kind, line.to_vec(), ends));
                    start += len;
                    assert!(!ends || stream.at_boundary());
                }
                Ok(ReplyPiece::Data { content, len, ends }) => {
                    assert!(0 < len && content <= len);
                    match events.last_mut() {
                        Some(Event::Content(n)) => *n += content,
                        _ => events.push(Event::Content(content)),
                    }
                    if len > content {
                        events.push(Event::Ends(ends));
                    }
                    start += len;
                    assert!(!ends || stream.at_boundary());
                }
            }
        }
    }
    events
}

fn one_line(data: &[u8]) {
    let mut out = b"before".to_vec();
    let read = inline(data, &mut out);
    let command = out.strip_prefix(b"before").expect("what was there stays");
    match read {
        Err(_) => assert!(command.is_empty()),
        Ok(()) => {
            let found = CommandScan::default().find(command, BULK_LIMIT);
            let found = found.expect("a command").expect("a whole command");
            assert_eq!(found.raw(), command);
        }
    }
}

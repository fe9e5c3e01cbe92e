//! Any slicing of the same bytes reads the same, and no bytes make a reader panic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::collection::vec;
use proptest::prelude::*;
use weir_parsers::redis::{
    Command, CommandPiece, CommandScan, CommandStream, Kind, Reason, ReplyLimits, ReplyPiece,
    ReplyStream, inline,
};

const BULK: u64 = 1 << 20;
const LIMITS: ReplyLimits = ReplyLimits { depth: 8, line_bytes: 256, bulk_bytes: BULK };

/// A command in RESP form.
fn command() -> impl Strategy<Value = Vec<u8>> {
    vec(vec(any::<u8>(), 0..20), 0..6).prop_map(|args| {
        let mut raw = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            raw.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            raw.extend_from_slice(&arg);
            raw.extend_from_slice(b"\r\n");
        }
        raw
    })
}

/// One value of a reply.
fn reply() -> impl Strategy<Value = Vec<u8>> {
    let bulk = |tag: char| {
        vec(any::<u8>(), 0..20).prop_map(move |content| {
            let mut raw = format!("{tag}{}\r\n", content.len()).into_bytes();
            raw.extend_from_slice(&content);
            raw.extend_from_slice(b"\r\n");
            raw
        })
    };
    let line = prop::sample::select(vec![
        "+OK\r\n",
        "-ERR no\r\n",
        ":0\r\n",
        ":-12\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "_\r\n",
        "#t\r\n",
        ",1.5\r\n",
        "(-12345678901234567890\r\n",
        "*0\r\n",
        "%0\r\n",
    ]);
    let leaf =
        prop_oneof![line.prop_map(|l| l.as_bytes().to_vec()), bulk('$'), bulk('='), bulk('!')];
    leaf.prop_recursive(4, 24, 4, |inner| {
        (prop::sample::select(vec!['*', '~', '%', '|']), vec(inner, 1..4)).prop_map(
            |(tag, values)| {
                let pairs = matches!(tag, '%' | '|');
                let mut raw = format!("{tag}{}\r\n", values.len()).into_bytes();
                for value in &values {
                    raw.extend_from_slice(value);
                    if pairs {
                        raw.extend_from_slice(value);
                    }
                }
                if tag == '|' {
                    raw.extend_from_slice(b"+attributed\r\n");
                }
                raw
            },
        )
    })
}

/// Bytes that are often almost right.
fn damaged(raw: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    (raw, vec((any::<prop::sample::Index>(), any::<u8>()), 0..3)).prop_map(|(mut raw, hits)| {
        for (at, byte) in hits {
            if !raw.is_empty() {
                let at = at.index(raw.len());
                raw[at] = byte;
            }
        }
        raw
    })
}

/// Calls `read` with what is unread, more of it as the cuts say; `read` answers how much it
/// takes, or nothing to wait for more.
fn feed(raw: &[u8], cuts: &[usize], mut read: impl FnMut(&[u8]) -> Option<usize>) {
    let (mut at, mut have) = (0, 0);
    let mut cuts = cuts.iter().copied().chain(std::iter::repeat(1));
    loop {
        match read(&raw[at..have]) {
            Some(n) => at += n,
            None if have == raw.len() => return,
            None => have = raw.len().min(have + cuts.next().unwrap_or(1)),
        }
    }
}

/// The arguments of each command, and what ended the reading.
type Commands = (Vec<Vec<Vec<u8>>>, Option<Reason>);

fn scanned(raw: &[u8], cuts: &[usize]) -> Commands {
    let (mut commands, mut error) = (Vec::new(), None);
    let mut scan = CommandScan::default();
    feed(raw, cuts, |buf| match scan.find(buf, BULK) {
        Ok(Some(command)) => {
            commands.push(command.args().map(<[u8]>::to_vec).collect());
            scan = CommandScan::default();
            Some(command.raw().len())
        }
        Ok(None) => None,
        Err(reason) => {
            error = Some(reason);
            None
        }
    });
    (commands, error)
}

fn streamed(raw: &[u8], cuts: &[usize]) -> Commands {
    let (mut commands, mut error) = (Vec::new(), None);
    let mut stream = CommandStream::default();
    let mut command: Vec<Vec<u8>> = Vec::new();
    feed(raw, cuts, |buf| {
        if error.is_some() {
            return None;
        }
        match stream.next(buf, BULK) {
            Ok(CommandPiece::Partial) => None,
            Ok(CommandPiece::Header { len, .. }) => Some(len),
            Ok(CommandPiece::ArgStart { len, index, .. }) => {
                assert_eq!(index as usize, command.len());
                command.push(Vec::new());
                Some(len)
            }
            Ok(CommandPiece::ArgData(n)) => {
                command.last_mut().unwrap().extend_from_slice(&buf[..n]);
                Some(n)
            }
            Ok(CommandPiece::ArgEnd(n)) => Some(n),
            Ok(CommandPiece::End) => {
                commands.push(std::mem::take(&mut command));
                Some(0)
            }
            Err(reason) => {
                error = Some(reason);
                None
            }
        }
    });
    (commands, error)
}

#[derive(Debug, PartialEq)]
enum Event {
    Value(usize, Kind, Vec<u8>),
    Data(Vec<u8>),
    End,
}

fn replies(raw: &[u8], cuts: &[usize]) -> (Vec<Event>, Option<Reason>) {
    let (mut events, mut error) = (Vec::new(), None);
    let mut stream = ReplyStream::default();
    feed(raw, cuts, |buf| {
        if error.is_some() {
            return None;
        }
        match stream.next(buf, &LIMITS) {
            Ok(ReplyPiece::Partial) => None,
            Ok(ReplyPiece::Value { depth, kind, line, len, ends }) => {
                events.push(Event::Value(depth, kind, line.to_vec()));
                events.extend(ends.then_some(Event::End));
                Some(len)
            }
            Ok(ReplyPiece::Data { content, len, ends }) => {
                match events.last_mut() {
                    Some(Event::Data(data)) => data.extend_from_slice(&buf[..content]),
                    _ => events.push(Event::Data(buf[..content].to_vec())),
                }
                events.extend(ends.then_some(Event::End));
                Some(len)
            }
            Err(reason) => {
                error = Some(reason);
                None
            }
        }
    });
    (events, error)
}

fn joined(list: Vec<Vec<u8>>) -> Vec<u8> {
    list.concat()
}

proptest! {
    #[test]
    fn commands(
        raw in damaged(vec(command(), 1..4).prop_map(joined)),
        cuts in vec(1usize..30, 0..20),
    ) {
        let whole = scanned(&raw, &[usize::MAX >> 1]);
        prop_assert_eq!(&scanned(&raw, &cuts), &whole);
        let pieces = streamed(&raw, &[usize::MAX >> 1]);
        prop_assert_eq!(streamed(&raw, &cuts), pieces);
    }

    #[test]
    fn valid_commands_read_the_same_both_ways(
        raw in vec(command(), 1..4).prop_map(joined),
        cuts in vec(1usize..30, 0..20),
    ) {
        let whole = scanned(&raw, &[usize::MAX >> 1]);
        prop_assert_eq!(whole.1, None);
        prop_assert_eq!(streamed(&raw, &cuts), whole);
    }

    #[test]
    fn server_leg(
        raw in damaged(vec(reply(), 1..4).prop_map(joined)),
        cuts in vec(1usize..30, 0..20),
    ) {
        let whole = replies(&raw, &[usize::MAX >> 1]);
        prop_assert_eq!(replies(&raw, &cuts), whole);
    }

    #[test]
    fn valid_replies_are_read_to_their_ends(list in vec(reply(), 1..5)) {
        let count = list.len();
        let (events, error) = replies(&list.concat(), &[]);
        prop_assert_eq!(error, None);
        prop_assert_eq!(events.iter().filter(|e| **e == Event::End).count(), count);
    }

    #[test]
    fn every_truncation_waits(raw in command()) {
        for cut in 0..raw.len() {
            prop_assert_eq!(scanned(&raw[..cut], &[]), (Vec::new(), None));
        }
    }

    #[test]
    fn inline_commands_are_commands(line in vec(any::<u8>(), 0..60)) {
        let mut line = line;
        line.extend_from_slice(b"\r\n");
        let mut out = Vec::new();
        if inline(&line, &mut out).is_ok() {
            prop_assert!(Command::new(&out).is_ok());
        }
    }
}

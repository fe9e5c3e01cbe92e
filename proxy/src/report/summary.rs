//! Allowed operations counted by shape, for a log that has one record per shape and interval.

use std::time::Instant;

use weir_policy::decide::Mode;
use weir_policy::op::{Protocol, Side};

use super::bounded::Bounded;
use super::clock::Clock;
use super::metrics::{mode_word, protocol_word, side_word};
use super::{SCHEMA, Verdict};

/// How many shapes are told apart; the rest are one.
const SHAPES: usize = 1024;

/// What was added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    /// Operations.
    pub(super) count: u64,
    /// Bytes from clients.
    pub(super) bytes_in: u64,
    /// Bytes from servers.
    pub(super) bytes_out: u64,
    /// Microseconds, of all operations together.
    pub(super) duration_us: u64,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.count += other.count;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.duration_us += other.duration_us;
    }
}

/// Sums by shape.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    known: Bounded<Sum>,
    other: Sum,
}

/// Writes what a shape is counted under: JSON members, behind a byte for the mode.
pub(super) fn key(
    mode: Mode,
    side: Side,
    port: u16,
    protocol: Protocol,
    op: &[u8],
    out: &mut Vec<u8>,
) {
    out.clear();
    out.push(mode as u8);
    for part in [",\"side\":\"", side_word(side), "\",\"port\":"] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(itoa::Buffer::new().format(port).as_bytes());
    for part in [",\"protocol\":\"", protocol_word(protocol), "\""] {
        out.extend_from_slice(part.as_bytes());
    }
    if !op.is_empty() {
        out.extend_from_slice(b",\"op\":");
        out.extend_from_slice(op);
    }
}

impl Shapes {
    /// Counts under `key`.
    pub(super) fn add(&mut self, key: &[u8], sum: Sum) {
        if self.known.with(key, SHAPES, Sum::default, |known| known.add(sum)).is_none() {
            self.other.add(sum);
        }
    }

    /// Takes over all of `from`.
    pub(super) fn merge(&mut self, from: &mut Self) {
        self.other.add(std::mem::take(&mut from.other));
        for (key, sum) in from.known.drain() {
            self.add(&key, sum);
        }
    }

    /// Nothing was counted.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.other.count == 0
    }

    /// Appends a line for each shape, and one for the others, whose op is `other`. Answers how
    /// many.
    pub(super) fn write(&mut self, now: Instant, clock: &mut Clock, out: &mut Vec<u8>) -> u64 {
        let mut lines = 0;
        for (key, sum) in self.known.drain() {
            let mode = [Mode::Learn, Mode::Monitor, Mode::Enforce]
                .into_iter()
                .find(|mode| key.first() == Some(&(*mode as u8)));
            line(now, clock, key.get(1..).unwrap_or(&[]), mode, sum, out);
            lines += 1;
        }
        let other = std::mem::take(&mut self.other);
        if other.count > 0 {
            line(now, clock, b",\"op\":\"other\"", None, other, out);
            lines += 1;
        }
        lines
    }
}

fn line(
    now: Instant,
    clock: &mut Clock,
    members: &[u8],
    mode: Option<Mode>,
    sum: Sum,
    out: &mut Vec<u8>,
) {
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(SCHEMA);
    clock.write(now, out);
    out.push(b'"');
    out.extend_from_slice(members);
    for (name, value) in [
        (",\"bytes_in\":", sum.bytes_in),
        (",\"bytes_out\":", sum.bytes_out),
        (",\"duration_us\":", sum.duration_us),
    ] {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(number.format(value).as_bytes());
    }
    for part in [",\"verdict\":\"", Verdict::Allowed.label()] {
        out.extend_from_slice(part.as_bytes());
    }
    if let Some(mode) = mode {
        for part in ["\",\"mode\":\"", mode_word(mode)] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    out.extend_from_slice(b"\",\"count\":");
    out.extend_from_slice(number.format(sum.count).as_bytes());
    out.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(bytes_in: u64) -> Sum {
        Sum { count: 1, bytes_in, bytes_out: 2, duration_us: 3 }
    }

    fn lines(shapes: &mut Shapes) -> Vec<serde_json::Value> {
        let mut out = Vec::new();
        let count = shapes.write(Instant::now(), &mut Clock::default(), &mut out);
        let lines: Vec<_> = std::str::from_utf8(&out)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len() as u64, count);
        lines
    }

    #[test]
    fn adds_up_what_several_threads_counted() {
        let mut key_bytes = Vec::new();
        key(Mode::Monitor, Side::Inbound, 80, Protocol::Http, b"\"GET /\"", &mut key_bytes);
        let (mut all, mut mine) = (Shapes::default(), Shapes::default());
        for bytes in [10, 20] {
            mine.add(&key_bytes, one(bytes));
        }
        all.add(&key_bytes, one(5));
        all.merge(&mut mine);
        assert!(mine.is_empty());
        let lines = lines(&mut all);
        assert!(all.is_empty());
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(line["op"], "GET /");
        assert_eq!(line["count"], 3);
        assert_eq!(line["bytes_in"], 35);
        assert_eq!(line["mode"], "monitor");
        assert_eq!(line["verdict"], "allowed");
    }

    #[test]
    fn has_an_end() {
        let mut shapes = Shapes::default();
        let mut key_bytes = Vec::new();
        for i in 0..SHAPES as u64 + 7 {
            let op = format!("\"GET /{i}\"");
            key(Mode::Learn, Side::Outbound, 80, Protocol::Http, op.as_bytes(), &mut key_bytes);
            shapes.add(&key_bytes, one(1));
        }
        let lines = lines(&mut shapes);
        assert_eq!(lines.len(), SHAPES + 1);
        let other = lines.iter().find(|line| line["op"] == "other").unwrap();
        assert_eq!(other["count"], 7);
    }
}

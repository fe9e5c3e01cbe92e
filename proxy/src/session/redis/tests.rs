//! The Redis session over scripted legs, and against a real server.

mod answers;
mod observed;
mod policy;
mod real;
mod refusals;
mod slicing;
mod streamed;
mod subscriptions;
mod transactions;

use weir_parsers::redis::inline;
use weir_policy::decide::Refusal;

use super::Redis;
use crate::report::{Reason, Status, Verdict};
use crate::session::testing::{Drive, Driver, Literal, Record};
use crate::session::{Actions, Cx, Input, Options};

const NONCE: u64 = 0x0123_4567_89ab_cdef;
/// What the server gets in place of a refused command.
const SUBSTITUTE: &str = "*1\r\n$21\r\nweir-0123456789abcdef\r\n";
/// What it says to that.
const UNKNOWN: &str =
    "-ERR unknown command 'weir-0123456789abcdef', with args beginning with: \r\n";

impl Drive for Redis {
    fn input(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        self.input(input, cx, out);
    }

    fn wake(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        self.wake(cx, out);
    }

    fn closed(&mut self, cx: &mut Cx<'_>) {
        self.closed(true, cx);
    }
}

/// A judged connection on which every command named BAD is refused.
fn driver(refusal: Refusal) -> Driver<Redis> {
    let options = Options { nonce: NONCE, ..Options::default() };
    let mut driver = Driver::new(Redis::new(&options, false));
    driver.admission.refusal = Some(refusal);
    driver.inspectors.push(Literal::operation("BAD"));
    driver
}

/// The same, observed.
fn observer() -> Driver<Redis> {
    let mut driver = driver(Refusal::Close);
    driver.judge = false;
    driver
}

/// Commands in RESP form: words as in an inline command, `;` between commands. Long ones have no
/// quotes.
fn resp(lines: &str) -> String {
    let mut raw = Vec::new();
    for line in lines.split(';') {
        if line.len() > 10_000 {
            let words: Vec<_> = line.split_whitespace().collect();
            raw.extend(format!("*{}\r\n", words.len()).bytes());
            words.iter().for_each(|w| raw.extend(format!("${}\r\n{w}\r\n", w.len()).bytes()));
            continue;
        }
        inline(format!("{}\r\n", line.trim()).as_bytes(), &mut raw).unwrap();
    }
    String::from_utf8(raw).unwrap()
}

/// What the client is told of the refusal of the `n`th transaction.
fn noperm(n: u64) -> String {
    format!("-NOPERM weir refused this command (id conn-{n})\r\n")
}

/// Operation, verdict and status of each record.
fn told(records: &[Record]) -> Vec<(&str, Verdict, Status)> {
    records.iter().map(|r| (&*r.op, r.verdict, r.status)).collect()
}

fn error(word: &str) -> Status {
    let mut padded = [0; 15];
    padded[..word.len()].copy_from_slice(word.as_bytes());
    Status::Error(padded)
}

fn reasons(records: &[Record]) -> Vec<Reason> {
    records.iter().map(|r| r.reason).collect()
}

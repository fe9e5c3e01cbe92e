//! The session against scripted peers.

mod ends;
mod passes;
mod policy;
mod refuses;
mod slicing;
mod switches;

use weir_policy::decide::Refusal;

use super::*;
use crate::session::testing::{Drive, Driver, Ended, Literal, Record};

impl Drive for Http1 {
    fn input(&mut self, input: Input<'_>, cx: &mut Cx<'_>, out: &mut Actions) {
        Http1::input(self, input, cx, out);
    }

    fn wake(&mut self, cx: &mut Cx<'_>, out: &mut Actions) {
        Http1::wake(self, cx, out);
    }

    fn closed(&mut self, cx: &mut Cx<'_>) {
        Http1::closed(self, true, cx);
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const CLOSED: Ended =
    Ended { finishing: true, closed: true, client_reset: false, server_reset: false };
const RESET: Ended =
    Ended { finishing: false, closed: false, client_reset: true, server_reset: true };

/// A judged connection on which paths that contain `evil` are refused.
fn judged(refusal: Refusal) -> Driver<Http1> {
    let mut driver = Driver::new(Http1::new());
    driver.admission.refusal = Some(refusal);
    driver.inspectors = vec![Literal::operation("evil")];
    driver
}

fn observed() -> Driver<Http1> {
    let mut driver = judged(Refusal::Close);
    driver.judge = false;
    driver
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// What was reported, in a word each: operation, verdict, reason, and `+` if complete.
fn words(records: &[Record]) -> Vec<String> {
    let mut records = records.to_vec();
    records.sort_by_key(|record| record.seq);
    let word = |r: &Record| {
        let complete = if r.complete { " +" } else { "" };
        format!("{} {} {}{complete}", r.op, r.verdict.label(), r.reason.label())
    };
    records.iter().map(word).collect()
}

fn problem(status: &str, id: u32, connection: &str) -> String {
    let (code, title) = status.split_once(' ').unwrap();
    let body = format!(
        "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{code},\"id\":\"conn-{id}\"}}"
    );
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/problem+json\r\n\
         Content-Length: {length}\r\n{connection}\r\n{body}"
    )
}

fn last_problem(status: &str, id: u32) -> String {
    problem(status, id, "Connection: close\r\n")
}

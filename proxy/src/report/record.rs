//! A record as a JSON line.

use std::sync::Arc;
use std::time::Instant;

use weir_policy::Snapshot;

use super::clock::Clock;
use super::entries::Entries;
use super::id::ConnId;
use super::metrics::{mode_word, protocol_word};
use super::{SCHEMA, Status, Transaction, grpc, json};

/// Which record of a transaction it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// The first of something long-lived.
    Start,
    /// One in between, at this time.
    Open(Instant),
    /// The last or only one, at this time.
    End(Instant),
}

impl Phase {
    /// How long something that began then has taken by this record.
    pub(super) fn duration_us(self, started: Instant) -> Option<u64> {
        match self {
            Self::Start => None,
            Self::Open(now) | Self::End(now) => Some(micros(now, started)),
        }
    }
}

/// What a record says of its connection.
pub(super) struct Connection<'a> {
    pub(super) id: ConnId,
    /// `conn` to `peer`.
    pub(super) members: &'a [u8],
    /// In force now.
    pub(super) policy: &'a Arc<Snapshot>,
}

/// Appends `{conn}-{seq}`.
pub(super) fn id(conn: ConnId, seq: u64, out: &mut Vec<u8>) {
    conn.write(out);
    out.push(b'-');
    out.extend_from_slice(itoa::Buffer::new().format(seq).as_bytes());
}

/// Microseconds from `started` to `now`.
pub(super) fn micros(now: Instant, started: Instant) -> u64 {
    u64::try_from(now.saturating_duration_since(started).as_micros()).unwrap_or(u64::MAX)
}

/// Appends the line: `schema` to `mode` in the order of docs/traffic-log.md.
pub(super) fn write(
    connection: &Connection<'_>,
    transaction: &Transaction,
    [bytes_in, bytes_out]: [u64; 2],
    phase: Phase,
    (clock, entries): (&mut Clock, &mut Entries),
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(SCHEMA);
    clock.write(transaction.started, out);
    out.extend_from_slice(b"\",\"id\":\"");
    id(connection.id, transaction.seq, out);
    out.push(b'"');
    out.extend_from_slice(connection.members);
    word(",\"protocol\":", protocol_word(transaction.protocol), out);
    out.extend_from_slice(transaction.text.message());
    let complete = matches!(phase, Phase::End(_)) && transaction.complete;
    out.extend_from_slice(if complete { b",\"complete\":true" } else { b",\"complete\":false" });
    status(transaction.status, out);
    number(",\"bytes_in\":", bytes_in, out);
    number(",\"bytes_out\":", bytes_out, out);
    // By then a record in between has those of its start.
    if let (Some([from_client, from_server]), Phase::End(_)) = (transaction.messages, phase) {
        number(",\"messages_in\":", from_client, out);
        number(",\"messages_out\":", from_server, out);
        if transaction.compressed {
            out.extend_from_slice(b",\"compressed\":true");
        }
    }
    if let Some(duration) = phase.duration_us(transaction.started) {
        number(",\"duration_us\":", duration, out);
    }
    if let Some(first) = transaction.first_byte {
        number(",\"first_byte_us\":", micros(first, transaction.started), out);
    }
    out.extend_from_slice(transaction.text.trace());
    word(",\"verdict\":", transaction.verdict.label(), out);
    word(",\"reason\":", transaction.reason.label(), out);
    match (transaction.text.decided_by(transaction.entry), transaction.entry) {
        (Some(text), _) => out.extend_from_slice(text),
        // Decided since the beginning.
        (None, Some(entry)) => entries.write(connection.policy, entry, out),
        (None, None) => {}
    }
    word(",\"mode\":", mode_word(transaction.text.mode()), out);
    match phase {
        Phase::Start => word(",\"phase\":", "start", out),
        Phase::Open(_) => word(",\"phase\":", "open", out),
        Phase::End(_) => {}
    }
    out.extend_from_slice(b"}\n");
}

/// A member whose value is one of the program's own words.
fn word(name: &str, value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
    out.extend_from_slice(value.as_bytes());
    out.push(b'"');
}

fn number(name: &str, value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn status(status: Status, out: &mut Vec<u8>) {
    const NAME: &[u8] = b",\"status\":";
    match status {
        Status::None => {}
        Status::Http(code) => {
            out.extend_from_slice(NAME);
            out.push(b'"');
            out.extend_from_slice(itoa::Buffer::new().format(code).as_bytes());
            out.push(b'"');
        }
        Status::Grpc(code) => {
            out.extend_from_slice(NAME);
            out.push(b'"');
            match grpc::name(code) {
                Some(name) => out.extend_from_slice(name.as_bytes()),
                None => out.extend_from_slice(itoa::Buffer::new().format(code).as_bytes()),
            }
            out.push(b'"');
        }
        Status::Ok => {
            out.extend_from_slice(NAME);
            out.extend_from_slice(b"\"ok\"");
        }
        Status::Unanswered => {
            out.extend_from_slice(NAME);
            out.extend_from_slice(b"\"unanswered\"");
        }
        Status::Error(word) => {
            let length = word.iter().position(|&byte| byte == 0).unwrap_or(word.len());
            out.extend_from_slice(NAME);
            json::string(&word[..length], word.len(), out);
        }
    }
}

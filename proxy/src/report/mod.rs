//! What the session tells the world: transactions, on their way to the log and the metrics.

use std::time::Instant;

use weir_policy::decide::EntryRef;
use weir_policy::op::{Operation, Protocol};

pub(crate) mod bounded;
mod clock;
mod conn;
mod entries;
pub(crate) mod grpc;
mod id;
mod json;
mod learned;
mod local;
mod mask;
pub mod metrics;
mod queue;
pub mod reason;
mod record;
mod reporter;
mod sink;
mod summary;
pub mod tap;
mod text;
mod writer;

use crate::learn::Learned;

pub use conn::ConnReport;
pub use id::ConnId;
pub use metrics::Metrics;
pub use reason::Reason;
pub use reporter::Reporter;
pub use sink::OpenError;
pub use text::Text;
pub use writer::StartError;

/// How each record begins: the version of its fields, which only grows when a field changes its
/// meaning.
const SCHEMA: &[u8] = b"{\"schema\":\"weir.dev/traffic/v1\",\"time\":\"";

/// The verdict on an operation or connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It passed.
    Allowed,
    /// It passed; enforce would have refused it.
    WouldRefuse,
    /// It did not pass.
    Refused,
    /// It passed without a verdict on its operation.
    Unread,
}

impl Verdict {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Allowed, Self::WouldRefuse, Self::Refused, Self::Unread];

    /// The word in log and metrics: one of a closed, stable set.
    pub fn label(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::WouldRefuse => "would-refuse",
            Self::Refused => "refused",
            Self::Unread => "unread",
        }
    }
}

/// How the server answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// It did not, or nothing tells.
    #[default]
    None,
    /// An HTTP status code.
    Http(u16),
    /// A gRPC status (`grpc-status`).
    Grpc(u32),
    /// A Redis reply that is not an error.
    Ok,
    /// A refusal that could not be told: the client had turned replies off.
    Unanswered,
    /// The first word of a Redis error, upper-case ASCII, zero-padded, cut at 15 bytes.
    Error([u8; 15]),
}

/// One operation and its answer, from the moment it is decided until it is logged.
#[derive(Debug)]
pub struct Transaction {
    /// Counts the connection's transactions from 1: with the connection's id it makes the id.
    pub seq: u64,
    /// When its first byte was read.
    pub started: Instant,
    /// What was spoken.
    pub protocol: Protocol,
    /// What the record will say of the message, rendered while the message was at hand.
    pub text: Text,
    /// What was decided.
    pub verdict: Verdict,
    /// And why.
    pub reason: Reason,
    /// By which entry.
    pub entry: Option<EntryRef>,
    /// The answer.
    pub status: Status,
    /// Request and answer were seen to their ends.
    pub complete: bool,
    /// Bytes from the client, framing included.
    pub bytes_in: u64,
    /// Bytes from the server, framing included.
    pub bytes_out: u64,
    /// gRPC messages from the client and from the server.
    pub messages: Option<[u64; 2]>,
    /// Some of them were compressed.
    pub compressed: bool,
    /// When the first byte of the answer was read.
    pub first_byte: Option<Instant>,
    /// It shares its connection with others, as a stream of HTTP/2 does: of what the connection
    /// moves no more is its own than `bytes_in` and `bytes_out` say.
    pub is_stream: bool,
    /// Where it counts for the profile.
    pub learned: Learned,
}

/// What the session knows of an operation for the log beyond what policy needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Detail<'a> {
    /// The query of an HTTP target, without `?`.
    pub query: Option<&'a [u8]>,
    /// The `traceparent` field's value, if it has the form of W3C Trace Context.
    pub traceparent: Option<&'a [u8]>,
    /// The authenticated user, where the protocol has one.
    pub user: Option<&'a [u8]>,
}

/// Takes transactions. One per connection; it knows the connection's addresses and id.
pub trait Report {
    /// Begins a transaction: gives it its number and renders the texts that its record will
    /// need. `operation` is none where the message could not be read as one.
    fn begin(
        &mut self,
        now: Instant,
        protocol: Protocol,
        operation: Option<&Operation<'_>>,
        detail: &Detail<'_>,
        outcome: Outcome,
    ) -> Transaction;

    /// A record at the start of something long-lived (a subscription, an upgrade, a tunnel).
    fn started(&mut self, transaction: &Transaction);

    /// The transaction has ended: logs and counts it, and takes its memory back.
    fn end(&mut self, now: Instant, transaction: Transaction);

    /// A limit was reached that has no record of its own: it is counted by its name.
    fn limit_reached(&mut self, name: &'static str);

    /// The client's leg began with a PROXY header that claims this client. It is written into
    /// the connection's records, and trusted for nothing.
    fn claimed(&mut self, client: std::net::SocketAddr);

    /// Writes the id that the client is told of a refusal: `{conn}-{seq}`.
    fn id(&self, seq: u64, out: &mut Vec<u8>);
}

/// A verdict with its reason and entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was decided.
    pub verdict: Verdict,
    /// And why.
    pub reason: Reason,
    /// By which entry.
    pub entry: Option<EntryRef>,
}

#[cfg(test)]
mod tests;

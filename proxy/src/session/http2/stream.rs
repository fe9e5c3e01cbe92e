//! Streams: those under way, and those that are over for Weir but of which frames may yet come.

use std::collections::{HashMap, VecDeque};

use weir_parsers::grpc::{self, Messages};

use super::Leg;
use crate::inspect::Inspector;
use crate::keyed::Keyed;
use crate::report::{Reason, Transaction, Verdict};

/// How many streams that are over are remembered.
const REMEMBERED: usize = 1024;
/// Room for streams that is kept while there are none.
const KEPT: usize = 16;

/// A stream under way: a request that has passed, and its answer.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) transaction: Transaction,
    /// END_STREAM has come from the client, from the server.
    pub(super) ended: [bool; 2],
    /// The head of the final answer has come.
    pub(super) answered: bool,
    /// Its answer turns it into something else: CONNECT, plain or extended (RFC 8441).
    pub(super) connects: bool,
    /// Request content that its `content-length` says is to come.
    pub(super) left: Option<u64>,
    /// How it speaks gRPC, if it does.
    pub(super) kind: Option<grpc::Kind>,
    /// gRPC messages from the client and from the server.
    pub(super) messages: Option<[Messages; 2]>,
    /// The trailers of a gRPC-Web answer, as far as they have come: none before they begin.
    pub(super) web_trailers: Vec<u8>,
    /// What comes from this leg are no messages.
    pub(super) unfollowed: [bool; 2],
    /// Of its own: content of several streams comes interleaved.
    pub(super) inspectors: Box<[Box<dyn Inspector>]>,
}

impl std::fmt::Debug for dyn Inspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inspector")
    }
}

impl Stream {
    /// What was let through turned out to be inadmissible.
    pub(super) fn condemn(&mut self, judge: bool, reason: Reason) {
        let transaction = &mut self.transaction;
        if judge {
            (transaction.verdict, transaction.reason) = (Verdict::Refused, reason);
        } else if transaction.verdict == Verdict::Allowed {
            (transaction.verdict, transaction.reason) = (Verdict::WouldRefuse, reason);
        }
    }

    /// Bytes of its frames came from a leg.
    pub(super) fn count(&mut self, from: Leg, bytes: usize) {
        let bytes = bytes as u64;
        match from {
            Leg::Client => self.transaction.bytes_in += bytes,
            Leg::Server => self.transaction.bytes_out += bytes,
        }
    }

    /// Whether it has ended from both sides.
    pub(super) fn is_over(&self) -> bool {
        self.ended == [true; 2]
    }

    /// What its record says when it ends.
    pub(super) fn into_transaction(self) -> Transaction {
        let mut transaction = self.transaction;
        transaction.compressed = self.messages.iter().flatten().any(Messages::compressed);
        transaction.messages =
            self.messages.map(|[client, server]| [client.count(), server.count()]);
        transaction
    }
}

/// Why a stream is over before both sides have ended it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone {
    /// The server does not know it: Weir has answered it, or left it to another connection.
    Refused,
    /// Weir has reset it on both sides.
    Cut,
    /// One of the peers has reset it.
    Reset,
}

#[derive(Debug)]
enum Entry {
    Live(Box<Stream>),
    Gone { why: Gone, late: u32 },
}

/// What a frame's stream is.
#[derive(Debug)]
pub(super) enum Known<'a> {
    /// Under way.
    Live(&'a mut Stream),
    /// Over for this reason, with the number of frames that have come since.
    Gone(Gone, &'a mut u32),
    /// Ended by both sides, or so long ago that it is forgotten.
    Closed,
    /// None has begun with this id, or one that a client cannot choose.
    Idle,
}

/// All streams of a connection.
#[derive(Debug, Default)]
pub(super) struct Streams {
    entries: HashMap<u32, Entry, Keyed>,
    /// Ids of those that are gone, oldest first.
    gone: VecDeque<u32>,
    live: usize,
    /// The highest id that the client has opened.
    highest: u32,
    /// Some stream's frames were kept from the server.
    kept_back: bool,
}

impl Streams {
    pub(super) fn get(&mut self, id: u32) -> Known<'_> {
        match self.entries.get_mut(&id) {
            Some(Entry::Live(stream)) => Known::Live(stream),
            Some(Entry::Gone { why, late }) => Known::Gone(*why, late),
            None if id % 2 == 1 && id <= self.highest => Known::Closed,
            None => Known::Idle,
        }
    }

    pub(super) fn live(&mut self, id: u32) -> Option<&mut Stream> {
        match self.get(id) {
            Known::Live(stream) => Some(stream),
            _ => None,
        }
    }

    /// Whether no stream has begun with this id.
    pub(super) fn is_unopened(&mut self, id: u32) -> bool {
        matches!(self.get(id), Known::Idle)
    }

    /// How many are under way.
    pub(super) fn len(&self) -> usize {
        self.live
    }

    pub(super) fn is_idle(&self) -> bool {
        self.live == 0
    }

    /// The client has chosen this id, whatever becomes of the stream.
    pub(super) fn opened(&mut self, id: u32) {
        self.highest = self.highest.max(id);
    }

    /// The last stream that a GOAWAY of Weir's own names: all up to it are answered.
    pub(super) fn highest(&self) -> u32 {
        self.highest
    }

    /// Whether frames of streams that are not remembered are kept from the server.
    pub(super) fn keeps_back(&self) -> bool {
        self.kept_back
    }

    /// A stream has passed to the server.
    pub(super) fn begin(&mut self, id: u32, stream: Stream) {
        self.live += 1;
        self.entries.insert(id, Entry::Live(Box::new(stream)));
    }

    /// Takes a stream that both sides have ended.
    pub(super) fn finish(&mut self, id: u32) -> Option<Stream> {
        let Some(Entry::Live(stream)) = self.entries.remove(&id) else { return None };
        self.live -= 1;
        if self.entries.is_empty() && self.entries.capacity() > KEPT {
            self.entries.shrink_to(KEPT);
        }
        Some(*stream)
    }

    /// A stream is over for this reason, live before or not. Answers what it was.
    pub(super) fn leave(&mut self, id: u32, why: Gone) -> Option<Stream> {
        self.kept_back |= why != Gone::Reset;
        let before = self.entries.insert(id, Entry::Gone { why, late: 0 });
        if matches!(before, Some(Entry::Gone { .. })) {
            return None;
        }
        if self.gone.len() == REMEMBERED
            && let Some(oldest) = self.gone.pop_front()
        {
            self.entries.remove(&oldest);
        }
        self.gone.push_back(id);
        let Some(Entry::Live(stream)) = before else { return None };
        self.live -= 1;
        Some(*stream)
    }

    /// Takes those under way that began after this one.
    pub(super) fn take_above(&mut self, last: u32) -> Vec<Stream> {
        if last >= self.highest {
            return Vec::new();
        }
        let live = |(id, entry): (&u32, &Entry)| {
            (*id > last && matches!(entry, Entry::Live(_))).then_some(*id)
        };
        let ids: Vec<u32> = self.entries.iter().filter_map(live).collect();
        ids.into_iter().filter_map(|id| self.leave(id, Gone::Reset)).collect()
    }

    /// How many are remembered, under way or not.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.entries.len().max(self.gone.len())
    }

    /// Takes those under way, in no order.
    pub(super) fn take_live(&mut self) -> impl Iterator<Item = Stream> + use<> {
        self.live = 0;
        self.gone = VecDeque::new();
        std::mem::take(&mut self.entries).into_values().filter_map(|entry| match entry {
            Entry::Live(stream) => Some(*stream),
            Entry::Gone { .. } => None,
        })
    }
}

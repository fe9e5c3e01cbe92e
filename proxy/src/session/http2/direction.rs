//! One direction of a connection: where its reading stands, and the state of its header
//! compression.

use std::time::Instant;

use weir_parsers::http2::Metadata;
use weir_parsers::http2::hpack::{
    Decoded, Decoder, Encoder, Field, SizeUpdate, encode_plain, size_update,
};

use super::Cx;
use super::answer::{self, WRITTEN};
use super::blocks::Head;
use super::rate::Rate;

/// The initial value of SETTINGS_HEADER_TABLE_SIZE (RFC 9113 §6.5.2).
const TABLE: u32 = 4096;
/// The initial window of a connection (RFC 9113 §6.9.2), and the largest.
const WINDOW: i64 = 65_535;
const WIDEST: i64 = (1 << 31) - 1;
/// The initial, and smallest, value of SETTINGS_MAX_FRAME_SIZE.
pub(super) const FRAME: usize = 16384;

/// The largest table that Weir encodes with: each field is looked up in all of it.
const OWN_TABLE: usize = 4096;

/// A change of the sender's table, as Weir's own follows it.
pub(super) fn own(update: SizeUpdate) -> SizeUpdate {
    SizeUpdate { least: update.least.min(OWN_TABLE), last: update.last.min(OWN_TABLE) }
}

/// What comes next of a direction.
#[derive(Debug)]
pub(super) enum At {
    /// The connection preface of a client.
    Preface,
    /// A frame.
    Frame,
    /// The payload of a DATA frame.
    Content(Content),
    /// The rest of a frame that is not looked at.
    Rest {
        left: usize,
        /// It passes; otherwise it is consumed.
        pass: bool,
    },
    /// The next frame of a block that is too long to be held.
    Gathering(Box<Gathered>),
}

/// The payload of a DATA frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    pub(super) stream: u32,
    /// Content that has not come.
    pub(super) left: usize,
    /// Padding that has not come.
    pub(super) padding: usize,
    /// It ends its stream.
    pub(super) last: bool,
    /// It passes; otherwise it is consumed.
    pub(super) pass: bool,
}

/// A header block that does not pass, as far as it has come.
#[derive(Debug)]
pub(super) struct Gathered {
    pub(super) head: Head,
    pub(super) block: Vec<u8>,
    pub(super) frames: u32,
    /// Its frames pass, as the connection is only observed.
    pub(super) passes: bool,
}

/// Frames that say little, each with a limit of its own within a minute.
#[derive(Debug, Default)]
pub(super) struct Rates {
    pub(super) resets: Rate,
    pub(super) settings: Rate,
    pub(super) pings: Rate,
    pub(super) empty: Rate,
}

/// See the module's words.
#[derive(Debug)]
pub(super) struct Direction {
    pub(super) at: At,
    /// A frame has come: the first is to be SETTINGS.
    pub(super) settled: bool,
    pub(super) decoder: Decoder,
    /// Of Weir's own, from the first block that was kept back.
    pub(super) encoder: Option<Box<Encoder>>,
    /// Its header blocks cannot be followed any more.
    pub(super) unread: bool,
    /// The largest table that the receiver offers, of the settings that the sender has
    /// acknowledged.
    table: u32,
    /// What settings offer that wait for their acknowledgement, oldest first.
    offered: Vec<Option<u32>>,
    /// A table size that the sender must tell with its next block, the smallest of several.
    due: Option<usize>,
    /// How the receiver takes binary metadata of gRPC.
    pub(super) metadata: Metadata,
    /// What may be sent before the receiver makes room again, of all streams (RFC 9113 §6.9).
    window: i64,
    /// The longest frame that the receiver takes.
    pub(super) max_frame: usize,
    /// Frames of Weir's own that wait for the end of one that passes in parts.
    pub(super) deferred: Vec<u8>,
    /// Window of the other direction that waits with them to be given back.
    pub(super) credit: u32,
    /// A part of what comes next has passed before it was judged.
    pub(super) part_gone: bool,
    pub(super) rates: Rates,
    /// Since when a block waits for its end.
    pub(super) slow: Option<Instant>,
    /// That it is slow was reported.
    pub(super) told: bool,
}

impl Direction {
    pub(super) fn new(at: At) -> Self {
        Self {
            at,
            settled: false,
            decoder: Decoder::new(),
            encoder: None,
            unread: false,
            table: TABLE,
            offered: Vec::new(),
            due: None,
            metadata: Metadata::Encoded,
            window: WINDOW,
            max_frame: FRAME,
            deferred: Vec::new(),
            credit: 0,
            part_gone: false,
            rates: Rates::default(),
            slow: None,
            told: false,
        }
    }

    /// Whether what it had was not all let through.
    pub(super) fn has_meddled(&self) -> bool {
        let consumes = match &self.at {
            At::Content(content) => !content.pass,
            At::Rest { pass, .. } => !*pass,
            At::Gathering(gathered) => !gathered.passes,
            At::Preface | At::Frame => false,
        };
        consumes || self.encoder.is_some() || self.has_deferred()
    }

    /// Whether frames of Weir's own can go out here: not within a frame, nor before the SETTINGS
    /// that must come first (RFC 9113 §3.4).
    pub(super) fn takes_own(&self) -> bool {
        self.settled && self.is_between()
    }

    /// Whether something of Weir's own waits to go out here.
    pub(super) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty() || self.credit > 0
    }

    /// Whether no frame has passed in part.
    pub(super) fn is_between(&self) -> bool {
        let passing = match &self.at {
            At::Content(content) => content.pass,
            At::Rest { pass, .. } => *pass,
            At::Preface | At::Frame | At::Gathering(_) => false,
        };
        !passing && !self.part_gone
    }

    /// The receiver offers a table of this size, or says nothing of it.
    pub(super) fn offer(&mut self, table: Option<u32>) {
        self.offered.push(table);
        self.allow();
    }

    /// How many SETTINGS wait for their acknowledgement.
    pub(super) fn unacknowledged(&self) -> usize {
        self.offered.len()
    }

    /// The sender acknowledges the oldest settings that it has not yet.
    pub(super) fn acknowledged(&mut self) {
        if self.offered.is_empty() {
            return;
        }
        if let Some(table) = self.offered.remove(0) {
            self.table = table;
            let table = table as usize;
            if table < self.decoder.size_limit() {
                self.due = Some(self.due.map_or(table, |due| due.min(table)));
            }
        }
        if self.offered.is_empty() {
            self.offered = Vec::new();
        }
        self.allow();
    }

    /// A sender may use what is offered as soon as it knows of it.
    fn allow(&mut self) {
        let offered = self.offered.iter().flatten().copied();
        let most = offered.chain([self.table]).max().unwrap_or(TABLE);
        self.decoder.allow(most as usize);
    }

    /// A block of the sender's own has come whole: it has told what was due.
    pub(super) fn told_size(&mut self) {
        self.due = None;
    }

    /// A block with this effect was kept back. If it has changed its sender's table, the
    /// receiver's is another from now on.
    pub(super) fn part(&mut self, decoded: &Decoded) {
        match (&mut self.encoder, decoded.update) {
            (Some(encoder), Some(update)) => encoder.resize(own(update)),
            (None, _) if decoded.changed => {
                let size = self.decoder.size_limit().min(OWN_TABLE);
                self.encoder = Some(Box::new(Encoder::new(size)));
            }
            _ => {}
        }
    }

    /// A block of Weir's own, which leads with what is due.
    pub(super) fn encode_own(&mut self, fields: &[answer::Field]) -> Vec<u8> {
        let fields =
            fields.iter().map(|(name, value)| Field { name, value, representation: WRITTEN });
        let (due, mut out) = (self.due.take(), Vec::with_capacity(128));
        match &mut self.encoder {
            Some(encoder) => {
                if let Some(due) = due {
                    encoder.resize(own(SizeUpdate { least: due, last: due }));
                }
                encoder.encode(fields, &mut out);
            }
            None => {
                if let Some(due) = due {
                    size_update(due, &mut out);
                }
                encode_plain(fields, &mut out);
            }
        }
        out
    }

    /// So much of the window is used. Answers false where there was not so much.
    pub(super) fn sent(&mut self, len: usize) -> bool {
        self.window -= i64::try_from(len).unwrap_or(WIDEST);
        self.window >= 0
    }

    /// The receiver makes room. Answers false where that is more than there can be.
    pub(super) fn widen(&mut self, increment: u32) -> bool {
        self.window = self.window.saturating_add(i64::from(increment));
        self.window <= WIDEST
    }

    /// Something that must become whole in time has begun.
    pub(super) fn waits(&mut self, cx: &Cx<'_>) {
        self.slow.get_or_insert(cx.now);
    }

    /// It is whole.
    pub(super) fn came(&mut self) {
        (self.slow, self.told) = (None, false);
    }

    /// When it is too slow.
    pub(super) fn slow_at(&self, cx: &Cx<'_>) -> Option<Instant> {
        self.slow.filter(|_| !self.told).map(|since| since + cx.limits.slow_head)
    }

    pub(super) fn is_overdue(&self, cx: &Cx<'_>) -> bool {
        self.slow_at(cx).is_some_and(|at| at <= cx.now)
    }
}

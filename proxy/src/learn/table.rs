//! What a worker has counted since it last handed counts over, by key.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weir_policy::op::{Operation, Protocol, Side};
use weir_policy::profile::Counts;
use weir_policy::profile::key::{self, Extent};

use super::Learning;
use super::shown::{self, Showing};
use crate::report::bounded::{Bounded, Due};
use crate::report::metrics::LearnedResult;

/// How long the text of a key is on average, at the most: what bounds the table's memory.
const TEXT: usize = 256;

/// Where the operations of a connection are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Which side they are on.
    pub(crate) side: Side,
    /// The other end, as policy names it.
    pub(crate) peer: IpAddr,
    /// The server's port.
    pub(crate) port: u16,
}

/// Operations of one key in one place.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) place: Place,
    pub(super) protocol: Protocol,
    pub(super) database: Option<u32>,
    /// None: of any that no key can be written of.
    pub(super) key: Option<Box<str>>,
    /// By [`LearnedResult`].
    counts: [AtomicU64; LearnedResult::ALL.len()],
    /// How the log shows them, if the key tells.
    shown: Option<Showing>,
}

impl Slot {
    fn take(&self) -> Counts {
        let take = |result| self.counts[result as usize].swap(0, Relaxed);
        Counts {
            accepted: take(LearnedResult::Accepted),
            rejected: take(LearnedResult::Rejected),
            outside: take(LearnedResult::Outside),
        }
    }
}

/// What became of a slot's operations in a while.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(super) slot: Arc<Slot>,
    pub(super) counts: Counts,
}

impl Counted {
    pub(super) fn operations(&self) -> u64 {
        self.counts.all()
    }
}

/// Where an operation will count once it is known how it ended, if it will.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    slot: Option<Arc<Slot>>,
    outside: bool,
    /// The log may show it as its slot has it.
    alike: bool,
}

impl Learned {
    /// Whether it was outside the policy, in monitor or enforce.
    pub(crate) fn is_outside(&self) -> bool {
        self.outside
    }

    /// Where the log's text of operations like this one is kept, if that is possible.
    pub(crate) fn showing(&self) -> Option<&Showing> {
        self.slot.as_ref().filter(|_| self.alike)?.shown.as_ref()
    }

    /// Counts the operation, once.
    pub(crate) fn count(&mut self, result: LearnedResult) {
        if let Some(slot) = self.slot.take() {
            slot.counts[result as usize].fetch_add(1, Relaxed);
        }
    }

    /// Whether it is still to be counted.
    pub(crate) fn is_open(&self) -> bool {
        self.slot.is_some()
    }
}

/// One worker's slots.
#[derive(Default)]
pub(crate) struct Table {
    learning: Option<Arc<Learning>>,
    slots: Bounded<Arc<Slot>>,
    /// How long the keys are together.
    bytes: usize,
    /// Operations that found no room.
    overflow: u64,
    due: Due,
    /// What was asked for when counts were last handed over.
    wanted: u64,
    /// Room to write a key in.
    text: Vec<u8>,
}

impl Table {
    /// Where this operation will count.
    pub(crate) fn learn(
        &mut self,
        learning: &Arc<Learning>,
        place: &Place,
        protocol: Protocol,
        operation: &Operation<'_>,
        outside: bool,
    ) -> Learned {
        self.belong_to(learning);
        let database = match operation {
            // Several are possible while a SELECT is unanswered: it will be the one selected last.
            Operation::Redis(redis) => redis.databases.last().copied(),
            _ => None,
        };
        self.text.clear();
        write_place(place, protocol, database, &mut self.text);
        let start = self.text.len();
        let written = key::write(operation, &mut self.text);
        let keys = learning.keys();
        let most = if self.bytes < keys.saturating_mul(TEXT) { keys } else { 0 };
        let (text, mut added) = (self.text.as_slice(), 0);
        let new = || {
            added = text.len();
            let key = std::str::from_utf8(&text[start..]).ok().filter(|_| written.is_ok());
            let shown = key.filter(|key| shown::tells(key)).map(|_| Showing::default());
            let (key, counts) = (key.map(Box::from), Default::default());
            Arc::new(Slot { place: *place, protocol, database, key, counts, shown })
        };
        let slot = self.slots.with(text, most, new, |slot| Arc::clone(slot));
        self.bytes += added;
        self.overflow += u64::from(slot.is_none());
        let alike = written == Ok(Extent::One) && shown::is_whole(operation);
        Learned { slot, outside, alike }
    }

    /// One thread may serve several sidecars one after another.
    fn belong_to(&mut self, learning: &Arc<Learning>) {
        if self.learning.as_ref().is_none_or(|mine| !Arc::ptr_eq(mine, learning)) {
            self.hand_over(true);
            *self = Self { learning: Some(Arc::clone(learning)), ..Self::default() };
        }
    }

    /// Hands over what was counted, if it is time, somebody wants it, or `everything` is to go.
    pub(crate) fn hand_over(&mut self, everything: bool) {
        let Some(learning) = &self.learning else { return };
        if self.slots.is_empty() && self.overflow == 0 {
            return;
        }
        let wanted = learning.wanted();
        if !self.due.is_over(everything || wanted != self.wanted) {
            return;
        }
        self.wanted = wanted;
        if everything {
            learning.wait_for_room();
        } else if !learning.has_room() {
            // The learner is behind: counts wait in their slots.
            return;
        }
        if self.overflow > 0 {
            learning.overflowed(std::mem::take(&mut self.overflow));
        }
        let full = self.slots.len() >= learning.keys() || self.bytes >= learning.keys() * TEXT;
        let (mut batch, mut bytes) = (Vec::new(), 0);
        self.slots.retain(|key, slot| {
            // Somebody will count there yet.
            let keep = !full || Arc::strong_count(slot) > 1;
            let counted = Counted { slot: Arc::clone(slot), counts: slot.take() };
            if counted.operations() > 0 {
                batch.push(counted);
            }
            bytes += if keep { key.len() } else { 0 };
            keep
        });
        self.bytes = bytes;
        if !batch.is_empty() {
            learning.hand_over(batch);
        }
    }
}

/// What of a key is not its text, in bytes of one length.
fn write_place(place: &Place, protocol: Protocol, database: Option<u32>, out: &mut Vec<u8>) {
    let peer = match place.peer {
        IpAddr::V4(peer) => peer.to_ipv6_mapped(),
        IpAddr::V6(peer) => peer,
    };
    out.extend_from_slice(&[place.side as u8, protocol as u8, u8::from(database.is_some())]);
    out.extend_from_slice(&place.port.to_ne_bytes());
    out.extend_from_slice(&database.unwrap_or(0).to_ne_bytes());
    out.extend_from_slice(&peer.octets());
}

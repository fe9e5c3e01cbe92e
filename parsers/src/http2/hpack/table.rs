//! The dynamic table (RFC 7541 §2.3.2, §4).

use std::collections::VecDeque;

use super::FIELD_OVERHEAD;

/// Entries, the newest first, in one buffer: they are appended, and when there is no room and half
/// of the buffer is dead, what lives moves to its front. So an insertion moves each byte once on
/// average, and the buffer is never larger than twice the table.
#[derive(Clone, Debug)]
pub(super) struct Table {
    bytes: Vec<u8>,
    /// The oldest first.
    entries: VecDeque<Entry>,
    /// What `Entry::at` is of the first byte of the buffer.
    base: usize,
    size: usize,
    limit: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Where its name begins, among all bytes that ever were in the buffer (modulo 2^64).
    at: usize,
    name: u32,
    value: u32,
}

impl Entry {
    fn bytes(&self) -> usize {
        self.name as usize + self.value as usize
    }

    fn size(&self) -> usize {
        self.bytes() + FIELD_OVERHEAD
    }
}

impl Table {
    /// An empty table of this maximum size.
    pub(super) fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), entries: VecDeque::new(), base: 0, size: 0, limit }
    }

    /// The maximum size.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// The size of its entries.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// How many bytes of memory it holds.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// The entry at `index`, from 0, the newest.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<(&[u8], &[u8])> {
        let newest = self.entries.len().checked_sub(1)?;
        let entry = self.entries.get(newest.checked_sub(index)?)?;
        let bytes = self.bytes.get(entry.at.wrapping_sub(self.base)..)?.get(..entry.bytes())?;
        bytes.split_at_checked(entry.name as usize)
    }

    /// The index of a field, and the first index of its name.
    pub(super) fn find(&self, name: &[u8], value: &[u8]) -> (Option<usize>, Option<usize>) {
        let mut named = None;
        for (index, entry) in self.entries.iter().rev().enumerate() {
            if entry.name as usize != name.len() {
                continue;
            }
            let Some((n, v)) = self.get(index) else { continue };
            if n == name {
                if v == value {
                    return (Some(index), named.or(Some(index)));
                }
                named.get_or_insert(index);
            }
        }
        (None, named)
    }

    /// Inserts a field. One that is larger than the table empties it (RFC 7541 §4.4).
    pub(super) fn insert(&mut self, name: &[u8], value: &[u8]) {
        let needed = name.len() + value.len() + FIELD_OVERHEAD;
        let (Ok(name_len), Ok(value_len)) = (u32::try_from(name.len()), u32::try_from(value.len()))
        else {
            return self.evict(0);
        };
        let Some(room) = self.limit.checked_sub(needed) else { return self.evict(0) };
        self.evict(room);
        self.make_room(needed - FIELD_OVERHEAD);
        let at = self.base.wrapping_add(self.bytes.len());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.entries.push_back(Entry { at, name: name_len, value: value_len });
        self.size += needed;
    }

    /// Sets the maximum size (RFC 7541 §4.3). Without one, there is no memory either.
    pub(super) fn resize(&mut self, limit: usize) {
        self.evict(limit);
        let smaller = limit < self.limit;
        self.limit = limit;
        if limit == 0 {
            *self = Self::new(0);
        } else if smaller && self.bytes.capacity() > limit.saturating_mul(2) {
            self.compact();
            self.bytes.shrink_to(limit.saturating_mul(2));
            self.entries.shrink_to(limit / FIELD_OVERHEAD);
        }
    }

    /// Drops the oldest entries until the size is at most `most`.
    fn evict(&mut self, most: usize) {
        while self.size > most
            && let Some(entry) = self.entries.pop_front()
        {
            self.size -= entry.size();
        }
    }

    /// How many bytes at the front belong to no entry any more.
    fn dead(&self) -> usize {
        self.entries.front().map_or(self.bytes.len(), |entry| entry.at.wrapping_sub(self.base))
    }

    fn compact(&mut self) {
        let dead = self.dead();
        self.bytes.drain(..dead);
        self.base = self.base.wrapping_add(dead);
    }

    /// Makes the buffer have room for `needed` bytes more. While at most half of it is dead, it
    /// may grow, up to twice what the table can hold.
    fn make_room(&mut self, needed: usize) {
        if self.bytes.capacity() - self.bytes.len() >= needed {
            return;
        }
        if self.dead() * 2 >= self.bytes.len() {
            self.compact();
        }
        let len = self.bytes.len();
        if self.bytes.capacity() - len < needed {
            let wanted = ((len + needed) * 2).max(256).min(self.limit.saturating_mul(2));
            self.bytes.reserve_exact(wanted.max(len + needed) - len);
        }
    }
}

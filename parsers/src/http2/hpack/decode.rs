//! Decoding field blocks (RFC 7541 §3.2, §6).

use super::table::Table;
use super::{
    AMPLIFICATION, DEFAULT_TABLE_SIZE, Error, FIELD_OVERHEAD, FieldList, Representation,
    SizeUpdate, huffman, integer, statics,
};

/// Decodes the field blocks of one direction of a connection, in order.
#[derive(Clone, Debug)]
pub struct Decoder {
    table: Table,
    allowed: usize,
    /// The next block must begin with a size update of at most this.
    required: Option<usize>,
}

/// What was in a field block beside its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// The size of the whole list: names, values, and 32 for each field (RFC 9113 §6.5.2).
    pub list_size: u64,
    /// The block inserted an entry or updated the size: who does not see it is out of step.
    pub changed: bool,
    /// The size updates that it began with.
    pub update: Option<SizeUpdate>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Decoder {
    /// With an empty table of the size that both ends begin with. It takes no memory until
    /// something is inserted.
    pub fn new() -> Self {
        let table = Table::new(DEFAULT_TABLE_SIZE);
        Self { table, allowed: DEFAULT_TABLE_SIZE, required: None }
    }

    /// Sets the largest size that an update may ask for: the decoding end's
    /// SETTINGS_HEADER_TABLE_SIZE, from its acknowledgement on. If the table is larger, the next
    /// block must begin with an update (RFC 7541 §4.2).
    pub fn allow(&mut self, bytes: usize) {
        self.allowed = bytes;
        if bytes < self.table.limit() {
            self.required = Some(self.required.map_or(bytes, |least| least.min(bytes)));
        }
    }

    /// The maximum size of the dynamic table, as it was last updated.
    pub fn size_limit(&self) -> usize {
        self.table.limit()
    }

    /// The size of the entries in the dynamic table (RFC 7541 §4.1).
    pub fn size(&self) -> usize {
        self.table.size()
    }

    /// How many bytes of memory it holds.
    pub fn memory(&self) -> usize {
        self.table.memory()
    }

    /// Decodes a whole field block into `fields`, which is cleared first.
    ///
    /// When the list's size goes over `most`, `fields` has those before that alone; the rest of
    /// the block is decoded for the table's sake, unless [`AMPLIFICATION`] ends it.
    ///
    /// # Errors
    /// The block is not valid, or its list is too long by far. Nothing that follows it can be
    /// decoded.
    pub fn decode(
        &mut self,
        block: &[u8],
        most: usize,
        fields: &mut FieldList,
    ) -> Result<Decoded, Error> {
        fields.clear();
        let mut rest = block;
        let update = self.updates(&mut rest)?;
        let mut decoded = Decoded { list_size: 0, changed: update.is_some(), update };
        while decoded.list_size <= most as u64
            && let Some((&first, after)) = rest.split_first()
        {
            rest = after;
            let start = fields.tail().len();
            let (name_end, representation) = match first {
                0x80.. => {
                    let index = integer::read(first, 7, &mut rest)?;
                    let (name, value) = self.entry(index)?;
                    let size = name.len() + value.len() + FIELD_OVERHEAD;
                    decoded.list_size += size as u64;
                    if decoded.list_size <= most as u64 {
                        fields.push(name, value, Representation::Indexed);
                    }
                    continue;
                }
                0x40.. => {
                    (self.literal(first, 6, &mut rest, fields.tail())?, Representation::Incremental)
                }
                0x20.. => return Err(Error::SizeMisplaced),
                0x10.. => {
                    (self.literal(first, 4, &mut rest, fields.tail())?, Representation::Never)
                }
                _ => (self.literal(first, 4, &mut rest, fields.tail())?, Representation::Without),
            };
            let bytes = fields.tail();
            if representation == Representation::Incremental {
                let (name, value) = bytes[start..].split_at(name_end - start);
                self.table.insert(name, value);
                decoded.changed = true;
            }
            decoded.list_size += (bytes.len() - start + FIELD_OVERHEAD) as u64;
            if decoded.list_size <= most as u64 {
                fields.keep(name_end, representation);
            } else {
                bytes.truncate(start);
            }
        }
        if decoded.list_size > most as u64 {
            let stop = AMPLIFICATION.saturating_mul(most.max(block.len()));
            let stop = stop.saturating_add(self.table.limit()) as u64;
            self.beyond(rest, stop, fields.tail(), &mut decoded)?;
        }
        Ok(decoded)
    }

    /// Decodes the rest of a block whose list is over its limit, for the table's sake.
    ///
    /// Only what is inserted is put together, behind what is in `scratch`: two bytes can name an
    /// entry that is as long as the table. That is copied as often as a list of `stop` allows.
    fn beyond(
        &mut self,
        mut rest: &[u8],
        stop: u64,
        scratch: &mut Vec<u8>,
        decoded: &mut Decoded,
    ) -> Result<(), Error> {
        let start = scratch.len();
        while decoded.list_size <= stop {
            let Some((&first, after)) = rest.split_first() else { return Ok(()) };
            rest = after;
            let size = match first {
                0x80.. => {
                    let (name, value) = self.entry(integer::read(first, 7, &mut rest)?)?;
                    name.len() + value.len()
                }
                0x40.. => {
                    let name_end = self.literal(first, 6, &mut rest, scratch)?;
                    let (name, value) = scratch[start..].split_at(name_end - start);
                    self.table.insert(name, value);
                    decoded.changed = true;
                    name.len() + value.len()
                }
                0x20.. => return Err(Error::SizeMisplaced),
                _ => {
                    let indexed = match integer::read(first, 4, &mut rest)? {
                        0 => string(&mut rest, scratch).map(|()| 0)?,
                        index => self.entry(index)?.0.len(),
                    };
                    string(&mut rest, scratch)?;
                    indexed + scratch.len() - start
                }
            };
            scratch.truncate(start);
            decoded.list_size += (size + FIELD_OVERHEAD) as u64;
        }
        Err(Error::ListTooLong)
    }

    /// Reads the size updates that begin a block, two at most.
    fn updates(&mut self, rest: &mut &[u8]) -> Result<Option<SizeUpdate>, Error> {
        let mut update: Option<SizeUpdate> = None;
        for _ in 0..2 {
            let Some((&first @ 0x20..0x40, after)) = rest.split_first() else { break };
            *rest = after;
            let size = integer::read(first, 5, rest)?;
            if size > self.required.take().unwrap_or(self.allowed).min(self.allowed) {
                return Err(Error::SizeTooLarge);
            }
            self.table.resize(size);
            let least = update.map_or(size, |update| update.least.min(size));
            update = Some(SizeUpdate { least, last: size });
        }
        if self.required.is_some() { Err(Error::SizeMissing) } else { Ok(update) }
    }

    /// The entry at an index into both tables.
    #[inline]
    fn entry(&self, index: usize) -> Result<(&[u8], &[u8]), Error> {
        match index.checked_sub(statics::COUNT + 1) {
            None => statics::get(index),
            Some(index) => self.table.get(index),
        }
        .ok_or(Error::Index)
    }

    /// Reads a literal field behind what is in `out`: where its name ends.
    #[inline]
    fn literal(
        &self,
        first: u8,
        bits: u32,
        rest: &mut &[u8],
        out: &mut Vec<u8>,
    ) -> Result<usize, Error> {
        match integer::read(first, bits, rest)? {
            0 => string(rest, out)?,
            index => out.extend_from_slice(self.entry(index)?.0),
        }
        let name_end = out.len();
        string(rest, out)?;
        Ok(name_end)
    }
}

/// Reads a string behind what is in `out` (RFC 7541 §5.2).
#[inline]
fn string(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let (&first, after) = rest.split_first().ok_or(Error::Truncated)?;
    *rest = after;
    let length = integer::read(first, 7, rest)?;
    let (bytes, after) = rest.split_at_checked(length).ok_or(Error::Truncated)?;
    *rest = after;
    if first & 0x80 != 0 {
        return huffman::decode(bytes, out);
    }
    out.extend_from_slice(bytes);
    Ok(())
}

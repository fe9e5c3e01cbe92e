//! Encoding field blocks (RFC 7541 §6).

use super::table::Table;
use super::{FIELD_OVERHEAD, Field, Representation, SizeUpdate, huffman, integer, statics};

/// Encodes the field blocks of one direction of a connection, in order.
///
/// It takes over from another encoder: its first block empties the table of the decoder.
#[derive(Clone, Debug)]
pub struct Encoder {
    table: Table,
    pending: Option<SizeUpdate>,
}

impl Encoder {
    /// With an empty table of this maximum size. The first block begins with size updates to 0 and
    /// to `size`.
    pub fn new(size: usize) -> Self {
        Self { table: Table::new(size), pending: Some(SizeUpdate { least: 0, last: size }) }
    }

    /// Changes the maximum size of the table. The next block begins with the updates for that.
    pub fn resize(&mut self, update: SizeUpdate) {
        self.table.resize(update.least);
        self.table.resize(update.last);
        let least = self.pending.map_or(update.least, |pending| pending.least.min(update.least));
        self.pending = Some(SizeUpdate { least, last: update.last });
    }

    /// The maximum size of the dynamic table.
    pub fn size_limit(&self) -> usize {
        self.table.limit()
    }

    /// How many bytes of memory it holds.
    pub fn memory(&self) -> usize {
        self.table.memory()
    }

    /// Encodes a field block behind what is in `out`.
    ///
    /// A field that was indexed, or that was inserted, is looked up and inserted if it is not
    /// there. One that was not stays out of the table.
    pub fn encode<'a>(&mut self, fields: impl Iterator<Item = Field<'a>>, out: &mut Vec<u8>) {
        if let Some(SizeUpdate { least, last }) = self.pending.take() {
            if least < last {
                size_update(least, out);
            }
            size_update(last, out);
        }
        for field in fields {
            self.field(&field, out);
        }
    }

    fn field(&mut self, field: &Field<'_>, out: &mut Vec<u8>) {
        let (whole, named) = self.find(field);
        match field.representation {
            Representation::Without | Representation::Never => literal(field, named, out),
            Representation::Indexed | Representation::Incremental => {
                let size = field.name.len() + field.value.len() + FIELD_OVERHEAD;
                if let Some(index) = whole {
                    integer::write(0x80, 7, index, out);
                } else if size > self.table.limit() {
                    literal(field, named, out);
                } else {
                    integer::write(0x40, 6, named.unwrap_or(0), out);
                    strings(field, named, out);
                    self.table.insert(field.name, field.value);
                }
            }
        }
    }

    /// The index of a field, and an index of its name, in both tables.
    fn find(&self, field: &Field<'_>) -> (Option<usize>, Option<usize>) {
        let (whole, named) = statics::find(field.name, field.value);
        if whole.is_some() {
            return (whole, named);
        }
        let (inserted, inserted_name) = self.table.find(field.name, field.value);
        let index = |at| at + statics::COUNT + 1;
        (inserted.map(index), named.or(inserted_name.map(index)))
    }
}

/// Encodes fields behind what is in `out` without any dynamic table: it neither needs nor changes
/// the decoder's.
pub fn encode_plain<'a>(fields: impl Iterator<Item = Field<'a>>, out: &mut Vec<u8>) {
    for field in fields {
        match (field.representation, statics::find(field.name, field.value)) {
            (Representation::Indexed | Representation::Incremental, (Some(index), _)) => {
                integer::write(0x80, 7, index, out);
            }
            (_, (_, named)) => literal(&field, named, out),
        }
    }
}

/// Writes a dynamic table size update, for the start of a block (RFC 7541 §6.3).
pub fn size_update(size: usize, out: &mut Vec<u8>) {
    integer::write(0x20, 5, size, out);
}

/// Writes a literal that stays out of the table.
fn literal(field: &Field<'_>, named: Option<usize>, out: &mut Vec<u8>) {
    let first = if field.representation == Representation::Never { 0x10 } else { 0 };
    integer::write(first, 4, named.unwrap_or(0), out);
    strings(field, named, out);
}

/// Writes the name, unless an index says it, and the value.
fn strings(field: &Field<'_>, named: Option<usize>, out: &mut Vec<u8>) {
    if named.is_none() {
        string(field.name, out);
    }
    string(field.value, out);
}

fn string(bytes: &[u8], out: &mut Vec<u8>) {
    let encoded = huffman::encoded_len(bytes);
    if encoded < bytes.len() {
        integer::write(0x80, 7, encoded, out);
        huffman::encode(bytes, out);
    } else {
        integer::write(0, 7, bytes.len(), out);
        out.extend_from_slice(bytes);
    }
}

//! Field compression for HTTP/2 (RFC 7541).
//!
//! A [`Decoder`] follows the dynamic table of one direction and makes a [`FieldList`] of each field
//! block; an [`Encoder`] makes blocks of fields with a table of its own, [`encode_plain`] without
//! any. Memory is bounded by the size of the table, and by what the caller lets a list be; so is the
//! work that a block makes, by that and its length.

mod decode;
mod encode;
mod error;
mod fields;
mod huffman;
mod integer;
mod statics;
mod table;
#[cfg(test)]
mod tests;

pub use decode::{Decoded, Decoder};
pub use encode::{Encoder, encode_plain, size_update};
pub use error::Error;
pub use fields::{Field, FieldList, Representation};

/// The size of the dynamic table that both ends begin with (RFC 9113 §6.5.2).
pub const DEFAULT_TABLE_SIZE: usize = 4096;

/// What an entry, or a field of a list, counts beside its bytes (RFC 7541 §4.1, RFC 9113 §6.5.2).
pub const FIELD_OVERHEAD: usize = 32;

/// How many times its limit, or its block where that is longer, a list may come to (and one table
/// more, as one field may), before [`Decoder::decode`] gives up with [`Error::ListTooLong`].
///
/// What the block spells out comes to 8/5 of it at most, as no Huffman code has fewer than five
/// bits; a byte that names an entry can add as much as the table holds, which is how a small block
/// makes much work (RFC 7541 §7.3). A list between the two is refused by itself, and the connection
/// lives; an honest one is hardly ever that long.
pub const AMPLIFICATION: usize = 8;

/// The dynamic table size updates at the start of a block (RFC 7541 §4.2): one or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeUpdate {
    /// The least size among them: entries beyond it are gone.
    pub least: usize,
    /// The size from then on.
    pub last: usize,
}

//! Field compression for HTTP/2 (RFC 7541).
//!
//! A [`Decoder`] follows the dynamic table of one direction and makes a [`FieldList`] of each field
//! block; an [`Encoder`] makes blocks of fields with a table of its own, [`encode_plain`] without
//! any. Memory is bounded by the size of the table, and by what the caller lets a list be.

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

/// The dynamic table size updates at the start of a block (RFC 7541 §4.2): one or two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeUpdate {
    /// The least size among them: entries beyond it are gone.
    pub least: usize,
    /// The size from then on.
    pub last: usize,
}

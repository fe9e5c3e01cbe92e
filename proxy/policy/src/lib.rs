//! Operations, shapes, policies and decisions of Weir. No I/O, no clock.
//!
//! - [`op`]: operations, as sessions build them from parsed messages.
//! - [`parse`]: policy files into [`TrafficPolicy`]; every error names file, line and column.
//! - [`mod@write`]: what was learned as a policy file; [`edit`] adds it to one that is there.
//! - [`masked`]: decisions on what the traffic log tells of an operation.
//! - [`Snapshot`]: compiled policies; [`decide`] has the words in which it answers.

pub mod class;
mod compile;
mod cover;
mod date;
pub mod decide;
pub mod diff;
pub mod edit;
pub mod entry;
pub mod error;
pub mod explain;
mod file;
mod hash;
mod host;
pub mod learned;
pub mod masked;
mod miss;
mod model;
pub mod op;
pub mod path;
mod pattern;
mod peers;
pub mod profile;
pub mod shape;
pub mod suggest;
pub mod text;
mod trie;
mod words;
pub mod write;

pub use compile::{Defaults, Described, Snapshot};
pub use date::{BadDate, Date};
pub use error::{Error, Errors, Origin, Warning};
pub use file::parse;
pub use host::{BadHost, HostPattern};
pub use model::{Addresses, Peer, Rule, TrafficPolicy};
pub use pattern::{Rest, Separators, Sequence, Token};
pub use words::UnknownWord;

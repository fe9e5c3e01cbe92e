//! Zero-copy, sans-I/O parsers.

pub mod detect;

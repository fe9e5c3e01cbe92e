//! Zero-copy, sans-I/O parsers.

pub mod detect;
pub mod http1;
pub mod redis;

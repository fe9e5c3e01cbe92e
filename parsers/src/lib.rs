//! Zero-copy, sans-I/O parsers.

pub mod detect;
mod http;
pub mod http1;
pub mod redis;

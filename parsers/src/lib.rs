//! Zero-copy, sans-I/O parsers.

pub mod detect;
pub mod grpc;
mod http;
pub mod http1;
pub mod http2;
pub mod redis;

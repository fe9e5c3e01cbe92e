//! Zero-copy, sans-I/O parsers.

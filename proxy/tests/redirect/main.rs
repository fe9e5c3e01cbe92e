//! `weir init` against the real kernel: what it writes, what the rules do to packets, which rights
//! it needs. Every namespace is the test's own; none has a rule in the machine's.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod other;
mod past;
mod raw;
mod rights;
mod rules;
mod scene;
mod traffic;

//! From real traffic to a policy that is enforced: nothing of what was learned is refused. And
//! the commands that make the policy.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

#[path = "../support/mod.rs"]
mod support;

mod accept;
mod from_profile;
mod http;
mod merge;
mod onto;
mod pending;
mod redis;
mod scene;

//! HTTP/2 and gRPC between real clients and servers: h2, hyper, tonic, grpcio, curl, nghttp and
//! peers that write frames by hand, each directly and with a sidecar between them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stderr, reason = "a test says which way it goes")]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod echo;
mod frames;
mod raw;
mod scene;
mod visitor;
mod web;

mod byhand;
mod calls;
mod errors;
mod exchanges;
mod floods;
mod grpcio;
mod learned;
mod malformed;
mod paused;
mod records;
mod refusals;
mod refused;
mod replayed;
mod tools;
mod windows;

//! The Weir sidecar: intercept, relay, inspect, decide, report.

pub mod config;
pub mod demo;
pub mod inspect;
pub mod limits;
pub mod program_log;
pub mod reload;
pub mod report;
pub mod session;

//! The Weir sidecar: intercept, relay, inspect, decide, report.

mod accept;
pub mod admin;
mod budget;
pub mod capability;
pub mod config;
mod conn;
mod control;
pub mod defaults;
pub mod demo;
mod drain;
pub mod inspect;
pub mod limits;
mod live;
mod net;
pub mod policies;
pub mod program_log;
pub mod redirect;
mod registry;
mod relay;
pub mod reload;
pub mod report;
mod resolve;
pub mod run;
pub mod session;
mod shared;
mod worker;

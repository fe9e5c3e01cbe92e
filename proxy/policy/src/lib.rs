//! Operations, shapes, policies and decisions of Weir. No I/O, no clock.
//!
//! - [`op`]: operations, as sessions build them from parsed messages.
//! - [`decide`]: compiled policies and what they say of connections and operations.

pub mod decide;
pub mod op;

//! The session: one value per connection that holds the protocol state of both directions.
//!
//! It is sans-I/O. It is handed the bytes of either leg and answers an ordered list of
//! [`Action`]s; the relay carries them out. Inside, the chain is always parser → borrowed
//! [`Operation`](weir_policy::op::Operation) → inspectors → verdict → actions.
//!
//! The verdict is a function of the bytes and of the limits reached, never of how reads were
//! cut: a session handed one byte at a time says the same as one handed the whole.

pub mod action;
#[cfg_attr(not(test), expect(dead_code, reason = "the session that asks it comes next"))]
mod detect;
#[cfg(test)]
pub(crate) mod testing;

use std::time::Instant;

use weir_policy::decide::{Admission, Snapshot};
use weir_policy::op::Endpoint;

pub use action::{Action, Actions, Input, Leg};

use crate::inspect::Inspector;
use crate::limits::Limits;
use crate::report::Report;

/// What a session may look at, and say, while it handles one input.
pub struct Cx<'a> {
    /// The time of this call.
    pub now: Instant,
    /// Enforce: nothing passes before its verdict. Otherwise bytes have passed already and the
    /// session only reads.
    pub judge: bool,
    /// The policy in force.
    pub policy: &'a Snapshot,
    /// What that policy says of this connection.
    pub admission: &'a Admission,
    /// Where the connection comes from and goes to.
    pub endpoint: &'a Endpoint,
    /// The limits in force.
    pub limits: &'a Limits,
    /// Inspectors besides the policy: signatures, tests.
    pub inspectors: &'a mut [Box<dyn Inspector>],
    /// Where transactions go.
    pub report: &'a mut dyn Report,
    /// Weir is about to stop: say goodbye at the next message boundary. When this becomes true
    /// each leg's input is handed in once more, empty or not.
    pub goodbye: bool,
    /// Bytes read so far, of the client's leg and of the server's, this input included.
    pub totals: [u64; 2],
}

//! The texts of a record, rendered while the message is at hand.

use weir_policy::decide::EntryRef;

/// What the record of a transaction will say of its message: JSON members, kept from `begin`
/// to `end`. Empty where the log will not have the record.
#[derive(Debug, Default)]
pub struct Text {
    /// `host`, `database`, `user`, `op` and `detail`, then `traceparent`, then `decided_by`, each
    /// with a leading comma.
    bytes: Vec<u8>,
    /// Where the value of `op` lies, quotes included.
    op: (u16, u16),
    /// Where `traceparent` begins.
    trace: u16,
    /// Where `decided_by` begins.
    decided: u16,
    /// The entry that `decided_by` names.
    entry: Option<EntryRef>,
}

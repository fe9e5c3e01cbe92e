//! Why something was decided as it was: one closed set of labels for log and metrics.

use weir_policy::decide::Violation;

/// Why a transaction or connection has its verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// An entry allows it.
    Entry,
    /// No policy governs this side.
    Ungoverned,
    /// It is outside the policy.
    Policy(Violation),
    /// An inspector found this.
    Inspector(&'static str),
    /// The protocol's parser refused it; the parser's own label.
    Malformed(&'static str),
    /// A limit was reached; the limit's name.
    Limit(&'static str),
    /// Detection found a protocol other than the rule's, or none.
    Protocol(&'static str),
    /// Bytes passed without a verdict on their operation.
    Unread(&'static str),
    /// A clock ran out; the limit's name.
    Timeout(&'static str),
}

//! A request that waits for its answer.

use weir_parsers::http1::RequestKind;

use crate::report::{Reason, Transaction, Verdict};

/// A request in the queue.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) transaction: Transaction,
    /// What its answer's framing depends on.
    pub(super) kind: RequestKind,
    /// The protocols that it offers to switch to: its Upgrade field.
    pub(super) offered: Option<Box<[u8]>>,
    /// It is not for the server: Weir answers it.
    pub(super) own: Option<Own>,
    /// Its body has passed to the end.
    pub(super) sent: bool,
    /// The head of its final answer has passed.
    pub(super) begun: bool,
    /// Its final answer has passed to the end.
    pub(super) answered: bool,
}

/// An answer of Weir's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) status: u16,
    /// The connection ends with it.
    pub(super) close: bool,
    /// The request was HEAD: the answer has no body.
    pub(super) head_only: bool,
}

impl Pending {
    /// One that was let through, of which the head has passed.
    pub(super) fn passed(transaction: Transaction, kind: RequestKind) -> Self {
        Self {
            transaction,
            kind,
            offered: None,
            own: None,
            sent: false,
            begun: false,
            answered: false,
        }
    }

    /// One that Weir answers itself.
    pub(super) fn refused(transaction: Transaction, own: Own) -> Self {
        Self { own: Some(own), sent: true, ..Self::passed(transaction, RequestKind::Normal) }
    }

    /// Whether its answer may turn the connection into something else.
    pub(super) fn may_switch(&self) -> bool {
        self.kind == RequestKind::Connect || self.offered.is_some()
    }

    /// What was let through turned out to be inadmissible.
    pub(super) fn condemn(&mut self, judge: bool, reason: Reason) {
        if judge {
            self.transaction.verdict = Verdict::Refused;
            self.transaction.reason = reason;
        } else if self.transaction.verdict == Verdict::Allowed {
            self.transaction.verdict = Verdict::WouldRefuse;
            self.transaction.reason = reason;
        }
    }
}

//! A request that waits for its answer.

use weir_parsers::http1::{RequestHead, RequestKind};
use weir_policy::op::{HttpOp, Operation};

use crate::report::{Reason, Transaction, Verdict};

/// A request in the queue.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) transaction: Transaction,
    /// What its answer's framing depends on.
    pub(super) kind: RequestKind,
    /// What it asks for, where its answer may turn the connection into something else.
    pub(super) switch: Option<Box<Switch>>,
    /// It is not for the server: Weir answers it.
    pub(super) own: Option<Own>,
    /// Its body has passed to the end.
    pub(super) sent: bool,
    /// The head of its final answer has passed.
    pub(super) begun: bool,
    /// Its final answer has passed to the end.
    pub(super) answered: bool,
}

/// A request to become something else: CONNECT, or one with an Upgrade field. It is kept, since
/// a changed policy judges it anew as long as the connection lives.
#[derive(Debug)]
pub(super) struct Switch {
    method: Box<[u8]>,
    authority: Option<Box<[u8]>>,
    path: Box<[u8]>,
    /// The protocols that it offers: its Upgrade field.
    pub(super) offered: Option<Box<[u8]>>,
    /// The one that it is judged by.
    upgrade: Option<Box<[u8]>>,
}

impl Switch {
    /// What this request asks to switch to, if it does.
    pub(super) fn of(head: &RequestHead<'_>, operation: &HttpOp<'_>) -> Option<Box<Self>> {
        if head.upgrade.is_none() && RequestKind::of(head.method) != RequestKind::Connect {
            return None;
        }
        Some(Box::new(Self {
            method: operation.method.into(),
            authority: operation.authority.map(Box::from),
            path: operation.path.into(),
            offered: head.upgrade.map(Box::from),
            upgrade: operation.upgrade.map(Box::from),
        }))
    }

    /// The same request as an operation.
    pub(super) fn operation(&self) -> Operation<'_> {
        Operation::Http(HttpOp {
            method: &self.method,
            authority: self.authority.as_deref(),
            path: &self.path,
            upgrade: self.upgrade.as_deref(),
            override_header: None,
        })
    }
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
            switch: None,
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
        self.switch.is_some()
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

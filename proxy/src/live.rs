//! What is in force: policy, mode and limits as one immutable snapshot, swapped whole.

use std::sync::Arc;

use arc_swap::ArcSwap;
use weir_policy::decide::{Admission, AdmissionVerdict, Mode, Snapshot};

use crate::limits::Limits;

/// One snapshot.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    /// The compiled policies.
    pub(crate) policy: Arc<Snapshot>,
    /// `--mode`: for what no policy says otherwise.
    pub(crate) default_mode: Mode,
    /// `weir mode`: goes before everything else.
    pub(crate) override_mode: Option<Mode>,
    /// The limits.
    pub(crate) limits: Limits,
    /// Counts the snapshots from 1.
    pub(crate) generation: u64,
}

impl InForce {
    /// The mode that a connection with this admission runs in.
    pub(crate) fn mode(&self, admission: &Admission) -> Mode {
        self.override_mode.or(admission.mode).unwrap_or(self.default_mode)
    }

    /// Whether operations of such a connection wait for their verdicts. What no policy governs
    /// passes in every mode.
    pub(crate) fn judges(&self, admission: &Admission) -> bool {
        self.mode(admission) == Mode::Enforce && admission.verdict != AdmissionVerdict::Ungoverned
    }
}

/// The snapshot in force, and the one way to change it.
#[derive(Debug)]
pub(crate) struct Live(ArcSwap<InForce>);

impl Live {
    /// Begins with this snapshot.
    pub(crate) fn new(first: InForce) -> Self {
        Self(ArcSwap::from_pointee(first))
    }

    /// The snapshot in force.
    pub(crate) fn load(&self) -> Arc<InForce> {
        self.0.load_full()
    }

    /// Puts in force what `change` makes of the present snapshot, and answers its generation.
    /// `change` may run more than once when two changes meet.
    pub(crate) fn update(&self, change: impl Fn(&mut InForce)) -> u64 {
        let before = self.0.rcu(|now| {
            let mut next = InForce::clone(now);
            change(&mut next);
            next.generation = now.generation + 1;
            next
        });
        before.generation + 1
    }
}

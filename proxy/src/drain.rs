//! Ending: on SIGTERM Weir goes on until the application's connections are gone and no more come,
//! or the grace period is nearly over, then accepts no more and says goodbye in each protocol, then ends what
//! is left.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tracing::info;

use crate::registry::Notice;
use crate::shared::Shared;

/// How long before the end of the grace period connections are told goodbye.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long nobody may have come before nobody is expected any more: who was told that Weir is
/// ready has to hear first that it is not.
const QUIET: Duration = Duration::from_secs(1);
/// How long connections that are ended may take to flush. It is a part of the grace period, behind
/// which an orchestrator kills.
const LAST: Duration = Duration::from_millis(500);

/// How the process was asked to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// SIGTERM: an orchestrator; the application may still be busy.
    Orderly,
    /// SIGINT: a person at a terminal, who does not want to wait.
    Soon,
}

/// Waits until the connections have ended, in the ways above; `accepting` are the listeners'
/// tasks, which end with the goodbye. Answers how many connections had to be cut.
pub(crate) async fn drain(
    shared: &Shared,
    accepting: &mut JoinSet<()>,
    ask: Ask,
    grace: Duration,
) -> usize {
    let begun = Instant::now();
    info!(connections = shared.budget.connections(), ?grace, "draining");
    if ask == Ask::Orderly {
        quiet(shared, begun + grace.saturating_sub(GOODBYE)).await;
    }
    accepting.shutdown().await;
    shared.registry.tell_all(Notice::Goodbye);
    let over = match ask {
        Ask::Orderly => grace,
        Ask::Soon => grace.min(GOODBYE + LAST),
    };
    gone(shared, begun + over.saturating_sub(LAST)).await;
    let left = shared.budget.connections();
    if left > 0 {
        shared.registry.tell_all(Notice::End);
        gone(shared, begun + over).await;
    }
    left
}

/// Waits until no connection is left and none has come for a while, or until `end`.
async fn quiet(shared: &Shared, end: Instant) {
    loop {
        gone(shared, end).await;
        let accepted = shared.budget.accepted();
        let Some(left) = end.checked_duration_since(Instant::now()) else {
            return;
        };
        tokio::time::sleep(QUIET.min(left)).await;
        if shared.budget.connections() == 0 && shared.budget.accepted() == accepted {
            return;
        }
    }
}

/// Waits until no connection is left, or until `end`.
async fn gone(shared: &Shared, end: Instant) {
    while shared.budget.connections() > 0 {
        let Some(left) = end.checked_duration_since(Instant::now()) else {
            return;
        };
        // Woken by each connection that ends; the tick is for the one that ended just before.
        let tick = left.min(Duration::from_millis(100));
        let _ = tokio::time::timeout(tick, shared.budget.released()).await;
    }
}

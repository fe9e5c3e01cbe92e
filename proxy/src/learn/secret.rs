//! The key of a profile's hashes, in a file of its own: whoever has it can try words.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use weir_policy::profile::Key;

use super::StartError;

/// The length of a key.
const BYTES: usize = 16;
const WHAT: &str = "the profile's key";

/// Reads the key, or makes one where there is none.
pub(super) fn read_or_make(path: &Path) -> Result<Key, StartError> {
    match read(path) {
        Err(StartError::Read { source, .. }) if source.kind() == ErrorKind::NotFound => {
            make(path).map_err(|source| StartError::Write {
                what: WHAT,
                path: path.to_owned(),
                source,
            })?;
            read(path)
        }
        read => read,
    }
}

fn read(path: &Path) -> Result<Key, StartError> {
    let text = fs::read(path).map_err(|source| StartError::Read {
        what: WHAT,
        path: path.to_owned(),
        source,
    })?;
    parse(text.trim_ascii()).ok_or_else(|| StartError::Key(path.to_owned()))
}

fn parse(text: &[u8]) -> Option<Key> {
    let mut key = [0; BYTES];
    if text.len() != 2 * BYTES {
        return None;
    }
    for (byte, digits) in key.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |at: usize| char::from(digits[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(Key::new(key))
}

/// Makes the file whole or not at all. Another process may make it at the same time: the first
/// one stands.
fn make(path: &Path) -> io::Result<()> {
    let mut key = [0; BYTES];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    let mut text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    text.push('\n');
    let mut temporary = path.to_owned().into_os_string();
    temporary.push(format!(".{}.tmp", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    let linked = written.and_then(|()| match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    // It was made for the moment; where it was not made there is nothing to remove.
    let _ = fs::remove_file(&temporary);
    linked
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_read_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.key");
        let made = read_or_make(&path).unwrap();
        assert!(read_or_make(&path).unwrap() == made);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap().len(), 33);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_key_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.key");
        for text in ["", "abc", "0123456789abcdef0123456789abcdeg\n"] {
            fs::write(&path, text).unwrap();
            let error = read_or_make(&path).unwrap_err().to_string();
            assert!(error.contains("p.key:1:1") && error.contains("32 hex digits"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        let nowhere = dir.path().join("no/p.key");
        assert!(matches!(read_or_make(&nowhere), Err(StartError::Write { .. })));
    }
}

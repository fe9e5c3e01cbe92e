//! Files that are replaced whole, or not at all.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Replaces a file that is there by one with this content and the same permissions: it is
/// written beside it first, so that neither a full disk nor the end of the program leaves half of
/// one. A link is followed.
///
/// # Errors
/// What the system says; the file is then as it was.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let target = fs::canonicalize(path)?;
    let mode = fs::metadata(&target)?.permissions().mode();
    let beside = Beside::new(&target, mode & 0o7777)?;
    // What the umask took from them.
    beside.file.set_permissions(fs::Permissions::from_mode(mode & 0o7777))?;
    beside.fill(content)?;
    beside.replace(&target).map(drop)
}

/// The directory that a path is in.
pub(crate) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// A file on its way to be another: removed unless it gets there.
pub(crate) struct Beside {
    path: PathBuf,
    file: File,
}

impl Beside {
    /// A new one beside `target`, which need not be there.
    pub(crate) fn new(target: &Path, mode: u32) -> io::Result<Self> {
        if target.file_name().is_none() {
            return Err(io::Error::other("it is a directory"));
        }
        let mut name = Self::prefix(target);
        name.push(format!("{:x}.tmp", getrandom::u64().map_err(io::Error::other)?));
        let path = directory(target).join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?;
        Ok(Self { path, file })
    }

    fn prefix(target: &Path) -> OsString {
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(".weir-");
        name
    }

    /// Whether a file of this name is one beside `target`.
    pub(crate) fn is_name(target: &Path, name: &std::ffi::OsStr) -> bool {
        let (name, prefix) = (name.as_encoded_bytes(), Self::prefix(target));
        name.starts_with(prefix.as_encoded_bytes()) && name.ends_with(b".tmp")
    }

    /// Writes its content.
    pub(crate) fn fill(&self, content: &[u8]) -> io::Result<()> {
        (&self.file).write_all(content)?;
        self.file.sync_all()
    }

    /// Puts it in the target's place, for good. Answers what the file is like there.
    pub(crate) fn replace(self, target: &Path) -> io::Result<fs::Metadata> {
        fs::rename(&self.path, target)?;
        File::open(directory(target))?.sync_all()?;
        self.file.metadata()
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Where it has become the target there is nothing to remove.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_content_and_keeps_link_and_mode() {
        let directory = tempfile::tempdir().unwrap();
        let [file, link] = ["a", "b"].map(|name| directory.path().join(name));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        assert!(replace(&directory.path().join("none"), b"x").is_err());
    }
}

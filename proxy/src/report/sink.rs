//! Where the traffic log goes: lines, whole or to be completed.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use crate::config::Target;

/// The traffic log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the traffic log {target}: {reason}")]
pub struct OpenError {
    target: String,
    reason: String,
}

/// Opens a target. A new file is its owner's alone (mode 0600).
///
/// # Errors
/// The target, and why it cannot be written.
pub(super) fn open(target: &Target) -> Result<File, OpenError> {
    let opened = match target {
        Target::Stdout => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        Target::File(path) => open_file(path),
    };
    opened.map_err(|error| OpenError { target: name(target), reason: explain(&error) })
}

/// A target as messages name it.
pub(super) fn name(target: &Target) -> String {
    match target {
        Target::Stdout => "on standard output".to_owned(),
        Target::File(path) => path.display().to_string(),
    }
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::NXIO) => "nobody reads this named pipe".to_owned(),
        _ => error.to_string(),
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    if path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()) {
        // Otherwise opening waits for a reader.
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits();
        options.custom_flags(nonblocking.cast_signed());
    }
    let mut file = options.open(path)?;
    if ends_within_a_line(path) {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

/// Whether an earlier process left a line incomplete.
fn ends_within_a_line(path: &Path) -> bool {
    let last = || -> io::Result<u8> {
        let metadata = path.metadata()?;
        if !metadata.is_file() || metadata.len() == 0 {
            return Ok(b'\n');
        }
        let mut file = File::open(path)?;
        let mut byte = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut byte)?;
        Ok(byte[0])
    };
    last().is_ok_and(|byte| byte != b'\n')
}

/// Writes lines. When a write fails within a line, the rest of that line is kept and comes
/// first in the next write, so that no line is spoiled by another.
#[derive(Debug)]
pub(super) struct Sink<W> {
    file: W,
    tail: Vec<u8>,
}

/// What became of some lines.
#[derive(Debug)]
pub(super) struct Written {
    /// How many are in the log now, one that an earlier write began included.
    pub(super) written: u64,
    /// How many will never be.
    pub(super) dropped: u64,
    /// Why, if some will not.
    pub(super) error: Option<io::Error>,
}

impl<W: Write> Sink<W> {
    /// Writes to `file`.
    pub(super) fn new(file: W) -> Self {
        Self { file, tail: Vec::new() }
    }

    /// Writes to `file` from now on. Answers how many records remain incomplete in the old one.
    pub(super) fn replace(&mut self, file: W) -> u64 {
        let lost = u64::from(!self.tail.is_empty());
        *self = Self::new(file);
        lost
    }

    /// Writes `lines`, each with its end.
    pub(super) fn write(&mut self, lines: &[u8]) -> Written {
        let mut written = 0;
        if !self.tail.is_empty() {
            let (count, error) = put(&mut self.file, &self.tail);
            self.tail.drain(..count);
            if error.is_some() {
                return Written { written, dropped: ends(lines), error };
            }
            written = 1;
        }
        let (count, error) = put(&mut self.file, lines);
        let (done, left) = lines.split_at(count);
        written += ends(done);
        let mut dropped = ends(left);
        if done.last().is_some_and(|&byte| byte != b'\n') {
            let end = memchr::memchr(b'\n', left).map_or(left.len(), |end| end + 1);
            self.tail.extend_from_slice(&left[..end]);
            dropped -= 1;
        }
        Written { written, dropped, error }
    }
}

fn ends(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

/// Writes all of `bytes`, or as many as go. A slow reader is waited for: this is the writer's
/// own thread.
fn put(file: &mut impl Write, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut count = 0;
    while count < bytes.len() {
        match file.write(&bytes[count..]) {
            Ok(0) => return (count, Some(ErrorKind::WriteZero.into())),
            Ok(n) => count += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return (count, Some(error)),
        }
    }
    (count, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with room for so many bytes.
    #[derive(Default)]
    struct Disk {
        room: usize,
        bytes: Vec<u8>,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = bytes.len().min(self.room);
            if n == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= n;
            self.bytes.extend_from_slice(&bytes[..n]);
            Ok(n)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Whatever room there is when, every line is whole, and every one is accounted for.
    #[test]
    fn no_line_is_spoiled() {
        for first in 0..20 {
            for second in 0..20 {
                let mut disk = Disk { room: first, ..Disk::default() };
                let mut sink = Sink::new(&mut disk);
                let mut totals = (0, 0);
                let mut count = |written: Written| {
                    totals.0 += written.written;
                    totals.1 += written.dropped;
                };
                count(sink.write(b"{1}\n{22}\n{333}\n"));
                sink.file.room = second;
                count(sink.write(b"{4}\n{55}\n"));
                sink.file.room = 99;
                count(sink.write(b"{6}\n"));
                let lines: Vec<_> = disk.bytes.split_inclusive(|&byte| byte == b'\n').collect();
                for line in &lines {
                    assert!(line.starts_with(b"{") && line.ends_with(b"}\n"), "{first} {second}");
                    assert_eq!(line.iter().filter(|&&byte| byte == b'{').count(), 1);
                }
                assert_eq!(totals.0, lines.len() as u64, "{first} {second}");
                assert_eq!(totals.0 + totals.1, 6, "{first} {second}");
            }
        }
    }
}

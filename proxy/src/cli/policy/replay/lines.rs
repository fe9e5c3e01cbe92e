//! The lines of a log, one at a time, and how far one has come.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cli::failure::Failure;

/// The log's own lines are far shorter.
const LINE: u64 = 256 << 10;
/// How often progress is told.
const PERIOD: Duration = Duration::from_millis(500);

/// The lines of a log.
pub(super) struct Lines {
    name: PathBuf,
    from: Box<dyn BufRead>,
    line: Vec<u8>,
    number: u64,
    read: u64,
    length: Option<u64>,
}

impl Lines {
    /// Opens the log; `-` is standard input.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) fn open(log: &Path) -> Result<Self, Failure> {
        let (from, length): (Box<dyn BufRead>, _) = if log == Path::new("-") {
            (Box::new(io::stdin().lock()), None)
        } else {
            let file = File::open(log).map_err(|error| unreadable(log, &error))?;
            let length = file.metadata().ok().filter(|m| m.is_file()).map(|m| m.len());
            (Box::new(BufReader::with_capacity(256 << 10, file)), length)
        };
        Ok(Self { name: log.to_owned(), from, line: Vec::new(), number: 0, read: 0, length })
    }

    /// The file's length, if it is a file.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// How many bytes were read.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    /// The next line that is not empty, with its number from 1. Of a line that is too long to
    /// be a record the beginning.
    ///
    /// # Errors
    /// The log cannot be read on.
    pub(super) fn next(&mut self) -> Result<Option<(u64, &[u8])>, Failure> {
        loop {
            self.line.clear();
            let read = self.from.by_ref().take(LINE).read_until(b'\n', &mut self.line);
            let read = read.map_err(|error| unreadable(&self.name, &error))? as u64;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.read += read;
            if read == LINE && self.line.last() != Some(&b'\n') {
                self.skip().map_err(|error| unreadable(&self.name, &error))?;
            }
            if !self.line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some((self.number, &self.line)));
            }
        }
    }

    /// Reads on to the end of the line.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            let bytes = self.from.fill_buf()?;
            let end = memchr::memchr(b'\n', bytes);
            let n = end.map_or(bytes.len(), |end| end + 1);
            self.from.consume(n);
            self.read += n as u64;
            if end.is_some() || n == 0 {
                return Ok(());
            }
        }
    }
}

fn unreadable(log: &Path, error: &io::Error) -> Failure {
    Failure::usage(format!("cannot read the log {}: {error}", log.display()))
}

/// Says on a terminal how far one has come, if it takes long.
pub(super) struct Progress {
    due: Option<Instant>,
    length: Option<u64>,
    shown: bool,
}

impl Progress {
    /// For a log of this length, if it is known.
    pub(super) fn new(length: Option<u64>) -> Self {
        let due = io::stderr().is_terminal().then(|| Instant::now() + 2 * PERIOD);
        Self { due, length, shown: false }
    }

    /// Says it, if it is time.
    pub(super) fn tell(&mut self, number: u64, read: u64) {
        let Some(due) = self.due else { return };
        if !number.is_multiple_of(1024) || Instant::now() < due {
            return;
        }
        self.due = Some(Instant::now() + PERIOD);
        self.shown = true;
        let part = match self.length {
            Some(length) if length > 0 => format!(", {} %", read.saturating_mul(100) / length),
            _ => format!(", {} MiB", read >> 20),
        };
        let _ = write!(io::stderr(), "\r\x1b[K{number} lines{part}");
    }

    /// Takes it away.
    pub(super) fn end(&self) {
        if self.shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

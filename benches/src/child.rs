//! Programs started for a measurement: their output kept, their end certain.

use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{Error, ending};

const START_LIMIT: Duration = Duration::from_secs(10);
const STOP_LIMIT: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

/// A running program; it is stopped when this is dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    complaints: PathBuf,
}

impl Program {
    /// Starts `command` with standard output to `output` (or nowhere), and standard error to a file in `room` that is named after `name`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(
        name: &str,
        room: &Path,
        output: Option<File>,
        command: &mut Command,
    ) -> Result<Self, Error> {
        let complaints = room.join(format!("{}.stderr", name.replace(' ', "-")));
        let errors =
            File::create(&complaints).map_err(Error::io(complaints.display().to_string()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.map_or_else(Stdio::null, Stdio::from))
            .stderr(errors)
            .spawn()
            .map_err(Error::io(format!("starting {name}")))?;
        let program = Self { name: name.to_owned(), child, complaints };
        program.id().into_iter().for_each(ending::started);
        Ok(program)
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    fn id(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }

    /// Waits until `address` accepts a connection.
    ///
    /// # Errors
    /// If the program ends first or ten seconds pass; the error holds the last of what it wrote to standard error.
    pub fn await_listening(&mut self, address: SocketAddr) -> Result<(), Error> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(self.failed(&format!("ended at start ({status})")));
            }
            if TcpStream::connect_timeout(&address, POLL).is_ok() {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(self.failed(&format!("does not listen on {address}")));
            }
            thread::sleep(POLL);
        }
    }

    /// Waits until it has ended well.
    ///
    /// # Errors
    /// If it does not within `limit`, or ends otherwise; the error holds the last of what it wrote to standard error.
    pub fn await_end(&mut self, limit: Duration) -> Result<(), Error> {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(self.failed(&format!("ended ({status})"))),
                _ if Instant::now() > deadline => {
                    return Err(self.failed(&format!("has not ended after {limit:?}")));
                }
                _ => thread::sleep(POLL),
            }
        }
    }

    fn failed(&self, what: &str) -> Error {
        let said = fs::read_to_string(&self.complaints).unwrap_or_default();
        let from = said.char_indices().rev().nth(600).map_or(0, |(at, _)| at);
        Error::Program(format!("{} {what}; it said: {}", self.name, said[from..].trim()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(pid) = self.id() {
            // It may have ended by itself: then there is nobody to tell.
            let _ = kill_process(pid, Signal::TERM);
        }
        self.wait();
        self.id().into_iter().for_each(ending::stopped);
    }
}

impl Program {
    fn wait(&mut self) {
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A proxy's transaction log, emptied after each run so that a long measurement does not fill the disk.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Creates the file at `path`.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(path: PathBuf) -> Result<Self, Error> {
        let opened = File::options().read(true).append(true).create(true).open(&path);
        let file = opened.map_err(Error::io(path.display().to_string()))?;
        Ok(Self { path, file })
    }

    /// Where the log is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A handle for a program's standard output: appending, so that it survives [`Log::take`].
    ///
    /// # Errors
    /// If no more descriptors are left.
    pub fn output(&self) -> Result<File, Error> {
        self.file.try_clone().map_err(Error::io("log handle"))
    }

    /// Counts the records (lines) written since the last call and empties the file.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn take(&mut self) -> Result<u64, Error> {
        self.count().map_err(Error::io(self.path.display().to_string()))
    }

    fn count(&mut self) -> std::io::Result<u64> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut buffer = vec![0; 256 * 1024];
        let mut lines = 0;
        loop {
            let read = self.file.read(&mut buffer)?;
            if read == 0 {
                break;
            }
            lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
        }
        self.file.set_len(0)?;
        Ok(lines)
    }
}

/// A port of the loopback that nothing listened on a moment ago.
///
/// # Errors
/// If no port is free.
pub fn free_port() -> Result<u16, Error> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io("a free port"))?;
    Ok(listener.local_addr().map_err(Error::io("a free port"))?.port())
}

/// Finds a program by name in `PATH` and where Debian keeps servers.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/local/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_is_counted_once_and_stays_open() {
        let room = tempfile::tempdir().unwrap();
        let mut log = Log::create(room.path().join("log")).unwrap();
        let mut writer = log.output().unwrap();
        writer.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(log.take().unwrap(), 2);
        writer.write_all(b"three\n").unwrap();
        assert_eq!(log.take().unwrap(), 1);
        assert_eq!(log.take().unwrap(), 0);
    }

    #[test]
    fn a_program_that_ends_says_why() {
        let room = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such option >&2; exit 3"]);
        let mut program = Program::start("sh", room.path(), None, &mut command).unwrap();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port().unwrap()));
        let error = program.await_listening(address).unwrap_err().to_string();
        assert!(error.contains("no such option"), "{error}");
    }
}

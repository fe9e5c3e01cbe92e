//! Reads a sidecar's traffic log while it grows.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::Path;

use serde::Deserialize;

/// The members of a traffic record that the demo looks at.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Record {
    /// What the client is told of a refusal.
    #[serde(default)]
    pub(super) id: String,
    /// `allowed`, `would-refuse`, `refused`, `unread`.
    #[serde(default)]
    pub(super) verdict: String,
    /// Why.
    #[serde(default)]
    pub(super) reason: String,
    /// The operation's shape.
    #[serde(default)]
    pub(super) op: Option<String>,
    /// The client's address.
    #[serde(default)]
    pub(super) client: Option<String>,
    /// The connection.
    #[serde(default)]
    pub(super) conn: String,
    /// `inbound` or `outbound`.
    #[serde(default)]
    side: String,
}

impl Record {
    /// Whether it is of a connection from this address.
    pub(super) fn is_from(&self, client: SocketAddr) -> bool {
        self.client.as_deref() == Some(client.to_string().as_str())
    }

    /// Whether the operation passed and was inside the policy.
    pub(super) fn allowed(&self) -> bool {
        self.verdict == "allowed"
    }
}

/// The log so far.
pub(super) struct Log {
    file: File,
    partial: Vec<u8>,
    /// Every record but the allowed ones, oldest first.
    pub(super) violations: Vec<Record>,
    page: usize,
    /// How many operations towards the service were allowed.
    pub(super) allowed: u64,
    /// Of these, how many an entry of the policy allowed: the others passed ungoverned.
    pub(super) by_entry: u64,
}

impl Log {
    /// Opens the log at `path`.
    ///
    /// # Errors
    /// Those of opening a file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: File::open(path)?,
            partial: Vec::new(),
            violations: Vec::new(),
            page: 0,
            allowed: 0,
            by_entry: 0,
        })
    }

    /// Lets what was read so far be the past.
    pub(super) fn turn_page(&mut self) {
        self.page = self.violations.len();
    }

    /// The violations since the page was turned.
    pub(super) fn page(&self) -> &[Record] {
        &self.violations[self.page..]
    }

    /// Takes in what was written since the last time.
    ///
    /// # Errors
    /// Those of reading, and `InvalidData` for a line that is not a record.
    pub(super) fn refresh(&mut self) -> io::Result<()> {
        self.file.read_to_end(&mut self.partial)?;
        let whole = memchr::memrchr(b'\n', &self.partial).map_or(0, |end| end + 1);
        for line in self.partial[..whole].split(|&b| b == b'\n') {
            if line.is_empty() {
                continue;
            }
            let record: Record = serde_json::from_slice(line)?;
            if record.allowed() {
                let counts = record.op.is_some() && record.side == "inbound";
                self.allowed += u64::from(counts);
                self.by_entry += u64::from(counts && record.reason == "entry");
            } else {
                self.violations.push(record);
            }
        }
        self.partial.drain(..whole);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::Log;

    #[test]
    fn a_line_counts_when_it_is_whole() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut log = Log::open(file.path()).unwrap();
        let (start, end) = (r#"{"id":"a-1","verdict":"refu"#, "sed\",\"reason\":\"denied\"}\n");
        file.write_all(start.as_bytes()).unwrap();
        log.refresh().unwrap();
        assert!(log.violations.is_empty());
        file.write_all(end.as_bytes()).unwrap();
        log.refresh().unwrap();
        assert_eq!(log.violations[0].id, "a-1");
        assert_eq!(log.violations[0].reason, "denied");
    }
}

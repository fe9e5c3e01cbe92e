//! What a pod and its proxy hold while the load goes on: descriptors, memory, ports, and the entries of connection tracking.

use std::{
    collections::BTreeMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use serde::Serialize;

use crate::{Error, netns::Namespace, process::resident_kib};

const INTERVAL: Duration = Duration::from_millis(200);

/// The highest that was seen.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Peaks {
    /// Open descriptors of the proxy.
    pub descriptors: u64,
    /// Its resident memory, in KiB.
    pub resident_kib: u64,
    /// Connections of the pod in TIME_WAIT.
    pub time_wait: u64,
    /// Entries of connection tracking in the pod.
    pub conntrack: u64,
}

impl Peaks {
    /// What holds now. To be called in a thread that is inside the pod's namespace.
    fn now(pid: u32) -> Result<Self, Error> {
        let place = format!("/proc/{pid}/fd");
        let descriptors = fs::read_dir(&place).map_err(Error::io(&place))?.count() as u64;
        Ok(Self {
            descriptors,
            resident_kib: resident_kib(pid)?,
            time_wait: time_wait(&read("/proc/thread-self/net/sockstat")?),
            conntrack: number(&read("/proc/sys/net/netfilter/nf_conntrack_count")?),
        })
    }

    fn raise(&mut self, other: Self) {
        self.descriptors = self.descriptors.max(other.descriptors);
        self.resident_kib = self.resident_kib.max(other.resident_kib);
        self.time_wait = self.time_wait.max(other.time_wait);
        self.conntrack = self.conntrack.max(other.conntrack);
    }
}

/// A thread that looks five times a second.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Peaks, Error>>,
}

impl Watch {
    /// Begins to watch the process `pid` and the namespace of its pod.
    pub fn begin(pod: &Namespace, pid: u32) -> Self {
        let (stop, pod) = (Arc::new(AtomicBool::new(false)), pod.clone());
        let told = stop.clone();
        let look = move || {
            let mut peaks = Peaks::now(pid)?;
            while !told.load(Ordering::Relaxed) {
                thread::sleep(INTERVAL);
                peaks.raise(Peaks::now(pid)?);
            }
            Ok(peaks)
        };
        Self { stop, thread: thread::spawn(move || pod.enter(look)?) }
    }

    /// Stops watching.
    ///
    /// # Errors
    /// If the process ended meanwhile, or the kernel does not tell.
    pub fn end(self) -> Result<Peaks, Error> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// What the kernel has counted in a pod of packets and connections that it could not serve.
///
/// # Errors
/// If it does not tell.
pub fn shortages(pod: &Namespace) -> Result<BTreeMap<String, u64>, Error> {
    const TRACKING: [&str; 3] = ["insert_failed", "drop", "early_drop"];
    const TCP: [&str; 4] =
        ["ListenOverflows", "ListenDrops", "TCPTimeWaitOverflow", "TCPSynRetrans"];
    let mut found = BTreeMap::new();
    let tracking = pod.read("/proc/thread-self/net/stat/nf_conntrack")?;
    for name in TRACKING {
        found.insert(format!("conntrack {name}"), column(&tracking, name, 16));
    }
    let tcp = pod.read("/proc/thread-self/net/netstat")?;
    for name in TCP {
        found.insert(name.to_owned(), column(extension(&tcp), name, 10));
    }
    Ok(found)
}

/// The sum of a column of a table with a head line.
fn column(table: &str, name: &str, radix: u32) -> u64 {
    let mut lines = table.lines().map(str::split_ascii_whitespace);
    let at = lines.next().and_then(|mut head| head.position(|word| word == name));
    let value = |mut line: std::str::SplitAsciiWhitespace<'_>| {
        u64::from_str_radix(line.nth(at?)?, radix).ok()
    };
    lines.filter_map(value).sum()
}

/// The two lines of `netstat` that begin with `TcpExt:`.
fn extension(netstat: &str) -> &str {
    let text = netstat.find("TcpExt:").map_or("", |at| &netstat[at..]);
    text.find("IpExt:").map_or(text, |end| &text[..end])
}

fn time_wait(sockstat: &str) -> u64 {
    let tcp = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"));
    let mut words = tcp.unwrap_or_default().split_ascii_whitespace();
    words.by_ref().find(|word| *word == "tw");
    words.next().map_or(0, number)
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0)
}

fn read(file: &str) -> Result<String, Error> {
    fs::read_to_string(file).map_err(Error::io(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_summed_over_the_lines() {
        let table =
            "entries drop early_drop\n00000010 00000001 00000000\n00000010 0000000a 00000002\n";
        assert_eq!(column(table, "drop", 16), 11);
        assert_eq!(column(table, "early_drop", 16), 2);
        assert_eq!(column(table, "absent", 16), 0);
    }

    #[test]
    fn the_kernels_texts_are_read() {
        let sockstat =
            "sockets: used 5\nTCP: inuse 3 orphan 0 tw 217 alloc 9 mem 1\nUDP: inuse 2\n";
        assert_eq!(time_wait(sockstat), 217);
        let netstat =
            "TcpExt: SyncookiesSent ListenDrops\nTcpExt: 4 9\nIpExt: InNoRoutes\nIpExt: 3\n";
        assert_eq!(column(extension(netstat), "ListenDrops", 10), 9);
    }
}

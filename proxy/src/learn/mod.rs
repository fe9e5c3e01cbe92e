//! Learning: what operations do, on its way into the profile.
//!
//! A worker counts each operation under its key (`table`), and hands its counts over once a
//! second; one thread (`learner`) takes them into the profile and writes that (`file`). What
//! the profile or a policy names may be shown in the traffic log (`words`).

mod file;
mod learner;
mod secret;
mod shown;
mod table;
mod words;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;
use weir_policy::Snapshot;
use weir_policy::profile::{BadProfile, Settings};

use crate::config::ProfileFiles;
use crate::limits::Limits;
use crate::report::Metrics;
use crate::report::metrics::NotLearned;

#[cfg(test)]
pub(crate) use shown::{is_whole, tells};
pub use table::Learned;
pub(crate) use table::{Place, Table};
pub(crate) use words::Known;

use learner::{Message, Thread};
use table::Counted;
use words::Words;

/// As many batches wait for the learner as a rule; workers keep their counts meanwhile.
const BATCHES: usize = 32;
/// As many may wait where several workers saw room at once.
const ROOM: usize = BATCHES + 96;
/// How long the last batch of a worker waits for room.
const LAST: Duration = Duration::from_secs(1);
/// How long the workers have to hand over what they counted before somebody reads the profile:
/// they look every 50 ms.
const HASTE: Duration = Duration::from_millis(250);
/// How long an answer of the learner's may take.
const ANSWER: Duration = Duration::from_secs(10);

/// Why there is no learning.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The profile is none.
    #[error("{0}")]
    Broken(BadProfile),
    /// A file cannot be read.
    #[error("cannot read {what} {}: {source}", path.display())]
    Read {
        /// Which file.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The key file holds no key.
    #[error("{}:1:1: no key of a profile: it has 32 hex digits and nothing else", .0.display())]
    Key(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {what} {}: {source}", path.display())]
    Write {
        /// Which file.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The thread cannot be started, or there are no random numbers.
    #[error("cannot start learning: {0}")]
    Start(io::Error),
}

/// What was written on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The profile's file.
    pub path: PathBuf,
    /// How long it is.
    pub bytes: u64,
    /// How many shapes and parts of shapes it has.
    pub nodes: usize,
}

/// What workers, the learner's thread and the doors share.
#[derive(Debug)]
struct Shared {
    metrics: Arc<Metrics>,
    words: Words,
    /// Batches that wait.
    waiting: AtomicUsize,
    /// The bounds in force.
    settings: ArcSwap<Settings>,
}

/// The bounds of learning as the limits have them.
fn settings(limits: &Limits) -> Settings {
    Settings {
        word_operations: limits.learned_word_operations as u64,
        nodes: limits.profile_nodes,
        rule_nodes: limits.profile_nodes / 4,
    }
}

/// A profile that is being learned: the workers' and the doors' end.
#[derive(Debug)]
pub struct Learning {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
    /// Counts how often everything counted so far was wanted at once.
    wanted: AtomicU64,
    /// [`Limits::learned_keys`].
    keys: AtomicUsize,
}

impl Learning {
    /// Reads the profile and its key, or makes the key, and starts the learner's thread.
    ///
    /// # Errors
    /// A file is broken, or cannot be read or written; nothing is overwritten then.
    pub fn start(files: &ProfileFiles, metrics: Arc<Metrics>) -> Result<Arc<Self>, StartError> {
        let (file, profile) = file::ProfileFile::open(&files.path)?;
        let key = secret::read_or_make(&files.key)?;
        let words = Words::default();
        let settings = ArcSwap::from_pointee(settings(&Limits::default()));
        let shared = Arc::new(Shared { metrics, words, waiting: AtomicUsize::new(0), settings });
        let (sender, receiver) = sync_channel(ROOM);
        Thread::start(file, profile, key, receiver, Arc::clone(&shared))?;
        Ok(Arc::new(Self {
            sender,
            shared,
            wanted: AtomicU64::new(0),
            keys: AtomicUsize::new(Limits::default().learned_keys),
        }))
    }

    /// These are in force: what the policy names may be shown.
    pub(crate) fn govern(&self, policy: &Snapshot, limits: &Limits) {
        self.keys.store(limits.learned_keys, Relaxed);
        self.shared.settings.store(Arc::new(settings(limits)));
        self.shared.words.of_policy(policy);
    }

    /// The words that may be shown.
    pub(crate) fn words(&self) -> arc_swap::Guard<Arc<Known>> {
        self.shared.words.load()
    }

    /// How many keys a worker tells apart.
    fn keys(&self) -> usize {
        self.keys.load(Relaxed)
    }

    fn wanted(&self) -> u64 {
        self.wanted.load(Relaxed)
    }

    /// Whether the learner keeps up.
    fn has_room(&self) -> bool {
        self.shared.waiting.load(Relaxed) < BATCHES
    }

    /// Waits a little until the learner has room.
    fn wait_for_room(&self) {
        let until = Instant::now() + LAST;
        while !self.has_room() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Counts operations that found no room among a worker's keys.
    fn overflowed(&self, operations: u64) {
        self.shared.metrics.not_learned(NotLearned::Keys, operations);
    }

    /// Hands counts over, or drops them and says so.
    fn hand_over(&self, batch: Vec<Counted>) {
        self.shared.waiting.fetch_add(1, Relaxed);
        let lost = match self.sender.try_send(Message::Batch(batch)) {
            Ok(()) => return,
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => message,
        };
        self.shared.waiting.fetch_sub(1, Relaxed);
        if let Message::Batch(batch) = lost {
            let operations = batch.iter().map(Counted::operations).sum();
            self.shared.metrics.not_learned(NotLearned::Queue, operations);
        }
    }

    /// The profile as it is now, in YAML.
    ///
    /// # Errors
    /// The learner does not answer; in words.
    pub async fn show(&self) -> Result<String, String> {
        self.ask(Message::Show).await
    }

    /// Writes the profile now.
    ///
    /// # Errors
    /// Why it cannot be written, in words.
    pub async fn write(&self) -> Result<Written, String> {
        self.ask(Message::Write).await?
    }

    async fn ask<T>(&self, message: impl Fn(oneshot::Sender<T>) -> Message) -> Result<T, String> {
        self.wanted.fetch_add(1, Relaxed);
        tokio::time::sleep(HASTE).await;
        let (reply, answer) = oneshot::channel();
        self.sender.try_send(message(reply)).map_err(|_| "the learner is busy".to_owned())?;
        let answer = tokio::time::timeout(ANSWER, answer).await;
        answer.ok().and_then(Result::ok).ok_or_else(|| "the learner does not answer".to_owned())
    }

    /// Waits until everything handed over so far is in the profile and that is written, for
    /// `within` at most. Answers whether it is. The learner ends.
    pub fn close(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let (reply, written) = sync_channel(1);
        let mut message = Message::Close(reply);
        loop {
            message = match self.sender.try_send(message) {
                Ok(()) => break,
                Err(TrySendError::Disconnected(_)) => return false,
                Err(TrySendError::Full(_)) if Instant::now() >= until => return false,
                Err(TrySendError::Full(message)) => message,
            };
            std::thread::sleep(Duration::from_millis(5));
        }
        let left = until.saturating_duration_since(Instant::now());
        written.recv_timeout(left).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests;

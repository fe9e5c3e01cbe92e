//! The thread that owns the profile.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::oneshot;
use weir_policy::profile::{Key, Learner, Observation, Profile, WriterId};

use super::file::{ProfileFile, WriteError};
use super::table::Counted;
use super::{Shared, StartError, Written};
use crate::report::metrics::{LearnedResult, NotLearned, ProfileWrite};

/// How often a profile that has changed is written.
const PERIOD: Duration = Duration::from_secs(10);

/// What the learner is told.
pub(super) enum Message {
    /// To take this in.
    Batch(Vec<Counted>),
    /// To tell the profile in YAML.
    Show(oneshot::Sender<String>),
    /// To write the profile now.
    Write(oneshot::Sender<Result<Written, String>>),
    /// To write what is left, say whether that is done, and end.
    Close(SyncSender<bool>),
}

/// See the module's words.
pub(super) struct Thread {
    learner: Learner,
    file: ProfileFile,
    shared: Arc<Shared>,
    /// Something is not in the file.
    changed: bool,
    /// The last write failed, and that was told.
    told: bool,
    /// What was told of the profile's size: nodes, and operations without their shape.
    nodes: usize,
    bounded: u64,
}

impl Thread {
    pub(super) fn start(
        file: ProfileFile,
        profile: Profile,
        key: Key,
        receiver: Receiver<Message>,
        shared: Arc<Shared>,
    ) -> Result<(), StartError> {
        let random = getrandom::u64().map_err(|e| StartError::Start(std::io::Error::other(e)))?;
        let writer = WriterId { started: now(), random };
        let learner = Learner::new(profile, key, writer, **shared.settings.load());
        let (changed, told, nodes, bounded) = (false, false, 0, 0);
        let mut thread = Self { learner, file, shared, changed, told, nodes, bounded };
        thread.grown();
        std::thread::Builder::new()
            .name("learner".to_owned())
            .spawn(move || thread.run(&receiver))
            .map(drop)
            .map_err(StartError::Start)
    }

    fn run(&mut self, receiver: &Receiver<Message>) {
        let mut due = Instant::now() + PERIOD;
        loop {
            match receiver.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Message::Batch(batch)) => self.take_in(&batch),
                // Whoever asked may be gone.
                Ok(Message::Show(reply)) => drop(reply.send(self.learner.profile().to_yaml())),
                Ok(Message::Write(reply)) => drop(reply.send(self.write())),
                Ok(Message::Close(reply)) => {
                    let _ = reply.send(!self.changed || self.write().is_ok());
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    if self.changed {
                        // What went wrong is in the log.
                        let _ = self.write();
                    }
                    return;
                }
            }
            if Instant::now() >= due {
                if self.changed {
                    let _ = self.write();
                }
                due = Instant::now() + PERIOD;
            }
        }
    }

    fn take_in(&mut self, batch: &[Counted]) {
        self.shared.waiting.fetch_sub(1, Relaxed);
        self.learner.configure(**self.shared.settings.load());
        let (now, metrics) = (now(), &self.shared.metrics);
        for counted in batch {
            let (slot, counts) = (&counted.slot, counted.counts);
            let place = slot.place;
            let Some(key) = slot.key.as_deref() else {
                let n = counted.operations();
                self.learner.unlearnable(place.side, place.peer, place.port, slot.protocol, n);
                metrics.not_learned(NotLearned::Unlearnable, n);
                continue;
            };
            self.learner.observe(&Observation {
                side: place.side,
                peer: place.peer,
                port: place.port,
                protocol: slot.protocol,
                database: slot.database,
                key,
                counts,
                first: now,
                last: now,
            });
            metrics.learned(LearnedResult::Accepted, counts.accepted);
            metrics.learned(LearnedResult::Rejected, counts.rejected);
            metrics.learned(LearnedResult::Outside, counts.outside);
        }
        self.changed = true;
        self.grown();
    }

    /// Tells the others what the profile has got.
    fn grown(&mut self) {
        let (nodes, bounded) = (self.learner.profile().nodes(), self.learner.bounded());
        self.shared.metrics.not_learned(NotLearned::Bounded, bounded - self.bounded);
        self.bounded = bounded;
        // A word that gets known, or is none any more, changes their number.
        if nodes != self.nodes {
            self.shared.words.of_profile(self.learner.profile());
            self.shared.metrics.profile_nodes(nodes);
            self.nodes = nodes;
        }
    }

    fn write(&mut self) -> Result<Written, String> {
        let path = self.file.path().to_owned();
        let written = self.file.write(&mut self.learner);
        self.grown();
        let (result, answer) = match written {
            Ok(bytes) => {
                if self.told {
                    tracing::info!(path = %path.display(), "the profile is written again");
                }
                (self.told, self.changed) = (false, false);
                (ProfileWrite::Success, Ok(Written { path, bytes, nodes: self.nodes }))
            }
            Err(error) => {
                if !self.told {
                    tracing::error!(
                        path = %path.display(), %error,
                        "the profile cannot be written: learning goes on in memory, and writing is tried again"
                    );
                }
                (self.told, self.changed) = (true, true);
                let broken = matches!(error, WriteError::Broken { .. });
                let result = if broken { ProfileWrite::Broken } else { ProfileWrite::Failure };
                (result, Err(error.to_string()))
            }
        };
        self.shared.metrics.profile_written(result);
        answer
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

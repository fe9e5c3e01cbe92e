//! What a worker counts under texts between two hand-overs: a map with an end, and its clock.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::keyed::Keyed;

/// How often what a thread has counted is handed over.
const PERIOD: Duration = Duration::from_secs(1);

/// Values under texts, so many and no more.
#[derive(Debug)]
pub(crate) struct Bounded<V>(HashMap<Box<[u8]>, V, Keyed>);

impl<V> Default for Bounded<V> {
    fn default() -> Self {
        Self(HashMap::default())
    }
}

impl<V> Bounded<V> {
    /// Calls `f` with the value under `key`, a new one where there is none and there are fewer
    /// than `most`. None where there is no room.
    pub(crate) fn with<R>(
        &mut self,
        key: &[u8],
        most: usize,
        new: impl FnOnce() -> V,
        f: impl FnOnce(&mut V) -> R,
    ) -> Option<R> {
        if let Some(known) = self.0.get_mut(key) {
            return Some(f(known));
        }
        (self.0.len() < most).then(|| f(self.0.entry(key.into()).or_insert_with(new)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes everything out.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = (Box<[u8]>, V)> + '_ {
        self.0.drain()
    }

    /// Lets go of what `keep` does not want.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&[u8], &mut V) -> bool) {
        self.0.retain(|key, value| keep(key, value));
    }
}

/// Says when a period is over that begins with the first question.
#[derive(Debug, Default)]
pub(crate) struct Due(Option<Instant>);

impl Due {
    /// Whether it is over, or is to be; then the next begins with the next question.
    pub(crate) fn is_over(&mut self, now: bool) -> bool {
        let instant = Instant::now();
        let over = now || instant >= *self.0.get_or_insert(instant + PERIOD);
        if over {
            self.0 = None;
        }
        over
    }
}

//! How often something came within a minute.

use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// Counts within the minute that began with the first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    since: Option<Instant>,
    count: u32,
}

impl Rate {
    /// Counts one more. Answers whether more than `most` have come within a minute.
    pub(super) fn exceeds(&mut self, most: u32, now: Instant) -> bool {
        if self.since.is_none_or(|since| now.saturating_duration_since(since) >= MINUTE) {
            *self = Self { since: Some(now), count: 0 };
        }
        self.count = self.count.saturating_add(1);
        self.count > most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_forgets() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        assert!(!rate.exceeds(2, start));
        assert!(!rate.exceeds(2, start + MINUTE / 2));
        assert!(rate.exceeds(2, start + MINUTE / 2));
        assert!(!rate.exceeds(2, start + MINUTE));
    }
}

//! Points in time as the log writes them: RFC 3339 in UTC, with microseconds.

use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;

/// Turns instants into texts. Keeps the text of the last second, since most records fall in it.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    anchor: Option<(Instant, SystemTime)>,
    second: i64,
    /// `2026-11-23T20:50:08`
    text: [u8; 19],
}

impl Clock {
    /// Forgets how instants relate to the time of day, which may have been set anew.
    pub(crate) fn unwind(&mut self) {
        self.anchor = None;
    }

    /// Appends the time of day at `instant`.
    pub(crate) fn write(&mut self, instant: Instant, out: &mut Vec<u8>) {
        let (then, wall) = *self.anchor.get_or_insert_with(|| (Instant::now(), SystemTime::now()));
        let time = match instant.checked_duration_since(then) {
            Some(later) => wall.checked_add(later),
            None => wall.checked_sub(then.duration_since(instant)),
        };
        let since = time.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
        self.write_since_epoch(since.unwrap_or_default(), out);
    }

    fn write_since_epoch(&mut self, since: Duration, out: &mut Vec<u8>) {
        let second = i64::try_from(since.as_secs()).unwrap_or_default();
        if second != self.second || self.text[0] == 0 {
            let timestamp = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
            let text = timestamp.to_string();
            if let Some(head) = text.as_bytes().first_chunk() {
                (self.second, self.text) = (second, *head);
            }
        }
        out.extend_from_slice(&self.text);
        let mut fraction = *b".000000Z";
        let mut micros = since.subsec_micros();
        for digit in fraction[1..7].iter_mut().rev() {
            *digit = b"0123456789"[(micros % 10) as usize];
            micros /= 10;
        }
        out.extend_from_slice(&fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_rfc_3339() {
        let mut clock = Clock::default();
        let mut write = |since| {
            let mut out = Vec::new();
            clock.write_since_epoch(since, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(write(Duration::ZERO), "1970-01-01T00:00:00.000000Z");
        let moment = Duration::new(1_794_000_000, 1_234_999);
        assert_eq!(write(moment), "2026-11-06T21:20:00.001234Z");
        assert_eq!(write(moment + Duration::from_millis(999)), "2026-11-06T21:20:01.000234Z");
    }

    #[test]
    fn follows_instants() {
        let mut clock = Clock::default();
        let now = Instant::now();
        let mut texts = Vec::new();
        for instant in [now - Duration::from_micros(5), now, now + Duration::from_secs(2)] {
            let mut out = Vec::new();
            clock.write(instant, &mut out);
            texts.push(String::from_utf8(out).unwrap().parse::<Timestamp>().unwrap());
        }
        assert_eq!((texts[2] - texts[1]).as_micros(), 2_000_000);
        assert!((4..=6).contains(&(texts[1] - texts[0]).as_micros()));
        let off = texts[1].duration_since(Timestamp::now()).abs();
        assert!(off < jiff::SignedDuration::from_secs(5), "{off:?}");
    }
}

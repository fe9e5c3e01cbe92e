//! Durations and sizes as people write them: `5s`, `1m30s`, `64KiB`.

use std::time::Duration;

/// Reads a duration: one or more whole numbers, each with its unit (`ms`, `s`, `m`, `h`, `d`),
/// as in `500ms` or `1m30s`.
///
/// # Errors
/// What was expected, in words for the user.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "`{text}` is not a duration: write a number and a unit, as in `500ms`, `5s` or `2m`"
        )
    };
    let mut rest = text;
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let (number, tail) = leading_number(rest).ok_or_else(wrong)?;
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(millis).map(Duration::from_millis);
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or_else(|| format!("`{text}` is too long a duration"))?;
        rest = tail;
    }
    Ok(total)
}

/// Reads a size in bytes: a whole number, alone or with `B`, `KiB`, `MiB` or `GiB` (`Ki`, `Mi`
/// and `Gi` as Kubernetes writes them are the same).
///
/// # Errors
/// What was expected, in words for the user.
pub fn size(text: &str) -> Result<u64, String> {
    let wrong = || {
        format!(
            "`{text}` is not a size: write bytes, or a number and a unit, as in `64KiB` or `1MiB`"
        )
    };
    let (number, unit) = leading_number(text).ok_or_else(wrong)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" | "Ki" => 10,
        "MiB" | "Mi" => 20,
        "GiB" | "Gi" => 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(1 << shift).ok_or_else(|| format!("`{text}` is too large a size"))
}

/// A duration as [`duration`] reads it, to the millisecond: `1m30s`, `500ms`.
pub fn show_duration(value: Duration) -> String {
    let mut left = value.as_millis();
    let mut text = String::new();
    for (unit, size) in [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if left >= size {
            text.push_str(&format!("{}{unit}", left / size));
            left %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A size as [`size`] reads it, in the largest unit that leaves a whole number.
pub fn show_size(value: u64) -> String {
    for (unit, shift) in [("GiB", 30), ("MiB", 20), ("KiB", 10)] {
        if value >= 1 << shift && value.is_multiple_of(1 << shift) {
            return format!("{}{unit}", value >> shift);
        }
    }
    format!("{value}B")
}

/// The whole number that `text` begins with, and what follows it.
fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "5", "s", "5 s", "-5s", "5sec", "5s3", "1.5s", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("18446744073709551615d").is_err());
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("512"), Ok(512));
        assert_eq!(size("512B"), Ok(512));
        assert_eq!(size("64KiB"), Ok(65536));
        assert_eq!(size("64Ki"), Ok(65536));
        assert_eq!(size("1GiB"), Ok(1 << 30));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "KiB", "64KB", "64k", "1.5MiB", "64 KiB", "99999999999GiB"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for millis in [0, 1, 999, 1000, 1500, 60_000, 90_000, 3_600_000, 7_200_001] {
            let value = Duration::from_millis(millis);
            assert_eq!(duration(&show_duration(value)), Ok(value));
        }
        assert_eq!(show_duration(Duration::from_secs(599)), "9m59s");
        for bytes in [0, 1, 1023, 1024, 65536, 1 << 20, (1 << 20) + 1, 512 << 20] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
    }
}

//! Calendar dates, for entries that expire.

use std::fmt;
use std::str::FromStr;

/// A date of the proleptic Gregorian calendar, without a zone: whoever passes "today" chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// Not a date of the form `YYYY-MM-DD`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a date of the form YYYY-MM-DD")]
pub struct BadDate;

impl Date {
    /// The date, if the calendar has it.
    ///
    /// # Errors
    /// [`BadDate`] where the month or day does not exist.
    pub fn new(year: u16, month: u8, day: u8) -> Result<Self, BadDate> {
        let leap =
            (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400);
        let days = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return Err(BadDate),
        };
        if year > 9999 || day == 0 || day > days {
            return Err(BadDate);
        }
        Ok(Self { year, month, day })
    }

    /// The day in UTC of a time in seconds since 1970; after the year 9999, its last day.
    pub fn from_unix(seconds: u64) -> Self {
        // Days from 0000-03-01, by eras of 400 years that begin in March, so that the leap day
        // is the last of its year.
        let days = (seconds / 86_400).saturating_add(719_468);
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        // Months from March: five of them always have 153 days.
        let march_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * march_month + 2) / 5 + 1;
        let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        match (u16::try_from(year), u8::try_from(month), u8::try_from(day)) {
            (Ok(year @ ..=9999), Ok(month), Ok(day)) => Self { year, month, day },
            _ => Self { year: 9999, month: 12, day: 31 },
        }
    }
}

impl FromStr for Date {
    type Err = BadDate;

    fn from_str(text: &str) -> Result<Self, BadDate> {
        let b = text.as_bytes();
        if b.len() != 10 || b[4] != b'-' || b[7] != b'-' {
            return Err(BadDate);
        }
        let number = |range: std::ops::Range<usize>| {
            b[range].iter().try_fold(0u16, |n, d| {
                d.is_ascii_digit().then(|| n * 10 + u16::from(d - b'0')).ok_or(BadDate)
            })
        };
        let small = |n: u16| u8::try_from(n).map_err(|_| BadDate);
        Self::new(number(0..4)?, small(number(5..7)?)?, small(number(8..10)?)?)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_writes_and_orders() {
        let a: Date = "2024-02-29".parse().unwrap();
        let b: Date = "2024-03-01".parse().unwrap();
        assert!(a < b);
        assert_eq!(a.to_string(), "2024-02-29");
    }

    #[test]
    fn days_of_times() {
        for (seconds, date) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (86_400, "1970-01-02"),
            (951_782_399, "2000-02-28"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_793_491_200, "2026-11-01"),
            (4_107_542_399, "2100-02-28"),
            (4_107_542_400, "2100-03-01"),
            (253_402_300_799, "9999-12-31"),
            (253_402_300_800, "9999-12-31"),
            (u64::MAX, "9999-12-31"),
        ] {
            assert_eq!(Date::from_unix(seconds).to_string(), date, "{seconds}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let next = |date: Date| {
            Date::new(date.year, date.month, date.day + 1)
                .or_else(|_| Date::new(date.year, date.month + 1, 1))
                .unwrap_or(Date { year: date.year + 1, month: 1, day: 1 })
        };
        let mut date = Date::from_unix(0);
        for day in 1..200_000 {
            let today = Date::from_unix(day * 86_400);
            assert_eq!(today, next(date), "day {day}");
            date = today;
        }
    }

    #[test]
    fn refuses_what_the_calendar_has_not() {
        for bad in [
            "2023-02-29",
            "2024-13-01",
            "2024-00-10",
            "2024-1-1",
            "24-01-01",
            "2024-04-31",
            "x",
            "",
        ] {
            assert_eq!(bad.parse::<Date>(), Err(BadDate), "{bad}");
        }
    }
}

//! Medians and spreads: few samples, so the least and the greatest are shown, not a deviation.

use serde::Serialize;

/// The middle of a set of samples, with its extremes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The median: the mean of the two middle samples where their number is even.
    pub median: f64,
    /// The least sample.
    pub min: f64,
    /// The greatest sample.
    pub max: f64,
}

impl Spread {
    /// The spread of `samples`, in their own unit; none if there are none.
    pub fn of(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        Some(Self { median, min, max })
    }
}

/// The value that `per_mille` thousandths of the samples do not exceed (nearest rank); zero if there are none. Sorts `samples`.
pub fn quantile(samples: &mut [u32], per_mille: usize) -> u32 {
    samples.sort_unstable();
    let rank = (samples.len() * per_mille).div_ceil(1000);
    samples.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_odd_and_even() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let mut samples: Vec<u32> = (1..=100).rev().collect();
        assert_eq!(quantile(&mut samples, 500), 50);
        assert_eq!(quantile(&mut samples, 990), 99);
        assert_eq!(quantile(&mut samples, 1000), 100);
        assert_eq!(quantile(&mut [7], 500), 7);
        assert_eq!(quantile(&mut [], 500), 0);
    }
}

//! The few statistics that the report needs.

use std::time::Duration;

/// Samples of one quantity, in order of size; never empty.
#[derive(Clone, Debug)]
pub struct Samples {
    sorted: Vec<f64>,
}

impl Samples {
    /// Nothing where there is no sample, or one that is no number.
    pub fn new(samples: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.into_iter().collect();
        if sorted.is_empty() || sorted.iter().any(|sample| sample.is_nan()) {
            return None;
        }
        sorted.sort_by(f64::total_cmp);
        Some(Self { sorted })
    }

    /// Durations as milliseconds.
    pub fn of_milliseconds(samples: impl IntoIterator<Item = Duration>) -> Option<Self> {
        Self::new(samples.into_iter().map(|sample| sample.as_secs_f64() * 1000.0))
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The middle.
    pub fn median(&self) -> f64 {
        let middle = self.sorted.len() / 2;
        if self.sorted.len() % 2 == 1 {
            self.sorted[middle]
        } else {
            f64::midpoint(self.sorted[middle - 1], self.sorted[middle])
        }
    }

    /// The smallest sample that at least this percentage of the samples does not exceed.
    pub fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.sorted.len() * percent).div_ceil(100);
        self.sorted[rank.clamp(1, self.sorted.len()) - 1]
    }

    /// The largest sample.
    pub fn max(&self) -> f64 {
        self.percentile(100)
    }

    /// How far the middle half of the samples lies apart, as a part of the median.
    pub fn spread(&self) -> f64 {
        (self.percentile(75) - self.percentile(25)) / self.median()
    }

    /// How many samples do not exceed a bound.
    pub fn at_most(&self, bound: f64) -> usize {
        self.sorted.partition_point(|sample| *sample <= bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples::new(values.iter().copied()).unwrap()
    }

    #[test]
    fn median_of_an_even_number_is_the_mean_of_the_middle_two() {
        assert!((samples(&[4.0, 1.0, 3.0, 2.0]).median() - 2.5).abs() < f64::EPSILON);
        assert!((samples(&[9.0, 1.0, 3.0]).median() - 3.0).abs() < f64::EPSILON);
    }

    #[test]
    fn percentile_is_a_sample() {
        let all = samples(&[1.0, 2.0, 3.0, 4.0]);
        assert!((all.percentile(50) - 2.0).abs() < f64::EPSILON);
        assert!((all.percentile(99) - 4.0).abs() < f64::EPSILON);
        assert!((all.percentile(0) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn spread_is_of_the_middle_half() {
        assert!((samples(&[0.0, 9.0, 10.0, 11.0, 99.0]).spread() - 0.2).abs() < 1e-9);
    }

    #[test]
    fn bound_itself_counts() {
        assert_eq!(samples(&[1.0, 2.0, 2.0, 3.0]).at_most(2.0), 3);
    }

    #[test]
    fn no_samples_are_no_statistics() {
        assert!(Samples::new([]).is_none());
        assert!(Samples::new([1.0, f64::NAN]).is_none());
    }
}

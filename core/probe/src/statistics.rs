//! Round-trip times, summed up as the Gateway object shows them.

use std::time::Duration;

/// After so many samples mean and deviation begin anew, so that they tell of the present.
///
/// COMPAT: Submariner's gateways do the same; least and greatest stay for good.
const WINDOW: u32 = 1000;

/// The figures of one path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// The latest sample.
    pub last: Duration,
    /// The least.
    pub min: Duration,
    /// The mean.
    pub average: Duration,
    /// The greatest.
    pub max: Duration,
    /// The standard deviation.
    pub std_dev: Duration,
}

/// Sums up round-trip times without keeping them (Welford's method).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LatencyStatistics {
    last: Duration,
    min: Duration,
    max: Duration,
    count: u32,
    mean: f64,
    squares: f64,
    any: bool,
}

impl LatencyStatistics {
    /// Takes one sample.
    pub fn add(&mut self, sample: Duration) {
        if self.count >= WINDOW {
            (self.count, self.mean, self.squares) = (0, 0.0, 0.0);
        }
        self.min = if self.any { self.min.min(sample) } else { sample };
        self.max = self.max.max(sample);
        self.last = sample;
        self.any = true;
        self.count += 1;
        let seconds = sample.as_secs_f64();
        let delta = seconds - self.mean;
        self.mean += delta / f64::from(self.count);
        self.squares += delta * (seconds - self.mean);
    }

    /// The figures, once there is a sample.
    pub fn latency(&self) -> Option<Latency> {
        let deviation = (self.squares / f64::from(self.count.max(1))).max(0.0).sqrt();
        self.any.then(|| Latency {
            last: self.last,
            min: self.min,
            average: Duration::from_secs_f64(self.mean.max(0.0)),
            max: self.max,
            std_dev: Duration::from_secs_f64(deviation),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_samples() {
        let mut statistics = LatencyStatistics::default();
        assert_eq!(statistics.latency(), None);
        for ms in [2, 4, 4, 4, 5, 5, 7, 9] {
            statistics.add(Duration::from_millis(ms));
        }
        let ms = Duration::from_millis;
        let figures = statistics.latency().unwrap();
        assert_eq!((figures.last, figures.min, figures.max), (ms(9), ms(2), ms(9)));
        assert!(figures.average.abs_diff(ms(5)) < Duration::from_nanos(10));
        assert!(figures.std_dev.abs_diff(ms(2)) < Duration::from_nanos(10));
    }

    #[test]
    fn mean_and_deviation_follow_the_present() {
        let mut statistics = LatencyStatistics::default();
        (0..1000).for_each(|_| statistics.add(Duration::from_millis(100)));
        (0..2).for_each(|_| statistics.add(Duration::from_millis(10)));
        let figures = statistics.latency().unwrap();
        assert!(figures.average.abs_diff(Duration::from_millis(10)) < Duration::from_nanos(10));
        assert_eq!(figures.max, Duration::from_millis(100));
    }
}

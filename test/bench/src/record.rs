//! What a bench reports, and the table of it.

use std::fmt::Write as _;

use serde::Serialize;

use crate::samples::Samples;

/// One figure of the report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// `bench/figure`.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: &'static str,
    /// The same figure of what it is compared with, measured beside it in the same run.
    pub baseline: Option<f64>,
    /// `value / baseline`; of what was measured in rounds the median of the rounds' ratios, so that what the machine
    /// does beside it weighs on both.
    pub ratio: Option<f64>,
    /// What is asked for, in words.
    pub target: Option<String>,
    /// Whether the target is met; nothing where none is asked for, or where it could not be measured.
    pub holds: Option<bool>,
}

/// What a value has to keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// This much or less.
    AtMost(f64),
    /// This much or more.
    AtLeast(f64),
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            Self::AtMost(limit) => value <= limit,
            Self::AtLeast(limit) => value >= limit,
        }
    }
}

impl Record {
    /// A figure that is compared with nothing and asked for by nobody.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, baseline: None, ratio: None, target: None, holds: None }
    }

    /// Sets what the figure is compared with.
    #[must_use]
    pub fn beside(mut self, baseline: f64) -> Self {
        self.baseline = Some(baseline);
        self.ratio = (baseline != 0.0).then(|| self.value / baseline);
        self
    }

    /// The figure of rounds in which something else was measured too, beside that.
    pub fn of_rounds(
        name: impl Into<String>,
        unit: &'static str,
        own: &[f64],
        other: &[f64],
    ) -> Option<Self> {
        let (value, baseline) = (Samples::new(own.iter().copied())?, Samples::new(other.iter().copied())?);
        let ratios = own.iter().zip(other).map(|(own, other)| own / other);
        let ratio = Some(Samples::new(ratios)?.median());
        let record = Self::new(name, value.median(), unit);
        Some(Self { baseline: Some(baseline.median()), ratio, ..record })
    }

    /// Asks for a bound on the ratio; without a ratio it is missed.
    #[must_use]
    pub fn asks_ratio(mut self, bound: Bound, words: impl Into<String>) -> Self {
        self.target = Some(words.into());
        self.holds = Some(self.ratio.is_some_and(|ratio| bound.holds(ratio)));
        self
    }

    /// Says what is asked for and why it could not be measured here: that is neither held nor missed.
    #[must_use]
    pub fn skipped(mut self, words: &str, reason: &str) -> Self {
        self.target = Some(format!("{words}: skipped: {reason}"));
        self.holds = None;
        self
    }

    /// Asks for a bound on the value.
    #[must_use]
    pub fn asks(mut self, bound: Bound, words: impl Into<String>) -> Self {
        self.target = Some(words.into());
        self.holds = Some(bound.holds(self.value));
        self
    }
}

/// The records as columns.
pub fn table(records: &[Record]) -> String {
    let width = records.iter().map(|record| record.name.len()).max().unwrap_or(0).max("NAME".len());
    let mut text = String::new();
    let mut line = |cells: [&str; 7]| {
        let [name, value, unit, baseline, ratio, holds, target] = cells;
        let row =
            format!("{name:<width$} {value:>12} {unit:<8} {baseline:>12} {ratio:>7} {holds:<7} {target}");
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{}", row.trim_end());
    };
    line(["NAME", "VALUE", "UNIT", "BASELINE", "RATIO", "HOLDS", "TARGET"]);
    for record in records {
        let holds = match record.holds {
            None if record.target.is_some() => "skipped",
            None => "",
            Some(true) => "yes",
            Some(false) => "MISSED",
        };
        line([
            &record.name,
            &number(record.value),
            record.unit,
            &record.baseline.map(number).unwrap_or_default(),
            &record.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            holds,
            record.target.as_deref().unwrap_or_default(),
        ]);
    }
    text
}

fn number(value: f64) -> String {
    if value.abs() < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_target_is_reported_as_missed() {
        let record = Record::new("heal/median", 1200.0, "ms").asks(Bound::AtMost(1000.0), "≤ 1 s");
        assert_eq!(record.holds, Some(false));
        assert!(table(&[record]).contains("MISSED"));
    }

    #[test]
    fn skipped_target_is_neither_held_nor_missed() {
        let record = Record::new("a", 1.0, "Gbit/s").skipped("≥ 4 × the peer", "there is no peer");
        assert_eq!(record.holds, None);
        assert!(table(&[record]).contains("skipped: there is no peer"));
    }

    #[test]
    fn bound_on_the_ratio_is_of_value_and_baseline() {
        let record = |baseline| Record::new("a", 4.0, "Gbit/s").beside(baseline);
        assert_eq!(record(1.0).asks_ratio(Bound::AtLeast(4.0), "≥ 4 ×").holds, Some(true));
        assert_eq!(record(1.1).asks_ratio(Bound::AtLeast(4.0), "≥ 4 ×").holds, Some(false));
        assert_eq!(record(0.0).asks_ratio(Bound::AtLeast(4.0), "≥ 4 ×").holds, Some(false));
    }

    #[test]
    fn what_slows_a_round_down_weighs_on_both() {
        let record = Record::of_rounds("a", "Gbit/s", &[4.0, 1.0, 9.0], &[8.0, 2.0, 9.0]).unwrap();
        assert_eq!((record.value, record.baseline, record.ratio), (4.0, Some(8.0), Some(0.5)));
        assert!(Record::of_rounds("a", "Gbit/s", &[], &[]).is_none());
    }

    #[test]
    fn bound_itself_holds() {
        assert_eq!(Record::new("a", 95.0, "%").asks(Bound::AtLeast(95.0), "190 of 200").holds, Some(true));
    }

    #[test]
    fn ratio_is_of_value_and_baseline() {
        assert_eq!(Record::new("a", 3.0, "Gb/s").beside(4.0).ratio, Some(0.75));
        assert_eq!(Record::new("a", 3.0, "Gb/s").beside(0.0).ratio, None);
    }

    #[test]
    fn report_has_the_seven_keys() {
        let json = serde_json::to_value(Record::new("a", 1.0, "ms")).unwrap();
        let keys: Vec<&str> = json.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = vec!["name", "value", "unit", "baseline", "ratio", "target", "holds"];
        expected.sort_unstable();
        let mut found = keys;
        found.sort_unstable();
        assert_eq!(found, expected);
    }
}

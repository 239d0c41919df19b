//! Several ways under the same load, one after the other and round after round, so that what the machine does
//! beside it meets all of them alike.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::load::{Load, Passed, Way, Window, measure};
use crate::record::Record;
use crate::samples::Samples;

/// One that is measured.
#[derive(Clone, Debug)]
pub struct Contender {
    /// How its figures are called.
    pub name: String,
    /// The way that it makes.
    pub way: Way,
    /// Processes that carry its packets; where the kernel does, the generators, in whose name it does.
    pub processes: Vec<u32>,
}

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub struct Rounds {
    /// How often each is measured.
    pub count: usize,
    /// How long each time.
    pub window: Window,
}

/// What a contender reached.
#[derive(Clone, Debug)]
pub struct Score {
    /// Whose it is.
    pub name: String,
    /// In the unit of the load.
    pub rate: Samples,
    processes: Samples,
    machine: Samples,
}

impl Rounds {
    /// For the medians of a report.
    pub const MEDIANS: Self = Self {
        count: 7,
        window: Window { warm_up: Duration::from_millis(500), measured: Duration::from_millis(1500) },
    };
}

/// Measures all in turn, again and again; who breaks is left out of the further rounds, with the reason.
pub fn interleave(contenders: &[Contender], load: Load, rounds: Rounds) -> Vec<Result<Score>> {
    let mut outcomes: Vec<Result<Vec<Passed>>> = contenders.iter().map(|_| Ok(Vec::new())).collect();
    for _ in 0..rounds.count {
        for (contender, outcome) in contenders.iter().zip(&mut outcomes) {
            let Ok(passed) = outcome else { continue };
            match measure(&contender.way, load, &contender.processes, rounds.window) {
                Ok(new) => passed.push(new),
                Err(error) => *outcome = Err(error),
            }
        }
    }
    let score = |(contender, outcome): (&Contender, Result<Vec<Passed>>)| {
        let passed = outcome.with_context(|| format!("{} with {}", contender.name, load.name()))?;
        Score::of(contender, &passed)
    };
    contenders.iter().zip(outcomes).map(score).collect()
}

impl Score {
    fn of(contender: &Contender, passed: &[Passed]) -> Result<Self> {
        let samples = |field: fn(&Passed) -> f64| {
            Samples::new(passed.iter().map(field)).context("nothing was measured")
        };
        Ok(Self {
            name: contender.name.clone(),
            rate: samples(|one| one.rate)?,
            processes: samples(|one| one.processes)?,
            machine: samples(|one| one.machine)?,
        })
    }

    /// The figures of it: the median rate, how far the middle half of the rounds lies apart, what it cost.
    pub fn records(&self, bench: &str, load: Load) -> Vec<Record> {
        let name = format!("{bench}/{}/{}", load.name(), self.name);
        let unit = match load {
            Load::Streams(_) => "s/GB",
            Load::Requests => "s/10^6",
        };
        vec![
            Record::new(format!("{name}/cpu"), self.processes.median(), unit),
            Record::new(format!("{name}/cpu-of-machine"), self.machine.median(), unit),
            Record::new(format!("{name}/spread"), self.rate.spread() * 100.0, "%"),
            Record::new(name, self.rate.median(), load.unit()),
        ]
    }

    /// The figure that is asked for, beside the same of another.
    pub fn against(&self, name: impl Into<String>, other: &Self, load: Load) -> Record {
        Record::new(name, self.rate.median(), load.unit()).beside(other.rate.median())
    }
}

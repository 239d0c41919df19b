//! Several ways under the same loads, one after the other and round after round, so that what the machine does
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
    /// The same in the order of the rounds.
    rounds: Vec<f64>,
    processes: Samples,
    machine: Samples,
}

impl Rounds {
    /// For the medians of a report.
    pub const MEDIANS: Self = Self {
        count: 21,
        window: Window { warm_up: Duration::from_millis(200), measured: Duration::from_millis(500) },
    };
}

/// Measures all under every load in turn, again and again; the scores of each load, in the order of the contenders.
/// Who breaks under a load is left out of its further rounds, with the reason.
pub fn interleave(
    contenders: &[Contender],
    loads: &[Load],
    rounds: Rounds,
) -> Vec<(Load, Vec<Result<Score>>)> {
    let mut lanes: Vec<Lane<'_>> = loads
        .iter()
        .flat_map(|load| {
            contenders.iter().map(|contender| Lane { contender, load: *load, passed: Ok(Vec::new()) })
        })
        .collect();
    for _ in 0..rounds.count {
        for lane in &mut lanes {
            lane.run(rounds.window);
        }
        // The other way round the next time: who is always behind the same one would bear its traces.
        lanes.reverse();
    }
    if rounds.count % 2 == 1 {
        lanes.reverse();
    }
    let mut lanes = lanes.into_iter();
    loads
        .iter()
        .map(|load| (*load, lanes.by_ref().take(contenders.len()).map(Lane::score).collect()))
        .collect()
}

/// A contender under a load.
struct Lane<'a> {
    contender: &'a Contender,
    load: Load,
    passed: Result<Vec<Passed>>,
}

impl Lane<'_> {
    fn run(&mut self, window: Window) {
        let Ok(passed) = &mut self.passed else { return };
        match measure(&self.contender.way, self.load, &self.contender.processes, window) {
            Ok(new) => passed.push(new),
            Err(error) => self.passed = Err(error),
        }
    }

    fn score(self) -> Result<Score> {
        let Self { contender, load, passed } = self;
        Score::of(contender, &passed.with_context(|| format!("{} with {}", contender.name, load.name()))?)
    }
}

impl Score {
    fn of(contender: &Contender, passed: &[Passed]) -> Result<Self> {
        let samples = |field: fn(&Passed) -> f64| {
            Samples::new(passed.iter().map(field)).context("nothing was measured")
        };
        Ok(Self {
            name: contender.name.clone(),
            rate: samples(|one| one.rate)?,
            rounds: passed.iter().map(|one| one.rate).collect(),
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
    pub fn against(&self, name: impl Into<String>, other: &Self, load: Load) -> Result<Record> {
        Record::of_rounds(name, load.unit(), &self.rounds, &other.rounds)
            .with_context(|| format!("{} and {} cannot be compared", self.name, other.name))
    }
}

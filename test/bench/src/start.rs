//! From nothing to packets between clusters.

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::record::{Bound, Record};
use crate::samples::Samples;
use crate::{Bench, Programs};

pub(crate) const BENCH: Bench = Bench {
    name: "playground-up",
    about: "from `subctl playground up` to packets between two clusters",
    run,
};

const RUNS: usize = 5;
const LIMIT: f64 = 10.0;

fn run(programs: &Programs) -> Result<Vec<Record>> {
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let start = Instant::now();
        let playground = programs.playground(&[])?;
        up.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        playground.down()?;
        down.push(start.elapsed().as_secs_f64());
    }
    let up = Samples::new(up).context("no playground came up")?;
    let down = Samples::new(down).context("no playground went down")?;
    let target = format!("≤ {LIMIT} s, median of {RUNS}");
    Ok(vec![
        Record::new("playground-up/median", up.median(), "s").asks(Bound::AtMost(LIMIT), target),
        Record::new("playground-up/max", up.max(), "s"),
        Record::new("playground-up/down-median", down.median(), "s"),
    ])
}

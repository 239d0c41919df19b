//! What idle daemons hold.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use subm_e2e::DaemonStatus;

use crate::record::{Bound, Record};
use crate::{Bench, Programs};

pub(crate) const BENCH: Bench =
    Bench { name: "memory", about: "memory of daemons that were idle for half a minute", run };

const IDLE: Duration = Duration::from_secs(30);
/// Daemons and the megabytes of their own that they may hold.
const LIMITS: [(&str, f64); 2] = [("gateway", 25.0), ("route-agent", 15.0)];
const MB: f64 = 1e6;

fn run(programs: &Programs) -> Result<Vec<Record>> {
    let playground = programs.playground(&[])?;
    thread::sleep(IDLE);
    let status = playground.status()?;
    let mut records = Vec::new();
    for (kind, limit) in LIMITS {
        let own = most(&status.daemons, kind, |daemon| daemon.rss_anon_kib)?;
        let all = most(&status.daemons, kind, |daemon| daemon.vm_rss_kib)?;
        let target = format!("≤ {limit} MB, idle");
        records.push(
            Record::new(format!("memory/{kind}/rss-anon"), own, "MB").asks(Bound::AtMost(limit), target),
        );
        records.push(Record::new(format!("memory/{kind}/vm-rss"), all, "MB"));
    }
    playground.down()?;
    Ok(records)
}

/// The daemon of a kind that holds most.
fn most(daemons: &[DaemonStatus], kind: &str, field: fn(&DaemonStatus) -> Option<u64>) -> Result<f64> {
    let of_kind = daemons.iter().filter(|daemon| daemon.path.ends_with(&format!("/{kind}")));
    let kib = of_kind.map(field).collect::<Option<Vec<u64>>>().context("a daemon does not run")?;
    let kib = kib.into_iter().max().with_context(|| format!("there is no {kind}"))?;
    Ok(f64::from(u32::try_from(kib)?) * 1024.0 / MB)
}

//! The embedded API: writes, delivered watch events, memory and what idle watches cost.

mod load;
mod process;

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use subm_apiserver::{ApiServer, Credential, Storage};

pub(crate) use self::process::Serve;

use self::load::{Load, Rates};
use self::process::Process;
use crate::record::{Bound, Record};
use crate::samples::Samples;
use crate::{Bench, Programs, usage};

pub(crate) const BENCH: Bench =
    Bench { name: "api", about: "writes, watch events, memory and idle watches of the embedded API", run };

const ROUNDS: usize = 5;
const TOKEN: &str = "bench";
/// Fewer writers than this would mostly wait for the disk.
const WRITERS_TO_DISK: usize = 64;
const OBJECTS: u32 = 10_000;
const IDLE_WATCHES: usize = 200;
const SETTLED: Duration = Duration::from_secs(2);
const IDLE: Duration = Duration::from_secs(30);

fn run(_: &Programs) -> Result<Vec<Record>> {
    let mut records = in_memory()?;
    records.extend(on_disk()?);
    records.extend(held()?);
    records.extend(idle()?);
    Ok(records)
}

fn in_memory() -> Result<Vec<Record>> {
    let load = Load { writers: 4, watches: 10 };
    let round = || -> Result<Rates> {
        let server = ApiServer::builder().credentials([Credential::admin(TOKEN)]).build();
        load.run(&server)
    };
    let rounds = (0..ROUNDS).map(|_| round()).collect::<Result<Vec<Rates>>>()?;
    let median = |of: fn(&Rates) -> f64| Samples::new(rounds.iter().map(of)).map(|samples| samples.median());
    let (writes, events) = (median(|rates| rates.writes), median(|rates| rates.events));
    let target = "of objects of 1 KB, 10 watches";
    Ok(vec![
        Record::new("api/memory/writes", writes.context("no rounds")?, "1/s")
            .asks(Bound::AtLeast(10_000.0), format!("≥ 10,000 a second {target}")),
        Record::new("api/memory/events", events.context("no rounds")?, "1/s")
            .asks(Bound::AtLeast(100_000.0), format!("≥ 100,000 a second {target}")),
    ])
}

/// The same load where each write is acknowledged when it is on the disk, beside a disk that syncs one page at a time.
fn on_disk() -> Result<Vec<Record>> {
    let report = crate::report_path();
    let folder = report.parent().context("the report lies in a folder")?;
    std::fs::create_dir_all(folder)?;
    let folder = tempfile::tempdir_in(folder)?;
    let syncs = syncs(folder.path())?;
    let storage = Storage::create(&folder.path().join("hub.redb"))?;
    let server = ApiServer::builder().credentials([Credential::admin(TOKEN)]).open(storage)?;
    let before = server.statistics().groups;
    let rates = Load { writers: WRITERS_TO_DISK, watches: 10 }.run(&server)?;
    let groups = server.statistics().groups - before;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let (writes, groups) = (rates.written as f64, groups as f64);
    Ok(vec![
        Record::new("api/disk/writes", rates.writes, "1/s").beside(syncs),
        Record::new("api/disk/writes-per-sync", writes / groups, "count"),
    ])
}

/// How often a second the disk takes one page for good.
fn syncs(folder: &Path) -> Result<f64> {
    let file = File::create(folder.join("page"))?;
    let (begin, mut count) = (Instant::now(), 0_u32);
    while begin.elapsed() < Duration::from_secs(1) {
        file.write_all_at(&[0; 4096], 0)?;
        file.sync_data()?;
        count += 1;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

fn held() -> Result<Vec<Record>> {
    let empty = usage::memory_of(Process::start(0)?.pid())?;
    let full = usage::memory_of(Process::start(OBJECTS)?.pid())?;
    Ok(vec![
        Record::new("api/held/objects-10000", full, "MB")
            .asks(Bound::AtMost(100.0), "≤ 100 MB, 10,000 objects of 1 KB"),
        Record::new("api/held/empty", empty, "MB"),
    ])
}

/// Watches over TLS, each on a connection of its own, in which nothing happens.
fn idle() -> Result<Vec<Record>> {
    let process = Process::start(0)?;
    let empty = usage::memory_of(process.pid())?;
    let watches = process.watch(IDLE_WATCHES)?;
    thread::sleep(SETTLED);
    let memory = usage::memory_of(process.pid())? - empty;
    let before = usage::of_processes(&[process.pid()])?;
    thread::sleep(IDLE);
    let used = usage::of_processes(&[process.pid()])? - before;
    watches.all_run()?;
    Ok(vec![
        Record::new("api/idle/cpu", used / IDLE.as_secs_f64() * 100.0, "%")
            .asks(Bound::AtMost(1.0), format!("≤ 1 % of a core, {IDLE_WATCHES} idle watches")),
        Record::new("api/idle/held", memory, "MB"),
    ])
}

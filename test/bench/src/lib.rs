//! Measurements against peers and limits: `make bench`, or `make bench ONLY=name`.
//!
//! A bench is one file and one line in `BENCHES`. It returns [`Record`]s; this crate prints them as a table and
//! writes `target/bench/report.json`. Beside every bench an idle timer runs: what it is late by is the noise of
//! the machine at that time, and stands in the same report. It never tunes a figure: a missed target is reported
//! as missed.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

pub mod contest;

mod api;
mod crash;
mod engine;
mod first_packet;
mod flood;
mod heal;
pub mod idle_timer;
pub mod load;
mod loss;
mod memory;
pub mod peers;
mod planning;
pub mod record;
mod restart;
pub mod samples;
mod start;
pub mod tunnel;
pub mod usage;
mod vxlan;
mod wireguard;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use subm_e2e::Playground;

use crate::idle_timer::IdleTimer;
use crate::record::Record;

/// One measurement.
pub struct Bench {
    /// What `ONLY=` chooses.
    pub name: &'static str,
    /// What is measured, in one line.
    pub about: &'static str,
    /// Measures.
    pub run: fn(&Programs) -> Result<Vec<Record>>,
}

/// Every bench, in the order in which they run.
const BENCHES: &[Bench] = &[
    idle_timer::BENCH,
    planning::BENCH,
    start::BENCH,
    first_packet::BENCH,
    heal::BENCH,
    crash::BENCH,
    memory::BENCH,
    vxlan::BENCH,
    wireguard::BENCH,
    flood::BENCH,
    loss::BENCH,
    restart::BENCH,
    api::BENCH,
];

/// Where the programs under test lie: beside this one, built with the same profile.
pub struct Programs {
    folder: PathBuf,
}

/// Measures and reports.
#[derive(Parser)]
struct Cli {
    /// Run only the bench of this name.
    #[arg(long)]
    only: Option<String>,
    /// End with 1 where a target is missed.
    #[arg(long)]
    strict: bool,
    /// Print the names of the benches and what they measure.
    #[arg(long)]
    list: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What this program is beside the one that measures.
#[derive(Subcommand)]
enum Part {
    /// One end of a WireGuard tunnel of ours
    #[command(hide = true)]
    End(engine::End),
    /// An embedded API that is measured as a process
    #[command(hide = true)]
    ApiServer(api::Serve),
}

/// The program: chooses, measures, reports.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        for bench in BENCHES {
            println!("{:<28} {}", bench.name, bench.about);
        }
        return ExitCode::SUCCESS;
    }
    let part = cli.part.as_ref().map(|part| match part {
        Part::End(end) => end.run(),
        Part::ApiServer(server) => server.run(),
    });
    if let Some(outcome) = part {
        return ended(outcome.map(|()| ExitCode::SUCCESS));
    }
    if let Some(code) = as_root_of_a_user_namespace() {
        return code;
    }
    ended(measure(&cli).map(|missed| ExitCode::from(u8::from(cli.strict && missed > 0))))
}

fn ended(outcome: Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        println!("bench: {error:#}");
        ExitCode::FAILURE
    })
}

/// Where an ordinary user measures, the same program in a user namespace, which may look into a playground.
fn as_root_of_a_user_namespace() -> Option<ExitCode> {
    if nix::unistd::geteuid().is_root() {
        return None;
    }
    let this = env::current_exe().ok()?;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--"]).arg(this).args(env::args_os().skip(1));
    Some(match command.status() {
        Ok(status) => {
            status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
        Err(error) => {
            println!("bench: cannot start unshare: {error}; run this as root");
            ExitCode::FAILURE
        }
    })
}

/// Runs the wanted benches and returns how many targets were missed; fails where a bench itself broke.
fn measure(cli: &Cli) -> Result<usize> {
    let wanted: Vec<&Bench> =
        BENCHES.iter().filter(|bench| cli.only.as_deref().is_none_or(|only| only == bench.name)).collect();
    ensure!(!wanted.is_empty(), "no bench is named {}: see --list", cli.only.as_deref().unwrap_or_default());
    let programs = Programs::beside_this_one()?;
    let mut records = Vec::new();
    let mut broken = Vec::new();
    for bench in wanted {
        println!("==> {}: {}", bench.name, bench.about);
        let noise = IdleTimer::start();
        match (bench.run)(&programs) {
            Ok(measured) => records.extend(measured),
            Err(error) => {
                println!("{}: {error:#}", bench.name);
                broken.push(bench.name);
            }
        }
        records.extend(noise.stop(bench.name)?);
    }
    print!("{}", record::table(&records));
    let path = report_path();
    write_report(&path, &records)?;
    let asked = records.iter().filter(|record| record.holds.is_some()).count();
    let missed = records.iter().filter(|record| record.holds == Some(false)).count();
    let skipped = records.iter().filter(|record| record.target.is_some() && record.holds.is_none()).count();
    let skipped = if skipped == 0 { String::new() } else { format!(", {skipped} skipped") };
    println!(
        "bench: {} records in {}, {} of {asked} targets hold{skipped}",
        records.len(),
        path.display(),
        asked - missed
    );
    ensure!(broken.is_empty(), "these benches broke: {}", broken.join(", "));
    Ok(missed)
}

fn write_report(path: &Path, records: &[Record]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(path, serde_json::to_string_pretty(records)? + "\n")
        .with_context(|| format!("cannot write {}", path.display()))
}

/// `target/bench/report.json` of the workspace, wherever the build itself goes.
fn report_path() -> PathBuf {
    let mut path = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    path.pop();
    path.pop();
    path.join("target/bench/report.json")
}

impl Programs {
    fn beside_this_one() -> Result<Self> {
        let this = env::current_exe().context("cannot tell where this program lies")?;
        Ok(Self { folder: this.parent().context("a program lies in a folder")?.to_owned() })
    }

    /// Brings a playground up.
    fn playground(&self, arguments: &[&str]) -> Result<Playground> {
        Playground::up(&self.path("subctl")?, arguments)
    }

    /// The path of a program under test.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        ensure!(path.is_file(), "{} is not built: use `make bench`", path.display());
        Ok(path)
    }
}

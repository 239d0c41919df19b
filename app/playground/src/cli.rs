//! What a person types.

mod shape;
mod suggestions;

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
use subm_lab::capability;

use crate::check::{Outcome, Verdicts, Wanted};
use crate::control::{Client, Reply, Request};
use crate::exec;
use crate::settings::{Lifetime, Settings, find_submariner};
use crate::supervisor::{self, complain};
use crate::topology::{Path, Topology};
use shape::ShapeArgs;

/// Joined clusters on this machine, inside namespaces of their own.
///
/// Nodes and pods are network namespaces, the gateways and route agents are the real programs. It needs no
/// Kubernetes, no container engine and no root where ordinary users may make namespaces. Nothing of the machine's
/// own network is touched, and nothing is left behind.
#[derive(Debug, Parser)]
#[command(name = "subctl-playground", bin_name = "subctl playground", version, max_term_width = 100)]
struct Cli {
    /// Which playground, where there are several
    #[arg(long, env = "SUBCTL_PLAYGROUND", default_value = "default", value_name = "NAME", value_parser = name)]
    name: String,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Brings clusters up and waits until packets pass between them
    Up(UpArgs),
    /// Tells the clusters, nodes, pods and daemons
    Status {
        /// As tables or as JSON
        #[arg(long, short, value_enum, default_value_t = Output::Table)]
        output: Output,
    },
    /// Runs a program in a pod, on a node, or where a cluster's API is reachable (a shell, if none is named)
    Exec {
        /// For example east/worker/pod-1, west/gateway, east or hub
        place: Path,
        /// The program and its arguments
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<OsString>,
    },
    /// Prints the log of a daemon
    Logs {
        /// For example east/gateway/gateway or east/worker/route-agent
        daemon: Path,
        /// Goes on as the log grows
        #[arg(long, short)]
        follow: bool,
    },
    /// Prints the topology that flags make or that is running, as a file for --topology
    Topology(TopologyArgs),
    /// Proves that everything works; without a running playground on one of its own
    Check(CheckArgs),
    /// Ends everything
    Down,
    #[command(hide = true)]
    Hold { settings: String, starter: i32 },
    #[command(hide = true)]
    Init { settings: String, holder: i32 },
    #[command(hide = true)]
    Container { cell: String },
}

#[derive(Debug, Default, PartialEq, Eq, Args)]
struct UpArgs {
    /// What carries packets between the gateways [default: vxlan]
    #[arg(long, value_name = "DRIVER")]
    cable_driver: Option<String>,
    #[command(flatten)]
    build: BuildArgs,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
struct BuildArgs {
    /// The program with the daemons; without it the one beside subctl
    #[arg(long, value_name = "PATH")]
    submariner: Option<PathBuf>,
    #[command(flatten)]
    shape: ShapeArgs,
}

#[derive(Debug, Args)]
struct TopologyArgs {
    #[command(flatten)]
    shape: ShapeArgs,
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// Only checks whose names contain this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// As a table or as JSON
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Bytes that one TCP connection takes from cluster to cluster in the checks payload/…/transfer
    #[arg(long, value_name = "BYTES", default_value = "100mb", value_parser = bytes)]
    transfer: u64,
    /// What carries packets between the gateways: one or several, or all that there are, each in a playground of its
    /// own [default: vxlan]
    #[arg(long, value_name = "DRIVERS", value_delimiter = ',')]
    cable_driver: Vec<String>,
    #[command(flatten)]
    up: BuildArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
}

/// A name that a person can type again, and that the address of a socket holds.
fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if (1..=63).contains(&text.len()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("take 1 to 63 letters, digits, '-', '_' or '.'".to_owned())
    }
}

/// A number of bytes as people write it.
fn bytes(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64); 4] = [("kb", 1000), ("mb", 1_000_000), ("gb", 1_000_000_000), ("b", 1)];
    let wrong = || format!("{text:?} is no number of bytes: write one such as 64kb, 100mb or 1gb");
    let lower = text.to_ascii_lowercase();
    let unit = UNITS.iter().find_map(|(unit, factor)| Some((lower.strip_suffix(unit)?, *factor)));
    let (number, factor) = unit.unwrap_or((&lower, 1));
    let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.filter(|number| *number > 0).ok_or_else(wrong)
}

/// `EX_USAGE` of `sysexits.h`.
const USAGE: u8 = 64;

/// Something that is asked for and cannot be, whatever the machine has.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct WrongUsage(anyhow::Error);

fn wrong_usage(error: anyhow::Error) -> anyhow::Error {
    WrongUsage(error).into()
}

/// Runs `subctl playground`; the arguments begin with the program's name and `playground`.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments.into_iter().skip(1)) {
        Ok(cli) => cli,
        Err(error) => {
            let _unwritable = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match execute(cli) {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("{error:#}"));
            if error.is::<WrongUsage>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let name = cli.name.as_str();
    match cli.command {
        Command::Hold { settings, starter } => supervisor::hold(&serde_json::from_str(&settings)?, starter)?,
        Command::Init { settings, holder } => crate::init::run(serde_json::from_str(&settings)?, holder)?,
        Command::Container { cell } => return Err(subm_kubelet::Cell::enter(&cell).into()),
        Command::Up(up) => bring_up(name, up)?,
        Command::Down => {
            supervisor::stop(&mut Client::require(name)?)?;
            complain("the playground is gone");
        }
        Command::Status { output } => {
            let status = exec::status(&mut Client::require(name)?)?;
            match output {
                Output::Table => print(&status.tables())?,
                Output::Json => print(&(serde_json::to_string_pretty(&status)? + "\n"))?,
            }
        }
        Command::Exec { place, command } => return exec_in(name, &place, &command),
        Command::Logs { daemon, follow } => logs(name, &daemon, follow)?,
        Command::Topology(topology) => print(&topology_text(name, topology.shape)?)?,
        Command::Check(check) => return self::check(name, &check),
    }
    Ok(ExitCode::SUCCESS)
}

fn settings(
    name: &str,
    cable_driver: Option<String>,
    up: BuildArgs,
    lifetime: Lifetime,
) -> anyhow::Result<Settings> {
    if let Some(obstacle) = capability::obstacle() {
        bail!(obstacle);
    }
    let drivers = drivers();
    let cable_driver = cable_driver.unwrap_or_else(|| "vxlan".to_owned());
    if !drivers.contains(&cable_driver) {
        let wrong =
            anyhow!("there is no cable driver {cable_driver:?} here: choose from {}", drivers.join(", "));
        return Err(wrong_usage(wrong));
    }
    let spec = up.shape.spec().map_err(wrong_usage)?;
    Ok(Settings {
        name: name.to_owned(),
        spec,
        cable_driver,
        submariner: find_submariner(up.submariner)?,
        lifetime,
    })
}

/// The topology that the flags make; without any, the running one, or what `up` would make.
fn topology_text(name: &str, shape: ShapeArgs) -> anyhow::Result<String> {
    let running = if shape == ShapeArgs::default() { Client::connect(name)? } else { None };
    let spec = match running {
        Some(mut client) => exec::status(&mut client)?.topology,
        None => shape.spec().map_err(wrong_usage)?,
    };
    serde_saphyr::to_string(&spec).context("the topology as YAML")
}

/// Every cable driver that needs nothing but the kernel: the playground has no IKE daemon.
fn drivers() -> Vec<String> {
    let all = subm_cable::CABLES.iter().map(|cable| cable.backend());
    all.filter(|driver| *driver != subm_types::Backend::Libreswan).map(|driver| driver.to_string()).collect()
}

/// What a person types before the command for the playground of this name.
fn typed(name: &str) -> String {
    match name {
        "default" => "subctl playground".to_owned(),
        _ => format!("subctl playground --name {name}"),
    }
}

fn bring_up(name: &str, up: UpArgs) -> anyhow::Result<()> {
    let subctl = typed(name);
    if Client::connect(name)?.is_some() {
        bail!("a playground is running already: see `{subctl} status`, end it with `{subctl} down`");
    }
    let settings = settings(name, up.cable_driver, up.build, Lifetime::Detached)?;
    let mut client = supervisor::start(&settings, tell)?;
    let status = exec::status(&mut client)?;
    print(&status.tables())?;
    print(&suggestions::of(&subctl, &Topology::new(&status.topology)))
}

fn tell(reply: Reply) {
    if let Reply::Progress(line) = reply {
        complain(&line);
    }
}

fn exec_in(name: &str, place: &Path, command: &[OsString]) -> anyhow::Result<ExitCode> {
    let mut client = Client::require(name)?;
    let topology = Topology::new(&exec::status(&mut client)?.topology);
    let target = topology.resolve(place)?;
    exec::run(&mut Client::require(name)?, &target, command).map(ExitCode::from)
}

fn logs(name: &str, path: &Path, follow: bool) -> anyhow::Result<()> {
    let status = exec::status(&mut Client::require(name)?)?;
    let path = path.to_string();
    let Some(daemon) = status.daemons.iter().find(|daemon| daemon.path == path) else {
        let known: Vec<&str> = status.daemons.iter().map(|daemon| daemon.path.as_str()).collect();
        bail!("there is no daemon {path}: there are {}", known.join(", "));
    };
    let Some(log) = &daemon.log else { bail!("{path} was not started yet") };
    exec::enter(&mut Client::require(name)?)?;
    crate::log::show(log.parent().unwrap_or(log), follow)
}

fn check(name: &str, check: &CheckArgs) -> anyhow::Result<ExitCode> {
    let running = Client::connect(name)?;
    if running.is_some() && (check.up != BuildArgs::default() || !check.cable_driver.is_empty()) {
        bail!(
            "a playground is running already and is what gets checked: leave out what says how to bring one up, or end it \
             with `{} down`",
            typed(name)
        );
    }
    let mut verdicts = Verdicts::default();
    if let Some(mut client) = running {
        ask(&mut client, check, "", &mut verdicts)?;
    } else {
        check_own(check, &mut verdicts)?;
    }
    if let (Some(only), []) = (&check.only, verdicts.outcomes()) {
        bail!("no check has {only:?} in its name: without --only all names are shown");
    }
    match check.output {
        Output::Table => print(&format!("{}\n", verdicts.summary()))?,
        Output::Json => {
            print(&(serde_json::to_string_pretty::<[Outcome]>(verdicts.outcomes())? + "\n"))?;
        }
    }
    Ok(if verdicts.all_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks a playground for each driver that was asked for, one after the other: two at once would disturb each other.
fn check_own(check: &CheckArgs, verdicts: &mut Verdicts) -> anyhow::Result<()> {
    let wanted = match &check.cable_driver[..] {
        [] => vec!["vxlan".to_owned()],
        [all] if all == "all" => drivers(),
        some => some.to_vec(),
    };
    // A name of its own, so that two checks at one time do not meet.
    let name = |driver: &str| format!("check-{}-{driver}", std::process::id());
    let build =
        |driver: &String| settings(&name(driver), Some(driver.clone()), check.up.clone(), Lifetime::OfParent);
    let settings = wanted.iter().map(build).collect::<anyhow::Result<Vec<_>>>()?;
    for settings in &settings {
        let prefix = if wanted.len() > 1 { format!("{}/", settings.cable_driver) } else { String::new() };
        let mut client = supervisor::start(settings, tell)?;
        let asked = ask(&mut client, check, &prefix, verdicts);
        // The playground of a check ends with this process anyway; this waits until nothing of it is left.
        let ended = supervisor::stop(&mut client);
        asked.and(ended)?;
    }
    Ok(())
}

/// Has the checks run, shows what comes of each and collects it.
fn ask(client: &mut Client, check: &CheckArgs, prefix: &str, verdicts: &mut Verdicts) -> anyhow::Result<()> {
    let each = |reply: Reply| match reply {
        Reply::Checked(outcome) => {
            let outcome = Outcome { name: format!("{prefix}{}", outcome.name), ..outcome };
            if check.output == Output::Table {
                let _nobody_reads = print(&format!("{}\n", outcome.line(std::io::stdout().is_terminal())));
            }
            verdicts.add(outcome);
        }
        Reply::Progress(_) | Reply::Status(_) | Reply::Done | Reply::Failed(_) => {}
    };
    let wanted = Wanted { only: check.only.clone(), transfer: check.transfer };
    client.ask(&Request::Check(wanted), each).map(drop)
}

fn print(text: &str) -> anyhow::Result<()> {
    write(text.as_bytes()).map(drop)
}

/// Writes to standard output and tells whether anybody reads it still: a reader that went away, as `head` does, is no
/// error.
fn write(text: &[u8]) -> anyhow::Result<bool> {
    let mut out = std::io::stdout();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).context("standard output"),
    }
}

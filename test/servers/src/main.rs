//! Starts real API servers, runs a command whose tests find them, and ends them: `subm-servers -- cargo nextest run …`.
//! The programs are those in `KUBEBUILDER_ASSETS`.

use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use clap::Parser;
use subm_servers::{Fleet, Programs};

/// Starts real API servers, runs a command whose tests find them, and ends them.
#[derive(Parser)]
struct Cli {
    /// The command.
    #[arg(required = true, last = true)]
    command: Vec<String>,
}

fn main() -> Result<ExitCode> {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let fleet = runtime.block_on(Fleet::start(&Programs::find()?))?;
    let (program, arguments) = cli.command.split_first().context("a command has a program")?;
    let mut command = Command::new(program);
    command.args(arguments).env(Fleet::VARIABLE, fleet.path());
    let status = command.status().with_context(|| format!("cannot start {program}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

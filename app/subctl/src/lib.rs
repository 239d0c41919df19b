//! The command line of a person who runs a clusterset.
//!
//! Every command is a file; what it decides is a pure function over objects that were read before. Results go to
//! stdout, what is going on goes to stderr, so that output can be piped. Start with [`run`].

mod cluster;
mod contexts;
mod output;
mod progress;
mod show;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use progress::Progress;

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "subctl",
    version,
    about = "Joins the networks of Kubernetes clusters, and shows how they are"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows the state of Submariner in one or more clusters
    Show(show::ShowArgs),
    /// Brings up joined clusters on this machine, to try and to test (see `subctl playground --help`)
    Playground,
}

/// Which clusters are meant, as kubectl has it.
#[derive(Debug, Clone, Args)]
struct KubeArgs {
    /// The kubeconfig file; without it the files in $KUBECONFIG, else ~/.kube/config
    #[arg(long, global = true, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The one context to use
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "contexts")]
    context: Option<String>,
    /// The contexts to use, by commas; without it one of each cluster
    #[arg(long, global = true, value_name = "NAMES", value_delimiter = ',')]
    contexts: Vec<String>,
    /// The namespace that Submariner runs in
    #[arg(long, short, global = true, default_value = "submariner-operator")]
    namespace: String,
}

/// `EX_USAGE` of `sysexits.h`.
const USAGE: u8 = 64;

/// Runs the program with these arguments, the program's name first, and tells how it ended: 0 all well, 1 any error, 64
/// a wrong command line.
pub fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _unwritable = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let progress = Progress::to_stderr();
    match execute(cli.command, &progress) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress.failed(&progress::told(&error));
            progress.line(&format!("subctl version: {}", env!("CARGO_PKG_VERSION")));
            ExitCode::FAILURE
        }
    }
}

fn execute(command: Command, progress: &Progress) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match command {
        Command::Show(args) => runtime.block_on(show::run(args, progress)),
        Command::Playground => {
            anyhow::bail!("the playground is not part of this program; install the whole subctl")
        }
    }
}

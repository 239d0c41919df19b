//! What CI runs, and the checks that keep the tree true.
//!
//! The Makefile is a thin front: the logic is here, in one language. Start at [`ci::STEPS`] for what CI does, at
//! [`tidy::RULES`] for what the tree promises, at [`machine::GROUPS`] for tests that need more than a kernel.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

mod ci;
mod crds;
mod kernel;
mod kills;
mod kubernetes;
mod machine;
mod process;
mod setup;
mod suite;
mod tidy;
mod tree;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// What CI runs, and the checks that keep the tree true.
#[derive(Parser)]
#[command(name = "xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Everything that CI runs, with the minutes of each step.
    Ci {
        /// Run only these steps.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Check the dependency edges, file sizes, names, words, links and generated files.
    Tidy,
    /// Run all tests that this machine can run, and name those that it cannot.
    Test {
        /// A nextest filter expression that narrows the run.
        #[arg(short = 'E', long)]
        filter: Option<String>,
    },
    /// Run the tests that need a real control plane, which is built where it is not there.
    TestKubernetes,
    /// Boot other kernels and run what is tested on them in each.
    TestKernel(kernel::Choice),
    /// Kill a process that stores objects again and again: what it acknowledged must be there.
    Kills {
        /// How often.
        #[arg(default_value_t = 1000)]
        count: u32,
    },
    /// Write the definitions of custom resources from the types.
    Crds,
    /// Install what a purpose needs and is not there; without root, name it.
    Setup {
        /// What the machine is to be ready for.
        #[arg(value_enum, default_value = "ci")]
        purpose: setup::Purpose,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    let tree = tree::Tree::open()?;
    match task {
        Task::Ci { only } => ci::run(&tree, &only),
        Task::Tidy => tidy::run(&tree),
        Task::Test { filter } => suite::run(&tree, filter.as_deref()),
        Task::TestKubernetes => kubernetes::run(&tree).map(drop),
        Task::TestKernel(choice) => kernel::run(&tree, &choice).map(drop),
        Task::Kills { count } => kills::run(&tree, count),
        Task::Crds => crds::write(&tree),
        Task::Setup { purpose } => setup::run(&tree, purpose),
    }
}

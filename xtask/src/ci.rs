//! What CI runs, in order of speed, and what each step took.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::tree::Tree;
use crate::{kernel, kills, kubernetes, process, setup, suite, tidy};

/// One step of CI. Its budget holds for two cores and an empty target folder.
pub(crate) struct Step {
    name: &'static str,
    budget_minutes: f64,
    run: fn(&Tree) -> Result<Ran>,
}

/// What became of a step that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ran {
    /// It passed.
    Passed,
    /// This machine lacks what it needs: this.
    Skipped(String),
}

/// Every step. A failed one does not stop those after it, so that one run tells everything.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "fmt", budget_minutes: 0.5, run: |tree| passed(fmt(tree)) },
    Step { name: "tidy", budget_minutes: 0.5, run: |tree| passed(tidy::run(tree)) },
    Step { name: "deny", budget_minutes: 0.5, run: |tree| passed(deny(tree)) },
    Step { name: "shear", budget_minutes: 0.5, run: |tree| passed(shear(tree)) },
    Step { name: "clippy", budget_minutes: 5.0, run: |tree| passed(clippy(tree)) },
    Step { name: "doc", budget_minutes: 3.0, run: |tree| passed(doc(tree)) },
    Step { name: "build", budget_minutes: 10.0, run: |tree| passed(build(tree)) },
    Step { name: "test", budget_minutes: 12.0, run: |tree| passed(suite::run(tree, None)) },
    Step { name: "kills", budget_minutes: 2.0, run: |tree| passed(kills::run(tree, kills::IN_CI)) },
    Step { name: "demo", budget_minutes: 3.0, run: |tree| passed(demo(tree)) },
    Step { name: "kernel", budget_minutes: 10.0, run: |tree| kernel::run(tree, &kernel::Choice::default()) },
    Step { name: "kubernetes", budget_minutes: 12.0, run: kubernetes::run_claims },
];

struct Took {
    step: &'static Step,
    time: Duration,
    outcome: Result<Ran>,
}

/// Runs the steps, then prints each with its minutes; fails where any failed.
pub(crate) fn run(tree: &Tree, only: &[String]) -> Result<()> {
    for name in only {
        ensure!(STEPS.iter().any(|step| step.name == name), "no step is named {name}");
    }
    setup::run(tree, setup::Purpose::Ci)?;
    let wanted = STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name));
    let mut all = Vec::new();
    for step in wanted {
        println!("==> {}", step.name);
        let start = Instant::now();
        let outcome = (step.run)(tree);
        if let Err(error) = &outcome {
            println!("{}: {error:#}", step.name);
        }
        all.push(Took { step, time: start.elapsed(), outcome });
    }
    print_table(&all);
    let failed: Vec<&str> =
        all.iter().filter(|took| took.outcome.is_err()).map(|took| took.step.name).collect();
    if !failed.is_empty() {
        bail!("ci: failed: {}", failed.join(", "));
    }
    let skipped = all.iter().filter(|took| matches!(took.outcome, Ok(Ran::Skipped(_)))).count();
    println!("ci: {} of {} steps passed, {skipped} skipped", all.len() - skipped, all.len());
    Ok(())
}

fn print_table(all: &[Took]) {
    println!();
    println!("{:<10} {:>8} {:>8}  RESULT", "STEP", "MINUTES", "BUDGET");
    for took in all {
        let minutes = took.time.as_secs_f64() / 60.0;
        let result = match &took.outcome {
            Err(error) => format!("failed: {error:#}"),
            Ok(Ran::Skipped(lack)) => format!("skipped: {lack}"),
            Ok(Ran::Passed) if minutes > took.step.budget_minutes => "ok, over budget".to_owned(),
            Ok(Ran::Passed) => "ok".to_owned(),
        };
        println!("{:<10} {:>8.1} {:>8.1}  {result}", took.step.name, minutes, took.step.budget_minutes);
    }
    let minutes: f64 = all.iter().map(|took| took.time.as_secs_f64() / 60.0).sum();
    let budget: f64 = all.iter().map(|took| took.step.budget_minutes).sum();
    println!("{:<10} {minutes:>8.1} {budget:>8.1}", "sum");
}

/// A step that passes where it does not fail.
fn passed(outcome: Result<()>) -> Result<Ran> {
    outcome.map(|()| Ran::Passed)
}

fn fmt(tree: &Tree) -> Result<()> {
    process::run(&mut process::cargo(tree, &["fmt", "--all", "--check"])?)
}

fn deny(tree: &Tree) -> Result<()> {
    let arguments = ["deny", "--offline", "--log-level", "error", "check", "bans", "licenses", "sources"];
    process::run(&mut process::cargo(tree, &arguments)?)
}

fn shear(tree: &Tree) -> Result<()> {
    process::run(&mut process::cargo(tree, &["shear"])?)
}

fn clippy(tree: &Tree) -> Result<()> {
    let arguments = ["clippy", "--profile", "ci", "--workspace", "--all-targets", "--", "-D", "warnings"];
    process::run(&mut process::cargo(tree, &arguments)?)
}

fn doc(tree: &Tree) -> Result<()> {
    let arguments = ["doc", "--profile", "ci", "--workspace", "--no-deps"];
    process::run(process::cargo(tree, &arguments)?.env("RUSTDOCFLAGS", "-D warnings"))
}

/// Everything that the tests and the demo start, so that their minutes are their own.
fn build(tree: &Tree) -> Result<()> {
    process::run(&mut process::cargo(tree, &["build", "--profile", "ci", "--workspace"])?)?;
    let arguments = ["nextest", "run", "--no-run", "--cargo-profile", "ci", "--workspace"];
    process::run(&mut process::cargo(tree, &arguments)?)
}

fn demo(tree: &Tree) -> Result<()> {
    process::run(process::command(tree, "make")?.arg("demo"))
}

//! Tiers T0 and T1: every test that this machine can run, and the names of those that it cannot.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::machine::{self, Missing};
use crate::tree::Tree;
use crate::{process, setup};

const SUITE: &[&str] = &["--cargo-profile", "ci", "--workspace"];

/// Builds and runs the tests, then the examples in the documentation.
pub(crate) fn run(tree: &Tree, filter: Option<&str>) -> Result<()> {
    setup::run(tree, setup::Purpose::Test)?;
    let missing = machine::missing(tree)?;
    // Tests that start daemons start these.
    let programs = ["build", "--profile", "ci", "-p", "submariner-bin", "-p", "subctl-bin"];
    process::run(&mut process::cargo(tree, &programs)?)?;
    let left_out = left_out(tree, &missing)?;

    let words = [machine::ground(), &["cargo", "nextest", "run"]].concat();
    let (program, arguments) = words.split_first().context("a command has a program")?;
    let mut command = process::command(tree, program)?;
    command.args(arguments).args(SUITE).arg("-E").arg(expression(filter, &missing));
    let mut summary = None;
    let passed = process::tee(&mut command, |line| {
        if line.trim_start().starts_with("Summary [") {
            summary = Some(line.trim().to_owned());
        }
    })?;
    let summary = summary.context("no test ran: the tests do not build, or nextest broke")?;
    let examples = examples(tree);
    for (group, tests) in &left_out {
        println!("skipped: {tests} tests of {}: {}", group.name, group.reason);
    }
    let skipped: usize = left_out.iter().map(|(_, tests)| tests).sum();
    println!("{summary}");
    let examples = examples?;
    println!(
        "test: {}, {examples} examples passed, {skipped} skipped",
        if passed { "passed" } else { "FAILED" }
    );
    ensure!(passed, "tests failed");
    Ok(())
}

/// Doctests, which nextest does not run; returns how many passed.
fn examples(tree: &Tree) -> Result<usize> {
    let arguments = ["test", "--doc", "--profile", "ci", "--workspace"];
    let output = process::cargo(tree, &arguments)?.output().context("cannot start cargo test --doc")?;
    let told = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        println!("{told}{}", String::from_utf8_lossy(&output.stderr));
        bail!("examples in the documentation failed");
    }
    // "test result: ok. 3 passed; 0 failed; …", once for each crate.
    let counts =
        told.lines().filter_map(|line| line.strip_prefix("test result: ok. ")?.split_whitespace().next());
    counts.map(|count| count.parse::<usize>().context("cargo test tells how many examples passed")).sum()
}

/// What is wanted less what cannot run here.
pub(crate) fn expression(filter: Option<&str>, missing: &[Missing]) -> String {
    let wanted = filter.unwrap_or("all()");
    missing.iter().fold(format!("({wanted})"), |all, group| format!("{all} - ({})", group.filter))
}

/// The missing groups that have tests, with how many.
fn left_out<'m>(tree: &Tree, missing: &'m [Missing]) -> Result<Vec<(&'m Missing, usize)>> {
    let mut found = Vec::new();
    let mut counted = String::from("none()");
    for group in missing {
        // A test that lacks two things is counted once.
        let tests = count(tree, &format!("({}) - ({counted})", group.filter))?;
        counted = format!("{counted} + ({})", group.filter);
        if tests > 0 {
            found.push((group, tests));
        }
    }
    Ok(found)
}

fn count(tree: &Tree, expression: &str) -> Result<usize> {
    let mut command = process::cargo(tree, &["nextest", "list", "--message-format", "json"])?;
    let output = command.args(SUITE).arg("-E").arg(expression).output().context("cannot start nextest")?;
    ensure!(output.status.success(), "nextest list failed: {}", String::from_utf8_lossy(&output.stderr));
    let listed: Value = serde_json::from_slice(&output.stdout).context("the list of nextest is not JSON")?;
    let suites = listed["rust-suites"].as_object().context("nextest lists suites")?;
    let cases =
        suites.values().filter_map(|suite| suite["testcases"].as_object()).flat_map(|cases| cases.values());
    Ok(cases.filter(|case| case["filter-match"]["status"] == "matches").count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_groups_are_taken_from_what_is_wanted() {
        let missing = [Missing { name: "kubectl", filter: "test(/kubectl/)", reason: String::new() }];
        assert_eq!(expression(None, &missing), "(all()) - (test(/kubectl/))");
        assert_eq!(expression(Some("package(a)"), &[]), "(package(a))");
    }
}

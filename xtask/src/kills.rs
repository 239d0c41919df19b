//! The process that stores objects is killed, more often than in a run of the tests.

use anyhow::Result;

use crate::tree::Tree;
use crate::{process, setup};

/// So often in CI.
pub(crate) const IN_CI: u32 = 100;

/// Kills it so often and prints what was found.
pub(crate) fn run(tree: &Tree, kills: u32) -> Result<()> {
    setup::run(tree, setup::Purpose::Test)?;
    let filter = "test(no_kill_loses_an_acknowledged_write_or_leaves_half_an_object)";
    let arguments =
        ["nextest", "run", "--cargo-profile", "ci", "-p", "subm-apiserver", "--no-capture", "-E", filter];
    process::run(process::cargo(tree, &arguments)?.env("KILLS", kills.to_string()))
}

//! Sizes and names of files, heads of crates.

use std::path::Path;

use anyhow::Result;

use crate::tree::Tree;

/// Generated files aside, no file of code is longer.
const LONGEST_FILE: usize = 600;
const LONGEST_HEAD: usize = 15;
/// Names that hide what a file is about.
const NAMELESS: &[&str] = &["common", "helper", "helpers", "manager", "misc", "mod", "util", "utils"];

pub(super) fn files(tree: &Tree) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for name in tree.with_extension("rs") {
        let lines = tree.text(name)?.lines().count();
        if lines > LONGEST_FILE {
            findings.push(format!("{name}: {lines} lines; split it by subject ({LONGEST_FILE} at most)"));
        }
        let path = Path::new(name);
        let words = path.components().filter_map(|part| Path::new(part.as_os_str()).file_stem()?.to_str());
        for word in words.filter(|word| NAMELESS.contains(word)) {
            findings.push(format!(
                "{name}: `{word}` names no subject; use a noun of the domain, and foo.rs beside foo/"
            ));
        }
    }
    Ok(findings)
}

pub(super) fn heads(tree: &Tree) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for name in tree.files.iter().filter(|name| name.ends_with("src/lib.rs") || name.ends_with("src/main.rs"))
    {
        let text = tree.text(name)?;
        let head = text.lines().take_while(|line| line.starts_with("//!")).count();
        if head == 0 || head > LONGEST_HEAD {
            findings.push(format!(
                "{name}: open with 1 to {LONGEST_HEAD} `//!` lines that say what the crate is; found {head}"
            ));
        }
    }
    Ok(findings)
}

pub(super) fn core_is_synchronous(tree: &Tree) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for name in tree.with_extension("rs").filter(|name| name.starts_with("core/")) {
        for (number, line) in tree.text(name)?.lines().enumerate() {
            if line.contains("async fn ") || line.contains("async move") || line.contains(".await") {
                findings
                    .push(format!("{name}:{}: core is synchronous: return data or a deadline", number + 1));
            }
        }
    }
    Ok(findings)
}

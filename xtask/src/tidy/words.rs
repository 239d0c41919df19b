//! Words that a finished tree does not hold.

use anyhow::Result;

use crate::tree::Tree;

/// A word and what is said where it is found. This file is the only one that may hold them.
const UNWANTED: &[(&str, &str)] = &[
    ("/home/", "a path of one machine"),
    ("/root/", "a path of one machine"),
    ("/Users/", "a path of one machine"),
    ("/work/", "a path of one machine"),
    ("FIXME", "finish it, or say what is absent"),
    ("TODO", "finish it, or say what is absent"),
    ("todo!(", "finish it"),
    ("unimplemented!(", "finish it"),
    ("XXX", "finish it, or say what is absent"),
];
const SELF: &str = "xtask/src/tidy/words.rs";
/// Not our words.
const FOREIGN: &[&str] = &["Cargo.lock", "LICENSE"];

pub(super) fn unwanted(tree: &Tree) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for name in tree.files.iter().filter(|name| *name != SELF && !FOREIGN.contains(&name.as_str())) {
        for (number, line) in tree.text(name)?.lines().enumerate() {
            for (word, remark) in UNWANTED.iter().filter(|(word, _)| line.contains(word)) {
                findings.push(format!("{name}:{}: `{word}`: {remark}", number + 1));
            }
        }
    }
    Ok(findings)
}

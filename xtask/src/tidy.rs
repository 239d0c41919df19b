//! What the tree promises, as rules that a machine can check.

mod edges;
mod layout;
mod limits;
mod links;
mod words;

use anyhow::{Result, bail};

use crate::crds;
use crate::tree::Tree;

/// One promise: what it says, and where the tree breaks it.
pub(crate) struct Rule {
    promise: &'static str,
    findings: fn(&Tree) -> Result<Vec<String>>,
}

/// Every rule, in the order in which they are checked.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        promise: "crates depend on each other only along the edges of ARCHITECTURE.md",
        findings: edges::crates,
    },
    Rule {
        promise: "third-party crates stay behind the folders that own them",
        findings: edges::third_party,
    },
    Rule { promise: "files are short and have a subject", findings: layout::files },
    Rule { promise: "every lib.rs opens with what the crate is", findings: layout::heads },
    Rule { promise: "core/ has no async fn", findings: layout::core_is_synchronous },
    Rule { promise: "core/clippy.toml repeats the limits of clippy.toml", findings: limits::repeated },
    Rule { promise: "nothing is left to do, no path of one machine", findings: words::unwanted },
    Rule { promise: "links in documents lead somewhere", findings: links::broken },
    Rule { promise: "make targets named in documents exist", findings: links::targets },
    Rule { promise: "definitions of custom resources are those of the types", findings: crds::stale },
];

/// Checks every rule and prints each with its findings.
pub(crate) fn run(tree: &Tree) -> Result<()> {
    let mut broken = 0;
    for rule in RULES {
        let findings = (rule.findings)(tree)?;
        println!("{:4} {}", if findings.is_empty() { "ok" } else { "FAIL" }, rule.promise);
        for finding in &findings {
            println!("       {finding}");
        }
        broken += usize::from(!findings.is_empty());
    }
    if broken > 0 {
        bail!("tidy: {broken} of {} rules are broken", RULES.len());
    }
    println!("tidy: {} rules hold", RULES.len());
    Ok(())
}

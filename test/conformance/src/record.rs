//! The page in `docs/` that says which claims hold on the embedded API, and how it is kept true.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::suite::Finding;

const MODULES: &str = include_str!("../../kubernetes/go.mod");

const HEAD: &str = "\
What we use of the Kubernetes API, claim by claim. Every claim holds on Kubernetes VERSION, run by
`make test-kubernetes`; the table says which hold on the embedded API. This page is written by the suite
(`UPDATE=1 make test-kubernetes`, or without Go `UPDATE=1 cargo nextest run --cargo-profile ci -p subm-conformance`),
and both runs fail where it is not what they find.
";

/// The version of Kubernetes that the claims are tried on.
pub fn version() -> &'static str {
    let required = MODULES.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "));
    required.unwrap_or("of an unknown version").trim()
}

/// The page that these findings make.
pub fn page(findings: &[Finding]) -> String {
    let holding = findings.iter().filter(|finding| finding.differs.is_none()).count();
    let mut text = format!("# The Kubernetes API\n\n{}", HEAD.replace("VERSION", version()));
    line(&mut text, &format!("\n{holding} of {} claims hold on the embedded API.", findings.len()));
    let mut group = "";
    for finding in findings {
        if finding.group != group {
            group = finding.group;
            line(&mut text, &format!("\n## {group}\n\n| Claim | Embedded API |\n|---|---|"));
        }
        let found = finding.differs.as_ref().map_or_else(
            || "holds".to_owned(),
            |differs| format!("differs: {}", differs.replace('|', "\\|").replace('\n', " ")),
        );
        line(&mut text, &format!("| {} | {found} |", finding.says));
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(text, "{line}");
}

/// What kubectl printed on Kubernetes.
pub const KUBECTL: &str = include_str!("../recorded/kubectl.txt");

/// Compares a text with a file of the tree; where `UPDATE` is set, writes it.
pub fn compare(name: &str, page: &str) -> Result<()> {
    let path = document(name);
    if std::env::var_os("UPDATE").is_some_and(|value| !value.is_empty()) {
        return std::fs::write(&path, page).with_context(|| format!("cannot write {name}"));
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if kept != page {
        let first = page.lines().zip(kept.lines()).find(|(found, kept)| found != kept).unwrap_or_default();
        let news: Vec<_> = page.lines().filter(|line| !kept.lines().any(|kept| kept == *line)).collect();
        bail!(
            "{name} is not what was found; set UPDATE=1 to write it. First found {:?} instead of {:?}. New in it:\n{}",
            first.0,
            first.1,
            news.join("\n")
        );
    }
    Ok(())
}

/// A file of the tree.
pub(crate) fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name)
}

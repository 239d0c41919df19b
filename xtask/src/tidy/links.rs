//! Links, anchors and make targets in the documents.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;

use crate::tree::Tree;

pub(super) fn broken(tree: &Tree) -> Result<Vec<String>> {
    let mut findings = Vec::new();
    for name in tree.with_extension("md") {
        for link in links(&tree.text(name)?) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = Path::new(name).parent().unwrap_or(Path::new(""));
            let target = if file.is_empty() { Path::new(name).to_owned() } else { folder.join(file) };
            if !tree.root.join(&target).exists() {
                findings.push(format!("{name}: ({link}) leads to no file"));
            } else if !anchor.is_empty() && !anchors(&tree.text(&target.to_string_lossy())?).contains(anchor)
            {
                findings.push(format!("{name}: ({link}) leads to no heading"));
            }
        }
    }
    Ok(findings)
}

pub(super) fn targets(tree: &Tree) -> Result<Vec<String>> {
    let makefile = tree.text("Makefile")?;
    let known: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with(['\t', '#', '.', ' ']))
        .filter_map(|line| line.split_once(':').filter(|(_, rest)| !rest.starts_with('=')))
        .flat_map(|(targets, _)| targets.split_whitespace())
        .collect();
    let mut findings = Vec::new();
    for name in tree.with_extension("md") {
        for target in make_targets(&tree.text(name)?) {
            if !known.contains(target.as_str()) {
                findings.push(format!("{name}: the Makefile has no target `{target}`"));
            }
        }
    }
    Ok(findings)
}

/// Targets of `make x` in code spans and in blocks of shell.
fn make_targets(text: &str) -> BTreeSet<String> {
    let mut fenced = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let commands: Vec<&str> =
            if fenced { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for command in commands {
            let mut words = command.split_whitespace();
            if words.next() == Some("make") {
                let target =
                    words.next().filter(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
                found.extend(target.map(str::to_owned));
            }
        }
    }
    found
}

/// The targets of `[text](target)`, code left out.
fn links(text: &str) -> Vec<String> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("``");
        for rest in prose.split("](").skip(1) {
            found.extend(rest.split_once(')').map(|(target, _)| target.to_owned()));
        }
    }
    found
}

/// The anchors that a renderer makes of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_code_are_not_links() {
        assert_eq!(links("see [a](b.md#c) and `[x](y)`\n```\n[z](q)\n```"), ["b.md#c"]);
    }

    #[test]
    fn heading_becomes_the_anchor_that_renderers_make() {
        assert_eq!(anchor("What is absent, on purpose"), "what-is-absent-on-purpose");
    }

    #[test]
    fn targets_are_found_in_spans_and_blocks() {
        let found = make_targets("run `make demo`, make sure\n```sh\nmake bench ONLY=heal\n```");
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["bench", "demo"]);
    }
}

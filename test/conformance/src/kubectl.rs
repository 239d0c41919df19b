//! What kubectl says of one API server, command by command, without what differs from run to run.

mod objects;
mod scenario;
mod scrub;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

pub use crate::kubectl::scenario::{SECTIONS, Section};
use subm_servers::Api;

/// What one command printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The part that it belongs to.
    pub section: String,
    /// The command.
    pub command: String,
    /// What it printed, without what differs from run to run.
    pub output: String,
}

/// The minor version of the kubectl in the path.
pub fn version() -> Result<String> {
    let output = Command::new("kubectl").args(["version", "--client", "-o", "json"]).output();
    let output = output.context("cannot start kubectl")?;
    let told: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("kubectl tells no version")?;
    let text = told["clientVersion"]["gitVersion"].as_str().unwrap_or_default();
    let minor: Vec<_> = text.trim_start_matches('v').split('.').take(2).collect();
    ensure!(minor.len() == 2, "kubectl tells version {text:?}");
    Ok(minor.join("."))
}

/// Runs every command, one after the other.
pub fn run(api: &Api) -> Result<Vec<Step>> {
    let home = tempfile::Builder::new().prefix("kubectl-").tempdir()?;
    for (name, text) in objects::FILES {
        fs::write(home.path().join(name), text).with_context(|| format!("cannot write {name}"))?;
    }
    let mut steps = Vec::new();
    for section in SECTIONS {
        for command in section.commands {
            let output = said(api, home.path(), command)?;
            let (section, command) = (section.name.to_owned(), (*command).to_owned());
            steps.push(Step { section, command, output });
        }
    }
    Ok(steps)
}

fn said(api: &Api, home: &Path, command: &str) -> Result<String> {
    // A command that hangs is one that differs.
    let output = Command::new("timeout")
        .args(["40", "sh", "-c", command])
        .current_dir(home)
        .env("HOME", home)
        .env("TMPDIR", home)
        .env("KUBECONFIG", &api.kubeconfig)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {command}"))?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        let code = output.status.code().map_or_else(|| "by a signal".to_owned(), |code| code.to_string());
        line(&mut text, &format!("ended with {code}"));
    }
    let text = text.replace(&api.server, "https://SERVER").replace(&home.display().to_string(), "HOME");
    let text = text.replace(api.server.trim_start_matches("https://"), "SERVER");
    Ok(scrub::scrub(&text))
}

/// The text in which the steps of a run are kept.
pub fn transcript(version: &str, steps: &[Step]) -> String {
    let mut text = format!("kubectl {version}\n");
    let mut section = "";
    for step in steps {
        if step.section != section {
            section = &step.section;
            line(&mut text, &format!("\n## {section}"));
        }
        line(&mut text, &format!("\n$ {}", step.command));
        text.push_str(&step.output);
        if !step.output.ends_with('\n') && !step.output.is_empty() {
            text.push('\n');
        }
    }
    text
}

/// Each command of a transcript and what it printed.
fn parsed(transcript: &str) -> Vec<(&str, String)> {
    let mut steps: Vec<(&str, String)> = Vec::new();
    for text in transcript.lines().filter(|text| !text.starts_with("## ")) {
        match (text.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push((command, String::new())),
            (None, Some((_, output))) => line(output, text),
            (None, None) => {}
        }
    }
    steps
}

/// A step on the embedded API and what it prints on Kubernetes.
struct Pair<'s> {
    step: &'s Step,
    wanted: String,
}

impl Pair<'_> {
    fn same(&self) -> bool {
        self.wanted == self.step.output.trim_end()
    }
}

/// The page that compares a run on the embedded API with what was recorded of Kubernetes.
pub fn page(transcript: &str, version: &str, steps: &[Step]) -> String {
    let recorded = parsed(transcript);
    let wanted = |at: usize, step: &Step| {
        let known = recorded.get(at).filter(|(command, _)| *command == step.command);
        known.map_or("was not recorded", |(_, output)| output.trim_end()).to_owned()
    };
    let pairs: Vec<_> =
        steps.iter().enumerate().map(|(at, step)| Pair { step, wanted: wanted(at, step) }).collect();
    let same = pairs.iter().filter(|pair| pair.same()).count();
    let mut text = format!("# kubectl\n\n{}", HEAD.replace("VERSION", crate::record::version()));
    line(&mut text, &format!("\nkubectl {version}: {same} of {} commands print the same.", pairs.len()));
    let mut section = "";
    for pair in &pairs {
        let step = pair.step;
        if step.section != section {
            section = &step.section;
            line(&mut text, &format!("\n## {section}\n\n| Command | Embedded API |\n|---|---|"));
        }
        let found = if pair.same() { "same" } else { "differs" };
        line(&mut text, &format!("| `{}` | {found} |", step.command.replace('|', "\\|")));
    }
    differences(&mut text, &pairs);
    text
}

fn differences(text: &mut String, pairs: &[Pair<'_>]) {
    let differing: Vec<_> = pairs.iter().filter(|pair| !pair.same()).collect();
    if !differing.is_empty() {
        line(
            text,
            "\n## What differs\n\nWith `-` what Kubernetes prints, with `+` what the embedded API does.",
        );
    }
    for Pair { step, wanted } in differing {
        line(text, &format!("\n```diff\n$ {}", step.command));
        difference(text, wanted, step.output.trim_end());
        line(text, "```");
    }
}

const HEAD: &str = "\
What kubectl prints of the same objects on Kubernetes VERSION and on the embedded API. The commands run one after the
other on a new server of each kind; UIDs, times, versions, ages and the width of columns are left out of the comparison.
What Kubernetes prints is kept in [recorded/kubectl.txt](../test/conformance/recorded/kubectl.txt), which
`make test-kubernetes` compares with what it finds (`UPDATE=1` writes it). This page is written and compared by the test
`kubectl` of `test/conformance`. The API servers have no kubelet behind them, so there is neither `logs` nor `exec`.
";

/// Lines that only one side has, in order; long differences are cut.
fn difference(text: &mut String, wanted: &str, found: &str) {
    const LONGEST: usize = 8;
    let one_sided = |lines: &str, others: &str, sign: char| {
        let others: Vec<_> = others.lines().collect();
        let all: Vec<_> = lines.lines().filter(|line| !others.contains(line)).collect();
        let mut shown: Vec<_> =
            all.iter().take(LONGEST).map(|line| format!("{sign} {}", cut(line))).collect();
        if all.len() > LONGEST {
            shown.push(format!("{sign} … and {} lines more", all.len() - LONGEST));
        }
        shown
    };
    let mut lines = one_sided(wanted, found, '-');
    lines.extend(one_sided(found, wanted, '+'));
    if lines.is_empty() {
        lines.push("the same lines in another order or number".to_owned());
    }
    for shown in lines {
        line(text, shown.trim_end());
    }
}

fn cut(line: &str) -> String {
    const WIDEST: usize = 160;
    let mut text: String = line.chars().take(WIDEST).collect();
    if line.chars().count() > WIDEST {
        text.push('…');
    }
    text
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(text, "{line}");
}

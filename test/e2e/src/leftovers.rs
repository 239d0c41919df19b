//! What a playground might leave on the machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// The machine's own state that nobody may change.
#[derive(Debug, PartialEq, Eq)]
pub struct Machine {
    mounts: BTreeSet<String>,
    links: BTreeSet<String>,
    named_namespaces: BTreeSet<String>,
}

impl Machine {
    /// Looks at it.
    pub fn look() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
        Ok(Self {
            mounts: mounts.lines().map(str::to_owned).collect(),
            links: names_in("/sys/class/net"),
            named_namespaces: names_in("/run/netns"),
        })
    }
}

fn names_in(folder: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// By what a playground's processes are known: its namespaces, and its name in their arguments.
#[derive(Debug)]
pub struct Leftovers {
    name: String,
    namespaces: BTreeSet<String>,
}

const NAMESPACES: [&str; 4] = ["pid", "mnt", "net", "user"];

impl Leftovers {
    /// Learns them while it runs; `init` is its first process.
    pub fn of(name: &str, init: i32) -> Result<Self> {
        let own = namespaces_of(Path::new("/proc/self"));
        let world = fs::read_link(format!("/proc/{init}/ns/pid")).context("the playground's processes")?;
        let mut namespaces = BTreeSet::new();
        for process in processes() {
            if fs::read_link(process.join("ns/pid")).is_ok_and(|pid| pid == world) {
                namespaces.extend(namespaces_of(&process));
            }
        }
        namespaces.retain(|namespace| !own.contains(namespace));
        ensure!(namespaces.iter().any(|one| one.starts_with("net:")), "it has no network of its own");
        Ok(Self { name: name.to_owned(), namespaces })
    }

    /// The process that holds the playground's name and namespaces.
    pub fn holder(&self) -> Result<i32> {
        let process = processes().into_iter().find(|process| {
            let words = arguments(process);
            words.contains("\0hold\0") && words.contains(&self.quoted())
        });
        let process = process.context("nobody holds the playground")?;
        let number = process.file_name().and_then(|name| name.to_str()).context("a process has a number")?;
        Ok(number.parse()?)
    }

    /// Fails while anything is there.
    pub fn are_gone(&self) -> Result<()> {
        // A process that is dead and not buried is init's: it holds nothing any more.
        for process in processes().into_iter().filter(|process| !is_dead(process)) {
            let words = arguments(&process);
            ensure!(!words.contains(&self.quoted()), "{} still runs: {words:?}", process.display());
            let within = namespaces_of(&process).into_iter().find(|one| self.namespaces.contains(one));
            ensure!(within.is_none(), "{} is still in {within:?}: {words:?}", process.display());
        }
        let sockets = fs::read_to_string("/proc/net/unix").context("/proc/net/unix")?;
        let own = format!("/{}", self.name);
        let left =
            sockets.lines().find(|line| line.contains("submariner-playground") && line.ends_with(&own));
        ensure!(left.is_none(), "a socket is still there: {left:?}");
        Ok(())
    }

    fn quoted(&self) -> String {
        format!("\"name\":\"{}\"", self.name)
    }
}

fn processes() -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    entries.filter(|entry| entry.file_name().to_str().is_some_and(number)).map(|entry| entry.path()).collect()
}

fn namespaces_of(process: &Path) -> BTreeSet<String> {
    let link = |kind: &&str| fs::read_link(process.join("ns").join(kind)).ok();
    NAMESPACES.iter().filter_map(link).map(|target| target.to_string_lossy().into_owned()).collect()
}

fn is_dead(process: &Path) -> bool {
    let stat = fs::read_to_string(process.join("stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_none_or(|state| matches!(state, 'Z' | 'X'))
}

fn arguments(process: &Path) -> String {
    String::from_utf8_lossy(&fs::read(process.join("cmdline")).unwrap_or_default()).into_owned()
}

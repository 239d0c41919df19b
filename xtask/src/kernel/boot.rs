//! A virtual machine from its start to its end.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::guest::{self, Tests};
use super::image::Image;
use crate::process;

/// What hangs is ended after this many seconds.
const LIMIT_SECONDS: &str = "900";
/// Memory of the guest. What it writes lies in there too.
const MEMORY: &str = "2048";

/// How the tests in a guest ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    summary: Option<String>,
    status: Option<String>,
}

impl Outcome {
    fn hear(&mut self, line: &str) {
        if line.trim_start().starts_with("Summary [") {
            self.summary = Some(line.trim().to_owned());
        }
        if let Some(status) = line.strip_prefix(guest::ENDED) {
            self.status = Some(status.trim().to_owned());
        }
    }

    /// nextest's summary, where all tests passed.
    pub(crate) fn told(self) -> Result<String> {
        match (self.status.as_deref(), self.summary) {
            (Some("0"), Some(summary)) => Ok(summary),
            (Some(_), Some(summary)) => bail!("{summary}"),
            (Some(status), None) => bail!("no test ran: nextest ended with {status}"),
            (None, _) => bail!("the machine ended before its tests did"),
        }
    }
}

/// Boots a kernel, runs a script in it, and waits for its end. What it prints is shown and kept in a file.
pub(crate) fn run(tests: &Tests, image: &Image, layers: &[PathBuf], script: &str) -> Result<Outcome> {
    let layers: Vec<PathBuf> = [std::slice::from_ref(&image.root), layers].concat();
    let initial = image.write_initial(&tests.folder, (&guest::init(layers.len()), script))?;
    let log = tests.folder.join(format!("{}.log", image.release));
    let mut kept = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = machine(&image.vmlinuz(), &initial);
    share(&mut command, Path::new("/"), guest::HOST_TAG);
    for (number, layer) in layers.iter().enumerate() {
        share(&mut command, layer, &guest::layer_tag(number));
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start qemu-system-x86_64")?;
    let console = child.stdout.take().context("the machine has a console")?;
    let mut outcome = Outcome::default();
    for line in BufReader::new(console).split(b'\n') {
        let line = line.context("the machine's console cannot be read")?;
        let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        println!("{line}");
        writeln!(kept, "{line}").with_context(|| format!("cannot write {}", log.display()))?;
        outcome.hear(&line);
    }
    let status = child.wait().context("cannot wait for qemu-system-x86_64")?;
    // What `timeout` answers where it ended the command.
    ensure!(
        status.code() != Some(124),
        "the machine did not end within {LIMIT_SECONDS} s: see {}",
        log.display()
    );
    ensure!(status.success(), "qemu-system-x86_64 ended with {status}");
    Ok(outcome)
}

fn machine(kernel: &Path, initial: &Path) -> Command {
    let program = process::find("qemu-system-x86_64").unwrap_or_else(|| PathBuf::from("qemu-system-x86_64"));
    let mut command = Command::new("timeout");
    // In the foreground it has our process group, so that Ctrl-C ends the machine too.
    command.args(["--foreground", "--kill-after=10", LIMIT_SECONDS]).arg(program);
    // Emulated: what virtualisation within a virtual machine offers, where it offers any, differs from place to place.
    command.args(["-accel", "tcg,thread=multi"]);
    command.args(["-cpu", "max", "-smp", "2", "-m", MEMORY]);
    command.args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot", "-nic", "none"]);
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initial);
    command.args(["-append", "console=ttyS0 quiet panic=-1 nokaslr mitigations=off"]);
    command
}

/// Shows the guest a folder that it cannot change.
fn share(command: &mut Command, folder: &Path, tag: &str) {
    // A comma ends a value, two are one.
    let folder = folder.to_string_lossy().replace(',', ",,");
    command
        .arg("-virtfs")
        .arg(format!("local,path={folder},mount_tag={tag},security_model=none,readonly=on,multidevs=remap"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(lines: &[&str]) -> Result<String> {
        let mut outcome = Outcome::default();
        for line in lines {
            outcome.hear(line);
        }
        outcome.told()
    }

    #[test]
    fn only_tests_that_ran_and_passed_have_passed() {
        const SUMMARY: &str = "     Summary [  30.1s] 50 tests run: 50 passed, 900 skipped";
        let told = outcome(&[SUMMARY, "test-kernel: the tests ended with 0"]).unwrap();
        assert_eq!(told, SUMMARY.trim());
        assert!(outcome(&[SUMMARY, "test-kernel: the tests ended with 100"]).is_err());
        assert!(outcome(&["test-kernel: the tests ended with 4"]).is_err());
        assert!(outcome(&[SUMMARY, "Kernel panic - not syncing"]).is_err());
    }
}

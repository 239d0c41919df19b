//! What processes use: processor time, also of the whole machine, and memory.

use std::fs;

use anyhow::{Context as _, Result, bail};

/// KERNEL: `/proc` counts in hundredths of a second on every architecture that we build for (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds that processes have used so far, in user and in kernel mode.
pub fn of_processes(pids: &[u32]) -> Result<f64> {
    pids.iter().map(|pid| of_process(*pid)).sum()
}

fn of_process(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("process {pid} has ended"))?;
    // The name stands in parentheses and may hold anything, spaces too.
    let (_, fields) = text.rsplit_once(')').with_context(|| format!("{path} is odd"))?;
    let times: Vec<&str> = fields.split_whitespace().skip(11).take(2).collect();
    seconds(&times).with_context(|| format!("{path} is odd"))
}

/// Seconds that the machine's processors were busy so far: with programs, the kernel, and interrupts.
pub fn of_machine() -> Result<f64> {
    let text = fs::read_to_string("/proc/stat").context("cannot read /proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let counts: Vec<&str> = line.split_whitespace().skip(1).collect();
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = counts[..] else {
        bail!("/proc/stat is odd")
    };
    seconds(&[user, nice, system, irq, softirq]).context("/proc/stat is odd")
}

/// Megabytes of its own that a process holds.
pub fn memory_of(pid: u32) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("process {pid} has ended"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib =
        line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("{path} is odd"))?;
    Ok(kib.parse::<f64>()? * 1024.0 / 1e6)
}

fn seconds(ticks: &[&str]) -> Result<f64> {
    let ticks = ticks.iter().map(|text| text.parse::<f64>()).sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_of_the_process() {
        let own = std::process::id();
        let before = memory_of(own).unwrap();
        let held = vec![1_u8; 50_000_000];
        let after = memory_of(own).unwrap();
        assert!(after > before + 40.0 && held.len() == 50_000_000, "{before} MB, then {after} MB");
    }

    #[test]
    fn work_is_seen() {
        let own = [std::process::id()];
        let (before, machine) = (of_processes(&own).unwrap(), of_machine().unwrap());
        let start = std::time::Instant::now();
        while of_processes(&own).unwrap() < before + 0.05 {
            assert!(start.elapsed().as_secs() < 60, "work does not count");
        }
        assert!(of_machine().unwrap() > machine);
    }
}

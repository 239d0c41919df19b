//! What a process uses.

use std::fs;

/// Memory of a process in KiB: its own anonymous pages, and everything that it has mapped and touched.
pub(crate) fn of(pid: i32) -> Option<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| -> Option<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().ok()
    };
    Some((field("RssAnon")?, field("VmRSS")?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn own_memory_is_part_of_all_memory() {
        let (anonymous, all) = super::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(0 < anonymous && anonymous <= all);
    }
}

//! The log of a daemon as a person reads it: what all its runs said, one after the other.

use std::fs::File;
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::Context;

const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Writes the logs in the folder of a container to standard output, and with `follow` what comes.
pub(crate) fn show(folder: &Path, follow: bool) -> anyhow::Result<()> {
    let file = |run: u32| folder.join(format!("{run}.log"));
    let mut run = 0;
    let mut reader = open(&file(run))?.with_context(|| format!("{} is not there", file(run).display()))?;
    let mut line = Vec::new();
    loop {
        // A run that has a follower says nothing more.
        let next = open(&file(run + 1))?;
        while reader.read_until(b'\n', &mut line)? > 0 {
            if line.last() != Some(&b'\n') {
                break;
            }
            if !write(words(&line))? {
                return Ok(());
            }
            line.clear();
        }
        match next {
            Some(next) => (reader, run) = (next, run + 1),
            None if follow => thread::sleep(LOOK_AGAIN),
            None => return Ok(()),
        }
    }
}

fn open(path: &Path) -> anyhow::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// What was said, without the time, the stream and the mark of whole lines that a container's log begins with.
fn words(line: &[u8]) -> &[u8] {
    line.splitn(4, |byte| *byte == b' ').nth(3).unwrap_or(line)
}

/// False where nobody reads any more.
fn write(text: &[u8]) -> anyhow::Result<bool> {
    match std::io::stdout().write_all(text) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).context("standard output"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_line_is_told_without_its_head() {
        assert_eq!(super::words(b"2026-01-01T00:00:00Z stdout F a b c\n"), b"a b c\n");
    }
}

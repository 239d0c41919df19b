//! Logs of containers, in the form of the CRI: a time, the stream, whether the line is whole, the line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use subm_apiserver::LogOptions;
use tokio::sync::mpsc;

/// A line that is longer is broken.
const LONGEST: u64 = 16 * 1024;
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The file of one run of a container.
pub(crate) fn file(folder: &Path, container: &str, run: u32) -> PathBuf {
    folder.join(container).join(format!("{run}.log"))
}

/// Writes what a container says until it says no more.
pub(crate) fn record(from: impl Read, mut to: impl Write) {
    let mut from = BufReader::new(from);
    loop {
        let mut line = Vec::new();
        match from.by_ref().take(LONGEST).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let whole = line.last() == Some(&b'\n');
        if !whole {
            line.push(b'\n');
        }
        let head = format!("{} stdout {} ", Timestamp::now(), if whole { 'F' } else { 'P' });
        let written = to.write_all(&[head.as_bytes(), &line].concat());
        if let Err(error) = written {
            tracing::warn!(%error, "a container's words are lost");
        }
    }
}

/// Sends a log, and with `follow` what comes until `ended` says that nothing will.
pub(crate) fn send(
    path: &Path,
    options: &LogOptions,
    to: &mpsc::Sender<Bytes>,
    ended: impl Fn() -> bool,
) -> io::Result<()> {
    let mut file = File::open(path)?;
    let mut left = options.limit_bytes.unwrap_or(u64::MAX);
    let start = options.tail.map_or(Ok(0), |lines| start_of_tail(&mut file, lines))?;
    file.seek(SeekFrom::Start(start))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        // What ended before this look has written everything.
        let over = ended();
        while reader.read_until(b'\n', &mut line)? > 0 {
            if line.last() != Some(&b'\n') {
                break;
            }
            let shown = shown(&line, options).unwrap_or_default();
            let shown = shown.slice(..shown.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            left -= u64::try_from(shown.len()).unwrap_or(left);
            let gone = !shown.is_empty() && to.blocking_send(shown).is_err();
            if gone || left == 0 {
                return Ok(());
            }
            line.clear();
        }
        if !options.follow || over {
            return Ok(());
        }
        if to.is_closed() {
            return Ok(());
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Where the last lines begin.
fn start_of_tail(file: &mut File, lines: u64) -> io::Result<u64> {
    let mut starts = std::collections::VecDeque::new();
    let mut at = 0;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if length == 0 {
            break;
        }
        starts.push_back(at);
        if u64::try_from(starts.len()).is_ok_and(|kept| kept > lines) {
            starts.pop_front();
        }
        at += u64::try_from(length).unwrap_or_default();
    }
    Ok(if lines == 0 { at } else { starts.front().copied().unwrap_or(0) })
}

/// A line as it is told; none where it is too old.
fn shown(line: &[u8], options: &LogOptions) -> Option<Bytes> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let time = parts.next()?;
    let whole = parts.nth(1)? == b"F";
    let mut words = parts.next()?;
    if let Some(since) = options.since {
        let at: Timestamp = std::str::from_utf8(time).ok()?.parse().ok()?;
        if at < since {
            return None;
        }
    }
    if !whole {
        words = words.strip_suffix(b"\n").unwrap_or(words);
    }
    Some(if options.timestamps { [time, b" ", words].concat().into() } else { Bytes::copy_from_slice(words) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(options: &LogOptions) -> String {
        let folder = std::env::temp_dir().join(format!("subm-kubelet-log-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join(format!("{:?}.log", std::thread::current().id()));
        record(&b"one\ntwo\nthree"[..], File::create(&path).unwrap());
        let (to, mut from) = mpsc::channel(100);
        send(&path, options, &to, || true).unwrap();
        drop(to);
        let mut told = Vec::new();
        while let Some(bytes) = from.blocking_recv() {
            told.extend_from_slice(&bytes);
        }
        std::fs::remove_file(path).unwrap();
        String::from_utf8(told).unwrap()
    }

    #[test]
    fn a_log_is_told_whole_or_from_its_tail() {
        assert_eq!(told(&LogOptions::default()), "one\ntwo\nthree");
        assert_eq!(told(&LogOptions { tail: Some(2), ..LogOptions::default() }), "two\nthree");
        assert_eq!(told(&LogOptions { tail: Some(0), ..LogOptions::default() }), "");
        assert_eq!(told(&LogOptions { limit_bytes: Some(5), ..LogOptions::default() }), "one\nt");
        let future = Timestamp::now() + jiff::SignedDuration::from_hours(1);
        assert_eq!(told(&LogOptions { since: Some(future), ..LogOptions::default() }), "");
        let stamped = told(&LogOptions { timestamps: true, tail: Some(1), ..LogOptions::default() });
        let (time, words) = stamped.split_once(' ').unwrap();
        assert_eq!(words, "three");
        time.parse::<Timestamp>().unwrap();
    }
}

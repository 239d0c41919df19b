//! The files of our daemon: a directory of its own, which only its owner can read.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use subm_types::IkeSecret;

use crate::IpsecError;

/// A log that has grown beyond this is emptied, so that it never fills the node's memory.
const LARGEST_LOG: u64 = 8 * 1024 * 1024;

/// Where everything of the daemon is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    directory: PathBuf,
    log: Option<PathBuf>,
}

impl Places {
    /// The files in this directory; the log elsewhere if so given.
    pub const fn new(directory: PathBuf, log: Option<PathBuf>) -> Self {
        Self { directory, log }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("pluto.ctl")
    }

    fn pid(&self) -> PathBuf {
        self.directory.join("pluto.pid")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.directory.join("nss")
    }

    pub(crate) fn configuration(&self) -> PathBuf {
        self.directory.join("ipsec.conf")
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.directory.join("ipsec.secrets")
    }

    pub(crate) fn policies(&self) -> PathBuf {
        self.directory.join("ipsec.d")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.log.clone().unwrap_or_else(|| self.directory.join("pluto.log"))
    }

    /// Whether a daemon holds the control socket. Who connects to it only to see is an error in the daemon's log, so its
    /// process is looked at.
    pub(crate) fn is_served(&self) -> bool {
        let number = fs::read_to_string(self.pid()).ok().and_then(|text| text.trim().parse::<u32>().ok());
        let stat = number.and_then(|number| fs::read_to_string(format!("/proc/{number}/stat")).ok());
        self.socket().exists() && stat.is_some_and(|stat| is_daemon(&stat))
    }

    /// Since when the daemon runs, in Unix seconds.
    pub(crate) fn since(&self) -> Option<i64> {
        let written = fs::metadata(self.pid()).ok()?.modified().ok()?;
        i64::try_from(written.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
    }

    /// Makes the directories and the configuration, and takes away what a daemon that died left.
    pub(crate) fn prepare(&self, debug: bool) -> Result<(), IpsecError> {
        for directory in [self.directory.clone(), self.database(), self.policies()] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
            made.map_err(|source| IpsecError::File { path: directory, source })?;
        }
        for left in [self.socket(), self.pid()] {
            match fs::remove_file(&left) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(IpsecError::File { path: left, source });
                }
                Ok(()) | Err(_) => {}
            }
        }
        let debug = if debug { "    plutodebug=base\n" } else { "" };
        let text = format!("config setup\n    dumpdir={}\n{debug}", self.directory.display());
        Self::write(&self.configuration(), text.as_bytes())
    }

    /// COMPAT: one secret for whoever proves to have it. As a number of hexadecimal digits no byte of it can be taken
    /// for anything else.
    pub(crate) fn write_secret(&self, secret: Option<&IkeSecret>) -> Result<(), IpsecError> {
        let mut text = String::new();
        if let Some(secret) = secret {
            text.push_str("%any %any : PSK 0x");
            text.extend(secret.as_bytes().iter().map(|byte| format!("{byte:02x}")));
            text.push('\n');
        }
        Self::write(&self.secrets(), text.as_bytes())
    }

    /// Replaces a file in one step by one that only its owner can read.
    fn write(path: &Path, bytes: &[u8]) -> Result<(), IpsecError> {
        let fresh = path.with_extension("new");
        let written = || {
            let mut options = OpenOptions::new();
            let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
            file.write_all(bytes)?;
            fs::rename(&fresh, path)
        };
        written().map_err(|source| IpsecError::File { path: path.to_path_buf(), source })
    }

    /// Empties a log that has become large. The daemon writes to its end, wherever that is.
    pub(crate) fn limit_log(&self) {
        let path = self.log();
        let large = fs::metadata(&path).is_ok_and(|found| found.is_file() && found.len() > LARGEST_LOG);
        if large && let Ok(file) = OpenOptions::new().write(true).open(path) {
            // What cannot be emptied now can be later.
            drop(file.set_len(0));
        }
    }

    /// Removes everything.
    pub(crate) fn remove(&self) -> Result<(), IpsecError> {
        match fs::remove_dir_all(&self.directory) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(IpsecError::File { path: self.directory.clone(), source })
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Whether `/proc/PID/stat` is that of the daemon, and not of one that has ended and that nobody
/// has taken note of.
fn is_daemon(stat: &str) -> bool {
    let Some((name, rest)) = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')')) else {
        return false;
    };
    let state = rest.trim_start().chars().next();
    name == "pluto" && state.is_some_and(|state| !matches!(state, 'Z' | 'X' | 'x'))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_of_any_bytes_is_one_line_that_only_its_owner_reads() {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::new(directory.path().join("ipsec"), None);
        places.prepare(false).unwrap();
        places.write_secret(Some(&IkeSecret::new(b"a\" : RSA {\n%any".to_vec()))).unwrap();
        let text = fs::read_to_string(places.secrets()).unwrap();
        assert_eq!(text, "%any %any : PSK 0x6122203a20525341207b0a25616e79\n");
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(places.secrets()), mode(places.directory.clone())), (0o600, 0o700));
    }

    #[test]
    fn only_a_daemon_that_lives_is_one() {
        assert!(is_daemon("141 (pluto) S 1 141 141 0 -1"));
        for other in ["141 (pluto) Z 1 141", "141 (bash) S 1", "141 (pluto) (x) S 1", "", "141 pluto S"] {
            assert!(!is_daemon(other), "{other:?}");
        }
        assert!(!Places::new(PathBuf::from("/nonexistent"), None).is_served());
    }

    #[test]
    fn a_large_log_is_emptied_and_a_small_one_kept() {
        let directory = tempfile::tempdir().unwrap();
        let places = Places::new(directory.path().to_path_buf(), None);
        fs::write(places.log(), "a line\n").unwrap();
        places.limit_log();
        assert_eq!(fs::metadata(places.log()).unwrap().len(), 7);
        OpenOptions::new().write(true).open(places.log()).unwrap().set_len(LARGEST_LOG + 1).unwrap();
        places.limit_log();
        assert_eq!(fs::metadata(places.log()).unwrap().len(), 0);
    }
}

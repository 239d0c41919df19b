//! Why the daemon cannot be had, with what to do.

use std::path::PathBuf;
use std::time::Duration;

/// Why the daemon could not be observed or changed.
#[derive(Debug, thiserror::Error)]
pub enum IpsecError {
    /// A program of libreswan is not on this host.
    #[error("program {0} is not here: use the image with libreswan, or install the package libreswan")]
    NoProgram(&'static str),
    /// A program could not be run.
    #[error("run {program}: {source}")]
    Run {
        /// Its name.
        program: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A program did not end in time and was killed.
    #[error("{program} did not answer within {limit:?}")]
    Timeout {
        /// Its name.
        program: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// A program ended with a failure.
    #[error("{program} failed: {said}")]
    Failed {
        /// Its name.
        program: &'static str,
        /// What it said, without line breaks.
        said: String,
    },
    /// The daemon was started and does not answer.
    #[error("pluto was started and does not answer at {}; see {}", socket.display(), log.display())]
    NoAnswer {
        /// Its control socket.
        socket: PathBuf,
        /// Its log.
        log: PathBuf,
    },
    /// A file of the daemon could not be written.
    #[error("write {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The kernel could not be asked.
    #[error(transparent)]
    Kernel(#[from] subm_kernel::KernelError),
}

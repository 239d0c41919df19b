//! Kernel parameters as files. KERNEL: `/proc/sys/net` shows the namespace of the thread that opens the file.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::KernelError;

fn file(path: &str) -> PathBuf {
    Path::new("/proc/sys").join(path)
}

/// The value of a parameter; absent is a link that is not there, or a family that is switched off.
pub(crate) fn read(path: &str) -> Option<u32> {
    fs::read_to_string(file(path)).ok()?.trim().parse().ok()
}

/// Writes a parameter; that its link has gone meanwhile is fine.
pub(crate) fn write(path: &str, value: u32) -> Result<(), KernelError> {
    match fs::write(file(path), value.to_string()) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| KernelError::Sysctl { path: format!("/proc/sys/{path}"), source }),
    }
}

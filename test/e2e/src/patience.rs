//! Waiting for conditions.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Longer than anything here takes on a busy machine.
pub const LIMIT: Duration = Duration::from_mins(1);

/// Asks again until it works; fails with the last reason.
pub fn until<T>(what: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) if start.elapsed() > LIMIT => {
                return Err(error).with_context(|| format!("still not after {} s: {what}", LIMIT.as_secs()));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

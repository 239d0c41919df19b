//! Waiting for conditions.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// Asks again until it works; fails with the last reason once it has taken too long.
pub async fn until<T, F>(limit: Duration, what: &str, mut attempt: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    let start = Instant::now();
    loop {
        match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) if start.elapsed() > limit => {
                return Err(error).with_context(|| format!("still not after {} s: {what}", limit.as_secs()));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
        }
    }
}

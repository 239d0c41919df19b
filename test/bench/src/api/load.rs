//! Writers and watches at one API server.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::{AsyncBufRead, AsyncRead, AsyncReadExt as _};
use serde_json::{Value, json};
use subm_apiserver::ApiServer;
use subm_kube::kube::Client;
use subm_kube::kube::client::Body;
use tokio::task::JoinSet;

pub(super) const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const SPAN: Duration = Duration::from_secs(2);
/// Each writer has so many objects at a time.
const LIVING: usize = 250;
/// How often an object is written after it was made.
const UPDATES: u32 = 3;
const PATIENCE: Duration = Duration::from_secs(30);

/// So many writers and watches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    pub(super) writers: usize,
    pub(super) watches: usize,
}

/// What was achieved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    /// Acknowledged writes.
    pub(super) written: u64,
    /// Acknowledged writes a second.
    pub(super) writes: f64,
    /// Events a second, over all watches, until the last one had the last one.
    pub(super) events: f64,
}

/// A `ConfigMap` of 1 KB.
pub(super) fn object(name: &str, number: u32) -> Value {
    let mut object = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
        "data": {"number": number.to_string(), "text": ""},
    });
    let rest = 1024_usize.saturating_sub(object.to_string().len());
    object["data"]["text"] = json!("x".repeat(rest));
    object
}

impl Load {
    /// Writes for some seconds and waits until every watch has seen every write.
    pub(super) fn run(self, server: &ApiServer) -> Result<Rates> {
        let runtime = tokio::runtime::Runtime::new()?;
        runtime
            .block_on(async { self.running(&Client::new(server.service_as(super::TOKEN), "default")).await })
    }

    async fn running(self, client: &Client) -> Result<Rates> {
        let seen: Vec<_> = (0..self.watches).map(|_| Arc::new(AtomicU64::new(0))).collect();
        let mut watches = JoinSet::new();
        for seen in &seen {
            let stream = watch(client).await?;
            watches.spawn(count_lines(stream, Arc::clone(seen)));
        }
        let begin = Instant::now();
        let mut writers = JoinSet::new();
        for writer in 0..self.writers {
            writers.spawn(write(client.clone(), writer, begin));
        }
        let mut written = 0;
        while let Some(writer) = writers.join_next().await {
            written += writer??;
        }
        let took = begin.elapsed();
        let delivered = until_seen(&seen, written, &mut watches).await?;
        #[expect(clippy::cast_precision_loss, reason = "some millions at most")]
        let (all, told) = (written as f64, (written * seen.len() as u64) as f64);
        Ok(Rates {
            written,
            writes: all / took.as_secs_f64(),
            events: told / delivered.saturating_duration_since(begin).as_secs_f64(),
        })
    }
}

async fn until_seen(
    seen: &[Arc<AtomicU64>],
    written: u64,
    watches: &mut JoinSet<Result<()>>,
) -> Result<Instant> {
    let begin = Instant::now();
    loop {
        let least = seen.iter().map(|seen| seen.load(Ordering::Relaxed)).min().unwrap_or_default();
        if least >= written {
            return Ok(Instant::now());
        }
        if let Some(ended) = watches.try_join_next() {
            ended??;
        }
        ensure!(begin.elapsed() < PATIENCE, "a watch has seen {least} of {written} writes");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Opens a watch of everything that happens from now on.
pub(super) async fn watch(client: &Client) -> Result<Pin<Box<dyn AsyncBufRead + Send>>> {
    let request = http::Request::get(format!("{MAPS}?watch=true&allowWatchBookmarks=true"));
    Ok(Box::pin(client.request_stream(request.body(Vec::new())?).await.context("a watch")?))
}

/// Counts until the server ends the watch, which it must not.
pub(super) async fn count_lines(mut stream: impl AsyncRead + Unpin, seen: Arc<AtomicU64>) -> Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let length = stream.read(&mut buffer).await?;
        ensure!(length > 0, "a watch ended");
        let lines = buffer[..length].split(|byte| *byte == b'\n').count() - 1;
        seen.fetch_add(u64::try_from(lines)?, Ordering::Relaxed);
    }
}

/// Makes objects, writes each some times and deletes the oldest; returns the number of acknowledged writes.
async fn write(client: Client, writer: usize, begin: Instant) -> Result<u64> {
    let (mut written, mut number) = (0, 0_u32);
    let mut living = VecDeque::new();
    while begin.elapsed() < SPAN {
        let name = format!("w{writer}-{number}");
        send(&client, "POST", MAPS, &object(&name, 0)).await?;
        let path = format!("{MAPS}/{name}");
        for update in 1..=UPDATES {
            send(&client, "PUT", &path, &object(&name, update)).await?;
        }
        living.push_back(path);
        written += u64::from(1 + UPDATES);
        if living.len() > LIVING
            && let Some(oldest) = living.pop_front()
        {
            send(&client, "DELETE", &oldest, &Value::Null).await?;
            written += 1;
        }
        number += 1;
    }
    Ok(written)
}

/// A write that must be acknowledged.
pub(super) async fn send(client: &Client, method: &str, path: &str, object: &Value) -> Result<()> {
    let body = if object.is_null() { Vec::new() } else { object.to_string().into_bytes() };
    let request =
        http::Request::builder().method(method).uri(path).header("content-type", "application/json");
    let response = client.send(request.body(Body::from(body))?).await?;
    let (code, body) = (response.status(), response.into_body().collect_bytes().await?);
    ensure!(code.is_success(), "{method} {path} answers {code}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

//! The HTTP endpoints of a daemon: `/metrics`, `/healthz`, `/readyz` and `/debug/…`.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tracing::{info, warn};

use crate::{Readiness, Task};

const RETRY: Duration = Duration::from_secs(5);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Page = Box<dyn Fn() -> String + Send + Sync>;

/// What the endpoints tell.
#[derive(Default)]
pub struct Admin {
    readiness: Readiness,
    registry: Registry,
    pages: BTreeMap<&'static str, Page>,
}

impl Admin {
    /// Endpoints that tell of this readiness and these metrics.
    pub fn new(readiness: Readiness, registry: Registry) -> Self {
        Self { readiness, registry, pages: BTreeMap::new() }
    }

    /// Adds `/debug/NAME`: text that is made when somebody asks for it.
    #[must_use]
    pub fn page(mut self, name: &'static str, text: impl Fn() -> String + Send + Sync + 'static) -> Self {
        self.pages.insert(name, Box::new(text));
        self
    }

    /// Serves on a port of all addresses; 0 serves nothing. A port in use is tried again and is no reason to end.
    pub fn serve(self, port: u16) -> Task {
        Task::spawn("admin", async move {
            if port == 0 {
                return;
            }
            let listener = bind(port).await;
            info!(port, "admin endpoints are up");
            if let Err(error) = axum::serve(listener, self.router()).await {
                warn!(port, %error, "admin endpoints ended");
            }
        })
    }

    /// The endpoints, for a listener of one's own.
    pub fn router(self) -> Router {
        Router::new()
            .route("/metrics", get(metrics))
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/debug/{page}", get(page))
            .with_state(Arc::new(self))
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("pages", &self.pages.keys()).finish_non_exhaustive()
    }
}

/// KERNEL: one IPv6 socket serves both families, unless IPv6 is switched off.
async fn bind(port: u16) -> TcpListener {
    let addresses = [SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), SocketAddr::from(([0, 0, 0, 0], port))];
    let mut said = false;
    loop {
        match TcpListener::bind(&addresses[..]).await {
            Ok(listener) => return listener,
            Err(error) if !said => {
                said = true;
                warn!(port, %error, "admin port cannot be opened; free it or choose another; trying again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY).await;
    }
}

async fn metrics(State(admin): State<Arc<Admin>>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &admin.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    let pending = admin.readiness.pending();
    if pending.is_empty() {
        return "ok\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {}\n", pending.join(", "))).into_response()
}

async fn page(State(admin): State<Arc<Admin>>, Path(name): Path<String>) -> Response {
    if let Some(text) = admin.pages.get(name.as_str()) {
        return text().into_response();
    }
    let known: Vec<_> = admin.pages.keys().copied().collect();
    (StatusCode::NOT_FOUND, format!("no such page; there are: {}\n", known.join(", "))).into_response()
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(port: u16, path: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    }

    #[tokio::test]
    async fn port_that_is_taken_is_waited_for_and_then_everything_is_told() {
        let taken = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let (readiness, mut registry) = (Readiness::default(), Registry::default());
        let things = Counter::<u64>::default();
        things.inc_by(7);
        registry.register("submariner_things", "Things", things);
        let starting = readiness.wait_for("initial list of Endpoints");
        let task =
            Admin::new(readiness, registry).page("plan", || "route 10.2.0.0/16\n".to_owned()).serve(port);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!task.is_finished());
        drop(taken);
        let mut health = None;
        while health.is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            health = ask(port, "/healthz").await;
        }
        assert!(health.unwrap().ends_with("ok\n"));

        let waiting = ask(port, "/readyz").await.unwrap();
        assert!(
            waiting.starts_with("HTTP/1.1 503") && waiting.contains("initial list of Endpoints"),
            "{waiting}"
        );
        drop(starting);
        assert!(ask(port, "/readyz").await.unwrap().starts_with("HTTP/1.1 200"));
        assert!(ask(port, "/metrics").await.unwrap().contains("submariner_things_total 7"));
        assert!(ask(port, "/debug/plan").await.unwrap().ends_with("route 10.2.0.0/16\n"));
        let unknown = ask(port, "/debug/other").await.unwrap();
        assert!(unknown.starts_with("HTTP/1.1 404") && unknown.contains("there are: plan"), "{unknown}");
    }
}

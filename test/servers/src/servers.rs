//! Where a test's API servers come from.

use std::net::TcpListener;
use std::sync::mpsc;

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::fleet::{self, Entries, Which};

/// The API servers that a test may have. INVARIANT: it is made before the test's thread enters a network namespace,
/// because real API servers are reached from threads that start here.
#[derive(Debug)]
pub struct Servers {
    /// None when it ends.
    runtime: Option<Runtime>,
    fleet: Option<Entries>,
}

impl Servers {
    /// Real ones where this process runs under [`crate::Fleet::VARIABLE`], embedded ones otherwise.
    pub fn new() -> Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).thread_name("servers").enable_all().build()?;
        Ok(Self { runtime: Some(runtime), fleet: fleet::given()? })
    }

    /// Whether they are real.
    pub fn are_real(&self) -> bool {
        self.fleet.is_some()
    }

    /// A cluster with nothing in it but what every cluster has and this namespace, served on loopback.
    pub fn local(&self, which: Which, namespace: &str) -> Result<Cluster> {
        let runtime = self.runtime.as_ref().context("the servers have ended")?;
        let (tell, told) = mpsc::channel();
        // The caller's thread may be in another network namespace by now.
        runtime.spawn(async move {
            // Whoever asked waits for this.
            let _gone = tell.send(TcpListener::bind("127.0.0.1:0"));
        });
        self.cluster(which, namespace, told.recv()??)
    }

    /// The same, served on a listener, which may be of any network namespace.
    pub fn cluster(&self, which: Which, namespace: &str, listener: TcpListener) -> Result<Cluster> {
        let runtime = self.runtime.as_ref().context("the servers have ended")?;
        match &self.fleet {
            None => Cluster::embedded(runtime.handle(), namespace, listener),
            Some(entries) => {
                let entry = entries.get(which.name()).context("the fleet lacks an API server")?;
                Cluster::real(runtime.handle(), entry, namespace, listener)
            }
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A test may be on a runtime of its own, which must not wait here.
            runtime.shutdown_background();
        }
    }
}

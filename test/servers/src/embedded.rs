//! The embedded API, served on loopback as the real one is, with the workload controllers beside it.

use std::time::Duration;

use anyhow::Result;
use kube::Client;
use subm_apiserver::{ApiServer, Authority, Credential, Share};
use subm_kube::Connection;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::api::Api;

const TOKEN: &str = "admin";
/// What it does beside answering takes milliseconds; whoever waits longer waits for what is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Little, so that a slow machine can ask for more; nobody but who floods needs it.
const SHARE: Share = Share { at_once: 128, per_second: 100, burst: 400 };

/// The running server.
pub struct Embedded {
    /// How it is reached.
    pub api: Api,
    serving: JoinHandle<()>,
    controllers: JoinHandle<()>,
    _folder: TempDir,
}

impl Embedded {
    /// Starts a server.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("embedded-").tempdir()?;
        let authority = Authority::new("embedded API under test")?;
        let server = ApiServer::builder()
            .credentials([Credential::admin(TOKEN)])
            .share(SHARE)
            .authority(&authority.pem())?
            .build();
        let controllers =
            Connection::over(Client::new(server.service_as(TOKEN), "default"), "embedded", "default");
        let controllers = tokio::spawn(subm_workloads::run(controllers, authority.pem()));
        let tls = authority.server_certificate(&["127.0.0.1", "localhost"])?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            server.serve(listener, tls).await;
        });
        let kubeconfig = folder.path().join("kubeconfig");
        let api =
            Api::open(format!("https://{address}"), authority.pem(), TOKEN, kubeconfig, PATIENCE).await?;
        Ok(Self { api, serving, controllers, _folder: folder })
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.serving.abort();
        self.controllers.abort();
    }
}

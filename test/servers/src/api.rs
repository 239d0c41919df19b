//! An API server under test, real or embedded, as its clients see it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// How an API server is reached by its administrator.
#[derive(Clone)]
pub struct Api {
    /// The administrator's client.
    pub client: Client,
    /// `https://127.0.0.1:PORT`.
    pub server: String,
    /// The authority of its certificate, in PEM.
    pub authority: String,
    /// The administrator's token.
    pub token: String,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    /// How long its controllers may take.
    pub patience: Duration,
}

impl Api {
    pub(crate) async fn open(
        server: String,
        authority: String,
        token: &str,
        kubeconfig: PathBuf,
        patience: Duration,
    ) -> Result<Self> {
        let text = subm_apiserver::kubeconfig(&server, &authority, token, "admin");
        std::fs::write(&kubeconfig, &text)
            .with_context(|| format!("cannot write {}", kubeconfig.display()))?;
        let client = client(&text).await?;
        Ok(Self { client, server, authority, token: token.to_owned(), kubeconfig, patience })
    }

    /// A client with another credential.
    pub async fn client_with(&self, token: &str) -> Result<Client> {
        client(&subm_apiserver::kubeconfig(&self.server, &self.authority, token, "other")).await
    }

    /// A client without a credential.
    pub async fn anonymous(&self) -> Result<Client> {
        let text = subm_apiserver::kubeconfig(&self.server, &self.authority, "none", "nobody");
        let mut file = Kubeconfig::from_yaml(&text)?;
        for user in &mut file.auth_infos {
            user.auth_info = None;
        }
        client_of(file).await
    }
}

async fn client(text: &str) -> Result<Client> {
    client_of(Kubeconfig::from_yaml(text)?).await
}

async fn client_of(file: Kubeconfig) -> Result<Client> {
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
    // Each answer is looked at as it comes.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

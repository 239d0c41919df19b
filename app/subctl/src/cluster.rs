//! One cluster as a command sees it: read once, then only looked at.

use std::time::Duration;

use anyhow::Context as _;
use kube::api::{Api, ListParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use subm_api::{Cluster, Gateway, RouteAgent};

use crate::contexts::Chosen;

/// How long an API server may take for one answer, so that one dead cluster does not hide the others.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was read of a cluster's Submariner.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    pub(crate) gateways: Vec<Gateway>,
    pub(crate) clusters: Vec<Cluster>,
    pub(crate) route_agents: Vec<RouteAgent>,
}

/// Reads a cluster's Submariner objects; `None` where Submariner is not installed.
pub(crate) async fn read(
    config: &Kubeconfig,
    chosen: &Chosen,
    namespace: &str,
) -> anyhow::Result<Option<Installed>> {
    let (client, server) = client(config, chosen).await?;
    let from = || format!("the API server {server} of context {:?}", chosen.context);
    let Some(gateways) = list::<Gateway>(&client, namespace).await.with_context(from)? else {
        return Ok(None);
    };
    let clusters = list::<Cluster>(&client, namespace).await.with_context(from)?.unwrap_or_default();
    let route_agents = list::<RouteAgent>(&client, namespace).await.with_context(from)?.unwrap_or_default();
    let nothing = gateways.is_empty() && clusters.is_empty() && route_agents.is_empty();
    Ok((!nothing).then_some(Installed { gateways, clusters, route_agents }))
}

/// The way to a cluster, and where it leads.
async fn client(config: &Kubeconfig, chosen: &Chosen) -> anyhow::Result<(Client, String)> {
    let options = KubeConfigOptions { context: Some(chosen.context.clone()), ..KubeConfigOptions::default() };
    let mut config = Config::from_custom_kubeconfig(config.clone(), &options)
        .await
        .with_context(|| format!("context {:?} of the kubeconfig cannot be used", chosen.context))?;
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE);
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config)
        .with_context(|| format!("context {:?} of the kubeconfig cannot be used", chosen.context))?;
    Ok((client, server))
}

/// Lists the objects of a kind; `None` where the cluster does not know the kind.
async fn list<K>(client: &Client, namespace: &str) -> anyhow::Result<Option<Vec<K>>>
where
    K: kube::Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), namespace);
    match api.list(&ListParams::default()).await {
        Ok(objects) => Ok(Some(objects.items)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => {
            let kind = K::plural(&());
            Err(error).with_context(|| format!("cannot list {kind}.submariner.io in namespace {namespace:?}"))
        }
    }
}

//! `subctl show networks`.

use std::fmt;

use anyhow::Context as _;
use serde::Serialize;
use subm_api::keys;

use crate::cluster::Installed;

/// The networks of a cluster as it publishes them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Networks {
    #[serde(rename = "clusterID")]
    cluster_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_plugin: Option<String>,
    #[serde(rename = "serviceCIDRs")]
    service_cidrs: Vec<String>,
    #[serde(rename = "clusterCIDRs")]
    cluster_cidrs: Vec<String>,
    #[serde(rename = "globalCIDRs")]
    global_cidrs: Vec<String>,
}

/// Reads them from the cluster's own Cluster object: the one that carries no other cluster's label.
pub(super) fn networks(installed: &Installed) -> anyhow::Result<Networks> {
    let own = installed
        .clusters
        .iter()
        .find(|cluster| {
            !cluster
                .metadata
                .labels
                .as_ref()
                .is_some_and(|labels| labels.contains_key(keys::CLUSTER_ID_LABEL))
        })
        .context("the cluster has not published its own Cluster object; see `subctl show gateways`")?;
    let plugin = installed.route_agents.iter().find_map(|agent| {
        agent
            .metadata
            .annotations
            .as_ref()
            .and_then(|annotations| annotations.get(keys::NETWORK_PLUGIN))
            .cloned()
    });
    Ok(Networks {
        cluster_id: own.spec.cluster_id.clone(),
        network_plugin: plugin,
        service_cidrs: own.spec.service_cidr.clone(),
        cluster_cidrs: own.spec.cluster_cidr.clone(),
        global_cidrs: own.spec.global_cidr.clone(),
    })
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |cidrs: &[String]| format!("[{}]", cidrs.join(", "));
        writeln!(f, "    Discovered network details via Submariner:")?;
        if let Some(plugin) = &self.network_plugin {
            writeln!(f, "        Network plugin:  {plugin}")?;
        }
        writeln!(f, "        Service CIDRs:   {}", list(&self.service_cidrs))?;
        writeln!(f, "        Cluster CIDRs:   {}", list(&self.cluster_cidrs))?;
        if !self.global_cidrs.is_empty() {
            writeln!(f, "        Global CIDR:     {}", list(&self.global_cidrs))?;
        }
        Ok(())
    }
}

//! A member of the clusterset that exists on the hub only, with a credential of its own like every member.

use std::net::IpAddr;

use anyhow::{Context as _, bail};
use http::{Method, Request};
use kube::Client;
use serde_json::{Value, json};
use subm_apiserver::Objects;
use subm_types::{PerFamily, PublicKey};

use super::context::Context;
use crate::api::BROKER_NAMESPACE;
use crate::world::CABLE_PORT;

const ENDPOINTS: &str = "endpoints";
const CLUSTERS: &str = "clusters";
const LABEL: &str = "submariner-io/clusterID";

/// What a member publishes.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    /// The cluster's UID.
    pub(super) uid: &'static str,
    pub(super) gateway: PerFamily<IpAddr>,
    pub(super) networks: Vec<String>,
    /// What its gateway is known by, where its cable has keys.
    pub(super) public_key: Option<PublicKey>,
}

/// The member; what it wrote is gone with it.
pub(super) struct Member<'a> {
    id: String,
    context: &'a Context<'a>,
    client: Client,
    hub: Objects,
    written: Vec<(&'static str, String)>,
}

impl<'a> Member<'a> {
    /// Gives a cluster id a credential.
    pub(super) fn join(context: &'a Context<'a>, id: &str) -> anyhow::Result<Self> {
        let hub = context.playground.apis.hub()?;
        let token = hub.grant_member(id)?;
        let service = hub.server().service_as(&token);
        let client = context.block_on(async { Client::new(service, BROKER_NAMESPACE) });
        Ok(Self { id: id.to_owned(), context, client, hub: hub.objects(), written: Vec::new() })
    }

    /// The name of its Endpoint, which follows from its gateway's address.
    fn endpoint_name(&self, gateway: PerFamily<IpAddr>) -> String {
        format!("{}-{}", self.id, self.cable_name(gateway))
    }

    fn cable_name(&self, gateway: PerFamily<IpAddr>) -> String {
        let first = gateway.v4.or(gateway.v6).map(|address| address.to_string()).unwrap_or_default();
        format!("submariner-cable-{}-{}", self.id, first.replace(['.', ':'], "-"))
    }

    fn metadata(&self, name: &str, claim: &Claim) -> Value {
        json!({
            "namespace": BROKER_NAMESPACE,
            "name": name,
            "labels": {LABEL: self.id},
            "annotations": {"submariner.io/cluster-uid": claim.uid, "submariner.io/epoch": "1"},
        })
    }

    /// Publishes its Cluster.
    pub(super) fn publish_cluster(&mut self, claim: &Claim) -> anyhow::Result<()> {
        let object = json!({
            "apiVersion": "submariner.io/v1",
            "kind": "Cluster",
            "metadata": self.metadata(&self.id, claim),
            "spec": {
                "cluster_id": self.id,
                "cluster_cidr": claim.networks,
                "service_cidr": [],
                "global_cidr": [],
                "color_codes": ["blue"],
            },
        });
        self.create(CLUSTERS, &object)
    }

    /// Publishes its Endpoint.
    pub(super) fn publish_endpoint(&mut self, claim: &Claim) -> anyhow::Result<()> {
        let private: Vec<IpAddr> = claim.gateway.iter().map(|(_, address)| *address).collect();
        let mut backend_config = json!({"udp-port": CABLE_PORT.to_string()});
        if let Some(key) = &claim.public_key {
            backend_config["publicKey"] = key.to_string().into();
        }
        let object = json!({
            "apiVersion": "submariner.io/v1",
            "kind": "Endpoint",
            "metadata": self.metadata(&self.endpoint_name(claim.gateway), claim),
            "spec": {
                "cluster_id": self.id,
                "cable_name": self.cable_name(claim.gateway),
                "hostname": format!("{}-gateway", self.id),
                "backend": self.context.playground.settings.cable_driver,
                "backend_config": backend_config,
                "nat_enabled": false,
                "private_ip": private.first(),
                "privateIPs": private,
                "public_ip": "",
                "subnets": claim.networks,
            },
        });
        self.create(ENDPOINTS, &object)
    }

    fn create(&mut self, resource: &'static str, object: &Value) -> anyhow::Result<()> {
        self.send(Method::POST, resource, "", object)?;
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.written.push((resource, name));
        Ok(())
    }

    /// Deletes an object of the hub by its own credential.
    pub(super) fn delete_endpoint(&self, name: &str) -> anyhow::Result<()> {
        self.send(Method::DELETE, ENDPOINTS, name, &json!({}))
    }

    /// Changes an object of the hub by its own credential.
    pub(super) fn merge_endpoint(&self, name: &str, patch: &Value) -> anyhow::Result<()> {
        self.send(Method::PATCH, ENDPOINTS, name, patch)
    }

    fn send(&self, method: Method, resource: &str, name: &str, body: &Value) -> anyhow::Result<()> {
        let content =
            if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
        let path = format!("/apis/submariner.io/v1/namespaces/{BROKER_NAMESPACE}/{resource}/{name}");
        let request = Request::builder()
            .method(method)
            .uri(path.trim_end_matches('/'))
            .header(http::header::CONTENT_TYPE, content)
            .body(serde_json::to_vec(body)?)?;
        let sent = self.context.block_on(async { self.client.request::<Value>(request).await });
        sent.map(drop).with_context(|| format!("{resource} {name} as member {}", self.id))
    }

    /// Takes back what it wrote, as the hub's administrator, and waits until every member has forgotten it.
    pub(super) fn leave(&mut self) {
        for (resource, name) in self.written.drain(..) {
            // It may be gone already.
            let _gone = self.hub.delete(&format!("{resource}.submariner.io"), BROKER_NAMESPACE, &name);
        }
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The refusal must be the API's `403 Forbidden`.
pub(super) fn expect_forbidden(result: anyhow::Result<()>) -> anyhow::Result<String> {
    match result {
        Ok(()) => bail!("it was allowed"),
        Err(error) => match error.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) if status.code == 403 => Ok(status.message.clone()),
            _ => Err(error.context("refused, but not with 403")),
        },
    }
}

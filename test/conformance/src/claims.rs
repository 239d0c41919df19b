//! The suite: one file per part of the API, one entry per claim.

mod access;
mod apply;
mod builtin;
mod clients;
mod controllers;
mod custom;
mod flood;
mod garbage;
mod hub;
mod lists;
mod objects;
mod patches;
mod policies;
mod recovery;
mod watches;
mod wire;

use anyhow::Result;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::ground::Ground;

/// Something that we rely on.
pub struct Claim {
    /// What holds, as a sentence.
    pub says: &'static str,
    /// Tries it; the error says what is not so.
    pub(crate) proof: fn(Ground) -> BoxFuture<'static, Result<()>>,
}

/// Claims about one part of the API.
pub struct Group {
    /// The part.
    pub name: &'static str,
    /// Its claims.
    pub claims: &'static [Claim],
}

/// Every claim.
pub const GROUPS: &[Group] = &[
    Group { name: "Objects", claims: objects::CLAIMS },
    Group { name: "Lists", claims: lists::CLAIMS },
    Group { name: "Watches", claims: watches::CLAIMS },
    Group { name: "Server-side apply", claims: apply::CLAIMS },
    Group { name: "Patches", claims: patches::CLAIMS },
    Group { name: "Owners and namespaces", claims: garbage::CLAIMS },
    Group { name: "Access", claims: access::CLAIMS },
    Group { name: "Admission policies", claims: policies::CLAIMS },
    Group { name: "Built-in kinds", claims: builtin::CLAIMS },
    Group { name: "Custom resources", claims: custom::CLAIMS },
    Group { name: "The client library", claims: clients::CLAIMS },
    Group { name: "Broken watches", claims: recovery::CLAIMS },
    Group { name: "Floods", claims: flood::CLAIMS },
    Group { name: "Our controllers", claims: controllers::CLAIMS },
    Group { name: "Members and hub", claims: hub::CLAIMS },
    Group { name: "On the wire", claims: wire::CLAIMS },
];

/// A Cluster of ours.
fn cluster(name: &str) -> Value {
    json!({
        "apiVersion": "submariner.io/v1", "kind": "Cluster", "metadata": {"name": name},
        "spec": {"cluster_id": name, "service_cidr": [], "cluster_cidr": [], "global_cidr": [], "color_codes": []},
    })
}

/// Waits until Pods can be made in a namespace.
async fn accounts_are_there(ground: &Ground) -> Result<()> {
    ground
        .until("the namespace has a service account", || async {
            ground.get(&ground.at("serviceaccounts", "default")).await?.wants(200)
        })
        .await
        .map(drop)
}

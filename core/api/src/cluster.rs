//! Who is a member of the clusterset, and which addresses its pods and services have.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::resource::{kind, null_as_default};

/// A member of the clusterset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ClusterSpec {
    /// The id of the cluster, unique in the clusterset.
    #[serde(deserialize_with = "null_as_default")]
    #[schemars(length(min = 1, max = 63))]
    pub cluster_id: String,
    /// Unused; the Go implementation writes `["blue"]` and reads nothing.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub color_codes: Vec<String>,
    /// Networks of services.
    #[serde(deserialize_with = "null_as_default")]
    pub service_cidr: Vec<String>,
    /// Networks of pods.
    #[serde(deserialize_with = "null_as_default")]
    pub cluster_cidr: Vec<String>,
    /// Networks of Globalnet; empty without it.
    #[serde(deserialize_with = "null_as_default")]
    pub global_cidr: Vec<String>,
}

kind! {
    /// Cluster is a member of the clusterset with the networks of its pods and services.
    Cluster, "clusters", "cluster", "ClusterList";
    /// What the cluster publishes.
    spec: ClusterSpec, required true;
    columns &[]
}

//! What a gateway node reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connection::Connection;
use crate::endpoint::EndpointSpec;
use crate::resource::{kind, null_as_default};

/// Whether a gateway holds the cluster's tunnels.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub enum HaStatus {
    /// It does.
    Active,
    /// It waits.
    #[default]
    Passive,
    /// A word that this version does not know.
    Other(String),
}

impl HaStatus {
    /// The word in the object.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for HaStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "active" => Self::Active,
            "passive" => Self::Passive,
            _ => Self::Other(word),
        }
    }
}

impl From<HaStatus> for String {
    fn from(status: HaStatus) -> Self {
        status.as_str().to_owned()
    }
}

/// The state of a gateway node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct GatewayStatus {
    /// The version of the program.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
    /// `active` or `passive`.
    #[serde(deserialize_with = "null_as_default")]
    pub ha_status: HaStatus,
    /// The end of the cables on this node.
    #[serde(deserialize_with = "null_as_default")]
    pub local_endpoint: EndpointSpec,
    /// What keeps the gateway from its work; empty when nothing does.
    #[serde(deserialize_with = "null_as_default")]
    pub status_failure: String,
    /// The tunnels to other clusters.
    #[serde(deserialize_with = "null_as_default")]
    pub connections: Vec<Connection>,
    /// What is missing or refused, and why.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

kind! {
    /// Gateway is a node that can hold the cluster's tunnels, and how these stand.
    Gateway, "gateways", "gateway", "GatewayList";
    /// The state of the gateway.
    status: GatewayStatus, required true;
    columns &[("HA Status", ".status.haStatus", "High availability status of the Gateway")]
}

//! What a node's route agent reports.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::connection::{ConnectionStatus, LatencyRtt};
use crate::endpoint::EndpointSpec;
use crate::resource::{kind, null_as_default};

/// How a remote gateway is reached from a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RemoteEndpoint {
    /// `connected`, `error`, or `none` where nothing probes it.
    #[serde(deserialize_with = "null_as_default")]
    pub status: ConnectionStatus,
    /// Why it stands so; empty when all is well.
    #[serde(rename = "statusMessage", deserialize_with = "null_as_default")]
    pub status_message: String,
    /// The remote end.
    #[serde(deserialize_with = "null_as_default")]
    pub spec: EndpointSpec,
    /// Round-trip times, where something measures them.
    #[serde(rename = "latencyRTT", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LatencyRtt")]
    pub latency_rtt: Option<LatencyRtt>,
}

/// The state of a node's route agent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct RouteAgentStatus {
    /// The version of the program.
    #[serde(deserialize_with = "null_as_default")]
    pub version: String,
    /// What keeps the route agent from its work; empty when nothing does.
    #[serde(deserialize_with = "null_as_default")]
    pub status_failure: String,
    /// The remote gateways as this node reaches them.
    #[serde(deserialize_with = "null_as_default")]
    pub remote_endpoints: Vec<RemoteEndpoint>,
    /// What is missing or refused, and why.
    #[serde(deserialize_with = "null_as_default", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

kind! {
    /// RouteAgent is what a node knows of its way to other clusters.
    RouteAgent, "routeagents", "routeagent", "RouteAgentList";
    /// The state of the route agent.
    status: RouteAgentStatus, required false;
    columns &[]
}

//! The state of a tunnel, as Gateways and RouteAgents report it.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

use crate::duration::GoDuration;
use crate::endpoint::EndpointSpec;
use crate::resource::null_as_default;

/// How a tunnel stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(from = "String", into = "String")]
pub enum ConnectionStatus {
    /// Probes through it are answered.
    Connected,
    /// It is being set up.
    Connecting,
    /// It does not carry packets.
    Error,
    /// Nothing measures it.
    #[default]
    None,
    /// A word that this version does not know.
    Other(String),
}

impl ConnectionStatus {
    /// The word in the object.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Connected => "connected",
            Self::Connecting => "connecting",
            Self::Error => "error",
            Self::None => "none",
            Self::Other(word) => word,
        }
    }
}

impl From<String> for ConnectionStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "connected" => Self::Connected,
            "connecting" => Self::Connecting,
            "error" => Self::Error,
            "none" => Self::None,
            _ => Self::Other(word),
        }
    }
}

impl From<ConnectionStatus> for String {
    fn from(status: ConnectionStatus) -> Self {
        status.as_str().to_owned()
    }
}

/// Round-trip times through a tunnel, as Go prints durations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct LatencyRtt {
    /// Of the last answer.
    #[serde(deserialize_with = "duration_or_none", skip_serializing_if = "Option::is_none")]
    pub last: Option<GoDuration>,
    /// The shortest.
    #[serde(deserialize_with = "duration_or_none", skip_serializing_if = "Option::is_none")]
    pub min: Option<GoDuration>,
    /// The mean.
    #[serde(deserialize_with = "duration_or_none", skip_serializing_if = "Option::is_none")]
    pub average: Option<GoDuration>,
    /// The longest.
    #[serde(deserialize_with = "duration_or_none", skip_serializing_if = "Option::is_none")]
    pub max: Option<GoDuration>,
    /// The standard deviation.
    #[serde(deserialize_with = "duration_or_none", skip_serializing_if = "Option::is_none")]
    pub std_dev: Option<GoDuration>,
}

/// Reads a duration; a text that is none must not hide the rest of the status.
fn duration_or_none<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<GoDuration>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.and_then(|text| text.parse().ok()))
}

/// A tunnel to one remote gateway in one address family.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Connection {
    /// `connected`, `connecting`, `error` or `none`.
    #[serde(deserialize_with = "null_as_default")]
    pub status: ConnectionStatus,
    /// Why it stands so; empty when all is well.
    #[serde(rename = "statusMessage", deserialize_with = "null_as_default")]
    pub status_message: String,
    /// The remote end.
    #[serde(deserialize_with = "null_as_default")]
    pub endpoint: EndpointSpec,
    /// The remote address that packets are sent to; its family is that of the tunnel.
    #[serde(
        rename = "usingIP",
        deserialize_with = "null_as_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub using_ip: String,
    /// Whether a NAT lies between.
    #[serde(rename = "usingNAT", deserialize_with = "null_as_default", skip_serializing_if = "is_false")]
    pub using_nat: bool,
    /// Round-trip times, where something measures them.
    #[serde(rename = "latencyRTT", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "LatencyRtt")]
    pub latency_rtt: Option<LatencyRtt>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_false(value: &bool) -> bool {
    !value
}

//! The custom resources on the hub and in a cluster, and their way into our own types.
//!
//! Four kinds of the group `submariner.io`, version `v1`: [`Cluster`], [`Endpoint`], [`Gateway`], [`RouteAgent`], with
//! the JSON names of the Go implementation. What another cluster wrote is input: reading tolerates what is unknown,
//! missing or null; [`read()`] turns an object of any shape into a kind or a [`subm_types::Problem`], and `TryFrom`
//! turns an [`Endpoint`] into the checked [`subm_types::Endpoint`] that planners use.
//! This crate never talks to an API server. Manifests of the kinds come from [`crd_manifests`].

pub mod backend_config;
pub mod check;
pub mod claims;
pub mod cluster;
pub mod connection;
pub mod duration;
pub mod endpoint;
pub mod gateway;
pub mod keys;
pub mod manifest;
pub mod names;
pub mod read;
mod resource;
pub mod route_agent;

pub use backend_config::InvalidValue;
pub use claims::Claims;
pub use cluster::{Cluster, ClusterSpec};
pub use connection::{Connection, ConnectionStatus, LatencyRtt};
pub use duration::{GoDuration, InvalidDuration};
pub use endpoint::{Endpoint, EndpointSpec};
pub use gateway::{Gateway, GatewayStatus, HaStatus};
pub use manifest::{crd_manifests, crds};
pub use read::read;
pub use resource::Kind;
pub use route_agent::{RemoteEndpoint, RouteAgent, RouteAgentStatus};

/// The API group of every kind here.
pub const GROUP: &str = "submariner.io";
/// The version of every kind here.
pub const VERSION: &str = "v1";

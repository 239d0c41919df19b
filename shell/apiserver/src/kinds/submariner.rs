//! The shapes of the CRDs of submariner.io/v1.

use crate::shape::Shape::{self, Any, Boolean, List, Mapping, Record, Text};
use crate::shape::{Field, optional, required};

const STRING: Shape = Text { shortest: 0, longest: usize::MAX };
const STRINGS: Shape = List(&STRING, usize::MAX);
/// One entry per address family.
const PER_FAMILY: Shape = List(&STRING, 2);
const CLUSTER_ID: Shape = Text { shortest: 1, longest: 63 };

pub(super) static CLUSTER: Shape = Record(&[required("spec", &CLUSTER_SPEC)]);

static CLUSTER_SPEC: Shape = Record(&[
    required("cluster_id", &CLUSTER_ID),
    optional("color_codes", &STRINGS),
    required("service_cidr", &STRINGS),
    required("cluster_cidr", &STRINGS),
    required("global_cidr", &STRINGS),
]);

pub(super) static ENDPOINT: Shape = Record(&[required("spec", &ENDPOINT_SPEC)]);

static ENDPOINT_SPEC: Shape = Record(&[
    required("cluster_id", &CLUSTER_ID),
    required("cable_name", &STRING),
    optional("healthCheckIP", &STRING),
    optional("healthCheckIPs", &PER_FAMILY),
    required("hostname", &STRING),
    required("subnets", &STRINGS),
    required("private_ip", &STRING),
    optional("privateIPs", &PER_FAMILY),
    required("public_ip", &STRING),
    optional("publicIPs", &PER_FAMILY),
    required("nat_enabled", &Boolean),
    required("backend", &STRING),
    optional("backend_config", &Mapping(&STRING)),
]);

static LATENCY: Shape = Record(&[
    optional("last", &STRING),
    optional("min", &STRING),
    optional("average", &STRING),
    optional("max", &STRING),
    optional("stdDev", &STRING),
]);

const CONDITIONS: Field = optional("conditions", &List(&Any, usize::MAX));

pub(super) static GATEWAY: Shape = Record(&[required("status", &GATEWAY_STATUS)]);

static GATEWAY_STATUS: Shape = Record(&[
    required("version", &STRING),
    required("haStatus", &STRING),
    required("localEndpoint", &ENDPOINT_SPEC),
    required("statusFailure", &STRING),
    required("connections", &List(&CONNECTION, usize::MAX)),
    CONDITIONS,
]);

static CONNECTION: Shape = Record(&[
    required("status", &STRING),
    required("statusMessage", &STRING),
    required("endpoint", &ENDPOINT_SPEC),
    optional("usingIP", &STRING),
    optional("usingNAT", &Boolean),
    optional("latencyRTT", &LATENCY),
]);

pub(super) static ROUTE_AGENT: Shape = Record(&[optional("status", &ROUTE_AGENT_STATUS)]);

static ROUTE_AGENT_STATUS: Shape = Record(&[
    optional("version", &STRING),
    optional("statusFailure", &STRING),
    optional("remoteEndpoints", &List(&REMOTE_ENDPOINT, usize::MAX)),
    CONDITIONS,
]);

static REMOTE_ENDPOINT: Shape = Record(&[
    required("status", &STRING),
    required("statusMessage", &STRING),
    required("spec", &ENDPOINT_SPEC),
    optional("latencyRTT", &LATENCY),
]);

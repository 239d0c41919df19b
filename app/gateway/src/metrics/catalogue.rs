//! The names of the gateway's figures with what they mean: `docs/metrics.md` is made of them.

/// Whose name it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// The Go implementation's gateway has it too.
    Gateway,
    /// The Go implementation's operator has it; here the active gateway tells it.
    Operator,
    /// It is ours.
    Ours,
}

/// One figure.
#[derive(Debug)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "the page is made by a test"))]
    pub(super) origin: Origin,
}

const fn figure(name: &'static str, help: &'static str, origin: Origin) -> Figure {
    Figure { name, help, origin }
}

pub(super) const CONNECTIONS: Figure =
    figure("submariner_connections", "1 for each cable with its present status", Origin::Gateway);
pub(super) const CONNECTIONS_SHORT: Figure =
    figure("submariner_connections_short", "Cables by status", Origin::Gateway);
pub(super) const LATENCY: Figure = figure(
    "submariner_connection_latency_seconds",
    "The last round-trip time through the cable",
    Origin::Gateway,
);
pub(super) const ESTABLISHED: Figure = figure(
    "submariner_connection_established_timestamp",
    "Since when the cable is planned, in Unix seconds",
    Origin::Gateway,
);
pub(super) const RECEIVED: Figure =
    figure("submariner_gateway_rx_bytes", "Bytes received through the cable", Origin::Gateway);
pub(super) const SENT: Figure =
    figure("submariner_gateway_tx_bytes", "Bytes sent through the cable", Origin::Gateway);
pub(super) const SYNC_ITERATIONS: Figure =
    figure("submariner_gateway_sync_iterations", "Rounds of the Gateway object's writer", Origin::Gateway);
pub(super) const GATEWAYS: Figure =
    figure("submariner_gateways", "Gateways of the cluster", Origin::Operator);
pub(super) const CREATED: Figure = figure(
    "submariner_gateway_creation_timestamp",
    "When the Gateway was made, in Unix seconds",
    Origin::Operator,
);
pub(super) const REQUESTED: Figure = figure(
    "submariner_requested_connections",
    "1 for each connection that a Gateway tells, with its status",
    Origin::Operator,
);
pub(super) const EPOCH: Figure = figure(
    "submariner_gateway_epoch",
    "Takeovers of the gateway, as published by this one; 0 on others",
    Origin::Ours,
);
pub(super) const PROBLEMS: Figure =
    figure("submariner_gateway_problems", "Inputs that cannot be used", Origin::Ours);
pub(super) const WIREGUARD_IN_KERNEL: Figure = figure(
    "submariner_gateway_wireguard_in_kernel",
    "1 where the kernel carries the packets of WireGuard cables, 0 where this process does",
    Origin::Ours,
);
pub(super) const HANDSHAKE_AGE: Figure = figure(
    "submariner_connection_handshake_age_seconds",
    "How long the last handshake of the cable is past",
    Origin::Ours,
);
pub(super) const RECONCILE: Figure = figure(
    "submariner_gateway_reconcile_seconds",
    "Seconds from a changed plan to a kernel that is what it says",
    Origin::Ours,
);

/// All of them.
#[cfg(test)]
pub(super) const ALL: &[&Figure] = &[
    &CONNECTIONS,
    &CONNECTIONS_SHORT,
    &LATENCY,
    &ESTABLISHED,
    &RECEIVED,
    &SENT,
    &SYNC_ITERATIONS,
    &GATEWAYS,
    &CREATED,
    &REQUESTED,
    &EPOCH,
    &PROBLEMS,
    &WIREGUARD_IN_KERNEL,
    &HANDSHAKE_AGE,
    &RECONCILE,
];

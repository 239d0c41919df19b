//! Labels and annotations that Submariner's parts agree on.

/// Label on the hub's objects and on copies of them: the cluster that an object comes from.
///
/// COMPAT: the slash stands after `submariner-io`, and the last word is in mixed case.
pub const CLUSTER_ID_LABEL: &str = "submariner-io/clusterID";
/// Label on hub objects of kinds that are synchronised from every namespace: the namespace at the origin.
pub const ORIGIN_NAMESPACE_LABEL: &str = "submariner-io/originatingNamespace";

/// Label on Secrets: the daemon that made them and that removes them.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";

/// Label on nodes that may be gateways; the value is `true`.
pub const GATEWAY_NODE_LABEL: &str = "submariner.io/gateway";
/// Prefix of the node labels and annotations that configure a gateway; any other key with it is an error.
pub const GATEWAY_CONFIG_PREFIX: &str = "gateway.submariner.io/";
/// Node label or annotation: UDP port of the tunnel.
pub const NODE_UDP_PORT: &str = "gateway.submariner.io/udp-port";
/// Node label or annotation: UDP port of NAT discovery.
pub const NODE_NATT_DISCOVERY_PORT: &str = "gateway.submariner.io/natt-discovery-port";
/// Node label or annotation: how the public address is found.
pub const NODE_PUBLIC_IP: &str = "gateway.submariner.io/public-ip";
/// Node label or annotation: whether this gateway wants to be the server of an IPsec pair.
pub const NODE_PREFERRED_SERVER: &str = "gateway.submariner.io/preferred-server";

/// Label on gateway pods: the node that the pod runs on.
pub const POD_NODE_LABEL: &str = "gateway.submariner.io/node";
/// Label on gateway pods: `active` or `passive`; the load balancer's Service selects by it.
pub const POD_STATUS_LABEL: &str = "gateway.submariner.io/status";

/// Annotation on Gateways and nodes: the global address that answers health checks.
pub const GLOBAL_IP: &str = "submariner.io/globalIp";
/// Annotation on nodes: the largest TCP segment that the route agent allows.
pub const TCP_CLAMP_MSS: &str = "submariner.io/tcp-clamp-mss";
/// Annotation on Gateways: decimal Unix seconds of the last write; older than 15 s counts as dead.
pub const UPDATE_TIMESTAMP: &str = "update-timestamp";

/// Annotation on Clusters and Endpoints: the UID of the origin's `kube-system` namespace.
pub const CLUSTER_UID: &str = "submariner.io/cluster-uid";
/// Annotation on Endpoints: how often the origin's gateway was taken over.
pub const EPOCH: &str = "submariner.io/epoch";
/// Annotation on a member's own Cluster, on the hub and at home: lower on the hub than at home means that the hub
/// was emptied or restored.
pub const COUNTER: &str = "submariner.io/counter";
/// Annotation on a member's own Cluster on the hub: which state the counter was raised for.
pub const COUNTER_STATE: &str = "submariner.io/counter-state";
/// Annotation on copies at home whose original was lost with the hub's data; they stand until the origin publishes again.
pub const KEPT: &str = "submariner.io/kept";
/// Annotation on RouteAgents: sysctls of links that are not ours, as they were first found.
pub const SAVED_SYSCTLS: &str = "submariner.io/saved-sysctls";
/// Annotation on RouteAgents: the network plugin (CNI) that the node was told of.
pub const NETWORK_PLUGIN: &str = "submariner.io/network-plugin";

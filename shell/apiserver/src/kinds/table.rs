//! The table of built-in kinds: adding one is one entry here.

use super::columns::{age, path, wide, with};
use super::{Column, Kind, Origin, Scale, Scope, StatusField, checks, columns, defaults};

/// A plain namespaced kind, from which the entries below differ.
const PLAIN: Kind = Kind {
    group: "",
    version: "v1",
    name: "",
    plural: "",
    singular: "",
    list_name: "",
    short: &[],
    categories: &[],
    scope: Scope::Namespaced,
    status: StatusField::Ordinary,
    fields: &[],
    columns: &[age()],
    origin: Origin::BuiltIn,
    complete: defaults::none,
    check: checks::none,
    counts_generations: false,
    scale: None,
    kept_as: None,
    is_stored: true,
    is_served: true,
};

const EVENT_COLUMNS: &[Column] = &[
    path("Type", "type"),
    path("Reason", "reason"),
    with("Object", columns::event_object),
    path("Message", "message"),
    age(),
];

/// A kind that makes Pods.
const WORKLOAD: Kind = Kind {
    group: "apps",
    categories: &["all"],
    status: StatusField::Separate,
    counts_generations: true,
    ..PLAIN
};

/// The scale of kinds that make a number of equal Pods.
const REPLICAS: Scale =
    Scale { desired: "/spec/replicas", observed: "/status/replicas", selector: Some("/spec/selector") };

/// A kind of role-based access control.
const RBAC: Kind = Kind { group: "rbac.authorization.k8s.io", ..PLAIN };

pub(super) static KINDS: &[Kind] = &[
    Kind {
        name: "Namespace",
        plural: "namespaces",
        short: &["ns"],
        scope: Scope::Cluster,
        status: StatusField::Separate,
        fields: &["status.phase"],
        columns: &[path("Status", "status.phase"), age()],
        complete: defaults::namespace,
        ..PLAIN
    },
    Kind {
        group: "apiextensions.k8s.io",
        name: "CustomResourceDefinition",
        plural: "customresourcedefinitions",
        short: &["crd", "crds"],
        categories: &["api-extensions"],
        scope: Scope::Cluster,
        status: StatusField::Separate,
        columns: &[path("Created At", "metadata.creationTimestamp")],
        counts_generations: true,
        complete: crate::definitions::complete,
        ..PLAIN
    },
    Kind {
        name: "Node",
        check: checks::node,
        plural: "nodes",
        short: &["no"],
        scope: Scope::Cluster,
        status: StatusField::SeparateAfterCreation,
        fields: &["spec.unschedulable"],
        columns: &[
            with("Status", columns::node_status),
            with("Roles", columns::node_roles),
            age(),
            path("Version", "status.nodeInfo.kubeletVersion"),
            wide("Internal-IP", columns::node_internal_ip),
        ],
        ..PLAIN
    },
    Kind {
        name: "Service",
        plural: "services",
        short: &["svc"],
        categories: &["all"],
        status: StatusField::Separate,
        fields: &["spec.clusterIP", "spec.type"],
        columns: &[
            path("Type", "spec.type"),
            path("Cluster-IP", "spec.clusterIP"),
            with("External-IP", columns::service_external_ip),
            with("Port(s)", columns::service_ports),
            age(),
            wide("Selector", columns::service_selector),
        ],
        check: checks::service,
        ..PLAIN
    },
    Kind {
        group: "discovery.k8s.io",
        name: "EndpointSlice",
        check: checks::slice,
        plural: "endpointslices",
        counts_generations: true,
        columns: &[
            path("AddressType", "addressType"),
            with("Ports", columns::slice_ports),
            with("Endpoints", columns::slice_endpoints),
            age(),
        ],
        ..PLAIN
    },
    Kind {
        name: "Secret",
        check: checks::secret,
        plural: "secrets",
        fields: &["type"],
        columns: &[path("Type", "type"), with("Data", columns::data_count), age()],
        complete: defaults::secret,
        ..PLAIN
    },
    Kind {
        name: "ConfigMap",
        check: checks::config_map,
        plural: "configmaps",
        short: &["cm"],
        columns: &[with("Data", columns::data_count), age()],
        ..PLAIN
    },
    Kind {
        name: "Event",
        check: checks::event,
        plural: "events",
        short: &["ev"],
        fields: &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        columns: EVENT_COLUMNS,
        ..PLAIN
    },
    Kind {
        group: "events.k8s.io",
        name: "Event",
        check: checks::event,
        plural: "events",
        short: &["ev"],
        fields: &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
            "regarding.apiVersion",
            "regarding.resourceVersion",
            "regarding.fieldPath",
            "reason",
            "reportingController",
            "type",
        ],
        columns: EVENT_COLUMNS,
        kept_as: Some(("", "events")),
        is_stored: false,
        ..PLAIN
    },
    Kind {
        name: "Endpoints",
        check: checks::endpoints,
        plural: "endpoints",
        singular: "endpoints",
        list_name: "EndpointsList",
        short: &["ep"],
        columns: &[with("Endpoints", columns::endpoints), age()],
        ..PLAIN
    },
    Kind { name: "ServiceAccount", plural: "serviceaccounts", short: &["sa"], ..PLAIN },
    Kind {
        name: "Pod",
        check: checks::pod,
        counts_generations: true,
        plural: "pods",
        short: &["po"],
        categories: &["all"],
        status: StatusField::Separate,
        fields: &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        columns: &[
            with("Ready", columns::pod_ready),
            path("Status", "status.phase"),
            with("Restarts", columns::pod_restarts),
            age(),
            wide("IP", columns::pod_ip),
            wide("Node", columns::pod_node),
        ],
        complete: defaults::pod,
        ..PLAIN
    },
    Kind {
        group: "coordination.k8s.io",
        name: "Lease",
        check: checks::lease,
        plural: "leases",
        columns: &[path("Holder", "spec.holderIdentity"), age()],
        ..PLAIN
    },
    Kind {
        name: "Role",
        check: checks::role,
        plural: "roles",
        columns: &[path("Created At", "metadata.creationTimestamp")],
        ..RBAC
    },
    Kind {
        name: "RoleBinding",
        check: checks::binding,
        plural: "rolebindings",
        columns: &[with("Role", columns::binding_role), age()],
        ..RBAC
    },
    Kind {
        name: "ClusterRole",
        check: checks::role,
        plural: "clusterroles",
        scope: Scope::Cluster,
        columns: &[path("Created At", "metadata.creationTimestamp")],
        ..RBAC
    },
    Kind {
        name: "ClusterRoleBinding",
        check: checks::binding,
        plural: "clusterrolebindings",
        scope: Scope::Cluster,
        columns: &[with("Role", columns::binding_role), age()],
        ..RBAC
    },
    Kind {
        name: "Deployment",
        check: checks::deployment,
        plural: "deployments",
        short: &["deploy"],
        scale: Some(REPLICAS),
        columns: &[
            with("Ready", columns::replicas_ready),
            path("Up-to-date", "status.updatedReplicas"),
            path("Available", "status.availableReplicas"),
            age(),
        ],
        ..WORKLOAD
    },
    Kind {
        name: "ReplicaSet",
        check: checks::replica_set,
        plural: "replicasets",
        short: &["rs"],
        fields: &["status.replicas"],
        scale: Some(REPLICAS),
        columns: &[
            path("Desired", "spec.replicas"),
            path("Current", "status.replicas"),
            path("Ready", "status.readyReplicas"),
            age(),
        ],
        ..WORKLOAD
    },
    Kind {
        name: "StatefulSet",
        check: checks::stateful_set,
        plural: "statefulsets",
        short: &["sts"],
        scale: Some(REPLICAS),
        columns: &[with("Ready", columns::replicas_ready), age()],
        ..WORKLOAD
    },
    Kind {
        name: "DaemonSet",
        check: checks::daemon_set,
        plural: "daemonsets",
        short: &["ds"],
        columns: &[
            path("Desired", "status.desiredNumberScheduled"),
            path("Current", "status.currentNumberScheduled"),
            path("Ready", "status.numberReady"),
            path("Up-to-date", "status.updatedNumberScheduled"),
            path("Available", "status.numberAvailable"),
            age(),
        ],
        ..WORKLOAD
    },
    Kind {
        group: "apps",
        name: "ControllerRevision",
        plural: "controllerrevisions",
        columns: &[path("Revision", "revision"), age()],
        ..PLAIN
    },
    Kind {
        group: "networking.k8s.io",
        name: "NetworkPolicy",
        check: checks::network_policy,
        plural: "networkpolicies",
        short: &["netpol"],
        counts_generations: true,
        columns: &[with("Pod-Selector", columns::pod_selector), age()],
        ..PLAIN
    },
    Kind {
        group: "policy",
        name: "PodDisruptionBudget",
        check: checks::budget,
        plural: "poddisruptionbudgets",
        short: &["pdb"],
        status: StatusField::Separate,
        counts_generations: true,
        columns: &[
            path("Min Available", "spec.minAvailable"),
            path("Max Unavailable", "spec.maxUnavailable"),
            path("Allowed Disruptions", "status.disruptionsAllowed"),
            age(),
        ],
        ..PLAIN
    },
];

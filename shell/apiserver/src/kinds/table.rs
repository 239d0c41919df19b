//! The table of built-in kinds: adding one is one entry here.

use super::{Kind, Origin, Scale, Scope, StatusField, checks, defaults};

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
    columns: &[],
    origin: Origin::BuiltIn,
    complete: defaults::none,
    check: checks::none,
    counts_generations: false,
    scale: None,
    kept_as: None,
    is_stored: true,
    is_served: true,
};

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

/// A kind of admission control.
const ADMISSION: Kind = Kind {
    group: "admissionregistration.k8s.io",
    categories: &["api-extensions"],
    scope: Scope::Cluster,
    counts_generations: true,
    ..PLAIN
};

pub(super) static KINDS: &[Kind] = &[
    Kind {
        name: "Namespace",
        plural: "namespaces",
        short: &["ns"],
        scope: Scope::Cluster,
        status: StatusField::Separate,
        fields: &["status.phase"],
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
        ..PLAIN
    },
    Kind {
        name: "Service",
        plural: "services",
        short: &["svc"],
        categories: &["all"],
        status: StatusField::Separate,
        fields: &["spec.clusterIP", "spec.type"],
        check: checks::service,
        ..PLAIN
    },
    Kind {
        group: "discovery.k8s.io",
        name: "EndpointSlice",
        check: checks::slice,
        plural: "endpointslices",
        counts_generations: true,
        ..PLAIN
    },
    Kind {
        name: "Secret",
        check: checks::secret,
        plural: "secrets",
        fields: &["type"],
        complete: defaults::secret,
        ..PLAIN
    },
    Kind { name: "ConfigMap", check: checks::config_map, plural: "configmaps", short: &["cm"], ..PLAIN },
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
        complete: defaults::pod,
        ..PLAIN
    },
    Kind { group: "coordination.k8s.io", name: "Lease", check: checks::lease, plural: "leases", ..PLAIN },
    Kind { name: "Role", check: checks::role, plural: "roles", ..RBAC },
    Kind { name: "RoleBinding", check: checks::binding, plural: "rolebindings", ..RBAC },
    Kind { name: "ClusterRole", check: checks::role, plural: "clusterroles", scope: Scope::Cluster, ..RBAC },
    Kind {
        name: "ClusterRoleBinding",
        check: checks::binding,
        plural: "clusterrolebindings",
        scope: Scope::Cluster,
        ..RBAC
    },
    Kind {
        name: "Deployment",
        check: checks::deployment,
        plural: "deployments",
        short: &["deploy"],
        scale: Some(REPLICAS),
        ..WORKLOAD
    },
    Kind {
        name: "ReplicaSet",
        check: checks::replica_set,
        plural: "replicasets",
        short: &["rs"],
        fields: &["status.replicas"],
        scale: Some(REPLICAS),
        ..WORKLOAD
    },
    Kind {
        name: "StatefulSet",
        check: checks::stateful_set,
        plural: "statefulsets",
        short: &["sts"],
        scale: Some(REPLICAS),
        ..WORKLOAD
    },
    Kind { name: "DaemonSet", check: checks::daemon_set, plural: "daemonsets", short: &["ds"], ..WORKLOAD },
    Kind { group: "apps", name: "ControllerRevision", plural: "controllerrevisions", ..PLAIN },
    Kind {
        group: "networking.k8s.io",
        name: "NetworkPolicy",
        check: checks::network_policy,
        plural: "networkpolicies",
        short: &["netpol"],
        counts_generations: true,
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
        ..PLAIN
    },
    Kind {
        name: "ValidatingAdmissionPolicy",
        plural: "validatingadmissionpolicies",
        status: StatusField::Separate,
        complete: crate::policy::complete,
        ..ADMISSION
    },
    Kind {
        name: "ValidatingAdmissionPolicyBinding",
        plural: "validatingadmissionpolicybindings",
        complete: crate::policy::complete_binding,
        ..ADMISSION
    },
];

//! The table of kinds that the server keeps: adding a kind is one entry here.

use std::ops::Deref;

use serde_json::Value;

use crate::kinds::columns::{Column, age, path, wide, with};

mod columns;
mod defaults;
mod lists;

pub(crate) use columns::Cell;
pub(crate) use lists::{ListKind, Trail, element, list_kind};

/// Whether objects of a kind live in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Beside all namespaces.
    Cluster,
    /// Inside one namespace.
    Namespaced,
}

/// Who may write `.status` of a kind, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusField {
    /// An ordinary field.
    Ordinary,
    /// Only through the subresource; dropped when the object is created.
    Separate,
    /// Only through the subresource, but the creator may set it.
    SeparateAfterCreation,
}

/// Where a kind is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// In Kubernetes; its objects are not checked beyond their metadata.
    BuiltIn,
    /// In a CRD, whose schema its objects must follow.
    Custom,
}

/// What the server knows of one kind.
#[derive(Debug)]
pub struct Kind {
    /// The API group, empty for the core group.
    pub group: &'static str,
    /// The one version served.
    pub version: &'static str,
    /// The kind's name in objects.
    pub name: &'static str,
    /// The resource's name in paths.
    pub plural: &'static str,
    /// Short names for `kubectl`.
    pub short: &'static [&'static str],
    /// Cluster-scoped or namespaced.
    pub scope: Scope,
    /// How `.status` is written.
    pub status: StatusField,
    /// Fields besides name and namespace that a field selector may name.
    pub fields: &'static [&'static str],
    pub(crate) columns: &'static [Column],
    pub(crate) lists: &'static [(&'static str, ListKind)],
    pub(crate) origin: Origin,
    pub(crate) complete: fn(&mut Value),
}

/// A plain namespaced kind, from which the entries below differ.
const PLAIN: Kind = Kind {
    group: "",
    version: "v1",
    name: "",
    plural: "",
    short: &[],
    scope: Scope::Namespaced,
    status: StatusField::Ordinary,
    fields: &[],
    columns: &[age()],
    lists: &[],
    origin: Origin::BuiltIn,
    complete: defaults::none,
};

/// A CRD of submariner.io/v1. COMPAT: none of the four has a status subresource upstream.
const SUBMARINER: Kind = Kind { group: "submariner.io", origin: Origin::Custom, ..PLAIN };

static KINDS: &[Kind] = &[
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
        name: "Node",
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
        lists: lists::NODE,
        ..PLAIN
    },
    Kind {
        name: "Service",
        plural: "services",
        short: &["svc"],
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
        lists: lists::SERVICE,
        complete: defaults::service,
        ..PLAIN
    },
    Kind {
        group: "discovery.k8s.io",
        name: "EndpointSlice",
        plural: "endpointslices",
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
        plural: "secrets",
        fields: &["type"],
        columns: &[path("Type", "type"), with("Data", columns::data_count), age()],
        complete: defaults::secret,
        ..PLAIN
    },
    Kind {
        name: "ConfigMap",
        plural: "configmaps",
        short: &["cm"],
        columns: &[with("Data", columns::data_count), age()],
        ..PLAIN
    },
    Kind {
        name: "Event",
        plural: "events",
        short: &["ev"],
        fields: &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        columns: &[
            path("Type", "type"),
            path("Reason", "reason"),
            with("Object", columns::event_object),
            path("Message", "message"),
            age(),
        ],
        ..PLAIN
    },
    Kind {
        name: "ServiceAccount",
        plural: "serviceaccounts",
        short: &["sa"],
        lists: lists::SERVICE_ACCOUNT,
        ..PLAIN
    },
    Kind {
        name: "Pod",
        plural: "pods",
        short: &["po"],
        status: StatusField::Separate,
        fields: &["spec.nodeName", "spec.serviceAccountName", "status.phase", "status.podIP"],
        columns: &[
            with("Ready", columns::pod_ready),
            path("Status", "status.phase"),
            with("Restarts", columns::pod_restarts),
            age(),
            wide("IP", columns::pod_ip),
            wide("Node", columns::pod_node),
        ],
        lists: lists::POD,
        complete: defaults::pod,
        ..PLAIN
    },
    Kind {
        group: "coordination.k8s.io",
        name: "Lease",
        plural: "leases",
        columns: &[path("Holder", "spec.holderIdentity"), age()],
        ..PLAIN
    },
    Kind { name: "Cluster", plural: "clusters", ..SUBMARINER },
    Kind { name: "Endpoint", plural: "endpoints", ..SUBMARINER },
    Kind {
        name: "Gateway",
        plural: "gateways",
        columns: &[path("HA Status", "status.haStatus"), age()],
        ..SUBMARINER
    },
    Kind { name: "RouteAgent", plural: "routeagents", ..SUBMARINER },
];

impl Kind {
    /// `group/version`, or the bare version in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The full resource name: `endpoints.submariner.io`, `nodes`.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The name of one object's resource: the kind in lower case.
    pub fn singular(&self) -> String {
        self.name.to_lowercase()
    }

    /// Whether `.status` is written through its own subresource only.
    pub fn has_status_subresource(&self) -> bool {
        self.status != StatusField::Ordinary
    }

    /// Whether the kind is namespaced.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether the kind comes from a CRD, whose update rules are stricter than those of built-in kinds.
    pub(crate) fn is_custom(&self) -> bool {
        self.origin == Origin::Custom
    }
}

/// One entry of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KindId(usize);

impl KindId {
    /// Every kind, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..KINDS.len()).map(Self)
    }

    /// The kind of a full resource name such as `endpoints.submariner.io` or `nodes`.
    pub fn named(resource: &str) -> Option<Self> {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        Self::all().find(|kind| kind.plural == plural && kind.group == group)
    }

    /// The kind that serves a resource of one group and version.
    pub fn served(group: &str, version: &str, plural: &str) -> Option<Self> {
        Self::all().find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
    }

    /// The kind that an object says it is, by its `apiVersion` and `kind`.
    pub fn of(object: &Value) -> Option<Self> {
        let api_version = object.get("apiVersion")?.as_str()?;
        let name = object.get("kind")?.as_str()?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Self::all().find(|kind| kind.group == group && kind.version == version && kind.name == name)
    }

    pub(crate) fn index(self) -> usize {
        self.0
    }

    pub(crate) fn namespaces() -> Self {
        Self(0)
    }
}

impl Deref for KindId {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        &KINDS[self.0]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_names_find_their_kind_also_where_plurals_clash() {
        for kind in KindId::all() {
            assert_eq!(KindId::named(&kind.resource()), Some(kind));
            assert_eq!(KindId::served(kind.group, kind.version, kind.plural), Some(kind));
        }
        assert_eq!(KindId::named("endpoints"), None);
        assert_eq!(KindId::namespaces().name, "Namespace");
    }
}

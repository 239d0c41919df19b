//! The table of built-in kinds: adding one is one entry here. Kinds of definitions are made in `definitions.rs`.

use std::ops::Deref;

use k8s_openapi::api::{
    coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery, events::v1 as events,
    rbac::v1 as rbac,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use serde_json::Value;

use crate::kinds::columns::{age, path, wide, with};
use crate::schema::Schema;

mod builtin;
mod columns;
mod defaults;
mod lists;
mod served;

pub(crate) use builtin::{definition_name, definitions, gvk_of, metadata};
pub(crate) use columns::{Cell, Column};
pub use served::{Kinds, ResourceKey};

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
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    /// In Kubernetes, as this type; of none its objects may have any field.
    BuiltIn(Option<builtin::Definition>),
    /// In a CRD, whose schema its objects must follow.
    Custom(&'static Custom),
}

/// What a CRD says of a kind besides what every kind has.
#[derive(Debug)]
pub(crate) struct Custom {
    pub(crate) schema: Schema,
    /// The schema as it was written.
    pub(crate) written: Value,
    pub(crate) scale: Option<Scale>,
}

/// Where the numbers of the `scale` subresource lie in an object.
#[derive(Debug)]
pub(crate) struct Scale {
    pub(crate) desired: String,
    pub(crate) observed: String,
    pub(crate) selector: Option<String>,
}

/// What the server knows of one kind.
#[derive(Debug)]
pub struct Kind {
    /// The API group, empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind's name in objects.
    pub name: &'static str,
    /// The resource's name in paths.
    pub plural: &'static str,
    /// The name of one object's resource; empty: the kind in lower case.
    pub(crate) singular: &'static str,
    /// The kind of lists; empty: the kind with `List` at its end.
    pub(crate) list_name: &'static str,
    /// Short names for `kubectl`.
    pub short: &'static [&'static str],
    /// Groups of resources for `kubectl`, such as `all`.
    pub(crate) categories: &'static [&'static str],
    /// Cluster-scoped or namespaced.
    pub scope: Scope,
    /// How `.status` is written.
    pub status: StatusField,
    /// Fields besides name and namespace that a field selector may name.
    pub fields: &'static [&'static str],
    pub(crate) columns: &'static [Column],
    pub(crate) origin: Origin,
    pub(crate) complete: fn(&mut Value),
    /// The group and plural of the kind that keeps its objects, where that is another one.
    pub(crate) kept_as: Option<ResourceKey>,
    /// Whether objects are kept in this version.
    pub(crate) is_stored: bool,
    /// Whether objects are read and written in this version.
    pub(crate) is_served: bool,
    /// Fields that an object has before anything is in it: nobody owns them for having made them.
    pub(crate) blank: &'static [&'static str],
}

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
    origin: Origin::BuiltIn(None),
    complete: defaults::none,
    kept_as: None,
    is_stored: true,
    is_served: true,
    blank: &["metadata", "spec", "status"],
};

const EVENT_COLUMNS: &[Column] = &[
    path("Type", "type"),
    path("Reason", "reason"),
    with("Object", columns::event_object),
    path("Message", "message"),
    age(),
];

/// A kind of role-based access control.
const RBAC: Kind = Kind { group: "rbac.authorization.k8s.io", blank: &["metadata"], ..PLAIN };

static KINDS: &[Kind] = &[
    Kind {
        name: "Namespace",
        origin: builtin::of::<core::Namespace>(),
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
        origin: builtin::of::<apiextensions::CustomResourceDefinition>(),
        complete: crate::definitions::complete,
        blank: &["metadata", "spec", "status", "spec.names", "status.acceptedNames"],
        ..PLAIN
    },
    Kind {
        name: "Node",
        origin: builtin::of::<core::Node>(),
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
        origin: builtin::of::<core::Service>(),
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
        complete: defaults::service,
        blank: &["metadata", "spec", "status", "status.loadBalancer"],
        ..PLAIN
    },
    Kind {
        group: "discovery.k8s.io",
        name: "EndpointSlice",
        origin: builtin::of::<discovery::EndpointSlice>(),
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
        origin: builtin::of::<core::Secret>(),
        plural: "secrets",
        fields: &["type"],
        columns: &[path("Type", "type"), with("Data", columns::data_count), age()],
        complete: defaults::secret,
        ..PLAIN
    },
    Kind {
        name: "ConfigMap",
        origin: builtin::of::<core::ConfigMap>(),
        plural: "configmaps",
        short: &["cm"],
        columns: &[with("Data", columns::data_count), age()],
        ..PLAIN
    },
    Kind {
        name: "Event",
        origin: builtin::of::<core::Event>(),
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
        columns: EVENT_COLUMNS,
        ..PLAIN
    },
    Kind {
        group: "events.k8s.io",
        name: "Event",
        origin: builtin::of::<events::Event>(),
        plural: "events",
        short: &["ev"],
        fields: &[
            "regarding.kind",
            "regarding.namespace",
            "regarding.name",
            "regarding.uid",
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
        name: "ServiceAccount",
        origin: builtin::of::<core::ServiceAccount>(),
        plural: "serviceaccounts",
        short: &["sa"],
        ..PLAIN
    },
    Kind {
        name: "Pod",
        origin: builtin::of::<core::Pod>(),
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
        complete: defaults::pod,
        blank: &["metadata", "spec", "spec.containers[]", "status"],
        ..PLAIN
    },
    Kind {
        group: "coordination.k8s.io",
        name: "Lease",
        origin: builtin::of::<coordination::Lease>(),
        plural: "leases",
        columns: &[path("Holder", "spec.holderIdentity"), age()],
        ..PLAIN
    },
    Kind {
        name: "Role",
        origin: builtin::of::<rbac::Role>(),
        plural: "roles",
        columns: &[path("Created At", "metadata.creationTimestamp")],
        ..RBAC
    },
    Kind {
        name: "RoleBinding",
        origin: builtin::of::<rbac::RoleBinding>(),
        plural: "rolebindings",
        columns: &[with("Role", columns::binding_role), age()],
        ..RBAC
    },
    Kind {
        name: "ClusterRole",
        origin: builtin::of::<rbac::ClusterRole>(),
        plural: "clusterroles",
        scope: Scope::Cluster,
        columns: &[path("Created At", "metadata.creationTimestamp")],
        ..RBAC
    },
    Kind {
        name: "ClusterRoleBinding",
        origin: builtin::of::<rbac::ClusterRoleBinding>(),
        plural: "clusterrolebindings",
        scope: Scope::Cluster,
        columns: &[with("Role", columns::binding_role), age()],
        ..RBAC
    },
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

    /// The name of one object's resource.
    pub fn singular(&self) -> String {
        if self.singular.is_empty() { self.name.to_lowercase() } else { self.singular.to_owned() }
    }

    /// An object of the kind before anything is in it.
    pub(crate) fn blank_object(&self) -> Value {
        let mut object = Value::Object(serde_json::Map::new());
        for path in self.blank {
            path.split('.').fold(&mut object, blank_field);
        }
        object
    }

    /// The kind of lists.
    pub(crate) fn list_kind(&self) -> String {
        if self.list_name.is_empty() { format!("{}List", self.name) } else { self.list_name.to_owned() }
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
        matches!(self.origin, Origin::Custom(_))
    }

    /// What the kind's CRD says of it.
    pub(crate) fn custom(&self) -> Option<&'static Custom> {
        match self.origin {
            Origin::Custom(custom) => Some(custom),
            Origin::BuiltIn(_) => None,
        }
    }

    /// The group and plural under which objects are kept, of whatever version.
    pub(crate) fn key(&self) -> ResourceKey {
        self.kept_as.unwrap_or((self.group, self.plural))
    }
}

/// The field of an object, made if need be: a list where the name ends with `[]`.
fn blank_field<'a>(object: &'a mut Value, name: &str) -> &'a mut Value {
    let (name, empty) = match name.strip_suffix("[]") {
        Some(name) => (name, Value::Array(Vec::new())),
        None => (name, Value::Object(serde_json::Map::new())),
    };
    if object[name].is_null() {
        object[name] = empty;
    }
    &mut object[name]
}

/// One kind in one version. INVARIANT: each is in memory once, so that it is told apart by its address.
#[derive(Clone, Copy)]
pub struct KindId(&'static Kind);

impl PartialEq for KindId {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for KindId {}

impl std::fmt::Debug for KindId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.resource(), self.version)
    }
}

impl KindId {
    /// Every built-in kind, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(Self)
    }

    /// The built-in kind of a full resource name such as `leases.coordination.k8s.io` or `nodes`.
    pub fn named(resource: &str) -> Option<Self> {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        Self::all().find(|kind| kind.plural == plural && kind.group == group)
    }

    pub(crate) fn of_definition(kind: &'static Kind) -> Self {
        Self(kind)
    }

    /// What objects must look like.
    pub(crate) fn schema(self) -> &'static Schema {
        match self.origin {
            Origin::Custom(custom) => &custom.schema,
            Origin::BuiltIn(_) => builtin::schema(self),
        }
    }

    pub(crate) fn namespaces() -> Self {
        Self(&KINDS[0])
    }

    pub(crate) fn definitions() -> Self {
        Self(&KINDS[1])
    }
}

impl Deref for KindId {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_names_find_their_kind_also_where_plurals_clash() {
        for kind in KindId::all() {
            assert_eq!(KindId::named(&kind.resource()), Some(kind));
        }
        assert_eq!(KindId::namespaces().name, "Namespace");
        assert_eq!(KindId::definitions().name, "CustomResourceDefinition");
    }
}

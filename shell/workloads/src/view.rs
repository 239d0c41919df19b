//! What the controllers know of a cluster.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use subm_kube::Key;

use crate::object::{key, text, uid};

/// The kinds that the controllers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `v1`
    Namespace,
    /// `v1`
    Node,
    /// `v1`
    Pod,
    /// `v1`
    Service,
    /// `v1`
    ServiceAccount,
    /// `v1`
    ConfigMap,
    /// `discovery.k8s.io/v1`
    EndpointSlice,
    /// `apps/v1`
    ReplicaSet,
    /// `apps/v1`
    DaemonSet,
    /// `apps/v1`
    Deployment,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Namespace,
        Self::Node,
        Self::Pod,
        Self::Service,
        Self::ServiceAccount,
        Self::ConfigMap,
        Self::EndpointSlice,
        Self::ReplicaSet,
        Self::DaemonSet,
        Self::Deployment,
    ];

    /// The kind's name in objects.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Namespace => "Namespace",
            Self::Node => "Node",
            Self::Pod => "Pod",
            Self::Service => "Service",
            Self::ServiceAccount => "ServiceAccount",
            Self::ConfigMap => "ConfigMap",
            Self::EndpointSlice => "EndpointSlice",
            Self::ReplicaSet => "ReplicaSet",
            Self::DaemonSet => "DaemonSet",
            Self::Deployment => "Deployment",
        }
    }

    /// The part of paths before the namespace.
    const fn root(self) -> &'static str {
        match self {
            Self::Namespace
            | Self::Node
            | Self::Pod
            | Self::Service
            | Self::ServiceAccount
            | Self::ConfigMap => "/api/v1",
            Self::EndpointSlice => "/apis/discovery.k8s.io/v1",
            Self::ReplicaSet | Self::DaemonSet | Self::Deployment => "/apis/apps/v1",
        }
    }

    /// The path of a namespace's objects of this kind.
    pub(crate) fn path(self, namespace: &str) -> String {
        let plural = format!("{}s", self.name().to_lowercase());
        match namespace {
            "" => format!("{}/{plural}", self.root()),
            _ => format!("{}/namespaces/{namespace}/{plural}", self.root()),
        }
    }
}

/// Everything that the controllers know.
#[derive(Debug, Clone, Default)]
pub struct View {
    objects: BTreeMap<Kind, BTreeMap<Key, Value>>,
    complete: BTreeSet<Kind>,
    /// The certificate of the API server's authority, for those who reach it from inside.
    pub(crate) authority: String,
}

impl View {
    /// A view of nothing yet. `authority` is the certificate of the API server's authority.
    pub fn new(authority: String) -> Self {
        Self { authority, ..Self::default() }
    }

    /// Takes a complete list in: what is not in it is gone.
    pub fn replace(&mut self, kind: Kind, objects: impl IntoIterator<Item = Value>) {
        self.complete.insert(kind);
        let objects = objects.into_iter().map(|object| (key(&object), object));
        self.objects.insert(kind, objects.collect());
    }

    /// Takes one object in.
    pub fn put(&mut self, kind: Kind, object: Value) {
        self.objects.entry(kind).or_default().insert(key(&object), object);
    }

    /// Forgets an object.
    pub fn remove(&mut self, kind: Kind, key: &Key) {
        self.objects.entry(kind).or_default().remove(key);
    }

    /// Tells whether every kind was read: before, nothing can be said of what is absent.
    pub fn is_complete(&self) -> bool {
        self.complete.len() == Kind::ALL.len()
    }

    pub(crate) fn all(&self, kind: Kind) -> impl Iterator<Item = &Value> {
        self.objects.get(&kind).into_iter().flat_map(BTreeMap::values)
    }

    pub(crate) fn within<'a>(&'a self, kind: Kind, namespace: &'a str) -> impl Iterator<Item = &'a Value> {
        self.all(kind).filter(move |object| text(object, "/metadata/namespace") == namespace)
    }

    pub(crate) fn get(&self, kind: Kind, key: &Key) -> Option<&Value> {
        self.objects.get(&kind)?.get(key)
    }

    /// The objects of a kind that an object controls.
    pub(crate) fn controlled<'a>(&'a self, kind: Kind, by: &Value) -> Vec<&'a Value> {
        let (namespace, owner) = (text(by, "/metadata/namespace"), uid(by));
        let all = self.all(kind).filter(|object| text(object, "/metadata/namespace") == namespace);
        all.filter(|object| crate::object::controller(object) == owner).collect()
    }
}

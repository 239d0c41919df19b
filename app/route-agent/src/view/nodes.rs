//! The nodes of this cluster.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Node as ApiNode, NodeStatus};
use subm_kube::{ApiError, Event, Objects};
use subm_route::{Node, NodeName};
use subm_runtime::Dirty;
use subm_types::{HostName, PerFamily};

use super::dirty;

const HOSTNAME: &str = "kubernetes.io/hostname";

#[derive(Debug, Default)]
pub(super) struct Nodes {
    objects: Objects<ApiNode>,
}

impl Nodes {
    pub(super) fn apply(&mut self, event: Event<ApiNode>) -> Dirty {
        dirty(self.objects.apply(event))
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.objects.is_complete()
    }

    pub(super) const fn unavailable(&self) -> Option<&ApiError> {
        self.objects.unavailable()
    }

    pub(super) fn all(&self) -> Vec<Node> {
        self.objects.values().map(read).collect()
    }
}

/// Forgets what is not read: most of a Node, and all that changes with every heartbeat.
pub(crate) fn trim(object: &mut ApiNode) {
    object.spec = None;
    object.metadata.resource_version = None;
    object.metadata.annotations = None;
    if let Some(labels) = &mut object.metadata.labels {
        labels.retain(|name, _| name == HOSTNAME);
    }
    if let Some(status) = &mut object.status {
        let addresses = status.addresses.take();
        *status = NodeStatus { addresses, ..NodeStatus::default() };
    }
}

/// A node without a usable address is a node all the same.
fn read(object: &ApiNode) -> Node {
    let name = object.metadata.name.clone().unwrap_or_default();
    let labels = object.metadata.labels.as_ref();
    let hostname = labels.and_then(|labels| labels.get(HOSTNAME)).unwrap_or(&name).clone();
    let addresses = object.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let internal = addresses
        .filter(|address| address.type_ == "InternalIP")
        .filter_map(|address| address.address.parse::<IpAddr>().ok());
    Node {
        internal_ips: PerFamily::of(internal),
        hostname: HostName(hostname),
        created: object.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second()),
        name: NodeName(name),
    }
}

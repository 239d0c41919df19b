//! What a kubelet is told of its node.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::path::PathBuf;

use futures::future::BoxFuture;
use serde_json::Value;
use subm_lab::Host;

use crate::Backoff;

/// Everything that differs between nodes.
#[derive(Debug)]
pub struct Settings {
    /// The Node object, as it is registered: name, labels, Pod networks, addresses.
    pub node: Value,
    /// The node's own network.
    pub host: Host,
    /// The node's addresses, the first one first.
    pub addresses: Vec<IpAddr>,
    /// What can be run.
    pub images: BTreeMap<String, Image>,
    /// Networks of Pods that have their own.
    pub sandboxes: Box<dyn Sandboxes>,
    /// Where Pods find the API server: `KUBERNETES_SERVICE_HOST` and `_PORT`.
    pub api_server: (IpAddr, u16),
    /// The folder of volumes and logs.
    pub folder: PathBuf,
    /// Program and arguments that call [`crate::Cell::enter`] with one more argument.
    pub runtime: Vec<String>,
    /// How soon containers start again.
    pub backoff: Backoff,
}

/// What an image is here: the start of a command, and a program beside those of the machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Image {
    /// What runs where the manifest has no command.
    pub entrypoint: Vec<String>,
    /// A program that containers find by its name, wherever it lies.
    pub program: Option<PathBuf>,
}

/// The network of one Pod.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// Its network namespace.
    pub host: Host,
    /// Its addresses, the first one first.
    pub addresses: Vec<IpAddr>,
}

/// Gives Pods networks of their own.
pub trait Sandboxes: Debug + Send + Sync {
    /// Makes the network of a Pod, or tells why not. Asked again for the same uid, it gives the same one.
    fn open<'a>(&'a self, pod: &'a Value) -> BoxFuture<'a, Result<Sandbox, String>>;

    /// Takes the network of the Pod with this uid away.
    fn close<'a>(&'a self, uid: &'a str) -> BoxFuture<'a, ()>;
}

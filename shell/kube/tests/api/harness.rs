//! Servers on loopback, embedded or real, connections to them, and patience.

use std::fmt::Debug;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use subm_kube::{Access, Connection, HubSettings};
use subm_servers::{Cluster, Faults, Objects, Servers, Which};
use tokio::sync::watch;

pub(crate) const BROKER: &str = "submariner-k8s-broker";
pub(crate) const HOME: &str = "submariner-operator";
/// Longer than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The first server of a test is the hub, the next are members' homes.
const ORDER: [Which; 3] = Which::ALL;

static SERVERS: LazyLock<Servers> = LazyLock::new(|| Servers::new().unwrap());

/// A running server: `east` and `west` are members of a hub.
pub(crate) struct Served {
    cluster: Cluster,
}

impl Served {
    pub(crate) fn start(namespace: &str) -> Self {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let which = ORDER[STARTED.fetch_add(1, Ordering::Relaxed) % ORDER.len()];
        let cluster = SERVERS.local(which, namespace).unwrap();
        Self { cluster }
    }

    /// The same address and authority, and nothing in it: what a hub is after its data was lost.
    pub(crate) fn emptied(self) -> Self {
        Self { cluster: self.cluster.emptied().unwrap() }
    }

    pub(crate) fn store(&self) -> Objects<'_> {
        self.cluster.objects()
    }

    pub(crate) fn faults(&self) -> Faults<'_> {
        self.cluster.faults()
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A connection as an administrator, by kubeconfig.
    pub(crate) async fn home(&self) -> Connection {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), self.cluster.kubeconfig()).unwrap();
        Access::home(Some(file.path()), HOME).await.unwrap().connect().unwrap()
    }

    /// A member's settings.
    pub(crate) fn settings(&self, member: &str) -> HubSettings {
        HubSettings { token: Some(self.cluster.join(member).unwrap()), ..self.settings_without_token() }
    }

    pub(crate) fn settings_without_token(&self) -> HubSettings {
        HubSettings {
            apiserver: self.cluster.address().to_string(),
            namespace: BROKER.to_owned(),
            ca: Some(base64::engine::general_purpose::STANDARD.encode(self.cluster.authority())),
            ..HubSettings::default()
        }
    }

    /// A connection as a member, by the environment's settings.
    pub(crate) fn hub(&self, member: &str) -> Connection {
        connect(&self.settings(member))
    }

    /// A connection of whoever has a token.
    pub(crate) fn hub_by(&self, token: &str) -> Connection {
        connect(&HubSettings { token: Some(token.to_owned()), ..self.settings_without_token() })
    }
}

pub(crate) fn connect(settings: &HubSettings) -> Connection {
    Access::hub(settings).unwrap().connect().unwrap()
}

/// Asks until there is an answer.
pub(crate) async fn retry<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asked = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, asked).await.expect("it never came true")
}

/// Waits for a value that fulfils a condition.
pub(crate) async fn until<T: Clone + Debug>(
    told: &mut watch::Receiver<T>,
    holds: impl FnMut(&T) -> bool,
) -> T {
    if let Ok(value) = tokio::time::timeout(LIMIT, told.wait_for(holds)).await {
        return value.unwrap().clone();
    }
    panic!("never so, but {:?}", told.borrow());
}

/// An Endpoint whose last address byte is the number of its network too.
pub(crate) fn endpoint(cluster: &str, namespace: &str, number: u8) -> Value {
    let cable = format!("submariner-cable-{cluster}-10-0-0-{number}");
    json!({
        "apiVersion": "submariner.io/v1",
        "kind": "Endpoint",
        "metadata": {
            "name": format!("{cluster}-{cable}"),
            "namespace": namespace,
            "labels": {"submariner-io/clusterID": cluster},
        },
        "spec": {
            "cluster_id": cluster,
            "cable_name": cable,
            "hostname": format!("gateway-{number}"),
            "subnets": [format!("10.{number}.0.0/16")],
            "private_ip": format!("10.0.0.{number}"),
            "public_ip": "",
            "nat_enabled": false,
            "backend": "vxlan",
        },
    })
}

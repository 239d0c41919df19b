//! A server on loopback, connections to it, and patience.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Authority, Credential, Objects, kubeconfig};
use subm_kube::{Access, Connection, HubSettings};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) const BROKER: &str = "submariner-k8s-broker";
pub(crate) const HOME: &str = "submariner-operator";
/// Longer than anything here takes on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A running server: the token `admin` may do everything, `east` and `west` are members' of a hub.
pub(crate) struct Served {
    pub(crate) api: ApiServer,
    pub(crate) address: SocketAddr,
    authority: std::sync::Arc<Authority>,
    serving: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Served {
    pub(crate) async fn start(namespace: &str) -> Self {
        let authority = std::sync::Arc::new(Authority::new("right authority").unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::serve(listener, authority, namespace)
    }

    fn serve(listener: TcpListener, authority: std::sync::Arc<Authority>, namespace: &str) -> Self {
        let members = ["east", "west"].map(|id| Credential::member(id, &id.parse().unwrap(), BROKER));
        let api = ApiServer::builder().credentials([Credential::admin("admin")]).credentials(members).build();
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        api.store().create(object).unwrap();
        let tls = authority.server_certificate(&["127.0.0.1"]).unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn({
            let api = api.clone();
            async move {
                api.serve(listener, tls).await;
            }
        });
        Self { api, address, authority, serving }
    }

    /// The same address and authority, and nothing in it: what a hub is after its data was lost.
    pub(crate) async fn emptied(self, namespace: &str) -> Self {
        let (address, authority) = (self.address, std::sync::Arc::clone(&self.authority));
        self.api.faults().set_link(subm_apiserver::Link::Refused);
        drop(self);
        let listener = retry(async || TcpListener::bind(address).await.ok()).await;
        Self::serve(listener, authority, namespace)
    }

    pub(crate) fn store(&self) -> Objects {
        self.api.store()
    }

    /// A connection as an administrator, by kubeconfig.
    pub(crate) async fn home(&self) -> Connection {
        let text = kubeconfig(&format!("https://{}", self.address), &self.authority.pem(), "admin", "home");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Access::home(Some(file.path()), HOME).await.unwrap().connect().unwrap()
    }

    pub(crate) fn settings(&self, token: &str) -> HubSettings {
        HubSettings {
            apiserver: self.address.to_string(),
            token: Some(token.to_owned()),
            namespace: BROKER.to_owned(),
            ca: Some(base64::engine::general_purpose::STANDARD.encode(self.authority.pem())),
            ..HubSettings::default()
        }
    }

    /// A connection as a member, by the environment's settings.
    pub(crate) fn hub(&self, token: &str) -> Connection {
        connect(&self.settings(token))
    }

    pub(crate) fn ca_pem(&self) -> String {
        self.authority.pem()
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

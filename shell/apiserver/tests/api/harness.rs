//! A server on loopback and clients for it.

use std::net::SocketAddr;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Authority, Credential, kubeconfig};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The namespace of the broker in tests.
pub(crate) const BROKER: &str = "submariner-k8s-broker";

/// A running server: an administrator's token is `admin`, those of two members are `east` and `west`.
pub(crate) struct Served {
    pub(crate) server: ApiServer,
    pub(crate) address: SocketAddr,
    authority: Authority,
    serving: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::of(ApiServer::builder()).await
    }

    pub(crate) async fn of(builder: subm_apiserver::Builder) -> Self {
        let members = ["east", "west"].map(|id| Credential::member(id, &id.parse().unwrap(), BROKER));
        let server = builder.credentials([Credential::admin("admin")]).credentials(members).build();
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": BROKER}});
        server.store().create(namespace).unwrap();
        let authority = Authority::new("test").unwrap();
        let tls = authority.server_certificate(&["127.0.0.1", "localhost"]).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn({
            let server = server.clone();
            async move {
                server.serve(listener, tls).await;
            }
        });
        Self { server, address, authority, serving }
    }

    pub(crate) fn kubeconfig(&self, token: &str) -> String {
        kubeconfig(&format!("https://{}", self.address), &self.authority.pem(), token, "test")
    }

    pub(crate) async fn client(&self, token: &str) -> Client {
        let file = Kubeconfig::from_yaml(&self.kubeconfig(token)).unwrap();
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
        Client::try_from(config).unwrap()
    }
}

/// An Endpoint of a cluster as it stands on the hub.
pub(crate) fn endpoint(cluster: &str) -> Value {
    let cable = format!("submariner-cable-{cluster}-10-0-0-1");
    json!({
        "apiVersion": "submariner.io/v1",
        "kind": "Endpoint",
        "metadata": {
            "name": format!("{cluster}-{cable}"),
            "namespace": BROKER,
            "labels": {"submariner-io/clusterID": cluster},
        },
        "spec": {
            "cluster_id": cluster,
            "cable_name": cable,
            "hostname": "gw",
            "subnets": ["10.1.0.0/16"],
            "private_ip": "10.0.0.1",
            "public_ip": "",
            "nat_enabled": false,
            "backend": "vxlan",
        },
    })
}

/// A ConfigMap in the default namespace.
pub(crate) fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"key": value},
    })
}

/// The HTTP code of a refused request.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

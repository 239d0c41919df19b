//! Bodies that ask for more than they weigh.

use std::time::{Duration, Instant};

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Credential, Objects};
use tower::ServiceExt as _;

const BROKER: &str = "submariner-k8s-broker";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/submariner-k8s-broker/leases";

struct Hub(ApiServer);

impl Hub {
    /// A hub on which the member east keeps a Lease.
    async fn with_lease() -> Self {
        let member = Credential::member("east", &"east".parse().unwrap(), BROKER);
        let server = ApiServer::builder().credentials([member]).build();
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": BROKER}});
        server.store().create(namespace).unwrap();
        let hub = Self(server);
        let labels = json!({"submariner-io/clusterID": "east"});
        let lease = json!({"metadata": {"name": "east", "labels": labels}, "spec": {}}).to_string();
        assert_eq!(hub.send("POST", LEASES, "application/json", lease).await, 201);
        hub
    }

    async fn send(&self, method: &str, path: &str, media_type: &str, body: String) -> u16 {
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?fieldManager=test"))
            .header("content-type", media_type)
            .body(Body::from(body))
            .unwrap();
        self.0.service_as("east").oneshot(request).await.unwrap().status().as_u16()
    }

    async fn refuses(&self, media_type: &str, body: String) {
        let begin = Instant::now();
        let code = self.send("PATCH", &format!("{LEASES}/east"), media_type, body).await;
        assert!((400..500).contains(&code), "{media_type}: {code}");
        assert!(begin.elapsed() < Duration::from_secs(5), "{media_type}: {:?}", begin.elapsed());
        assert_eq!(self.send("GET", LEASES, "application/json", String::new()).await, 200);
    }
}

#[tokio::test]
async fn a_patch_that_doubles_an_object_again_and_again_is_refused() {
    let copy = |number: u32| json!({"op": "copy", "from": "/spec", "path": format!("/spec/c{number}")});
    let patch: Value = (0..60).map(copy).collect();
    Hub::with_lease().await.refuses("application/json-patch+json", patch.to_string()).await;
}

#[tokio::test]
async fn a_patch_that_digs_without_end_is_refused() {
    let nested = (0..100).fold(json!({}), |inner, _| json!({"a": inner}));
    let add = |number: usize| json!({"op": "add", "path": format!("/spec{}", "/a".repeat(100 * number + 1)), "value": nested});
    let patch: Value = (0..150).map(add).collect();
    Hub::with_lease().await.refuses("application/json-patch+json", patch.to_string()).await;
    let dig = |_| json!({"op": "copy", "from": "/spec/a", "path": "/spec/a/a"});
    let begin = json!({"op": "add", "path": "/spec/a", "value": {}});
    let patch: Value = std::iter::once(begin).chain((0..1000).map(dig)).collect();
    Hub::with_lease().await.refuses("application/json-patch+json", patch.to_string()).await;
    let many: Value = (0..10_001).map(|_| json!({"op": "test", "path": "/kind", "value": "Lease"})).collect();
    Hub::with_lease().await.refuses("application/json-patch+json", many.to_string()).await;
}

#[tokio::test]
async fn a_watch_without_end_and_a_question_of_another_shape_end_nothing() {
    let hub = Hub::with_lease().await;
    let watch = format!("/?watch=true&timeoutSeconds={}", u64::MAX).replacen('/', LEASES, 1);
    let request = Request::builder().uri(watch).body(Body::empty()).unwrap();
    assert_eq!(hub.0.service_as("east").oneshot(request).await.unwrap().status(), 200);
    let admin = ApiServer::builder().credentials([Credential::admin("admin")]).build();
    for spec in [json!("x"), json!([]), json!(7)] {
        let body = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
        let request = Request::builder()
            .method("POST")
            .uri("/api/v1/namespaces/default/serviceaccounts/default/token")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        assert_eq!(admin.service_as("admin").oneshot(request).await.unwrap().status(), 400, "{spec}");
    }
}

fn admin() -> Objects {
    ApiServer::builder().build().store()
}

/// Lists of as many elements as a body holds are looked at once, not once for each element.
#[test]
fn long_lists_take_no_longer_than_their_length() {
    let objects = admin();
    let begin = Instant::now();
    let named = |count: usize, kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default", "finalizers": (0..count).map(|index| format!("e.org/{index}")).collect::<Vec<_>>()}});
    assert!(
        objects.create(named(100_000, "ConfigMap", "many")).unwrap_err().to_string().contains("Too many")
    );
    objects.create(named(1000, "ConfigMap", "many")).unwrap();
    let ports: Value =
        (0..60_000).map(|port| json!({"name": format!("p{port}"), "port": port + 1})).collect();
    let service = |kind: &str| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "default"}, "spec": {"type": kind, "ports": ports}});
    assert!(objects.create(service("NodePort")).unwrap_err().to_string().contains("range is full"));
    objects.create(service("ClusterIP")).unwrap();
    let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": [], "metadata": {"name": "s", "namespace": "default"}, "ports": ports});
    assert!(objects.create(slice).unwrap_err().to_string().contains("Too many: 60000"));
    assert!(begin.elapsed() < Duration::from_mins(1), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_body_of_more_levels_than_any_kind_has_is_refused() {
    let deep = (0..100).fold(json!({}), |inner, _| json!({"a": inner}));
    let hub = Hub::with_lease().await;
    hub.refuses("application/merge-patch+json", json!({"spec": deep}).to_string()).await;
    hub.refuses("application/merge-patch+json", "[".repeat(1_000_000)).await;
}

#[tokio::test]
async fn yaml_that_unfolds_or_digs_is_refused() {
    let hub = Hub::with_lease().await;
    let level = |level: usize| {
        let below = vec![format!("*l{}", level - 1); 10].join(", ");
        format!("  l{level}: &l{level} [{below}]\n")
    };
    let head = "metadata:\n  labels: {submariner-io/clusterID: east}\nspec:\n  l0: &l0 [lol]\n";
    let laughs = format!("{head}{}", (1..30).map(level).collect::<String>());
    hub.refuses("application/apply-patch+yaml", laughs).await;
    hub.refuses("application/apply-patch+yaml", format!("spec: {}", "[".repeat(1_000_000))).await;
    let indented: String = std::iter::once("spec:\n".to_owned())
        .chain((1..1500).map(|level| format!("{:level$}a:\n", "")))
        .collect();
    hub.refuses("application/apply-patch+yaml", indented).await;
}

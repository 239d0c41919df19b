//! Server-side apply: who owns a field decides.

use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Credential};

use crate::harness::code;

struct Applier(Api<DynamicObject>);

impl Applier {
    fn new(kind: &str, plural: &str) -> (ApiServer, Self) {
        let server = ApiServer::builder().credentials([Credential::admin("admin")]).build();
        let client = Client::new(server.service_as("admin"), "default");
        let resource = ApiResource {
            group: String::new(),
            version: "v1".to_owned(),
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
        };
        let api = if kind == "Node" {
            Api::all_with(client, &resource)
        } else {
            Api::default_namespaced_with(client, &resource)
        };
        (server, Self(api))
    }

    async fn apply(&self, manager: &str, mut body: Value) -> Result<DynamicObject, kube::Error> {
        body["apiVersion"] = json!("v1");
        body["kind"] = json!(self.0.resource_url().rsplit('/').next().map(|plural| match plural {
            "services" => "Service",
            "nodes" => "Node",
            _ => "ConfigMap",
        }));
        body["metadata"]["name"] = json!("x");
        self.0.patch("x", &PatchParams::apply(manager), &Patch::Apply(&body)).await
    }
}

#[tokio::test]
async fn what_the_owner_no_longer_applies_goes_and_what_others_own_stays() {
    let (_server, maps) = Applier::new("ConfigMap", "configmaps");
    maps.apply("one", json!({"data": {"a": "1", "b": "1"}})).await.unwrap();
    maps.apply("two", json!({"data": {"b": "1", "c": "1"}})).await.unwrap();
    let left = maps.apply("one", json!({"data": {"a": "1"}})).await.unwrap();
    assert_eq!(left.data["data"], json!({"a": "1", "b": "1", "c": "1"}));
    let left = maps.apply("two", json!({"metadata": {"labels": {"l": "1"}}})).await.unwrap();
    assert_eq!(left.data["data"], json!({"a": "1"}));
    let left = maps.apply("one", json!({})).await.unwrap();
    assert_eq!(left.data.get("data"), None);
    assert_eq!(left.metadata.labels.unwrap()["l"], "1");
}

#[tokio::test]
async fn a_conflict_names_the_field_and_its_owner_and_force_takes_over() {
    let (_server, maps) = Applier::new("ConfigMap", "configmaps");
    maps.apply("one", json!({"data": {"a": "1"}})).await.unwrap();
    let refusal = maps.apply("two", json!({"data": {"a": "2"}})).await.unwrap_err();
    let kube::Error::Api(status) = refusal else { panic!("{refusal}") };
    let cause = &status.details.as_ref().unwrap().causes[0];
    assert_eq!(
        (status.code, cause.field.as_str(), cause.reason.as_str()),
        (409, ".data.a", "FieldManagerConflict")
    );
    assert!(cause.message.contains("\"one\""), "{}", cause.message);

    let body =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "2"}});
    let force = PatchParams::apply("two").force();
    maps.0.patch("x", &force, &Patch::Apply(&body)).await.unwrap();
    assert_eq!(code(maps.apply("one", json!({"data": {"a": "1"}})).await), 409);
    maps.apply("one", json!({"data": {"a": "2"}})).await.unwrap();
    let left = maps.apply("two", json!({})).await.unwrap();
    assert_eq!(left.data["data"], json!({"a": "2"}), "a shared field stays with the other owner");
}

#[tokio::test]
async fn an_update_takes_the_fields_that_it_changes() {
    let (_server, maps) = Applier::new("ConfigMap", "configmaps");
    maps.apply("one", json!({"data": {"a": "1", "b": "1"}})).await.unwrap();
    let merge = Patch::Merge(json!({"data": {"a": "2"}}));
    maps.0.patch("x", &PatchParams::default(), &merge).await.unwrap();
    assert_eq!(code(maps.apply("one", json!({"data": {"a": "1", "b": "1"}})).await), 409);
    let left = maps.apply("one", json!({"data": {"b": "2"}})).await.unwrap();
    assert_eq!(left.data["data"], json!({"a": "2", "b": "2"}));
}

#[tokio::test]
async fn applying_the_same_again_is_no_event() {
    let (_server, maps) = Applier::new("ConfigMap", "configmaps");
    let body = json!({"data": {"a": "1"}, "metadata": {"labels": {"l": "1"}}});
    let one = maps.apply("one", body.clone()).await.unwrap();
    let two = maps.apply("one", body).await.unwrap();
    assert_eq!(one.metadata.resource_version, two.metadata.resource_version);
}

#[tokio::test]
async fn list_elements_are_owned_by_their_keys() {
    let (_server, services) = Applier::new("Service", "services");
    services
        .apply("one", json!({"spec": {"ports": [{"name": "web", "port": 80}, {"name": "b", "port": 443}]}}))
        .await
        .unwrap();
    services
        .apply("two", json!({"spec": {"ports": [{"name": "dns", "port": 53, "protocol": "UDP"}]}}))
        .await
        .unwrap();
    let left =
        services.apply("one", json!({"spec": {"ports": [{"port": 443, "name": "tls"}]}})).await.unwrap();
    let ports = left.data["spec"]["ports"].as_array().unwrap();
    let numbers: Vec<_> = ports.iter().map(|port| port["port"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [443, 53]);
    assert_eq!(ports[0]["name"], "tls");
}

#[tokio::test]
async fn conditions_of_two_managers_live_side_by_side_in_the_status() {
    let (server, nodes) = Applier::new("Node", "nodes");
    server.store().create(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "x"}})).unwrap();
    let apply = async |manager: &str, kinds: &[&str]| {
        let conditions: Vec<_> = kinds.iter().map(|kind| json!({"type": kind, "status": "True"})).collect();
        let body = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "x"},
            "spec": {"podCIDR": "ignored"},
            "status": {"conditions": conditions},
        });
        let applied =
            nodes.0.patch_status("x", &PatchParams::apply(manager), &Patch::Apply(&body)).await.unwrap();
        assert_eq!(applied.data["spec"].get("podCIDR"), None);
        let conditions = applied.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.iter().map(|condition| condition["type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(apply("kubelet", &["Ready", "Full"]).await, ["Ready", "Full"]);
    assert_eq!(apply("cni", &["NetworkReady"]).await, ["Ready", "Full", "NetworkReady"]);
    assert_eq!(apply("kubelet", &["Ready"]).await, ["Ready", "NetworkReady"]);
}

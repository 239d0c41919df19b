//! Creating, reading, changing and deleting objects.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use subm_api::{Endpoint, Gateway};
use subm_apiserver::{ApiServer, Credential};

use crate::harness::{BROKER, Served, code, config_map, endpoint};

fn typed<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

/// A client in the process: no TLS, no socket.
fn in_process() -> (ApiServer, Client) {
    let server = ApiServer::builder().credentials([Credential::admin("admin")]).build();
    let client = Client::new(server.service_as("admin"), "default");
    (server, client)
}

#[tokio::test]
async fn an_object_gets_identity_and_stale_writes_are_refused() {
    let served = Served::start().await;
    let maps: Api<ConfigMap> = Api::default_namespaced(served.client("admin").await);
    let created = maps.create(&PostParams::default(), &typed(config_map("a", "1"))).await.unwrap();
    assert_eq!(created.uid().unwrap().len(), 36);
    assert!(created.creation_timestamp().is_some());
    assert_eq!(code(maps.create(&PostParams::default(), &typed(config_map("a", "1"))).await), 409);

    let mut changed = created.clone();
    changed.data = Some([("key".to_owned(), "2".to_owned())].into());
    let second = maps.replace("a", &PostParams::default(), &changed).await.unwrap();
    assert_ne!(second.resource_version(), created.resource_version());
    assert_eq!(code(maps.replace("a", &PostParams::default(), &changed).await), 409);
    let same = maps.replace("a", &PostParams::default(), &second).await.unwrap();
    assert_eq!(
        same.resource_version(),
        second.resource_version(),
        "a write that changes nothing is no event"
    );
    assert_eq!(code(maps.replace("b", &PostParams::default(), &typed(config_map("b", "1"))).await), 404);
}

#[tokio::test]
async fn generated_names_differ() {
    let (_server, client) = in_process();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let map = typed(json!({"metadata": {"generateName": "m-"}}));
    let one = maps.create(&PostParams::default(), &map).await.unwrap().name_any();
    let two = maps.create(&PostParams::default(), &map).await.unwrap().name_any();
    assert!(one.starts_with("m-") && one.len() == 7 && one != two, "{one} {two}");
}

#[tokio::test]
async fn a_wrong_field_of_a_custom_resource_is_named() {
    let served = Served::start().await;
    let resource = kube::core::ApiResource::erase::<Endpoint>(&());
    let endpoints: Api<DynamicObject> = Api::namespaced_with(served.client("admin").await, BROKER, &resource);
    let mut wrong = endpoint("east");
    wrong["spec"]["subnets"] = json!("10.0.0.0/8");
    wrong["spec"].as_object_mut().unwrap().remove("hostname");
    let refusal = endpoints.create(&PostParams::default(), &typed(wrong)).await.unwrap_err();
    let kube::Error::Api(status) = refusal else { panic!("{refusal}") };
    let fields: Vec<_> = status.details.unwrap().causes.into_iter().map(|cause| cause.field).collect();
    assert_eq!((status.code, fields), (422, vec!["spec.hostname".to_owned(), "spec.subnets".to_owned()]));

    let mut odd = endpoint("east");
    odd["spec"]["unknown"] = json!(1);
    let created = endpoints.create(&PostParams::default(), &typed(odd)).await.unwrap();
    assert_eq!(created.data["spec"].get("unknown"), None);
}

#[tokio::test]
async fn a_custom_resource_is_updated_only_with_its_version() {
    let (_server, client) = in_process();
    let endpoints: Api<Endpoint> = Api::default_namespaced(client);
    let mut object = endpoint("east");
    object["metadata"].as_object_mut().unwrap().remove("namespace");
    let mut object: Endpoint = typed(object);
    let created = endpoints.create(&PostParams::default(), &object).await.unwrap();
    assert_eq!(created.metadata.generation, Some(1));
    let name = created.name_any();
    assert_eq!(code(endpoints.replace(&name, &PostParams::default(), &object).await), 422);
    object.metadata.resource_version = created.resource_version();
    object.spec.hostname = "other".to_owned();
    let replaced = endpoints.replace(&name, &PostParams::default(), &object).await.unwrap();
    assert_eq!(replaced.metadata.generation, Some(2));
}

#[tokio::test]
async fn the_status_of_a_gateway_is_written_with_the_object_and_that_of_a_node_apart() {
    let (server, client) = in_process();
    let node =
        json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"}, "status": {"phase": "a"}});
    server.store().create(node).unwrap();
    let nodes: Api<Node> = Api::all(client.clone());
    let status = json!({"status": {"phase": "b"}, "spec": {"podCIDR": "10.0.0.0/24"}});
    let merge = Patch::Merge(&status);
    let whole = nodes.patch("n", &PatchParams::default(), &merge).await.unwrap();
    assert_eq!(whole.spec.unwrap().pod_cidr.as_deref(), Some("10.0.0.0/24"));
    assert_eq!(whole.status.unwrap().phase.as_deref(), Some("a"));
    let status = json!({"status": {"phase": "b"}, "spec": {"podCIDR": "10.9.0.0/24"}});
    let part = nodes.patch_status("n", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    assert_eq!(part.spec.unwrap().pod_cidr.as_deref(), Some("10.0.0.0/24"));
    assert_eq!(part.status.unwrap().phase.as_deref(), Some("b"));

    let gateways: Api<Gateway> = Api::default_namespaced(client);
    let mut gateway: Gateway = typed(json!({"metadata": {"name": "g"}}));
    gateway.status.ha_status = typed(json!("active"));
    gateway.status.local_endpoint.cluster_id = "east".to_owned();
    let created = gateways.create(&PostParams::default(), &gateway).await.unwrap();
    assert_eq!(created.status.ha_status.as_str(), "active");
    assert_eq!(code(gateways.patch_status("g", &PatchParams::default(), &Patch::Merge(&status)).await), 404);
}

#[tokio::test]
async fn finalizers_hold_an_object_back_and_preconditions_protect_it() {
    let (_server, client) = in_process();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let mut map = config_map("a", "1");
    map["metadata"]["finalizers"] = json!(["example.com/hold"]);
    maps.create(&PostParams::default(), &typed(map)).await.unwrap();
    let other = Preconditions { uid: Some("other".to_owned()), resource_version: None };
    let guarded = DeleteParams::default().preconditions(other);
    assert_eq!(code(maps.delete("a", &guarded).await), 409);
    let pending = maps.delete("a", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert!(pending.metadata.deletion_timestamp.is_some());
    let release = json!({"metadata": {"finalizers": null}});
    maps.patch("a", &PatchParams::default(), &Patch::Merge(&release)).await.unwrap();
    assert_eq!(code(maps.get("a").await), 404);
}

#[tokio::test]
async fn a_namespace_takes_its_content_along_and_must_exist_before_it() {
    let (server, client) = in_process();
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), "gone");
    let mut map = config_map("a", "1");
    map["metadata"]["namespace"] = json!("gone");
    assert_eq!(code(maps.create(&PostParams::default(), &typed(map.clone())).await), 404);
    let namespaces: Api<Namespace> = Api::all(client);
    let namespace: Namespace = typed(json!({"metadata": {"name": "gone"}}));
    let created = namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    assert_eq!(created.status.unwrap().phase.as_deref(), Some("Active"));
    let mut held = map.clone();
    held["metadata"]["name"] = json!("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    maps.create(&PostParams::default(), &typed(map.clone())).await.unwrap();
    maps.create(&PostParams::default(), &typed(held)).await.unwrap();

    namespaces.delete("gone", &DeleteParams::default()).await.unwrap();
    assert_eq!(server.store().list("configmaps", Some("gone")).len(), 1);
    map["metadata"]["name"] = json!("late");
    assert_eq!(code(maps.create(&PostParams::default(), &typed(map)).await), 403);
    let release = json!({"metadata": {"finalizers": null}});
    maps.patch("held", &PatchParams::default(), &Patch::Merge(&release)).await.unwrap();
    assert_eq!(code(namespaces.get("gone").await), 404);
}

#[tokio::test]
async fn lists_are_narrowed_by_labels_and_fields() {
    let (server, client) = in_process();
    for (name, app) in [("a", "web"), ("b", "db"), ("c", "web")] {
        let mut map = config_map(name, "1");
        map["metadata"]["labels"] = json!({"app": app});
        server.store().create(map).unwrap();
    }
    let maps: Api<ConfigMap> = Api::all(client);
    let names = async |params: ListParams| -> Vec<String> {
        maps.list(&params).await.unwrap().items.iter().map(ResourceExt::name_any).collect()
    };
    assert_eq!(names(ListParams::default().labels("app in (web),!x")).await, ["a", "c"]);
    assert_eq!(names(ListParams::default().labels("app=web").fields("metadata.name!=a")).await, ["c"]);
    assert_eq!(names(ListParams::default().limit(1)).await, ["a"]);
    assert_eq!(code(maps.list(&ListParams::default().fields("data.key=1")).await), 400);
}

#[tokio::test]
async fn secrets_written_as_text_are_encoded() {
    let (_server, client) = in_process();
    let secrets: Api<Secret> = Api::default_namespaced(client);
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"psk": "hunter2"}});
    let created = secrets.create(&PostParams::default(), &typed(secret)).await.unwrap();
    assert_eq!(created.data.unwrap()["psk"].0, b"hunter2");
    assert_eq!(created.type_.as_deref(), Some("Opaque"));
}

#[tokio::test]
async fn a_dry_run_leaves_nothing_behind() {
    let (server, client) = in_process();
    let maps: Api<ConfigMap> = Api::default_namespaced(client);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    maps.create(&dry, &typed(config_map("a", "1"))).await.unwrap();
    assert_eq!(server.store().get("configmaps", "default", "a"), None);
}

#[tokio::test]
async fn discovery_names_every_kind() {
    let served = Served::start().await;
    let client = served.client("admin").await;
    let discovery = kube::Discovery::new(client.clone()).run().await.unwrap();
    let mut kinds = 0;
    for group in discovery.groups() {
        kinds += group.recommended_resources().len();
    }
    let served = served.server.store().read(|store| store.kinds().visible().count());
    // Reviews are created and not kept.
    assert_eq!(kinds, served + 6);
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
}

//! What becomes of objects whose owners are deleted, and lists in pages.

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions, PropagationPolicy};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Credential};

use crate::harness::{code, config_map};

fn in_process() -> (ApiServer, Api<ConfigMap>) {
    let server = ApiServer::builder().credentials([Credential::admin("admin")]).build();
    let client = Client::new(server.service_as("admin"), "default");
    (server, Api::default_namespaced(client))
}

async fn create(maps: &Api<ConfigMap>, name: &str, owners: &[&ConfigMap]) -> ConfigMap {
    let mut object = config_map(name, "1");
    let reference = |owner: &&ConfigMap| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": owner.name_any(), "uid": owner.uid(),
            "blockOwnerDeletion": true})
    };
    object["metadata"]["ownerReferences"] = owners.iter().map(reference).collect::<Value>();
    maps.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
}

fn by(policy: PropagationPolicy) -> DeleteParams {
    DeleteParams { propagation_policy: Some(policy), ..DeleteParams::default() }
}

#[tokio::test]
async fn what_is_owned_goes_with_its_last_owner() {
    let (_server, maps) = in_process();
    let (one, two) = (create(&maps, "one", &[]).await, create(&maps, "two", &[]).await);
    create(&maps, "both", &[&one, &two]).await;
    let child = create(&maps, "child", &[&one]).await;
    create(&maps, "grandchild", &[&child]).await;
    maps.delete("one", &DeleteParams::default()).await.unwrap();
    for gone in ["one", "child", "grandchild"] {
        assert_eq!(code(maps.get(gone).await), 404, "{gone}");
    }
    let owners: Vec<_> =
        maps.get("both").await.unwrap().owner_references().iter().map(|owner| owner.name.clone()).collect();
    assert_eq!(owners, ["two"]);
    maps.delete("two", &DeleteParams::default()).await.unwrap();
    assert_eq!(code(maps.get("both").await), 404);
}

#[tokio::test]
async fn orphans_stay_and_an_owner_in_the_foreground_waits() {
    let (_server, maps) = in_process();
    let owner = create(&maps, "owner", &[]).await;
    create(&maps, "child", &[&owner]).await;
    maps.delete("owner", &by(PropagationPolicy::Orphan)).await.unwrap();
    assert_eq!(code(maps.get("owner").await), 404);
    assert!(maps.get("child").await.unwrap().owner_references().is_empty());

    let owner = create(&maps, "owner", &[]).await;
    let mut held = create(&maps, "held", &[&owner]).await;
    held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    maps.replace("held", &PostParams::default(), &held).await.unwrap();
    let pending = maps.delete("owner", &by(PropagationPolicy::Foreground)).await.unwrap().left().unwrap();
    assert_eq!(pending.finalizers(), ["foregroundDeletion"]);
    assert!(maps.get("held").await.unwrap().metadata.deletion_timestamp.is_some());
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    maps.patch("held", &PatchParams::default(), &release).await.unwrap();
    assert_eq!(code(maps.get("owner").await), 404);
}

#[tokio::test]
async fn a_namespace_that_is_owned_or_was_orphaned_goes_after_what_is_in_it() {
    let (server, _maps) = in_process();
    let client = Client::new(server.service_as("admin"), "default");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let nodes: Api<Node> = Api::all(client.clone());
    let node = serde_json::from_value(json!({"metadata": {"name": "owner"}})).unwrap();
    let node = nodes.create(&PostParams::default(), &node).await.unwrap();
    let owned = json!({"metadata": {"name": "n", "finalizers": ["orphan"], "ownerReferences":
        [{"apiVersion": "v1", "kind": "Node", "name": "owner", "uid": node.uid()}]}});
    namespaces.create(&PostParams::default(), &serde_json::from_value(owned).unwrap()).await.unwrap();
    let inside: Api<ConfigMap> = Api::namespaced(client, "n");
    let held = json!({"metadata": {"name": "held", "finalizers": ["example.com/hold"]}});
    inside.create(&PostParams::default(), &serde_json::from_value(held).unwrap()).await.unwrap();
    nodes.delete("owner", &DeleteParams::default()).await.unwrap();
    assert_eq!(namespaces.get("n").await.unwrap().status.unwrap().phase.as_deref(), Some("Terminating"));
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    inside.patch("held", &PatchParams::default(), &release).await.unwrap();
    assert_eq!(code(namespaces.get("n").await), 404);
}

#[tokio::test]
async fn a_deletion_of_many_heeds_its_options() {
    let (_server, maps) = in_process();
    let owner = create(&maps, "owner", &[]).await;
    create(&maps, "child", &[&owner]).await;
    let only = ListParams::default().fields("metadata.name=owner");
    let other = Preconditions { uid: Some("another".to_owned()), resource_version: None };
    let guarded = DeleteParams::default().preconditions(other);
    assert_eq!(code(maps.delete_collection(&guarded, &only).await), 409);
    maps.delete_collection(&by(PropagationPolicy::Orphan), &only).await.unwrap();
    assert_eq!(code(maps.get("owner").await), 404);
    assert!(maps.get("child").await.unwrap().owner_references().is_empty());
}

#[tokio::test]
async fn an_object_whose_owner_never_was_is_deleted() {
    let (_server, maps) = in_process();
    let mut ghost = create(&maps, "ghost", &[]).await;
    ghost.metadata.uid = Some("00000000-0000-0000-0000-000000000000".to_owned());
    create(&maps, "child", &[&ghost]).await;
    assert_eq!(code(maps.get("child").await), 404);
}

#[tokio::test]
async fn an_ending_namespace_is_shown_and_takes_no_new_object() {
    let (server, maps) = in_process();
    let client = Client::new(server.service_as("admin"), "default");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace = serde_json::from_value(json!({"metadata": {"name": "n"}})).unwrap();
    namespaces.create(&PostParams::default(), &namespace).await.unwrap();
    let inside: Api<ConfigMap> = Api::namespaced(client, "n");
    let mut held = config_map("held", "1");
    held["metadata"]["namespace"] = json!("n");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    inside.create(&PostParams::default(), &serde_json::from_value(held).unwrap()).await.unwrap();
    let ending = namespaces.delete("n", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert_eq!(ending.status.unwrap().phase.as_deref(), Some("Terminating"));
    let late = serde_json::from_value(json!({"metadata": {"name": "late"}})).unwrap();
    assert_eq!(code(inside.create(&PostParams::default(), &late).await), 403);
    // Whoever changes a namespace that waits does not end it.
    let label = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    namespaces.patch("n", &PatchParams::default(), &label).await.unwrap();
    assert_eq!(namespaces.get("n").await.unwrap().labels()["a"], "b");
    assert_eq!(inside.get("held").await.unwrap().finalizers(), ["example.com/hold"]);
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    inside.patch("held", &PatchParams::default(), &release).await.unwrap();
    assert_eq!(code(namespaces.get("n").await), 404);
    assert_eq!(code(namespaces.delete("default", &DeleteParams::default()).await), 403);
    drop(maps);
}

#[tokio::test]
async fn pages_of_a_list_show_one_moment() {
    let (server, maps) = in_process();
    for name in ["a", "b", "c", "d", "e"] {
        create(&maps, name, &[]).await;
    }
    let names = |list: &kube::core::ObjectList<ConfigMap>| -> Vec<String> {
        list.items.iter().map(ResourceExt::name_any).collect()
    };
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!((names(&first), first.metadata.remaining_item_count), (vec!["a".into(), "b".into()], Some(3)));
    // What happens between pages is not seen.
    maps.delete("d", &DeleteParams::default()).await.unwrap();
    create(&maps, "cc", &[]).await;
    let change = Patch::Merge(json!({"data": {"key": "2"}}));
    maps.patch("c", &PatchParams::default(), &change).await.unwrap();
    let token = first.metadata.continue_.clone().unwrap();
    let rest = maps.list(&ListParams::default().limit(9).continue_token(&token)).await.unwrap();
    assert_eq!(names(&rest), ["c", "d", "e"]);
    assert_eq!(rest.items[0].data.as_ref().unwrap()["key"], "1");
    assert_eq!(
        (rest.metadata.resource_version, rest.metadata.continue_),
        (first.metadata.resource_version, None)
    );
    server.store().compact();
    assert_eq!(code(maps.list(&ListParams::default().continue_token(&token)).await), 410);
    assert_eq!(code(maps.list(&ListParams::default().continue_token("x")).await), 400);
}

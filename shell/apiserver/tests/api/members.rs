//! A member of a clusterset can harm only itself.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use subm_api::Endpoint;

use crate::harness::{BROKER, Served, code, endpoint};

fn typed(object: Value) -> Endpoint {
    serde_json::from_value(object).unwrap()
}

async fn with_endpoint_of_west() -> (Served, Api<Endpoint>, String) {
    let served = Served::start().await;
    served.server.store().create(endpoint("west")).unwrap();
    let east: Api<Endpoint> = Api::namespaced(served.client("east").await, BROKER);
    (served, east, "west-submariner-cable-west-10-0-0-1".to_owned())
}

#[tokio::test]
async fn a_member_writes_its_own_endpoint_and_reads_all() {
    let (_served, east, _) = with_endpoint_of_west().await;
    let created = east.create(&PostParams::default(), &typed(endpoint("east"))).await.unwrap();
    let mut changed = created.clone();
    changed.spec.subnets = vec!["10.9.0.0/16".to_owned()];
    let name = created.metadata.name.unwrap();
    east.replace(&name, &PostParams::default(), &changed).await.unwrap();
    assert_eq!(east.list(&ListParams::default()).await.unwrap().items.len(), 2);
    east.delete(&name, &DeleteParams::default()).await.unwrap();
}

#[tokio::test]
async fn a_foreign_endpoint_cannot_be_changed_by_any_verb() {
    let (served, east, name) = with_endpoint_of_west().await;
    let live = east.get(&name).await.unwrap();
    let mut stolen = live.clone();
    stolen.metadata.labels = Some([("submariner-io/clusterID".to_owned(), "east".to_owned())].into());
    stolen.spec.cluster_id = "east".to_owned();
    assert_eq!(code(east.replace(&name, &PostParams::default(), &live).await), 403);
    assert_eq!(code(east.replace(&name, &PostParams::default(), &stolen).await), 403);
    assert_eq!(code(east.delete(&name, &DeleteParams::default()).await), 403);
    let label = json!({"metadata": {"labels": {"submariner-io/clusterID": "east"}}});
    assert_eq!(code(east.patch(&name, &PatchParams::default(), &Patch::Merge(&label)).await), 403);
    let mut applied = endpoint("west");
    applied["metadata"]["labels"]["submariner-io/clusterID"] = json!("east");
    applied["spec"]["cluster_id"] = json!("east");
    let force = PatchParams::apply("thief").force();
    assert_eq!(code(east.patch(&name, &force, &Patch::Apply(&applied)).await), 403);

    east.create(&PostParams::default(), &typed(endpoint("east"))).await.unwrap();
    // Its own objects go; that others stay is told.
    let refused = east.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
    assert_eq!(code(refused), 403);
    let left = served.server.store().list("endpoints.submariner.io", Some(BROKER));
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["metadata"]["labels"]["submariner-io/clusterID"], "west");
    assert_eq!(left[0]["metadata"]["resourceVersion"], json!(live.metadata.resource_version.unwrap()));
}

#[tokio::test]
async fn a_member_cannot_speak_for_another_or_occupy_its_name() {
    let served = Served::start().await;
    let east: Api<Endpoint> = Api::namespaced(served.client("east").await, BROKER);
    let create = async |object: Value| east.create(&PostParams::default(), &typed(object)).await;
    assert_eq!(code(create(endpoint("west")).await), 403);
    let mut unlabelled = endpoint("east");
    unlabelled["metadata"].as_object_mut().unwrap().remove("labels");
    assert_eq!(code(create(unlabelled).await), 403);
    let mut lying = endpoint("east");
    lying["spec"]["cluster_id"] = json!("west");
    assert_eq!(code(create(lying).await), 403);
    let mut squatting = endpoint("east");
    squatting["metadata"]["name"] = json!("west-submariner-cable-west-10-0-0-1");
    assert_eq!(code(create(squatting).await), 403);

    let mut own = typed(endpoint("east"));
    own = east.create(&PostParams::default(), &own).await.unwrap();
    let name = own.metadata.name.clone().unwrap();
    own.metadata.labels = Some([("submariner-io/clusterID".to_owned(), "west".to_owned())].into());
    assert_eq!(code(east.replace(&name, &PostParams::default(), &own).await), 403);
}

#[tokio::test]
async fn a_member_sees_no_secret_node_or_other_namespace() {
    let served = Served::start().await;
    let client = served.client("east").await;
    let secrets: Api<Secret> = Api::namespaced(client.clone(), BROKER);
    assert_eq!(code(secrets.get("psk").await), 403);
    assert_eq!(code(secrets.list(&ListParams::default()).await), 403);
    assert_eq!(code(Api::<Node>::all(client.clone()).list(&ListParams::default()).await), 403);
    assert_eq!(code(Api::<Endpoint>::all(client.clone()).list(&ListParams::default()).await), 403);
    assert_eq!(code(Api::<Endpoint>::namespaced(client, "default").list(&ListParams::default()).await), 403);
}

#[tokio::test]
async fn a_member_keeps_leases_of_its_own_only() {
    let served = Served::start().await;
    let leases: Api<Lease> = Api::namespaced(served.client("east").await, BROKER);
    let lease = |name: &str, owner: &str| -> Lease {
        let labels = json!({"submariner-io/clusterID": owner});
        serde_json::from_value(json!({"metadata": {"name": name, "labels": labels}})).unwrap()
    };
    leases.create(&PostParams::default(), &lease("east", "east")).await.unwrap();
    leases.create(&PostParams::default(), &lease("east.heartbeat", "east")).await.unwrap();
    assert_eq!(code(leases.create(&PostParams::default(), &lease("west", "east")).await), 403);
    assert_eq!(code(leases.create(&PostParams::default(), &lease("east-2", "east")).await), 403);
    assert_eq!(code(leases.create(&PostParams::default(), &lease("east.x", "west")).await), 403);
}

#[tokio::test]
async fn a_member_does_not_crowd_out_the_others() {
    let served = Served::start().await;
    let east: Api<Endpoint> = Api::namespaced(served.client("east").await, BROKER);
    let mut large = endpoint("east");
    large["spec"]["backend_config"] = json!({"x": "y".repeat(200_000)});
    assert_eq!(code(east.create(&PostParams::default(), &typed(large)).await), 403);
    let numbered = |number: u8| {
        let mut object = endpoint("east");
        object["metadata"]["name"] = json!(format!("east-submariner-cable-east-10-0-0-{number}"));
        typed(object)
    };
    for number in 0..64 {
        east.create(&PostParams::default(), &numbered(number)).await.unwrap();
    }
    assert_eq!(code(east.create(&PostParams::default(), &numbered(64)).await), 403);
    let west: Api<Endpoint> = Api::namespaced(served.client("west").await, BROKER);
    west.create(&PostParams::default(), &typed(endpoint("west"))).await.unwrap();
}

#[tokio::test]
async fn unknown_tokens_are_unauthorised_and_revoked_ones_become_so() {
    let served = Served::start().await;
    let stranger: Api<Endpoint> = Api::namespaced(served.client("stranger").await, BROKER);
    assert_eq!(code(stranger.list(&ListParams::default()).await), 401);
    let east: Api<Endpoint> = Api::namespaced(served.client("east").await, BROKER);
    east.list(&ListParams::default()).await.unwrap();
    served.server.credentials().revoke("cluster-east");
    assert_eq!(code(east.list(&ListParams::default()).await), 401);
}

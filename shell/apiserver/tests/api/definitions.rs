//! Kinds that are defined through the API.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::runtime::wait::{await_condition, conditions};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Credential};

use crate::harness::code;

fn in_process() -> Client {
    let server = ApiServer::builder().credentials([Credential::admin("admin")]).build();
    Client::new(server.service_as("admin"), "default")
}

fn typed<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

/// The definition of `ships.example.com` in two versions.
fn ships() -> Value {
    let spec = json!({
        "type": "object", "required": ["name"],
        "x-kubernetes-validations": [
            {"rule": "self.replicas <= 9", "message": "at most nine"},
            {"rule": "self.name == oldSelf.name", "message": "the name stays"},
        ],
        "properties": {
            "name": {"type": "string"},
            "replicas": {"type": "integer", "default": 2, "minimum": 0},
            "ports": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port"],
                "items": {"type": "object", "required": ["port"], "properties": {
                    "port": {"type": "integer"}, "name": {"type": "string"}}}},
        },
    });
    let status = json!({"type": "object", "properties": {"replicas": {"type": "integer"}}});
    let schema =
        json!({"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}});
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "schema": schema,
            "subresources": {"status": {}, "scale": {
                "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
            "additionalPrinterColumns": [{"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"}]})
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "ships.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "ships", "kind": "Ship", "shortNames": ["sh"]},
            "versions": [version("v1", true), version("v1beta1", false)],
        },
    })
}

fn api(client: &Client, version: &str) -> Api<DynamicObject> {
    let resource =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("example.com", version, "Ship"), "ships");
    Api::default_namespaced_with(client.clone(), &resource)
}

async fn define(client: &Client) -> Api<CustomResourceDefinition> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    definitions.create(&PostParams::default(), &typed(ships())).await.unwrap();
    let established = conditions::is_crd_established();
    await_condition(definitions.clone(), "ships.example.com", established).await.unwrap();
    definitions
}

fn ship(spec: &Value) -> DynamicObject {
    typed(json!({"apiVersion": "example.com/v1", "kind": "Ship", "metadata": {"name": "a"}, "spec": spec}))
}

#[tokio::test]
async fn a_defined_kind_is_served_defaulted_pruned_and_validated() {
    let client = in_process();
    assert_eq!(code(api(&client, "v1").list(&ListParams::default()).await), 404);
    define(&client).await;
    let ships = api(&client, "v1");
    let post = PostParams::default();
    let created = ships.create(&post, &ship(&json!({"name": "x", "odd": 1}))).await.unwrap();
    assert_eq!(created.data["spec"], json!({"name": "x", "replicas": 2}));
    for wrong in [json!({}), json!({"name": 1}), json!({"name": "x", "replicas": -1})] {
        let mut object = ship(&wrong);
        object.metadata.name = Some("b".to_owned());
        assert_eq!(code(ships.create(&post, &object).await), 422, "{wrong}");
    }
    let patch = |change: Value| Patch::Merge(change);
    let parameters = PatchParams::default();
    let broken = ships.patch("a", &parameters, &patch(json!({"spec": {"replicas": 10}}))).await;
    let Err(kube::Error::Api(status)) = broken else { panic!("{broken:?}") };
    assert_eq!(
        status.message,
        r#"Ship.example.com "a" is invalid: spec: Invalid value: "object": at most nine"#
    );
    assert_eq!(code(ships.patch("a", &parameters, &patch(json!({"spec": {"name": "y"}}))).await), 422);
}

#[tokio::test]
async fn objects_are_read_and_written_in_every_version() {
    let client = in_process();
    define(&client).await;
    let (new, old) = (api(&client, "v1"), api(&client, "v1beta1"));
    new.create(&PostParams::default(), &ship(&json!({"name": "x"}))).await.unwrap();
    let seen = old.get("a").await.unwrap();
    assert_eq!(seen.types.as_ref().unwrap().api_version, "example.com/v1beta1");
    assert_eq!(old.list(&ListParams::default()).await.unwrap().items.len(), 1);
    let change = Patch::Merge(json!({"spec": {"replicas": 3}}));
    let changed = old.patch("a", &PatchParams::default(), &change).await.unwrap();
    assert_eq!(changed.types.as_ref().unwrap().api_version, "example.com/v1beta1");
    let seen = new.get("a").await.unwrap();
    assert_eq!(
        (&seen.data["spec"]["replicas"], seen.types.unwrap().api_version),
        (&json!(3), "example.com/v1".into())
    );
}

#[tokio::test]
async fn status_and_scale_are_written_apart() {
    let client = in_process();
    define(&client).await;
    let ships = api(&client, "v1");
    ships.create(&PostParams::default(), &ship(&json!({"name": "x"}))).await.unwrap();
    let change = Patch::Merge(json!({"spec": {"replicas": 5}, "status": {"replicas": 4}}));
    let changed = ships.patch_status("a", &PatchParams::default(), &change).await.unwrap();
    assert_eq!(
        (&changed.data["spec"]["replicas"], &changed.data["status"]["replicas"]),
        (&json!(2), &json!(4))
    );
    let scale = ships.get_scale("a").await.unwrap();
    let (spec, status) = (scale.spec.unwrap(), scale.status.unwrap());
    assert_eq!((spec.replicas, status.replicas), (Some(2), 4));
    let change = Patch::Merge(json!({"spec": {"replicas": 7}}));
    ships.patch_scale("a", &PatchParams::default(), &change).await.unwrap();
    let object = ships.get("a").await.unwrap();
    assert_eq!(object.data["spec"]["replicas"], json!(7));
    let managers: Vec<_> =
        object.managed_fields().iter().filter_map(|entry| entry.subresource.clone()).collect();
    assert_eq!(managers, ["scale", "status"]);
}

#[tokio::test]
async fn elements_of_lists_are_owned_by_their_keys() {
    let client = in_process();
    define(&client).await;
    let ships = api(&client, "v1");
    let apply = async |manager: &str, port: u16| {
        let object = json!({"apiVersion": "example.com/v1", "kind": "Ship", "metadata": {"name": "a"},
            "spec": {"name": "x", "ports": [{"port": port, "name": manager}]}});
        ships.patch("a", &PatchParams::apply(manager), &Patch::Apply(object)).await.unwrap()
    };
    apply("one", 1).await;
    let both = apply("two", 2).await;
    assert_eq!(both.data["spec"]["ports"], json!([{"port": 1, "name": "one"}, {"port": 2, "name": "two"}]));
    let moved = apply("one", 3).await;
    assert_eq!(moved.data["spec"]["ports"], json!([{"port": 2, "name": "two"}, {"port": 3, "name": "one"}]));
}

#[tokio::test]
async fn a_definition_that_is_wrong_is_refused_with_the_place() {
    let client = in_process();
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    let mut wrong = ships();
    let schema = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
    *wrong.pointer_mut(&format!("{schema}/x-kubernetes-validations/0/rule")).unwrap() = json!("nobody(self)");
    *wrong.pointer_mut("/spec/versions/1/storage").unwrap() = json!(true);
    let refused = definitions.create(&PostParams::default(), &typed(wrong)).await;
    let Err(kube::Error::Api(status)) = refused else { panic!("{refused:?}") };
    let fields: Vec<_> = status.details.unwrap().causes.into_iter().map(|cause| cause.field).collect();
    let rule = "spec.versions[0].schema.openAPIV3Schema.properties[spec].x-kubernetes-validations[0].rule";
    assert_eq!(fields, ["spec.versions", rule]);
}

#[tokio::test]
async fn a_definition_whose_names_are_taken_is_not_established() {
    let client = in_process();
    let definitions = define(&client).await;
    let mut other = ships();
    other["metadata"]["name"] = json!("vessels.example.com");
    other["spec"]["names"] = json!({"plural": "vessels", "kind": "Ship"});
    definitions.create(&PostParams::default(), &typed(other)).await.unwrap();
    let found = definitions.get("vessels.example.com").await.unwrap();
    let conditions = found.status.unwrap().conditions.unwrap();
    let reasons: Vec<_> =
        conditions.iter().map(|known| (known.type_.as_str(), known.status.as_str())).collect();
    assert_eq!(reasons, [("NamesAccepted", "False"), ("Established", "False")]);
}

#[tokio::test]
async fn objects_go_with_their_definition() {
    let client = in_process();
    let definitions = define(&client).await;
    let ships = api(&client, "v1");
    let mut held = ship(&json!({"name": "x"}));
    held.metadata.finalizers = Some(vec!["example.com/hold".to_owned()]);
    ships.create(&PostParams::default(), &held).await.unwrap();
    definitions.delete("ships.example.com", &DeleteParams::default()).await.unwrap();
    let definition = definitions.get("ships.example.com").await.unwrap();
    assert_eq!(definition.finalizers(), ["customresourcecleanup.apiextensions.k8s.io"]);
    let mut late = ship(&json!({"name": "y"}));
    late.metadata.name = Some("late".to_owned());
    assert_eq!(code(ships.create(&PostParams::default(), &late).await), 405);
    let release = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    ships.patch("a", &PatchParams::default(), &release).await.unwrap();
    assert_eq!(code(definitions.get("ships.example.com").await), 404);
    assert_eq!(code(ships.list(&ListParams::default()).await), 404);
    define(&client).await;
    assert_eq!(ships.list(&ListParams::default()).await.unwrap().items.len(), 0);
}

#[tokio::test]
async fn a_changed_definition_shows_its_defaults_in_kept_objects() {
    let client = in_process();
    let definitions = define(&client).await;
    let ships_api = api(&client, "v1");
    ships_api.create(&PostParams::default(), &ship(&json!({"name": "x"}))).await.unwrap();
    let mut changed = ships();
    for version in 0..2 {
        let place = format!("/spec/versions/{version}/schema/openAPIV3Schema/properties/spec/properties");
        changed.pointer_mut(&place).unwrap()["flag"] = json!({"type": "string", "default": "none"});
    }
    let apply = PatchParams::apply("test").force();
    definitions.patch("ships.example.com", &apply, &Patch::Apply(changed)).await.unwrap();
    assert_eq!(ships_api.get("a").await.unwrap().data["spec"]["flag"], json!("none"));
}

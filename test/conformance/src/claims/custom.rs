//! Custom resources: ours, and one that uses everything that a definition may say.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::claims::Claim;
use crate::definitions;
use crate::ground::{Ground, Patch, same, text};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "our definitions are installed, established and unchanged",
        proof: |ground| Box::pin(ours(ground)),
    },
    Claim {
        says: "an object that our schema does not take is invalid, field by field",
        proof: |ground| Box::pin(invalid(ground)),
    },
    Claim {
        says: "a custom resource is not replaced without its version",
        proof: |ground| Box::pin(versionless(ground)),
    },
    Claim {
        says: "fields that the schema does not name are pruned, and told where that is asked for",
        proof: |ground| Box::pin(pruned(ground)),
    },
    Claim {
        says: "a new definition is served at once, and its objects go with it",
        proof: |ground| Box::pin(definition(ground)),
    },
    Claim { says: "a wrong definition is invalid", proof: |ground| Box::pin(bad_definition(ground)) },
    Claim { says: "defaults of the schema are filled in", proof: |ground| Box::pin(defaults(ground)) },
    Claim {
        says: "CEL rules are kept, on creation and in comparison with the object before",
        proof: |ground| Box::pin(rules(ground)),
    },
    Claim {
        says: "status is written through its subresource alone and raises no generation",
        proof: |ground| Box::pin(status(ground)),
    },
    Claim {
        says: "scale reads and writes the replicas that the definition names",
        proof: |ground| Box::pin(scale(ground)),
    },
    Claim {
        says: "printer columns make the table, with priorities",
        proof: |ground| Box::pin(columns(ground)),
    },
    Claim { says: "selectable fields select", proof: |ground| Box::pin(selectable(ground)) },
];

async fn ours(ground: Ground) -> Result<()> {
    for definition in definitions::ours()? {
        let name = text(&definition, "/metadata/name")?;
        let found = ground.get(&format!("{DEFINITIONS}/{name}")).await?.wants(200)?;
        let conditions = found["status"]["conditions"].as_array().context("there are no conditions")?;
        for wanted in ["NamesAccepted", "Established"] {
            let is = |condition: &Value| condition["type"] == wanted && condition["status"] == "True";
            ensure!(conditions.iter().any(is), "{name} is not {wanted}");
        }
        same(&found, "/spec/versions/0/schema", &definition["spec"]["versions"][0]["schema"])?;
        same(&found, "/status/storedVersions", &json!(["v1"]))?;
    }
    Ok(())
}

async fn invalid(ground: Ground) -> Result<()> {
    let mut cluster = super::cluster("east");
    cluster["spec"]["cluster_id"] = json!(7);
    cluster["spec"]["service_cidr"] = json!("10.0.0.0/8");
    let status =
        ground.post(&ground.path("submariner.io/v1/clusters"), &cluster).await?.refuses(422, "Invalid")?;
    same(&status, "/details/name", &json!("east"))?;
    same(&status, "/details/kind", &json!("Cluster"))?;
    let causes = status["details"]["causes"].as_array().context("there are no causes")?;
    for field in ["spec.cluster_id", "spec.service_cidr"] {
        let of = |cause: &&Value| cause["field"] == field && cause["reason"] == "FieldValueTypeInvalid";
        ensure!(causes.iter().any(|cause| of(&cause)), "no cause names {field}");
    }
    let message = text(&status, "/message")?;
    let part = "spec.cluster_id: Invalid value: \"integer\": spec.cluster_id in body must be of type string: \"integer\"";
    ensure!(message.contains(part), "the message is {message:?}");
    Ok(())
}

async fn versionless(ground: Ground) -> Result<()> {
    let created = ground.create("submariner.io/v1/clusters", &super::cluster("east")).await?;
    same(&created, "/metadata/generation", &json!(1))?;
    let path = ground.at("submariner.io/v1/clusters", "east");
    let status = ground.put(&path, &super::cluster("east")).await?.refuses(422, "Invalid")?;
    same(&status, "/details/causes/0/field", &json!("metadata.resourceVersion"))
}

async fn pruned(ground: Ground) -> Result<()> {
    let mut cluster = super::cluster("east");
    cluster["spec"]["unknown"] = json!(1);
    let path = ground.path("submariner.io/v1/clusters");
    let strict = ground.post(&format!("{path}?fieldValidation=Strict"), &cluster).await?;
    let message = text(&strict.refuses(400, "BadRequest")?, "/message")?;
    ensure!(message.contains("unknown field \"spec.unknown\""), "the message is {message:?}");
    let warned = ground.post(&format!("{path}?fieldValidation=Warn"), &cluster).await?;
    same(&warned.wants(201)?, "/spec/unknown", &Value::Null)?;
    ensure!(warned.headers.contains_key(http::header::WARNING), "nothing is told");
    Ok(())
}

/// A kind of this claim's own.
struct Kind {
    group: String,
    definition: Value,
}

impl Kind {
    fn new(ground: &Ground) -> Self {
        let group = format!("{}.example.com", ground.namespace);
        let count = json!({"type": "integer", "minimum": 0, "maximum": 9, "default": 3});
        let mode = json!({"type": "string", "enum": ["fast", "safe"], "default": "safe"});
        let parts = json!({
            "type": "array", "maxItems": 3, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "size": {"type": "integer", "default": 1}}},
        });
        let rules = json!([
            {"rule": "self.count <= 5 || self.mode == 'safe'", "message": "more than five is not fast"},
            {"rule": "!has(oldSelf.fixed) || self.fixed == oldSelf.fixed", "message": "fixed is fixed"},
        ]);
        let properties = json!({"count": count, "mode": mode, "parts": parts, "fixed": {"type": "string", "pattern": "^[a-z]+$"}, "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        let spec = json!({"type": "object", "default": {"count": 3, "mode": "safe"}, "properties": properties, "x-kubernetes-validations": rules});
        let status = json!({"type": "object", "properties": {"ready": {"type": "integer"}, "selector": {"type": "string"}}});
        let version = json!({
            "name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec, "status": status}}},
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.count", "statusReplicasPath": ".status.ready", "labelSelectorPath": ".status.selector"}},
            "additionalPrinterColumns": [
                {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
                {"name": "Count", "type": "integer", "jsonPath": ".spec.count", "priority": 1},
                {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
            ],
            "selectableFields": [{"jsonPath": ".spec.mode"}],
        });
        let names = json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList", "shortNames": ["wd"]});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("widgets.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
        });
        Self { group, definition }
    }

    async fn install(ground: &Ground) -> Result<Self> {
        let kind = Self::new(ground);
        definitions::install(ground, &kind.definition).await?;
        Ok(kind)
    }

    fn resource(&self) -> String {
        format!("{}/v1/widgets", self.group)
    }

    fn object(&self, name: &str, spec: &Value) -> Value {
        json!({"apiVersion": format!("{}/v1", self.group), "kind": "Widget", "metadata": {"name": name}, "spec": spec})
    }

    async fn create(&self, ground: &Ground, spec: &Value) -> Result<Value> {
        ground.create(&self.resource(), &self.object("w", spec)).await
    }

    fn path(&self, ground: &Ground) -> String {
        ground.at(&self.resource(), "w")
    }

    /// The definition is no part of a namespace, so it goes by hand.
    async fn remove(&self, ground: &Ground) -> Result<()> {
        let path = format!("{DEFINITIONS}/widgets.{}", self.group);
        ground.delete(&path).await?.wants(200)?;
        ground.gone("the definition", &path).await
    }
}

async fn definition(ground: Ground) -> Result<()> {
    let kind = Kind::install(&ground).await?;
    kind.create(&ground, &json!({})).await?;
    let groups = ground.get(&format!("/apis/{}", kind.group)).await?.wants(200)?;
    same(&groups, "/versions/0/version", &json!("v1"))?;
    let path = format!("{DEFINITIONS}/widgets.{}", kind.group);
    let found = ground.get(&path).await?.wants(200)?;
    same(&found, "/status/acceptedNames/shortNames", &json!(["wd"]))?;
    kind.remove(&ground).await?;
    ground
        .until("the resource is no longer served", || async {
            ground.get(&ground.path(&kind.resource())).await?.wants(404)
        })
        .await
        .map(drop)
}

async fn bad_definition(ground: Ground) -> Result<()> {
    let kind = Kind::new(&ground);
    let mut misnamed = kind.definition.clone();
    misnamed["metadata"]["name"] = json!("other.example.com");
    let mut shapeless = kind.definition.clone();
    shapeless["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["count"] =
        json!({});
    let mut ruleless = kind.definition.clone();
    ruleless["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] =
        json!([{"rule": "self.nothing == 1"}]);
    for wrong in [misnamed, shapeless, ruleless] {
        ground.post(DEFINITIONS, &wrong).await?.refuses(422, "Invalid")?;
    }
    Ok(())
}

async fn defaults(ground: Ground) -> Result<()> {
    let kind = Kind::install(&ground).await?;
    let object = kind.create(&ground, &json!({"parts": [{"name": "a"}], "free": {"any": 1}})).await?;
    let wanted = json!({"count": 3, "mode": "safe", "parts": [{"name": "a", "size": 1}], "free": {"any": 1}});
    same(&object, "/spec", &wanted)?;
    let mut bare = kind.object("bare", &json!({}));
    bare["spec"].take();
    let bare = ground.create(&kind.resource(), &bare).await?;
    same(&bare, "/spec", &json!({"count": 3, "mode": "safe"}))?;
    kind.remove(&ground).await
}

async fn rules(ground: Ground) -> Result<()> {
    let kind = Kind::install(&ground).await?;
    for (spec, part) in [
        (json!({"count": 7, "mode": "fast"}), "more than five is not fast"),
        (json!({"count": 10}), "should be less than or equal to 9"),
        (json!({"mode": "slow"}), "Unsupported value: \"slow\": supported values: \"fast\", \"safe\""),
        (json!({"fixed": "A"}), "should match '^[a-z]+$'"),
        (json!({"parts": [{"name": "a"}, {"name": "a"}]}), "Duplicate value"),
        (json!({"parts": [{}]}), "spec.parts[0].name: Required value"),
    ] {
        let answer = ground.post(&ground.path(&kind.resource()), &kind.object("w", &spec)).await?;
        let message = text(&answer.refuses(422, "Invalid")?, "/message")?;
        ensure!(message.contains(part), "the message is {message:?} and does not say {part:?}");
    }
    kind.create(&ground, &json!({"fixed": "a"})).await?;
    let change = json!({"spec": {"fixed": "b"}});
    let answer = ground.patch(&kind.path(&ground), Patch::Merge, &change).await?;
    let message = text(&answer.refuses(422, "Invalid")?, "/message")?;
    ensure!(message.contains("fixed is fixed"), "the message is {message:?}");
    kind.remove(&ground).await
}

async fn status(ground: Ground) -> Result<()> {
    let kind = Kind::install(&ground).await?;
    let mut object = kind.object("w", &json!({}));
    object["status"] = json!({"ready": 1});
    let created = ground.create(&kind.resource(), &object).await?;
    same(&created, "/status", &Value::Null)?;
    let path = kind.path(&ground);
    let both = json!({"status": {"ready": 2}, "spec": {"count": 4}});
    let whole = ground.patch(&path, Patch::Merge, &both).await?.wants(200)?;
    same(&whole, "/status", &Value::Null)?;
    same(&whole, "/spec/count", &json!(4))?;
    same(&whole, "/metadata/generation", &json!(2))?;
    let both = json!({"status": {"ready": 2}, "spec": {"count": 5}});
    let part = ground.patch(&format!("{path}/status"), Patch::Merge, &both).await?.wants(200)?;
    same(&part, "/status/ready", &json!(2))?;
    same(&part, "/spec/count", &json!(4))?;
    same(&part, "/metadata/generation", &json!(2))?;
    kind.remove(&ground).await
}

async fn scale(ground: Ground) -> Result<()> {
    let kind = Kind::install(&ground).await?;
    kind.create(&ground, &json!({})).await?;
    let path = format!("{}/scale", kind.path(&ground));
    let scale = ground.get(&path).await?.wants(200)?;
    same(&scale, "/kind", &json!("Scale"))?;
    same(&scale, "/apiVersion", &json!("autoscaling/v1"))?;
    same(&scale, "/spec/replicas", &json!(3))?;
    let written = ground.patch(&path, Patch::Merge, &json!({"spec": {"replicas": 5}})).await?.wants(200)?;
    same(&written, "/spec/replicas", &json!(5))?;
    let object = ground.get(&kind.path(&ground)).await?.wants(200)?;
    same(&object, "/spec/count", &json!(5))?;
    kind.remove(&ground).await
}

async fn columns(ground: Ground) -> Result<()> {
    let kind = Kind::install(&ground).await?;
    kind.create(&ground, &json!({})).await?;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io";
    let table = ground.get_as(&ground.path(&kind.resource()), accept).await?.wants(200)?;
    let columns = table["columnDefinitions"].as_array().context("there are no columns")?;
    let told: Vec<_> =
        columns.iter().map(|column| (column["name"].as_str(), column["priority"].as_u64())).collect();
    let wanted =
        [(Some("Name"), Some(0)), (Some("Mode"), Some(0)), (Some("Count"), Some(1)), (Some("Age"), Some(0))];
    ensure!(told == wanted, "the columns are {told:?}");
    same(&table, "/rows/0/cells/1", &json!("safe"))?;
    same(&table, "/rows/0/cells/2", &json!(3))?;
    kind.remove(&ground).await
}

async fn selectable(ground: Ground) -> Result<()> {
    let kind = Kind::install(&ground).await?;
    for (name, mode) in [("a", "fast"), ("b", "safe")] {
        ground.create(&kind.resource(), &kind.object(name, &json!({"mode": mode}))).await?;
    }
    let path = format!("{}?fieldSelector=spec.mode%3Dfast", ground.path(&kind.resource()));
    let list = ground.get(&path).await?.wants(200)?;
    same(&list, "/items/0/metadata/name", &json!("a"))?;
    same(&list, "/items/1", &Value::Null)?;
    let path = format!("{}?fieldSelector=spec.count%3D3", ground.path(&kind.resource()));
    ground.get(&path).await?.refuses(400, "BadRequest")?;
    kind.remove(&ground).await
}

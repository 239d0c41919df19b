//! Server-side apply: who owns which field.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::claims::Claim;
use crate::ground::{Ground, Patch, config_map, same, text};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "applying creates an object and records the fields that were named",
        proof: |ground| Box::pin(creation(ground)),
    },
    Claim {
        says: "another manager's value is a conflict that names manager and field",
        proof: |ground| Box::pin(conflict(ground)),
    },
    Claim { says: "force takes a field over", proof: |ground| Box::pin(force(ground)) },
    Claim {
        says: "a field that its only manager no longer applies is removed",
        proof: |ground| Box::pin(dropped(ground)),
    },
    Claim {
        says: "a field that two managers apply stays until both leave it out",
        proof: |ground| Box::pin(shared(ground)),
    },
    Claim { says: "applying the same again keeps the version", proof: |ground| Box::pin(again(ground)) },
    Claim { says: "apply needs a field manager", proof: |ground| Box::pin(nameless(ground)) },
    Claim {
        says: "writes that do not apply are recorded as updates of their manager",
        proof: |ground| Box::pin(update(ground)),
    },
    Claim {
        says: "lists with keys are merged element by element",
        proof: |ground| Box::pin(keyed_list(ground)),
    },
    Claim {
        says: "the status subresource is applied and recorded apart",
        proof: |ground| Box::pin(status(ground)),
    },
    Claim {
        says: "applying an object with managed fields is refused",
        proof: |ground| Box::pin(managed_fields_sent(ground)),
    },
    Claim { says: "YAML is applied as JSON is", proof: |ground| Box::pin(yaml(ground)) },
];

fn fields(object: &Value, manager: &str, operation: &str) -> Result<Value> {
    let entries = object["metadata"]["managedFields"].as_array().context("there are no managed fields")?;
    let entry = entries.iter().find(|entry| entry["manager"] == manager && entry["operation"] == operation);
    Ok(entry.with_context(|| format!("{manager} has no entry for {operation}"))?.clone())
}

async fn creation(ground: Ground) -> Result<()> {
    let path = ground.at("configmaps", "a");
    let object = ground.patch(&path, Patch::Apply("one"), &config_map("a", "1")).await?.wants(201)?;
    let entry = fields(&object, "one", "Apply")?;
    same(&entry, "/fieldsType", &json!("FieldsV1"))?;
    same(&entry, "/apiVersion", &json!("v1"))?;
    same(&entry, "/fieldsV1", &json!({"f:data": {"f:key": {}}}))?;
    text(&entry, "/time")?;
    let more = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "labels": {"l": "1"}}, "data": {"other": "2"}});
    let object = ground.patch(&path, Patch::Apply("two"), &more).await?.wants(200)?;
    same(&object, "/data", &json!({"key": "1", "other": "2"}))?;
    same(
        &fields(&object, "two", "Apply")?,
        "/fieldsV1",
        &json!({"f:data": {"f:other": {}}, "f:metadata": {"f:labels": {"f:l": {}}}}),
    )
}

async fn conflict(ground: Ground) -> Result<()> {
    let path = ground.at("configmaps", "a");
    ground.patch(&path, Patch::Apply("one"), &config_map("a", "1")).await?.wants(201)?;
    let status =
        ground.patch(&path, Patch::Apply("two"), &config_map("a", "2")).await?.refuses(409, "Conflict")?;
    let message = "Apply failed with 1 conflict: conflict with \"one\": .data.key";
    same(&status, "/message", &json!(message))?;
    let cause =
        json!({"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".data.key"});
    same(&status, "/details/causes", &json!([cause]))
}

async fn force(ground: Ground) -> Result<()> {
    let path = ground.at("configmaps", "a");
    ground.patch(&path, Patch::Apply("one"), &config_map("a", "1")).await?.wants(201)?;
    let object = ground.patch(&path, Patch::Force("two"), &config_map("a", "2")).await?.wants(200)?;
    same(&object, "/data/key", &json!("2"))?;
    ensure!(fields(&object, "one", "Apply").is_err(), "the first manager still owns something");
    fields(&object, "two", "Apply").map(drop)
}

fn of(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

async fn dropped(ground: Ground) -> Result<()> {
    let path = ground.at("configmaps", "a");
    ground.patch(&path, Patch::Apply("one"), &of(&json!({"k": "1", "l": "1"}))).await?.wants(201)?;
    let object = ground.patch(&path, Patch::Apply("one"), &of(&json!({"k": "1"}))).await?.wants(200)?;
    same(&object, "/data", &json!({"k": "1"}))
}

async fn shared(ground: Ground) -> Result<()> {
    let path = ground.at("configmaps", "a");
    for (manager, code) in [("one", 201), ("two", 200)] {
        ground.patch(&path, Patch::Apply(manager), &of(&json!({"k": "1", "l": "1"}))).await?.wants(code)?;
    }
    let object = ground.patch(&path, Patch::Apply("one"), &of(&json!({"k": "1"}))).await?.wants(200)?;
    same(&object, "/data", &json!({"k": "1", "l": "1"}))?;
    let object = ground.patch(&path, Patch::Apply("two"), &of(&json!({"k": "1"}))).await?.wants(200)?;
    same(&object, "/data", &json!({"k": "1"}))
}

async fn again(ground: Ground) -> Result<()> {
    let path = ground.at("configmaps", "a");
    let first = ground.patch(&path, Patch::Apply("one"), &config_map("a", "1")).await?.wants(201)?;
    let second = ground.patch(&path, Patch::Apply("one"), &config_map("a", "1")).await?.wants(200)?;
    ensure!(first == second, "applying the same changes the object");
    Ok(())
}

async fn nameless(ground: Ground) -> Result<()> {
    let request = http::Request::patch(ground.at("configmaps", "a"))
        .header(http::header::CONTENT_TYPE, "application/apply-patch+yaml")
        .body(config_map("a", "1").to_string().into_bytes())?;
    let status = ground.send(request).await?.refuses(422, "Invalid")?;
    same(&status, "/details/causes/0/field", &json!("fieldManager"))
}

async fn update(ground: Ground) -> Result<()> {
    let path = format!("{}?fieldManager=writer", ground.path("configmaps"));
    let object = ground.post(&path, &config_map("a", "1")).await?.wants(201)?;
    same(&fields(&object, "writer", "Update")?, "/fieldsV1", &json!({"f:data": {".": {}, "f:key": {}}}))?;
    let path = ground.at("configmaps", "a");
    let status =
        ground.patch(&path, Patch::Apply("one"), &config_map("a", "2")).await?.refuses(409, "Conflict")?;
    let message = text(&status, "/message")?;
    ensure!(message.contains("conflict with \"writer\" using v1"), "the message is {message:?}");
    let object = ground.patch(&path, Patch::Apply("one"), &config_map("a", "1")).await?.wants(200)?;
    fields(&object, "writer", "Update")?;
    fields(&object, "one", "Apply").map(drop)
}

fn service(ports: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}})
}

async fn keyed_list(ground: Ground) -> Result<()> {
    let path = ground.at("services", "s");
    let first = service(&json!([{"name": "dns", "port": 53, "protocol": "UDP"}]));
    ground.patch(&path, Patch::Apply("one"), &first).await?.wants(201)?;
    let second = service(&json!([{"name": "web", "port": 80, "protocol": "TCP"}]));
    let object = ground.patch(&path, Patch::Apply("two"), &second).await?.wants(200)?;
    let names = |object: &Value| {
        let ports = object["spec"]["ports"].as_array().cloned().unwrap_or_default();
        ports.iter().map(|port| port["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    ensure!(names(&object) == ["dns", "web"], "the ports are {:?}", names(&object));
    same(
        &fields(&object, "two", "Apply")?,
        "/fieldsV1/f:spec/f:ports",
        &json!({"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}, "f:port": {}, "f:protocol": {}}}),
    )?;
    let object = ground.patch(&path, Patch::Apply("one"), &service(&json!([]))).await?.wants(200)?;
    ensure!(names(&object) == ["web"], "the ports are {:?}", names(&object));
    Ok(())
}

async fn status(ground: Ground) -> Result<()> {
    let path = ground.at("services", "s");
    ground.patch(&path, Patch::Apply("one"), &service(&json!([{"port": 80}]))).await?.wants(201)?;
    let ingress = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}});
    let status = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"type": "ClusterIP"}, "status": ingress});
    let whole = ground.patch(&path, Patch::Apply("two"), &status).await?.wants(200)?;
    same(&whole, "/status", &json!({"loadBalancer": {}}))?;
    let condition = json!({"type": "Ready", "status": "True", "reason": "Is", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
    let status = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "status": {"conditions": [condition]}});
    let object = ground.patch(&format!("{path}/status"), Patch::Apply("two"), &status).await?.wants(200)?;
    same(&object, "/status/conditions/0/type", &json!("Ready"))?;
    let entries = object["metadata"]["managedFields"].as_array().context("there are no managed fields")?;
    let apart = entries.iter().find(|entry| entry["manager"] == "two" && entry["subresource"] == "status");
    ensure!(apart.is_some(), "no entry is of the subresource");
    Ok(())
}

async fn managed_fields_sent(ground: Ground) -> Result<()> {
    let path = ground.at("configmaps", "a");
    let object = ground.patch(&path, Patch::Apply("one"), &config_map("a", "1")).await?.wants(201)?;
    let mut sent = config_map("a", "1");
    sent["metadata"]["managedFields"] = object["metadata"]["managedFields"].clone();
    ground.patch(&path, Patch::Apply("one"), &sent).await?.refuses(400, "BadRequest")?;
    Ok(())
}

async fn yaml(ground: Ground) -> Result<()> {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  key: |\n    two\n    lines\n";
    let request = http::Request::patch(format!("{}?fieldManager=one", ground.at("configmaps", "a")))
        .header(http::header::CONTENT_TYPE, "application/apply-patch+yaml")
        .body(text.as_bytes().to_vec())?;
    let object = ground.send(request).await?.wants(201)?;
    same(&object, "/data/key", &json!("two\nlines\n"))
}

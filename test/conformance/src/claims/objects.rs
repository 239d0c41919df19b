//! Creating, reading, replacing and deleting single objects.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::claims::Claim;
use crate::ground::{Ground, Patch, config_map, same, text};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "a created object gets a UID, a version and a time",
        proof: |ground| Box::pin(created(ground)),
    },
    Claim {
        says: "a second creation under the same name is a conflict",
        proof: |ground| Box::pin(second_creation(ground)),
    },
    Claim {
        says: "a missing object is not found, and the message names it",
        proof: |ground| Box::pin(missing(ground)),
    },
    Claim {
        says: "generateName makes a new name each time",
        proof: |ground| Box::pin(generated_names(ground)),
    },
    Claim {
        says: "a write from a stale version is a conflict",
        proof: |ground| Box::pin(stale_write(ground)),
    },
    Claim {
        says: "a write without a version replaces built-in objects",
        proof: |ground| Box::pin(versionless_write(ground)),
    },
    Claim {
        says: "a write that changes nothing keeps the version",
        proof: |ground| Box::pin(unchanged_write(ground)),
    },
    Claim {
        says: "a finalizer delays the deletion until it is removed",
        proof: |ground| Box::pin(finalizer(ground)),
    },
    Claim {
        says: "a deletion with a foreign UID or version is a conflict",
        proof: |ground| Box::pin(preconditions(ground)),
    },
    Claim { says: "a name that no object may have is invalid", proof: |ground| Box::pin(bad_name(ground)) },
    Claim {
        says: "name and namespace of the body must be those of the path",
        proof: |ground| Box::pin(other_place(ground)),
    },
    Claim { says: "a dry run changes nothing", proof: |ground| Box::pin(dry_run(ground)) },
    Claim {
        says: "an object needs a namespace that exists",
        proof: |ground| Box::pin(missing_namespace(ground)),
    },
    Claim { says: "a body that is no object is a bad request", proof: |ground| Box::pin(bad_body(ground)) },
    Claim { says: "a collection is deleted by selector", proof: |ground| Box::pin(collection(ground)) },
];

async fn created(ground: Ground) -> Result<()> {
    let object = ground.config_map("a", "1").await?;
    ensure!(text(&object, "/metadata/uid")?.len() == 36, "the UID is no UUID");
    ensure!(text(&object, "/metadata/resourceVersion")?.parse::<u64>().is_ok(), "the version is no number");
    ensure!(text(&object, "/metadata/creationTimestamp")?.ends_with('Z'), "the time is not in UTC");
    same(&object, "/metadata/namespace", &json!(ground.namespace))?;
    same(&object, "/kind", &json!("ConfigMap"))?;
    let read = ground.get(&ground.at("configmaps", "a")).await?.wants(200)?;
    ensure!(read == object, "what is read differs from what was answered");
    Ok(())
}

async fn second_creation(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    let answer = ground.post(&ground.path("configmaps"), &config_map("a", "2")).await?;
    let status = answer.refuses(409, "AlreadyExists")?;
    same(&status, "/message", &json!("configmaps \"a\" already exists"))?;
    same(&status, "/details", &json!({"name": "a", "kind": "configmaps"}))
}

async fn missing(ground: Ground) -> Result<()> {
    let status = ground.get(&ground.at("configmaps", "a")).await?.refuses(404, "NotFound")?;
    same(&status, "/message", &json!("configmaps \"a\" not found"))?;
    same(&status, "/details", &json!({"name": "a", "kind": "configmaps"}))?;
    let lease = ground.get(&ground.at("coordination.k8s.io/v1/leases", "l")).await?;
    let status = lease.refuses(404, "NotFound")?;
    same(&status, "/message", &json!("leases.coordination.k8s.io \"l\" not found"))?;
    same(&status, "/details/group", &json!("coordination.k8s.io"))
}

async fn generated_names(ground: Ground) -> Result<()> {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "of-"}});
    let first = text(&ground.create("configmaps", &object).await?, "/metadata/name")?;
    let created = ground.create("configmaps", &object).await?;
    let second = text(&created, "/metadata/name")?;
    same(&created, "/metadata/generateName", &json!("of-"))?;
    ensure!(first != second, "both are named the same");
    for name in [first, second] {
        ensure!(
            name.starts_with("of-") && name.len() == 8,
            "a generated name is {} letters long",
            name.len()
        );
    }
    Ok(())
}

async fn stale_write(ground: Ground) -> Result<()> {
    let mut object = ground.config_map("a", "1").await?;
    let path = ground.at("configmaps", "a");
    let mut stale = object.clone();
    object["data"]["key"] = json!("2");
    let written = ground.put(&path, &object).await?.wants(200)?;
    ensure!(
        written["metadata"]["resourceVersion"] != stale["metadata"]["resourceVersion"],
        "a change keeps the version"
    );
    stale["data"]["key"] = json!("3");
    let status = ground.put(&path, &stale).await?.refuses(409, "Conflict")?;
    let message = "Operation cannot be fulfilled on configmaps \"a\": the object has been modified; please apply \
                   your changes to the latest version and try again";
    same(&status, "/message", &json!(message))?;
    let change =
        json!({"metadata": {"resourceVersion": stale["metadata"]["resourceVersion"]}, "data": {"key": "4"}});
    ground.patch(&path, Patch::Merge, &change).await?.refuses(409, "Conflict")?;
    Ok(())
}

async fn versionless_write(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    let path = ground.at("configmaps", "a");
    let written = ground.put(&path, &config_map("a", "2")).await?.wants(200)?;
    same(&written, "/data/key", &json!("2"))?;
    let lost = ground.put(&ground.at("configmaps", "b"), &config_map("b", "1")).await?;
    lost.refuses(404, "NotFound")?;
    Ok(())
}

async fn unchanged_write(ground: Ground) -> Result<()> {
    let object = ground.config_map("a", "1").await?;
    let path = ground.at("configmaps", "a");
    let version = object["metadata"]["resourceVersion"].clone();
    let written = ground.put(&path, &object).await?.wants(200)?;
    same(&written, "/metadata/resourceVersion", &version)?;
    let patched = ground.patch(&path, Patch::Merge, &json!({"data": {"key": "1"}})).await?.wants(200)?;
    same(&patched, "/metadata/resourceVersion", &version)
}

async fn finalizer(ground: Ground) -> Result<()> {
    let mut object = config_map("a", "1");
    object["metadata"]["finalizers"] = json!(["example.com/wait"]);
    ground.create("configmaps", &object).await?;
    let path = ground.at("configmaps", "a");
    let pending = ground.delete(&path).await?.wants(200)?;
    ensure!(pending["kind"] == "ConfigMap", "the answer to a pending deletion is no ConfigMap");
    let there = ground.get(&path).await?.wants(200)?;
    text(&there, "/metadata/deletionTimestamp")?;
    same(&there, "/metadata/deletionGracePeriodSeconds", &json!(0))?;
    let added = json!({"metadata": {"finalizers": ["example.com/wait", "example.com/more"]}});
    ground.patch(&path, Patch::Merge, &added).await?.refuses(422, "Invalid")?;
    ground.patch(&path, Patch::Merge, &json!({"metadata": {"finalizers": null}})).await?.wants(200)?;
    ground.get(&path).await?.refuses(404, "NotFound")?;
    Ok(())
}

async fn preconditions(ground: Ground) -> Result<()> {
    let object = ground.config_map("a", "1").await?;
    let path = ground.at("configmaps", "a");
    let options = |preconditions: Value| json!({"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions});
    for foreign in [json!({"uid": "00000000-0000-0000-0000-000000000000"}), json!({"resourceVersion": "1"})] {
        let answer = ground.ask(http::Method::DELETE, &path, Some(&options(foreign))).await?;
        answer.refuses(409, "Conflict")?;
    }
    let ours = options(json!({"uid": object["metadata"]["uid"]}));
    let status = ground.ask(http::Method::DELETE, &path, Some(&ours)).await?.wants(200)?;
    same(&status, "/status", &json!("Success"))?;
    same(&status, "/details/uid", &object["metadata"]["uid"])
}

async fn bad_name(ground: Ground) -> Result<()> {
    let answer = ground.post(&ground.path("configmaps"), &config_map("No_Name", "1")).await?;
    let status = answer.refuses(422, "Invalid")?;
    same(&status, "/details/kind", &json!("ConfigMap"))?;
    same(&status, "/details/causes/0/field", &json!("metadata.name"))?;
    same(&status, "/details/causes/0/reason", &json!("FieldValueInvalid"))?;
    let nameless = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}});
    let status = ground.post(&ground.path("configmaps"), &nameless).await?.refuses(422, "Invalid")?;
    same(&status, "/details/causes/0/reason", &json!("FieldValueRequired"))?;
    let mut labelled = config_map("a", "1");
    labelled["metadata"]["labels"] = json!({"a b": "c"});
    let status = ground.post(&ground.path("configmaps"), &labelled).await?.refuses(422, "Invalid")?;
    same(&status, "/details/causes/0/field", &json!("metadata.labels"))
}

async fn other_place(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    ground.put(&ground.at("configmaps", "a"), &config_map("b", "1")).await?.refuses(400, "BadRequest")?;
    let mut object = config_map("b", "1");
    object["metadata"]["namespace"] = json!("default");
    ground.post(&ground.path("configmaps"), &object).await?.refuses(400, "BadRequest")?;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}});
    ground.post(&ground.path("configmaps"), &secret).await?.refuses(400, "BadRequest")?;
    Ok(())
}

async fn dry_run(ground: Ground) -> Result<()> {
    let path = format!("{}?dryRun=All", ground.path("configmaps"));
    let object = ground.post(&path, &config_map("a", "1")).await?.wants(201)?;
    text(&object, "/metadata/uid")?;
    ground.get(&ground.at("configmaps", "a")).await?.refuses(404, "NotFound")?;
    ground.config_map("a", "1").await?;
    let path = format!("{}?dryRun=All", ground.at("configmaps", "a"));
    ground.put(&path, &config_map("a", "2")).await?.wants(200)?;
    ground.delete(&path).await?.wants(200)?;
    let there = ground.get(&ground.at("configmaps", "a")).await?.wants(200)?;
    same(&there, "/data/key", &json!("1"))
}

async fn missing_namespace(ground: Ground) -> Result<()> {
    let answer = ground.post("/api/v1/namespaces/nowhere/configmaps", &config_map("a", "1")).await?;
    let status = answer.refuses(404, "NotFound")?;
    same(&status, "/message", &json!("namespaces \"nowhere\" not found"))?;
    let list = ground.get("/api/v1/namespaces/nowhere/configmaps").await?.wants(200)?;
    same(&list, "/items", &json!([]))
}

async fn bad_body(ground: Ground) -> Result<()> {
    for body in ["", "{", "[]", "\"text\"", "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"data\": 1}"]
    {
        let request =
            http::Request::post(ground.path("configmaps")).header("content-type", "application/json");
        ground.send(request.body(body.as_bytes().to_vec())?).await?.refuses(400, "BadRequest")?;
    }
    Ok(())
}

async fn collection(ground: Ground) -> Result<()> {
    for (name, of) in [("a", "x"), ("b", "x"), ("c", "y")] {
        let mut object = config_map(name, "1");
        object["metadata"]["labels"] = json!({"of": of});
        ground.create("configmaps", &object).await?;
    }
    let path = ground.path("configmaps");
    ground.delete(&format!("{path}?labelSelector=of%3Dx")).await?.wants(200)?;
    for gone in ["a", "b"] {
        ground.get(&ground.at("configmaps", gone)).await?.refuses(404, "NotFound")?;
    }
    ground.get(&ground.at("configmaps", "c")).await?.wants(200)?;
    Ok(())
}

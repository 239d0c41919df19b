//! JSON patches, merge patches and strategic merge patches.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::claims::Claim;
use crate::ground::{Ground, Patch, config_map, same};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "a JSON patch adds, replaces, removes, moves and tests",
        proof: |ground| Box::pin(json_patch(ground)),
    },
    Claim {
        says: "a JSON patch whose test fails, or whose path is missing, is invalid and changes nothing",
        proof: |ground| Box::pin(failing_json_patch(ground)),
    },
    Claim {
        says: "a merge patch sets values, removes nulls and replaces lists",
        proof: |ground| Box::pin(merge(ground)),
    },
    Claim {
        says: "a strategic merge patch merges lists by their keys and deletes by directive",
        proof: |ground| Box::pin(strategic(ground)),
    },
    Claim {
        says: "a strategic merge patch replaces a list by directive",
        proof: |ground| Box::pin(strategic_replace(ground)),
    },
    Claim {
        says: "a strategic merge patch of a custom resource is an unsupported media type",
        proof: |ground| Box::pin(strategic_custom(ground)),
    },
    Claim {
        says: "a patch of an unknown type is an unsupported media type",
        proof: |ground| Box::pin(unknown(ground)),
    },
    Claim { says: "a patch of a missing object is not found", proof: |ground| Box::pin(missing(ground)) },
    Claim { says: "neither name nor UID can be changed", proof: |ground| Box::pin(identity(ground)) },
];

async fn json_patch(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    let change = json!([
        {"op": "test", "path": "/data/key", "value": "1"},
        {"op": "add", "path": "/data/b", "value": "2"},
        {"op": "copy", "from": "/data/b", "path": "/data/c"},
        {"op": "move", "from": "/data/key", "path": "/data/d"},
        {"op": "replace", "path": "/data/b", "value": "3"},
        {"op": "add", "path": "/metadata/labels", "value": {"l": "1"}},
    ]);
    let object = ground.patch(&ground.at("configmaps", "a"), Patch::Json, &change).await?.wants(200)?;
    same(&object, "/data", &json!({"b": "3", "c": "2", "d": "1"}))?;
    same(&object, "/metadata/labels", &json!({"l": "1"}))
}

async fn failing_json_patch(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    let path = ground.at("configmaps", "a");
    for wrong in [
        json!([{"op": "add", "path": "/data/b", "value": "2"}, {"op": "test", "path": "/data/key", "value": "2"}]),
        json!([{"op": "remove", "path": "/data/none"}]),
    ] {
        ground.patch(&path, Patch::Json, &wrong).await?.refuses(422, "Invalid")?;
    }
    ground.patch(&path, Patch::Json, &json!({"data": {}})).await?.refuses(400, "BadRequest")?;
    let object = ground.get(&path).await?.wants(200)?;
    same(&object, "/data", &json!({"key": "1"}))
}

async fn merge(ground: Ground) -> Result<()> {
    let mut object = config_map("a", "1");
    object["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    ground.create("configmaps", &object).await?;
    let path = ground.at("configmaps", "a");
    let change = json!({"data": {"key": null, "b": "2"}, "metadata": {"finalizers": ["example.com/c"]}});
    let object = ground.patch(&path, Patch::Merge, &change).await?.wants(200)?;
    same(&object, "/data", &json!({"b": "2"}))?;
    same(&object, "/metadata/finalizers", &json!(["example.com/c"]))?;
    let object =
        ground.patch(&path, Patch::Merge, &json!({"metadata": {"finalizers": null}})).await?.wants(200)?;
    same(&object, "/metadata/finalizers", &Value::Null)
}

fn pod() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {
            "containers": [{"name": "one", "image": "example.com/one"}, {"name": "two", "image": "example.com/two"}],
            "tolerations": [{"key": "a", "operator": "Exists"}],
        },
    })
}

async fn strategic(ground: Ground) -> Result<()> {
    super::accounts_are_there(&ground).await?;
    ground.create("pods", &pod()).await?;
    let path = ground.at("pods", "p");
    let change = json!({"spec": {"containers": [{"name": "two", "image": "example.com/other"}]}});
    let object = ground.patch(&path, Patch::Strategic, &change).await?.wants(200)?;
    same(&object, "/spec/containers/0/image", &json!("example.com/one"))?;
    same(&object, "/spec/containers/1/image", &json!("example.com/other"))?;
    let mut map = config_map("a", "1");
    map["metadata"]["finalizers"] = json!(["example.com/a", "example.com/b"]);
    ground.create("configmaps", &map).await?;
    let path = ground.at("configmaps", "a");
    let change = json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a"]}, "data": {"$patch": "replace", "b": "2"}});
    let object = ground.patch(&path, Patch::Strategic, &change).await?.wants(200)?;
    same(&object, "/metadata/finalizers", &json!(["example.com/b"]))?;
    same(&object, "/data", &json!({"b": "2"}))?;
    ground.patch(&path, Patch::Merge, &json!({"metadata": {"finalizers": null}})).await?.wants(200)?;
    Ok(())
}

async fn strategic_replace(ground: Ground) -> Result<()> {
    let ports = json!([{"name": "a", "port": 80}, {"name": "b", "port": 81}, {"name": "c", "port": 82}]);
    let service =
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": ports}});
    ground.create("services", &service).await?;
    let path = ground.at("services", "s");
    let change = json!({"spec": {"ports": [{"port": 81, "$patch": "delete"}]}});
    let object = ground.patch(&path, Patch::Strategic, &change).await?.wants(200)?;
    let names = |object: &Value| {
        let ports = object["spec"]["ports"].as_array().cloned().unwrap_or_default();
        ports.iter().map(|port| port["name"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    ensure!(names(&object) == ["a", "c"], "the ports are {:?}", names(&object));
    let change = json!({"spec": {"ports": [{"$patch": "replace"}, {"name": "d", "port": 83}]}});
    let object = ground.patch(&path, Patch::Strategic, &change).await?.wants(200)?;
    ensure!(names(&object) == ["d"], "the ports are {:?}", names(&object));
    Ok(())
}

async fn strategic_custom(ground: Ground) -> Result<()> {
    ground.create("submariner.io/v1/clusters", &super::cluster("east")).await?;
    let path = ground.at("submariner.io/v1/clusters", "east");
    let answer = ground.patch(&path, Patch::Strategic, &json!({"metadata": {"labels": {"a": "b"}}})).await?;
    answer.refuses(415, "UnsupportedMediaType")?;
    Ok(())
}

async fn unknown(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    let request =
        http::Request::patch(ground.at("configmaps", "a")).header("content-type", "application/json");
    ground.send(request.body(b"{}".to_vec())?).await?.refuses(415, "UnsupportedMediaType")?;
    Ok(())
}

async fn missing(ground: Ground) -> Result<()> {
    for patch in [Patch::Merge, Patch::Strategic] {
        let answer = ground.patch(&ground.at("configmaps", "a"), patch, &json!({"data": {"k": "1"}})).await?;
        answer.refuses(404, "NotFound")?;
    }
    Ok(())
}

async fn identity(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    let path = ground.at("configmaps", "a");
    ground
        .patch(&path, Patch::Merge, &json!({"metadata": {"name": "b"}}))
        .await?
        .refuses(400, "BadRequest")?;
    let uid = json!({"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}});
    ground.patch(&path, Patch::Merge, &uid).await?.refuses(422, "Invalid")?;
    let mut object = config_map("a", "2");
    object["metadata"]["uid"] = uid["metadata"]["uid"].clone();
    ground.put(&path, &object).await?.refuses(409, "Conflict")?;
    Ok(())
}

//! What goes with what: owners, namespaces.

use anyhow::{Result, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::claims::Claim;
use crate::ground::{Answer, Ground, Patch, config_map, same};

pub(super) const CLAIMS: &[Claim] = &[
    Claim { says: "what an object owns is deleted after it", proof: |ground| Box::pin(background(ground)) },
    Claim {
        says: "what an orphaning object owns stays and loses its owner",
        proof: |ground| Box::pin(orphan(ground)),
    },
    Claim {
        says: "an object that is deleted in the foreground waits for what it owns",
        proof: |ground| Box::pin(foreground(ground)),
    },
    Claim { says: "an object with a second owner stays", proof: |ground| Box::pin(second_owner(ground)) },
    Claim {
        says: "an object whose owner never was is deleted",
        proof: |ground| Box::pin(foreign_owner(ground)),
    },
    Claim {
        says: "a deleted namespace takes its objects with it",
        proof: |ground| Box::pin(namespace(ground)),
    },
    Claim {
        says: "a namespace that ends takes no new object and waits for finalizers",
        proof: |ground| Box::pin(ending_namespace(ground)),
    },
    Claim {
        says: "a namespace is Active, labelled with its name and finalized by Kubernetes",
        proof: |ground| Box::pin(new_namespace(ground)),
    },
    Claim {
        says: "the namespaces of the system may not be deleted",
        proof: |ground| Box::pin(system_namespaces(ground)),
    },
];

fn owner(object: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "name": object["metadata"]["name"], "uid": object["metadata"]["uid"]})
}

/// An owner and what it owns.
async fn family(ground: &Ground) -> Result<()> {
    let parent = ground.config_map("parent", "1").await?;
    let mut child = config_map("child", "1");
    child["metadata"]["ownerReferences"] = json!([owner(&parent)]);
    ground.create("configmaps", &child).await?;
    Ok(())
}

async fn delete(ground: &Ground, name: &str, policy: &str) -> Result<Answer> {
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    ground.ask(Method::DELETE, &ground.at("configmaps", name), Some(&options)).await
}

async fn background(ground: Ground) -> Result<()> {
    family(&ground).await?;
    delete(&ground, "parent", "Background").await?.wants(200)?;
    ground.get(&ground.at("configmaps", "parent")).await?.refuses(404, "NotFound")?;
    ground.gone("what was owned", &ground.at("configmaps", "child")).await
}

async fn orphan(ground: Ground) -> Result<()> {
    family(&ground).await?;
    delete(&ground, "parent", "Orphan").await?.wants(200)?;
    ground.gone("the owner", &ground.at("configmaps", "parent")).await?;
    let child = ground.get(&ground.at("configmaps", "child")).await?.wants(200)?;
    same(&child, "/metadata/ownerReferences", &Value::Null)
}

async fn foreground(ground: Ground) -> Result<()> {
    let parent = ground.config_map("parent", "1").await?;
    let mut child = config_map("child", "1");
    child["metadata"]["ownerReferences"] = json!([owner(&parent)]);
    child["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(true);
    child["metadata"]["finalizers"] = json!(["example.com/wait"]);
    ground.create("configmaps", &child).await?;
    let pending = delete(&ground, "parent", "Foreground").await?.wants(200)?;
    same(&pending, "/metadata/finalizers", &json!(["foregroundDeletion"]))?;
    ground
        .until("what is owned is deleted", || async {
            let child = ground.get(&ground.at("configmaps", "child")).await?.wants(200)?;
            ensure!(!child["metadata"]["deletionTimestamp"].is_null(), "it is not");
            Ok(())
        })
        .await?;
    ground.get(&ground.at("configmaps", "parent")).await?.wants(200)?;
    let change = json!({"metadata": {"finalizers": null}});
    ground.patch(&ground.at("configmaps", "child"), Patch::Merge, &change).await?.wants(200)?;
    ground.gone("the owner", &ground.at("configmaps", "parent")).await
}

async fn second_owner(ground: Ground) -> Result<()> {
    let (one, two) = (ground.config_map("one", "1").await?, ground.config_map("two", "1").await?);
    let mut child = config_map("child", "1");
    child["metadata"]["ownerReferences"] = json!([owner(&one), owner(&two)]);
    ground.create("configmaps", &child).await?;
    delete(&ground, "one", "Background").await?.wants(200)?;
    ground
        .until("the owner that is gone is forgotten", || async {
            let child = ground.get(&ground.at("configmaps", "child")).await?.wants(200)?;
            let owners = child["metadata"]["ownerReferences"].as_array().map_or(0, Vec::len);
            ensure!(owners == 1, "there are {owners} owners");
            same(&child, "/metadata/ownerReferences/0/name", &json!("two"))
        })
        .await
}

async fn foreign_owner(ground: Ground) -> Result<()> {
    let mut child = config_map("child", "1");
    let uid = "00000000-0000-4000-8000-000000000000";
    child["metadata"]["ownerReferences"] =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "never", "uid": uid}]);
    ground.create("configmaps", &child).await?;
    ground.gone("what was owned", &ground.at("configmaps", "child")).await
}

/// A second namespace.
async fn second(ground: &Ground) -> Result<Ground> {
    let name = format!("{}-two", ground.namespace);
    let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    ground.post("/api/v1/namespaces", &object).await?.wants(201)?;
    Ok(Ground { namespace: name, ..ground.clone() })
}

async fn namespace(ground: Ground) -> Result<()> {
    let second = second(&ground).await?;
    second.config_map("a", "1").await?;
    second.create("submariner.io/v1/clusters", &super::cluster("east")).await?;
    let path = format!("/api/v1/namespaces/{}", second.namespace);
    let answer = ground.delete(&path).await?.wants(200)?;
    same(&answer, "/status/phase", &json!("Terminating"))?;
    ground.gone("the namespace", &path).await?;
    second.get(&second.at("configmaps", "a")).await?.refuses(404, "NotFound")?;
    second.get(&second.at("submariner.io/v1/clusters", "east")).await?.refuses(404, "NotFound")?;
    Ok(())
}

async fn ending_namespace(ground: Ground) -> Result<()> {
    let second = second(&ground).await?;
    let mut object = config_map("a", "1");
    object["metadata"]["finalizers"] = json!(["example.com/wait"]);
    second.create("configmaps", &object).await?;
    let path = format!("/api/v1/namespaces/{}", second.namespace);
    ground.delete(&path).await?.wants(200)?;
    let status =
        second.post(&second.path("configmaps"), &config_map("b", "1")).await?.refuses(403, "Forbidden")?;
    same(&status, "/details/causes/0/reason", &json!("NamespaceTerminating"))?;
    ground
        .until("its content is told", || async {
            let namespace = ground.get(&path).await?.wants(200)?;
            let conditions = namespace["status"]["conditions"].as_array().cloned().unwrap_or_default();
            let waits = |condition: &Value| {
                condition["type"] == "NamespaceFinalizersRemaining" && condition["status"] == "True"
            };
            ensure!(conditions.iter().any(waits), "no condition says that it waits");
            Ok(())
        })
        .await?;
    let change = json!({"metadata": {"finalizers": null}});
    second.patch(&second.at("configmaps", "a"), Patch::Merge, &change).await?.wants(200)?;
    ground.gone("the namespace", &path).await
}

async fn new_namespace(ground: Ground) -> Result<()> {
    let namespace = ground.get(&format!("/api/v1/namespaces/{}", ground.namespace)).await?.wants(200)?;
    same(&namespace, "/status/phase", &json!("Active"))?;
    same(&namespace, "/spec/finalizers", &json!(["kubernetes"]))?;
    same(&namespace, "/metadata/labels", &json!({"kubernetes.io/metadata.name": ground.namespace}))?;
    ground
        .until("it has a root certificate", || async {
            let map = ground.get(&ground.at("configmaps", "kube-root-ca.crt")).await?.wants(200)?;
            ensure!(map["data"]["ca.crt"] == json!(ground.api.authority), "it is another");
            Ok(())
        })
        .await?;
    super::accounts_are_there(&ground).await
}

async fn system_namespaces(ground: Ground) -> Result<()> {
    for name in ["default", "kube-system", "kube-public"] {
        let answer = ground.delete(&format!("/api/v1/namespaces/{name}?dryRun=All")).await?;
        answer.refuses(403, "Forbidden")?;
    }
    Ok(())
}

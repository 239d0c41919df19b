//! Collections: selectors, pages, versions.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::claims::Claim;
use crate::ground::{Answer, Ground, config_map, same, text};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "a list has the kind, a version and its objects by name",
        proof: |ground| Box::pin(list(ground)),
    },
    Claim {
        says: "objects in lists of built-in kinds do not repeat their kind, those of custom ones do",
        proof: |ground| Box::pin(kinds_of_items(ground)),
    },
    Claim {
        says: "label selectors compare, and ask for sets and for presence",
        proof: |ground| Box::pin(labels(ground)),
    },
    Claim {
        says: "field selectors ask for names and for the fields of a kind",
        proof: |ground| Box::pin(fields(ground)),
    },
    Claim {
        says: "a selector that cannot be read, or names an unknown field, is a bad request",
        proof: |ground| Box::pin(bad_selectors(ground)),
    },
    Claim {
        says: "pages of a list continue at one version and tell how much remains",
        proof: |ground| Box::pin(pages(ground)),
    },
    Claim {
        says: "a continuation that the server did not make is a bad request",
        proof: |ground| Box::pin(bad_continuation(ground)),
    },
    Claim {
        says: "a list of all namespaces holds the objects of each",
        proof: |ground| Box::pin(all_namespaces(ground)),
    },
    Claim {
        says: "a list at version 0 is answered at once, at a version to come it is refused with a time to wait",
        proof: |ground| Box::pin(versions(ground)),
    },
    Claim {
        says: "a list that must not be older than a version holds what was written at it",
        proof: |ground| Box::pin(not_older(ground)),
    },
];

fn names(answer: &Answer) -> Result<Vec<String>> {
    let list = answer.wants(200)?;
    let items = list["items"].as_array().context("the list has no items")?;
    items.iter().map(|item| text(item, "/metadata/name")).collect()
}

/// ConfigMaps a, b and c, of x, x and y; c has one label more.
async fn three(ground: &Ground) -> Result<()> {
    for (name, labels) in
        [("c", json!({"of": "y", "more": ""})), ("a", json!({"of": "x"})), ("b", json!({"of": "x"}))]
    {
        let mut object = config_map(name, "1");
        object["metadata"]["labels"] = labels;
        ground.create("configmaps", &object).await?;
    }
    Ok(())
}

/// The root certificate that a controller publishes into each namespace is left out.
fn query(ground: &Ground, selector: &str) -> String {
    format!("{}?{selector}", ground.path("configmaps"))
}

async fn list(ground: Ground) -> Result<()> {
    three(&ground).await?;
    let answer = ground.get(&query(&ground, "labelSelector=of")).await?;
    let list = answer.wants(200)?;
    same(&list, "/kind", &json!("ConfigMapList"))?;
    same(&list, "/apiVersion", &json!("v1"))?;
    let version = text(&list, "/metadata/resourceVersion")?;
    ensure!(version.parse::<u64>().is_ok(), "the version of a list is no number");
    ensure!(names(&answer)? == ["a", "b", "c"], "the objects are not in the order of their names");
    let empty = ground.get(&ground.path("secrets")).await?.wants(200)?;
    same(&empty, "/items", &json!([]))
}

async fn kinds_of_items(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    let list = ground.get(&query(&ground, "fieldSelector=metadata.name%3Da")).await?.wants(200)?;
    same(&list, "/items/0/kind", &Value::Null)?;
    same(&list, "/items/0/apiVersion", &Value::Null)?;
    ground.create("submariner.io/v1/clusters", &super::cluster("east")).await?;
    let list = ground.get(&ground.path("submariner.io/v1/clusters")).await?.wants(200)?;
    same(&list, "/items/0/kind", &json!("Cluster"))?;
    same(&list, "/items/0/apiVersion", &json!("submariner.io/v1"))
}

async fn labels(ground: Ground) -> Result<()> {
    three(&ground).await?;
    for (selector, wanted) in [
        ("of%3Dx", &["a", "b"][..]),
        ("of%3D%3Dy", &["c"]),
        ("of,of!%3Dx", &["c"]),
        ("of+in+(x,z)", &["a", "b"]),
        ("of,of+notin+(x,z)", &["c"]),
        ("more", &["c"]),
        ("of,!more", &["a", "b"]),
        ("of%3Dx,more", &[]),
    ] {
        let found = names(&ground.get(&query(&ground, &format!("labelSelector={selector}"))).await?)?;
        ensure!(found == wanted, "{selector} selects {found:?}, not {wanted:?}");
    }
    Ok(())
}

async fn fields(ground: Ground) -> Result<()> {
    three(&ground).await?;
    for (selector, wanted) in [
        ("metadata.name%3Db".to_owned(), &["b"][..]),
        (format!("metadata.namespace%3D{},metadata.name%3D%3Da", ground.namespace), &["a"]),
    ] {
        let found = names(&ground.get(&query(&ground, &format!("fieldSelector={selector}"))).await?)?;
        ensure!(found == wanted, "a field selector selects {found:?}, not {wanted:?}");
    }
    for (name, kind) in [("s", "Opaque"), ("t", "example.com/other")] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind});
        ground.create("secrets", &secret).await?;
    }
    let path = format!("{}?fieldSelector=type%3DOpaque", ground.path("secrets"));
    ensure!(names(&ground.get(&path).await?)? == ["s"], "Secrets are not selected by type");
    let path = format!("{}?fieldSelector=type!%3DOpaque", ground.path("secrets"));
    ensure!(names(&ground.get(&path).await?)? == ["t"], "Secrets are not selected by another type");
    Ok(())
}

async fn bad_selectors(ground: Ground) -> Result<()> {
    for wrong in ["labelSelector=a%3D%3D%3Db", "labelSelector=of+in", "fieldSelector=data.key%3D1"] {
        ground.get(&query(&ground, wrong)).await?.refuses(400, "BadRequest")?;
    }
    Ok(())
}

async fn pages(ground: Ground) -> Result<()> {
    for number in 0..5 {
        let mut object = config_map(&format!("m{number}"), "1");
        object["metadata"]["labels"] = json!({"of": "x"});
        ground.create("configmaps", &object).await?;
    }
    let first = ground.get(&query(&ground, "limit=2")).await?;
    let list = first.wants(200)?;
    ensure!(
        list["items"].as_array().is_some_and(|items| items.len() == 2),
        "a page of two has not two objects"
    );
    ensure!(
        list["metadata"]["remainingItemCount"].as_u64().is_some_and(|count| count >= 3),
        "the first page does not say how many objects remain"
    );
    let version = list["metadata"]["resourceVersion"].clone();
    let mut token = text(&list, "/metadata/continue")?;
    let mut all = names(&first)?;
    // Made after the first page, so not on any.
    ground.config_map("m9", "1").await?;
    while !token.is_empty() {
        let page = ground.get(&query(&ground, &format!("limit=2&continue={token}"))).await?;
        let list = page.wants(200)?;
        same(&list, "/metadata/resourceVersion", &version)?;
        all.extend(names(&page)?);
        list["metadata"]["continue"].as_str().unwrap_or_default().clone_into(&mut token);
    }
    all.retain(|name| name.starts_with('m'));
    ensure!(all == ["m0", "m1", "m2", "m3", "m4"], "the pages hold {all:?}");
    let chosen = ground.get(&query(&ground, "limit=2&labelSelector=of")).await?.wants(200)?;
    same(&chosen, "/metadata/remainingItemCount", &Value::Null)
}

async fn bad_continuation(ground: Ground) -> Result<()> {
    ground.get(&query(&ground, "limit=2&continue=nonsense")).await?.refuses(400, "BadRequest")?;
    Ok(())
}

async fn all_namespaces(ground: Ground) -> Result<()> {
    let mut object = config_map("a", "1");
    object["metadata"]["labels"] = json!({"claim": ground.namespace});
    ground.create("configmaps", &object).await?;
    let path = format!("/api/v1/configmaps?labelSelector=claim%3D{}", ground.namespace);
    let list = ground.get(&path).await?.wants(200)?;
    same(&list, "/items/0/metadata/namespace", &json!(ground.namespace))?;
    let status = ground.post("/api/v1/configmaps", &config_map("b", "1")).await?;
    ensure!(status.code == 405, "an object is created outside of namespaces: {}", status.code);
    Ok(())
}

async fn versions(ground: Ground) -> Result<()> {
    ground.get(&query(&ground, "resourceVersion=0")).await?.wants(200)?;
    let far = query(&ground, "resourceVersion=999999999999999999");
    let status = ground.get(&far).await?.refuses(504, "Timeout")?;
    same(&status, "/details/causes/0/reason", &json!("ResourceVersionTooLarge"))?;
    ensure!(status["details"]["retryAfterSeconds"].is_u64(), "no time to wait is told");
    ground.get(&query(&ground, "resourceVersion=nonsense")).await?.refuses(400, "BadRequest")?;
    Ok(())
}

async fn not_older(ground: Ground) -> Result<()> {
    let object = ground.config_map("a", "1").await?;
    let version = text(&object, "/metadata/resourceVersion")?;
    let selector = format!("resourceVersion={version}&resourceVersionMatch=NotOlderThan");
    let found = names(&ground.get(&query(&ground, &selector)).await?)?;
    ensure!(found.contains(&"a".to_owned()), "what was written is missing");
    let alone = ground.get(&query(&ground, "resourceVersionMatch=NotOlderThan")).await?;
    ensure!(matches!(alone.code, 400 | 422), "a match without a version is answered {}", alone.code);
    Ok(())
}

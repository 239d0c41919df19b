//! Which groups, versions and resources there are.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kinds::KindId;

/// The answer to a discovery path, if it is one.
pub(crate) fn answer(path: &str) -> Option<Value> {
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        [] => Some(json!({"paths": paths()})),
        ["version"] => Some(version()),
        ["api"] => Some(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        })),
        ["apis"] => {
            let groups: Vec<_> = groups().into_iter().map(|(name, version)| group(name, version)).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] => {
            let version = *groups().get(name)?;
            let mut group = group(name, version);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            Some(group)
        }
        ["api", version] => resources("", version),
        ["apis", group, version] => resources(group, version),
        _ => None,
    }
}

fn groups() -> BTreeMap<&'static str, &'static str> {
    KindId::all().filter(|kind| !kind.group.is_empty()).map(|kind| (kind.group, kind.version)).collect()
}

fn paths() -> Vec<String> {
    let fixed = ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/readyz", "/version"];
    let groups = groups().into_iter();
    let below =
        groups.flat_map(|(name, version)| [format!("/apis/{name}"), format!("/apis/{name}/{version}")]);
    let mut paths: Vec<_> = fixed.into_iter().map(str::to_owned).chain(below).collect();
    paths.sort();
    paths
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "33",
        "gitVersion": concat!("v1.33.0+submariner-", env!("CARGO_PKG_VERSION")),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

fn group(name: &str, version: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/{version}"), "version": version});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn resources(group: &str, version: &str) -> Option<Value> {
    let kinds: Vec<_> = KindId::all().filter(|kind| kind.group == group && kind.version == version).collect();
    let api_version = kinds.first()?.api_version();
    let resources: Vec<_> = kinds.into_iter().flat_map(resource).collect();
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": resources,
    }))
}

fn resource(kind: KindId) -> Vec<Value> {
    let mut entries = vec![json!({
        "name": kind.plural,
        "singularName": kind.singular(),
        "namespaced": kind.is_namespaced(),
        "kind": kind.name,
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": kind.short,
    })];
    if kind.has_status_subresource() {
        entries.push(json!({
            "name": format!("{}/status", kind.plural),
            "singularName": "",
            "namespaced": kind.is_namespaced(),
            "kind": kind.name,
            "verbs": ["get", "patch", "update"],
        }));
    }
    entries
}

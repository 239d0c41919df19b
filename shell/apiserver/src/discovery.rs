//! Which groups, versions and resources there are.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::kinds::{KindId, Kinds};
use crate::reviews;

/// The answer to a discovery path, if it is one.
pub(crate) fn answer(path: &str, kinds: &Kinds) -> Option<Value> {
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    match segments.as_slice() {
        [] => Some(json!({"paths": paths(kinds)})),
        ["version"] => Some(version()),
        ["api"] => Some(json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        })),
        ["apis"] => {
            let groups: Vec<_> =
                groups(kinds).into_iter().map(|(name, versions)| group(name, &versions)).collect();
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}))
        }
        ["apis", name] => {
            let mut group = group(name, groups(kinds).get(name)?);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            Some(group)
        }
        ["api", version] => resources(kinds, "", version),
        ["apis", group, version] => resources(kinds, group, version),
        _ => None,
    }
}

/// The versions of each group, the preferred one first.
fn groups(kinds: &Kinds) -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut groups = BTreeMap::<_, Vec<_>>::new();
    for kind in kinds.visible().filter(|kind| !kind.group.is_empty()) {
        let versions = groups.entry(kind.group).or_default();
        if !versions.contains(&kind.version) {
            versions.push(kind.version);
        }
    }
    for group in reviews::groups() {
        groups.entry(group).or_default().push("v1");
    }
    for versions in groups.values_mut() {
        versions.sort_by_key(|version| Reverse(priority(version)));
    }
    groups
}

/// How far a version is: `v2` before `v1`, that before `v2beta1`, `v1alpha1` and what is no version.
fn priority(version: &str) -> (u8, u64, u64) {
    let number = |text: &str| text.parse::<u64>().ok();
    let Some(rest) = version.strip_prefix('v') else { return (0, 0, 0) };
    for (stage, word) in [(2, "beta"), (1, "alpha")] {
        if let Some((major, minor)) = rest.split_once(word)
            && let (Some(major), Some(minor)) = (number(major), number(minor))
        {
            return (stage, major, minor);
        }
    }
    number(rest).map_or((0, 0, 0), |major| (3, major, 0))
}

fn paths(kinds: &Kinds) -> Vec<String> {
    let fixed = ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/readyz", "/version"];
    let groups = groups(kinds).into_iter();
    let below = groups.flat_map(|(name, versions)| {
        let versions = versions.into_iter().map(move |version| format!("/apis/{name}/{version}"));
        std::iter::once(format!("/apis/{name}")).chain(versions)
    });
    let mut paths: Vec<_> = fixed.into_iter().map(str::to_owned).chain(below).collect();
    paths.sort();
    paths
}

/// The version of Kubernetes whose behaviour this is, with our own.
pub(crate) fn git_version() -> &'static str {
    concat!("v1.33.0+submariner-", env!("CARGO_PKG_VERSION"))
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "33",
        "gitVersion": git_version(),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, std::env::consts::ARCH),
    })
}

fn group(name: &str, versions: &[&str]) -> Value {
    let version = |version: &&str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let versions: Vec<_> = versions.iter().map(version).collect();
    json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
}

fn resources(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let kinds: Vec<_> =
        kinds.visible().filter(|kind| kind.group == group && kind.version == version).collect();
    let questions = if version == "v1" { reviews::resources(group) } else { Vec::new() };
    if kinds.is_empty() && questions.is_empty() {
        return None;
    }
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let resources: Vec<_> = kinds.into_iter().flat_map(resource).chain(questions).collect();
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": resources,
    }))
}

fn resource(kind: KindId) -> Vec<Value> {
    let mut whole = json!({
        "name": kind.plural,
        "singularName": kind.singular(),
        "namespaced": kind.is_namespaced(),
        "kind": kind.name,
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    });
    for (field, names) in [("shortNames", kind.short), ("categories", kind.categories)] {
        if !names.is_empty() {
            whole[field] = json!(names);
        }
    }
    let mut entries = vec![whole];
    let below = |name: &str, named: &str| {
        json!({
            "name": format!("{}/{name}", kind.plural),
            "singularName": "",
            "namespaced": kind.is_namespaced(),
            "kind": named,
            "verbs": ["get", "patch", "update"],
        })
    };
    if kind.has_status_subresource() {
        entries.push(below("status", kind.name));
    }
    if kind.scale.is_some() {
        let mut scale = below("scale", "Scale");
        scale["group"] = json!("autoscaling");
        scale["version"] = json!("v1");
        entries.push(scale);
    }
    entries
}

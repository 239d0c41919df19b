//! Which groups, versions and resources there are.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use http::HeaderMap;
use serde_json::{Value, json};

use crate::kinds::{KindId, Kinds};
use crate::negotiate::{Encoding, MediaType};
use crate::pods;
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

/// How discovery of all groups at once is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregated {
    V2,
    V2Beta1,
}

impl Aggregated {
    /// Whether all groups at once are asked for; the first accepted form decides.
    pub(crate) fn asked(path: &str, headers: &HeaderMap) -> Option<Self> {
        if !["/api", "/apis"].contains(&path.trim_end_matches('/')) {
            return None;
        }
        let form = |accepted: &MediaType<'_>| {
            if accepted.encoding() != Some(Encoding::Json) {
                return None;
            }
            let group = accepted.parameter("g") == Some("apidiscovery.k8s.io");
            match (accepted.parameter("as"), accepted.parameter("v")) {
                (None, _) => Some(None),
                (Some("APIGroupDiscoveryList"), Some("v2")) if group => Some(Some(Self::V2)),
                (Some("APIGroupDiscoveryList"), Some("v2beta1")) if group => Some(Some(Self::V2Beta1)),
                _ => None,
            }
        };
        MediaType::accepted(headers).iter().find_map(form).flatten()
    }

    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::V2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        }
    }

    fn version(self) -> &'static str {
        match self {
            Self::V2 => "v2",
            Self::V2Beta1 => "v2beta1",
        }
    }

    /// The core group under `/api`, all others under `/apis`.
    pub(crate) fn document(self, path: &str, kinds: &Kinds) -> Value {
        let groups = if path.trim_end_matches('/') == "/api" {
            BTreeMap::from([("", vec!["v1"])])
        } else {
            groups(kinds)
        };
        let item = |(name, versions): (&str, Vec<&str>)| {
            let versions =
                versions.into_iter().filter_map(|version| aggregated_version(kinds, name, version));
            let mut item =
                json!({"metadata": {"creationTimestamp": null}, "versions": versions.collect::<Vec<_>>()});
            if !name.is_empty() {
                item["metadata"]["name"] = json!(name);
            }
            item
        };
        json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": format!("apidiscovery.k8s.io/{}", self.version()),
            "metadata": {},
            "items": groups.into_iter().map(item).collect::<Vec<_>>(),
        })
    }
}

fn aggregated_version(kinds: &Kinds, group: &str, version: &str) -> Option<Value> {
    let listed = resources(kinds, group, version)?;
    // COMPAT: only custom kinds say of which group they are.
    let custom = kinds.visible().any(|kind| kind.group == group && kind.is_custom());
    let own = if custom { (group, version) } else { ("", "") };
    let resources = aggregated(own, listed["resources"].as_array()?);
    Some(json!({"version": version, "resources": resources, "freshness": "Current"}))
}

/// Resources, each with its subresources in it.
fn aggregated((group, version): (&str, &str), listed: &[Value]) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    for resource in listed {
        let text = |field: &str| resource[field].as_str().unwrap_or_default();
        let of_other = |field: &str, own: &str| match text(field) {
            "" => own.to_owned(),
            other => other.to_owned(),
        };
        let kind = json!({"group": of_other("group", group), "version": of_other("version", version),
            "kind": text("kind")});
        if let Some((of, part)) = text("name").split_once('/') {
            let Some(parent) = found.iter_mut().find(|known| known["resource"] == of) else { continue };
            let entry = json!({"subresource": part, "responseKind": kind, "verbs": resource["verbs"]});
            match parent["subresources"].as_array_mut() {
                Some(known) => known.push(entry),
                None => parent["subresources"] = json!([entry]),
            }
            continue;
        }
        let scope = if resource["namespaced"] == true { "Namespaced" } else { "Cluster" };
        let mut entry = json!({
            "resource": text("name"),
            "responseKind": kind,
            "scope": scope,
            "singularResource": text("singularName"),
            "verbs": resource["verbs"],
        });
        for field in ["shortNames", "categories"].into_iter().filter(|field| resource[*field].is_array()) {
            entry[field] = resource[field].clone();
        }
        found.push(entry);
    }
    found
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
    let mut questions = if version == "v1" { reviews::resources(group) } else { Vec::new() };
    if (group, version) == ("", "v1") {
        questions.extend(pods::resources());
    }
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
    // COMPAT: the verbs of custom kinds are told in an order of their own.
    let verbs = if kind.is_custom() {
        json!(["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"])
    } else if kind == KindId::namespaces() {
        json!(["create", "delete", "get", "list", "patch", "update", "watch"])
    } else {
        json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"])
    };
    let mut whole = json!({
        "name": kind.plural,
        "singularName": kind.singular(),
        "namespaced": kind.is_namespaced(),
        "kind": kind.name,
        "verbs": verbs,
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

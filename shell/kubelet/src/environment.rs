//! The environment of a container, exactly as its manifest gives it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::api::{list, text};
use crate::refusal::Refusal;

/// Secrets and `ConfigMaps` that a Pod names, by kind and name; an absent one is null.
pub(crate) type Sources = BTreeMap<(Source, String), Value>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    Secret,
    ConfigMap,
}

impl Source {
    pub(crate) const fn plural(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::ConfigMap => "configmap",
        }
    }
}

/// What containers name in their environments.
pub(crate) fn named(container: &Value) -> Vec<(Source, String)> {
    let from = list(container, "/envFrom").iter();
    let all = from
        .flat_map(|from| [(Source::Secret, &from["secretRef"]), (Source::ConfigMap, &from["configMapRef"])]);
    let variables = list(container, "/env").iter().map(|variable| &variable["valueFrom"]);
    let single = variables.flat_map(|from| {
        [(Source::Secret, &from["secretKeyRef"]), (Source::ConfigMap, &from["configMapKeyRef"])]
    });
    let named = all.chain(single).filter(|(_, reference)| reference.is_object());
    named.map(|(source, reference)| (source, text(reference, "/name").to_owned())).collect()
}

/// The bytes under each key of a Secret or a `ConfigMap`; an error where it is absent and must not be.
pub(crate) fn data(
    sources: &Sources,
    source: Source,
    reference: &Value,
) -> Result<Option<BTreeMap<String, Vec<u8>>>, Refusal> {
    let name = text(reference, if reference["secretName"].is_string() { "/secretName" } else { "/name" });
    let found = sources.get(&(source, name.to_owned())).filter(|found| !found.is_null());
    let Some(found) = found else {
        if reference["optional"] == true {
            return Ok(None);
        }
        return Err(Refusal::config(format!("{} {name:?} not found", source.word())));
    };
    let mut data = BTreeMap::new();
    let fields = |field: &str| found[field].as_object().cloned().unwrap_or_default();
    for (key, value) in fields("data") {
        let plain = value.as_str().unwrap_or_default();
        let bytes = match source {
            Source::Secret => decode(plain)?,
            Source::ConfigMap => plain.as_bytes().to_vec(),
        };
        data.insert(key, bytes);
    }
    for (key, value) in fields("binaryData") {
        data.insert(key, decode(value.as_str().unwrap_or_default())?);
    }
    Ok(Some(data))
}

fn decode(plain: &str) -> Result<Vec<u8>, Refusal> {
    STANDARD.decode(plain).map_err(|error| Refusal::config(format!("data is no base64: {error}")))
}

/// The environment of a container; `given` comes first and may be overwritten.
pub(crate) fn of(
    pod: &Value,
    container: &Value,
    sources: &Sources,
    given: &[(String, String)],
) -> Result<BTreeMap<String, String>, Refusal> {
    let mut environment: BTreeMap<String, String> = given.iter().cloned().collect();
    for from in list(container, "/envFrom") {
        let prefix = text(from, "/prefix");
        for (source, field) in [(Source::Secret, "secretRef"), (Source::ConfigMap, "configMapRef")] {
            if from[field].is_object() {
                let values = data(sources, source, &from[field])?.unwrap_or_default();
                let values = values.into_iter();
                environment.extend(values.map(|(key, bytes)| (format!("{prefix}{key}"), lossy(&bytes))));
            }
        }
    }
    for variable in list(container, "/env") {
        let name = text(variable, "/name").to_owned();
        let from = &variable["valueFrom"];
        let value = if from.is_null() {
            Some(expand(text(variable, "/value"), &environment))
        } else {
            from_elsewhere(pod, &name, from, sources)?
        };
        environment.extend(value.map(|value| (name, value)));
    }
    Ok(environment)
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn from_elsewhere(
    pod: &Value,
    name: &str,
    from: &Value,
    sources: &Sources,
) -> Result<Option<String>, Refusal> {
    for (source, field) in [(Source::Secret, "secretKeyRef"), (Source::ConfigMap, "configMapKeyRef")] {
        let reference = &from[field];
        if !reference.is_object() {
            continue;
        }
        let key = text(reference, "/key");
        let found = data(sources, source, reference)?.and_then(|mut data| data.remove(key));
        return match found {
            Some(bytes) => Ok(Some(lossy(&bytes))),
            None if reference["optional"] == true => Ok(None),
            None => Err(Refusal::config(format!(
                "couldn't find key {key} in {} {}",
                source.word(),
                text(reference, "/name")
            ))),
        };
    }
    match from["fieldRef"]["fieldPath"].as_str() {
        Some(path) => field(pod, path).map(Some),
        None => Err(Refusal::config(format!(
            "the variable {name} comes from {}, which is not done here",
            from.as_object().and_then(|from| from.keys().next()).map_or("nowhere", String::as_str)
        ))),
    }
}

/// A field of the Pod by its path in the downward API.
pub(crate) fn field(pod: &Value, path: &str) -> Result<String, Refusal> {
    let metadata = &pod["metadata"];
    if let Some((map, key)) = path.strip_suffix("']").and_then(|path| path.split_once("['")) {
        let map = match map {
            "metadata.labels" => &metadata["labels"],
            "metadata.annotations" => &metadata["annotations"],
            _ => return Err(Refusal::config(format!("fieldPath {path:?} is not supported"))),
        };
        return Ok(map[key].as_str().unwrap_or_default().to_owned());
    }
    let lines = |map: &Value| {
        let lines = map.as_object().into_iter().flatten();
        lines.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("\n")
    };
    let ips = |field: &str| {
        let ips = list(&pod["status"], field).iter().map(|ip| text(ip, "/ip").to_owned());
        ips.collect::<Vec<_>>().join(",")
    };
    match path {
        "metadata.name"
        | "metadata.namespace"
        | "metadata.uid"
        | "spec.nodeName"
        | "spec.serviceAccountName"
        | "status.hostIP"
        | "status.podIP" => Ok(text(pod, &format!("/{}", path.replace('.', "/"))).to_owned()),
        "metadata.labels" => Ok(lines(&metadata["labels"])),
        "metadata.annotations" => Ok(lines(&metadata["annotations"])),
        "status.podIPs" => Ok(ips("/podIPs")),
        "status.hostIPs" => Ok(ips("/hostIPs")),
        _ => Err(Refusal::config(format!("fieldPath {path:?} is not supported"))),
    }
}

/// Replaces `$(NAME)` by what is known; `$$` stands for one `$`.
pub(crate) fn expand(plain: &str, known: &BTreeMap<String, String>) -> String {
    let mut expanded = String::new();
    let mut rest = plain;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        rest = after;
        if let Some(after) = after.strip_prefix('$') {
            expanded.push('$');
            rest = after;
            continue;
        }
        let name = after.strip_prefix('(').and_then(|after| after.split_once(')'));
        match name.and_then(|(name, after)| Some((known.get(name)?, after))) {
            Some((value, after)) => {
                expanded.push_str(value);
                rest = after;
            }
            None => expanded.push('$'),
        }
    }
    expanded + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod() -> Value {
        json!({
            "metadata": {"name": "p", "namespace": "n", "labels": {"app": "a"}},
            "spec": {"nodeName": "east"},
            "status": {"hostIP": "10.0.0.1", "podIPs": [{"ip": "10.1.0.2"}, {"ip": "fd00::2"}]},
        })
    }

    #[test]
    fn values_come_from_everywhere() {
        let sources = Sources::from([
            ((Source::Secret, "s".to_owned()), json!({"data": {"token": "c2VjcmV0"}})),
            ((Source::ConfigMap, "c".to_owned()), json!({"data": {"A": "1", "B": "2"}})),
        ]);
        let container = json!({
            "envFrom": [{"prefix": "C_", "configMapRef": {"name": "c"}}],
            "env": [
                {"name": "PLAIN", "value": "x"},
                {"name": "TWICE", "value": "$(PLAIN)-$(C_A)-$$(PLAIN)-$(NONE)"},
                {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
                {"name": "IPS", "valueFrom": {"fieldRef": {"fieldPath": "status.podIPs"}}},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "token"}}},
                {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "none", "key": "x", "optional": true}}},
            ],
        });
        let environment = of(&pod(), &container, &sources, &[]).unwrap();
        let expected = [
            ("APP", "a"),
            ("C_A", "1"),
            ("C_B", "2"),
            ("IPS", "10.1.0.2,fd00::2"),
            ("NODE", "east"),
            ("PLAIN", "x"),
            ("TOKEN", "secret"),
            ("TWICE", "x-1-$(PLAIN)-$(NONE)"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(environment, BTreeMap::from(expected));
    }

    #[test]
    fn what_is_absent_is_named() {
        let wanted = |from: Value| {
            let container = json!({"env": [{"name": "X", "valueFrom": from}]});
            let sources = Sources::from([((Source::ConfigMap, "c".to_owned()), json!({"data": {}}))]);
            of(&pod(), &container, &sources, &[]).unwrap_err().message
        };
        assert_eq!(wanted(json!({"secretKeyRef": {"name": "s", "key": "k"}})), "secret \"s\" not found");
        assert_eq!(
            wanted(json!({"configMapKeyRef": {"name": "c", "key": "k"}})),
            "couldn't find key k in configmap c"
        );
        assert_eq!(
            wanted(json!({"resourceFieldRef": {"resource": "limits.cpu"}})),
            "the variable X comes from resourceFieldRef, which is not done here"
        );
    }
}

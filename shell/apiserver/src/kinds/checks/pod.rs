//! Pods, and the templates that Pods are made from.

use serde_json::Value;

use super::{Change, distinct, dns_label, items, labels, port, port_or_name, text};
use crate::patch::Part;
use crate::schema::{Cause, Path};

const LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

pub(in crate::kinds) fn pod(change: &Change<'_>, causes: &mut Vec<Cause>) {
    if change.part != Part::Whole {
        return;
    }
    spec(&change.new["spec"], Path::root("spec"), causes);
    if let Some(old) = change.old {
        changes(&old["spec"], &change.new["spec"], causes);
    }
}

/// A template's labels and spec.
pub(super) fn template(template: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    labels(&template["metadata"]["labels"], path.field("labels"), causes);
    spec(&template["spec"], path.field("spec"), causes);
}

fn spec(spec: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    volumes(spec, path, causes);
    let mut names = Vec::new();
    for list in LISTS {
        for (index, container) in items(spec, list) {
            let path = path.field(list);
            let path = path.index(index);
            names.push((&container["name"], path.field("name").to_string()));
            self::container(container, spec, path, causes);
        }
    }
    distinct(names, causes);
    labels(&spec["nodeSelector"], path.field("nodeSelector"), causes);
    let grace = &spec["terminationGracePeriodSeconds"];
    if grace.as_i64().is_some_and(|seconds| seconds < 0) {
        let field = path.field("terminationGracePeriodSeconds").to_string();
        causes.push(Cause::invalid(&field, grace, super::POSITIVE));
    }
    let deadline = &spec["activeDeadlineSeconds"];
    if deadline.as_i64().is_some_and(|seconds| seconds < 1) {
        let field = path.field("activeDeadlineSeconds").to_string();
        causes.push(Cause::invalid(&field, deadline, "must be between 1 and 2147483647, inclusive"));
    }
    for (index, toleration) in items(spec, "tolerations") {
        let path = path.field("tolerations");
        self::toleration(toleration, path.index(index), causes);
    }
    for (index, constraint) in items(spec, "topologySpreadConstraints") {
        let skew = &constraint["maxSkew"];
        if skew.as_i64().is_none_or(|skew| skew < 1) {
            let field = format!("{path}.topologySpreadConstraints[{index}].maxSkew");
            causes.push(Cause::invalid(&field, skew, "must be greater than zero"));
        }
    }
}

fn toleration(toleration: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    let (key, operator) = (text(toleration, "key"), text(toleration, "operator"));
    if key.is_empty() && operator != "Exists" {
        let detail =
            "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
        let field = path.field("operator").to_string();
        causes.push(Cause::invalid(&field, &Value::from(operator), detail));
    }
    if operator == "Exists" && !text(toleration, "value").is_empty() {
        let detail = "value must be empty when `operator` is 'Exists'";
        causes.push(Cause::invalid(&path.field("operator").to_string(), &toleration["value"], detail));
    }
    if !toleration["tolerationSeconds"].is_null() && text(toleration, "effect") != "NoExecute" {
        let detail = "effect must be 'NoExecute' when `tolerationSeconds` is set";
        let effect = Value::from(text(toleration, "effect"));
        causes.push(Cause::invalid(&path.field("effect").to_string(), &effect, detail));
    }
}

fn volumes(spec: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    let path = path.field("volumes");
    for (index, volume) in items(spec, "volumes") {
        let path = path.index(index);
        if text(volume, "name").is_empty() {
            continue;
        }
        dns_label(&volume["name"], path.field("name"), causes);
        let mut sources =
            volume.as_object().into_iter().flat_map(serde_json::Map::keys).filter(|field| *field != "name");
        sources.next();
        for source in sources {
            let detail = "may not specify more than 1 volume type";
            causes.push(Cause::forbidden(&path.field(source).to_string(), detail));
        }
    }
    let names =
        items(spec, "volumes").map(|(index, volume)| (&volume["name"], format!("{path}[{index}].name")));
    distinct(names.collect(), causes);
}

fn container(container: &Value, spec: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    if !text(container, "name").is_empty() {
        dns_label(&container["name"], path.field("name"), causes);
    }
    let image = text(container, "image");
    if image.is_empty() {
        causes.push(Cause::required(&path.field("image").to_string(), ""));
    } else if image.trim() != image {
        let detail = "must not have leading or trailing whitespace";
        causes.push(Cause::invalid(&path.field("image").to_string(), &container["image"], detail));
    }
    ports(container, spec["hostNetwork"] == true, path, causes);
    for (index, variable) in items(container, "env") {
        let path = path.field("env");
        environment(variable, path.index(index), causes);
    }
    for (index, mount) in items(container, "volumeMounts") {
        let path = path.field("volumeMounts");
        let path = path.index(index);
        let name = &mount["name"];
        let known = items(spec, "volumes").any(|(_, volume)| volume["name"] == *name);
        if !known && !text(mount, "name").is_empty() {
            causes.push(Cause {
                reason: "FieldValueNotFound",
                message: format!("Not found: {name}"),
                field: path.field("name").to_string(),
            });
        }
        let twice = |(_, earlier): (usize, &Value)| earlier["mountPath"] == mount["mountPath"];
        if items(container, "volumeMounts").take(index).any(twice) {
            let field = path.field("mountPath").to_string();
            causes.push(Cause::invalid(&field, &mount["mountPath"], "must be unique"));
        }
    }
    for field in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if !container[field].is_null() {
            probe(&container[field], path.field(field), causes);
        }
    }
}

fn ports(container: &Value, on_host: bool, path: Path<'_>, causes: &mut Vec<Cause>) {
    let path = path.field("ports");
    for (index, entry) in items(container, "ports") {
        let path = path.index(index);
        if !text(entry, "name").is_empty() {
            port_or_name(&entry["name"], path.field("name"), causes);
        }
        match entry["containerPort"].as_i64() {
            Some(0) | None => causes.push(Cause::required(&path.field("containerPort").to_string(), "")),
            Some(_) => port(&entry["containerPort"], path.field("containerPort"), causes),
        }
        let host = &entry["hostPort"];
        if host.as_i64().is_some_and(|number| number != 0) {
            port(host, path.field("hostPort"), causes);
            if on_host && *host != entry["containerPort"] {
                let detail = "must match `containerPort` when `hostNetwork` is true";
                causes.push(Cause::invalid(&path.field("hostPort").to_string(), host, detail));
            }
        }
    }
    let names =
        items(container, "ports").map(|(index, port)| (&port["name"], format!("{path}[{index}].name")));
    distinct(names.collect(), causes);
}

fn environment(variable: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    let name = text(variable, "name");
    let legal = |byte: u8| (0x20..0x7f).contains(&byte) && byte != b'=';
    if !name.bytes().all(legal) {
        let detail = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        causes.push(Cause::invalid(&path.field("name").to_string(), &variable["name"], detail));
    }
    let Some(source) = variable["valueFrom"].as_object() else { return };
    let field = path.field("valueFrom").to_string();
    if source.is_empty() {
        let detail =
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        causes.push(Cause::invalid(&field, &Value::from(""), detail));
    } else if source.len() > 1 {
        let detail = "may not have more than one field specified at a time";
        causes.push(Cause::invalid(&field, &Value::from(""), detail));
    }
    if !text(variable, "value").is_empty() {
        let detail = "may not be specified when `value` is not empty";
        causes.push(Cause::invalid(&field, &Value::from(""), detail));
    }
}

fn probe(probe: &Value, path: Path<'_>, causes: &mut Vec<Cause>) {
    let handlers = ["exec", "httpGet", "tcpSocket", "grpc"];
    let mut found = handlers.iter().filter(|handler| !probe[**handler].is_null());
    match found.next() {
        None => causes.push(Cause::required(&path.to_string(), "must specify a handler type")),
        Some(_) => {
            for handler in found {
                let detail = "may not specify more than 1 handler type";
                causes.push(Cause::forbidden(&path.field(handler).to_string(), detail));
            }
        }
    }
    for handler in ["httpGet", "tcpSocket"] {
        let action = &probe[handler];
        if !action.is_null() {
            let path = path.field(handler);
            port_or_name(&action["port"], path.field("port"), causes);
        }
    }
    for field in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        super::not_negative(&probe[field], &path.field(field).to_string(), causes);
    }
}

const FROZEN: &str = "pod updates may not change fields other than `spec.containers[*].image`,\
                      `spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions \
                      to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was \
                      previously negative)";

/// What may change of a Pod's spec.
fn changes(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    for list in ["containers", "initContainers"] {
        let count = |spec: &Value| spec[list].as_array().map_or(0, Vec::len);
        if count(old) != count(new) {
            let detail = "pod updates may not add or remove containers";
            return causes.push(Cause::forbidden(&format!("spec.{list}"), detail));
        }
    }
    let kept = items(old, "tolerations")
        .all(|(_, known)| items(new, "tolerations").any(|(_, toleration)| toleration == known));
    if !kept {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        causes.push(Cause::forbidden("spec.tolerations", detail));
    }
    if frozen(old) != frozen(new) {
        causes.push(Cause::forbidden("spec", FROZEN));
    }
}

/// A Pod's spec without what may change.
fn frozen(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let Some(fields) = spec.as_object_mut() else { return spec };
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates", "ephemeralContainers"] {
        fields.remove(field);
    }
    for list in ["containers", "initContainers"] {
        let containers = fields.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            container.remove("image");
        }
    }
    spec
}

//! What is wrong with a definition.

use serde_json::Value;

use super::{text, versions};
use crate::jsonpath::JsonPath;
use crate::schema::{self, Cause};

/// What is wrong with a definition by itself.
pub(crate) fn problems(definition: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let spec = definition.get("spec").unwrap_or(&Value::Null);
    let (group, plural) = (text(spec, "/group"), text(spec, "/names/plural"));
    let name = text(definition, "/metadata/name");
    if name != format!("{plural}.{group}") {
        let detail = r#"must be spec.names.plural+"."+spec.group"#;
        causes.push(Cause::invalid("metadata.name", &Value::from(name), detail));
    }
    for (field, pointer) in [
        ("spec.group", "/group"),
        ("spec.names.plural", "/names/plural"),
        ("spec.names.singular", "/names/singular"),
        ("spec.names.kind", "/names/kind"),
        ("spec.names.listKind", "/names/listKind"),
    ] {
        if text(spec, pointer).is_empty() {
            causes.push(Cause::required(field, ""));
        }
    }
    if !group.is_empty() && !group.contains('.') {
        let detail = "should be a domain with at least one dot";
        causes.push(Cause::invalid("spec.group", &Value::from(group), detail));
    }
    causes.extend(scope(spec));
    causes.extend(conversion(spec));
    causes.extend(of_versions(definition));
    causes
}

fn scope(spec: &Value) -> Option<Cause> {
    match text(spec, "/scope") {
        "" => Some(Cause::required("spec.scope", "")),
        "Cluster" | "Namespaced" => None,
        other => {
            Some(Cause::unsupported("spec.scope", &Value::from(other), ["Cluster", "Namespaced"].into_iter()))
        }
    }
}

fn conversion(spec: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    match text(spec, "/conversion/strategy") {
        "None" | "" => {}
        other => causes.push(Cause::unsupported(
            "spec.conversion.strategy",
            &Value::from(other),
            std::iter::once("None"),
        )),
    }
    if schema::says(spec, "preserveUnknownFields") {
        let detail = "must be false in order to use defaults in the schema";
        causes.push(Cause::invalid("spec.preserveUnknownFields", &Value::Bool(true), detail));
    }
    causes
}

fn of_versions(definition: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let stored = versions(definition).filter(|version| schema::says(version, "storage")).count();
    if stored != 1 {
        let value = definition.pointer("/spec/versions").cloned().unwrap_or_default();
        let detail = "must have exactly one version marked as storage version";
        causes.push(Cause::invalid("spec.versions", &value, detail));
    }
    let names: Vec<_> = versions(definition).map(|version| text(version, "/name")).collect();
    for (index, version) in versions(definition).enumerate() {
        let path = format!("spec.versions[{index}]");
        if names[index].is_empty() {
            causes.push(Cause::required(&format!("{path}.name"), ""));
        }
        if names[..index].contains(&names[index]) {
            let detail = "must contain unique version names";
            causes.push(Cause::invalid("spec.versions", &Value::from(names[index]), detail));
        }
        // COMPAT: what is the same in all versions is named as what it was before there were several.
        let place = match names.len() {
            1 => "spec.validation.openAPIV3Schema".to_owned(),
            _ => format!("{path}.schema.openAPIV3Schema"),
        };
        match version.pointer("/schema/openAPIV3Schema") {
            None => causes.push(Cause::required(&place, "schemas are required")),
            Some(schema) => causes.extend(schema::problems(schema, &place)),
        }
        causes.extend(json_paths(version, &path));
    }
    causes
}

fn json_paths(version: &Value, path: &str) -> Vec<Cause> {
    let mut causes = Vec::new();
    for list in ["additionalPrinterColumns", "selectableFields"] {
        let entries = version.get(list).and_then(Value::as_array).into_iter().flatten();
        for (index, entry) in entries.enumerate() {
            let found = text(entry, "/jsonPath");
            let parsed = JsonPath::parse(found);
            let good = parsed.is_some_and(|path| list != "selectableFields" || path.dotted().is_some());
            if found.is_empty() {
                causes.push(Cause::required(&format!("{path}.{list}[{index}].jsonPath"), ""));
            } else if !good {
                let place = format!("{path}.{list}[{index}].jsonPath");
                let detail = "is an invalid JSON path: it must lead from the root by fields, as .spec.field";
                causes.push(Cause::invalid(&place, &Value::from(found), detail));
            }
        }
    }
    for (field, prefix) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let Some(scale) = version.pointer("/subresources/scale") else { continue };
        let found = text(scale, &format!("/{field}"));
        let place = format!("{path}.subresources.scale.{field}");
        if found.is_empty() {
            causes.push(Cause::required(&place, ""));
        } else if !found.starts_with(prefix) {
            let detail = format!("should be a json path under {}", prefix.trim_end_matches('.'));
            causes.push(Cause::invalid(&place, &Value::from(found), detail));
        }
    }
    causes
}

/// What a change of a definition may not change.
pub(crate) fn problems_of_change(before: &Value, after: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    for (field, pointer) in [
        ("spec.group", "/spec/group"),
        ("spec.scope", "/spec/scope"),
        ("spec.names.kind", "/spec/names/kind"),
        ("spec.names.plural", "/spec/names/plural"),
    ] {
        let value = after.pointer(pointer).cloned().unwrap_or_default();
        if before.pointer(pointer) != after.pointer(pointer) {
            causes.push(Cause::invalid(field, &value, "field is immutable"));
        }
    }
    let stored = before.pointer("/status/storedVersions").and_then(Value::as_array);
    for (index, version) in stored.into_iter().flatten().enumerate() {
        let kept = versions(after).any(|known| known.get("name") == Some(version));
        if !kept {
            let field = format!("status.storedVersions[{index}]");
            let name = version.as_str().unwrap_or_default();
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            causes.push(Cause::invalid(&field, version, detail));
        }
    }
    causes
}

//! The operations of a kind in OpenAPI documents.

use serde_json::{Map, Value, json};

use crate::kinds::{KindId, gvk_of};

/// The paths of a kind in version 3.
pub(super) fn of(kind: KindId, schema: &str) -> Map<String, Value> {
    let root = super::root(kind.group, kind.version);
    let mut paths = Map::new();
    let all = format!("/{root}/{}", kind.plural);
    let (collection, place) = if kind.is_namespaced() {
        paths.insert(all.clone(), collection(kind, schema, &["get"], ""));
        (format!("/{root}/namespaces/{{namespace}}/{}", kind.plural), "Namespaced")
    } else {
        (all, "")
    };
    paths.insert(collection.clone(), self::collection(kind, schema, &["get", "post", "delete"], place));
    paths.insert(format!("{collection}/{{name}}"), one(kind, schema, "", place));
    if kind.has_status_subresource() {
        paths.insert(format!("{collection}/{{name}}/status"), one(kind, schema, "Status", place));
    }
    paths
}

fn operation(kind: KindId, method: &str, schema: &str, id: &str) -> Value {
    let action = match method {
        "get" if id.starts_with("list") => "list",
        "get" => "get",
        "post" => "post",
        "put" => "put",
        "patch" => "patch",
        _ if id.starts_with("deleteCollection") => "deletecollection",
        _ => "delete",
    };
    let mut operation = json!({
        "operationId": id,
        "tags": [super::root(kind.group, kind.version).replace(['/', '.'], "_")],
        "parameters": parameters(action),
        "responses": {"200": {"description": "OK", "content": content(&["application/json"], schema)}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": gvk_of(kind),
    });
    match method {
        "post" | "put" => {
            operation["requestBody"] = json!({"required": true, "content": content(&["*/*"], schema)});
        }
        "patch" => {
            let mut types = vec![
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ];
            if !kind.is_custom() {
                types.push("application/strategic-merge-patch+json");
            }
            operation["requestBody"] = json!({"required": true, "content": content(&types, "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")});
            let any = json!({"type": "object"});
            for kind in types {
                operation["requestBody"]["content"][kind] = json!({"schema": any});
            }
        }
        _ => {}
    }
    operation
}

fn content(types: &[&str], schema: &str) -> Value {
    types
        .iter()
        .map(|kind| ((*kind).to_owned(), json!({"schema": {"$ref": schema}})))
        .collect::<Map<_, _>>()
        .into()
}

fn parameters(action: &str) -> Vec<Value> {
    let parameter = |(name, kind, description): &(&str, &str, &str)| {
        json!({"name": name, "in": "query", "description": description,
            "schema": {"type": kind, "uniqueItems": true}})
    };
    let listing = [
        ("allowWatchBookmarks", "boolean", "Whether a watch may be sent bookmarks."),
        ("continue", "string", "Where a list that was limited goes on."),
        ("fieldSelector", "string", "The fields that the objects must have."),
        ("labelSelector", "string", "The labels that the objects must have."),
        ("limit", "integer", "How many objects are answered at most."),
        ("resourceVersion", "string", "The version to start from."),
        ("resourceVersionMatch", "string", "How the version is to be met."),
        ("sendInitialEvents", "boolean", "Whether a watch starts with what there is."),
        ("timeoutSeconds", "integer", "How long a watch lasts at most."),
        ("watch", "boolean", "Whether changes are followed."),
    ];
    let writing = [
        ("dryRun", "string", "Whether the request is only checked: All, or absent."),
        ("fieldManager", "string", "The name under which fields are owned."),
        (
            "fieldValidation",
            "string",
            "What is done about unknown and duplicate fields: Ignore, Warn or Strict.",
        ),
    ];
    let force = [("force", "boolean", "Whether an apply takes fields over from other managers.")];
    match action {
        "list" | "deletecollection" => listing.iter().map(parameter).collect(),
        "post" | "put" => writing.iter().map(parameter).collect(),
        "patch" => writing.iter().chain(&force).map(parameter).collect(),
        "delete" => writing[..1].iter().map(parameter).collect(),
        _ => Vec::new(),
    }
}

fn path_parameters(namespaced: bool, named: bool) -> Vec<Value> {
    let parameter = |name: &str, description: &str| {
        json!({"name": name, "in": "path", "required": true, "description": description,
            "schema": {"type": "string", "uniqueItems": true}})
    };
    let name = named.then(|| parameter("name", "The name of the object."));
    let namespace = namespaced.then(|| parameter("namespace", "The namespace of the object."));
    name.into_iter().chain(namespace).collect()
}

fn version_id(kind: KindId) -> String {
    let capital = |text: &str| {
        let mut letters = text.chars();
        letters
            .next()
            .map(|first| first.to_uppercase().chain(letters).collect::<String>())
            .unwrap_or_default()
    };
    let group = if kind.group.is_empty() { "core" } else { kind.group };
    let group: String = group.trim_end_matches(".k8s.io").split('.').map(capital).collect();
    format!("{group}{}", capital(kind.version))
}

fn collection(kind: KindId, schema: &str, methods: &[&str], place: &str) -> Value {
    let version = version_id(kind);
    let mut item = json!({"parameters": path_parameters(!place.is_empty(), false)});
    for method in methods {
        let (id, schema) = match *method {
            "get" if place.is_empty() && kind.is_namespaced() => {
                (format!("list{version}{}ForAllNamespaces", kind.name), format!("{schema}List"))
            }
            "get" => (format!("list{version}{place}{}", kind.name), format!("{schema}List")),
            "post" => (format!("create{version}{place}{}", kind.name), schema.to_owned()),
            _ => (format!("deleteCollection{version}{place}{}", kind.name), status()),
        };
        item[*method] = operation(kind, method, &schema, &id);
    }
    item
}

fn status() -> String {
    "#/components/schemas/io.k8s.apimachinery.pkg.apis.meta.v1.Status".to_owned()
}

fn one(kind: KindId, schema: &str, part: &str, place: &str) -> Value {
    let version = version_id(kind);
    let mut item = json!({"parameters": path_parameters(!place.is_empty(), true)});
    for (method, verb) in [("get", "read"), ("put", "replace"), ("patch", "patch"), ("delete", "delete")] {
        if method == "delete" && !part.is_empty() {
            continue;
        }
        let schema = if method == "delete" { status() } else { schema.to_owned() };
        let id = format!("{verb}{version}{place}{}{part}", kind.name);
        item[method] = operation(kind, method, &schema, &id);
    }
    item
}

/// The same paths as version 2 writes them.
pub(super) fn version_two(paths: Map<String, Value>) -> Map<String, Value> {
    paths.into_iter().map(|(path, item)| (path, item_two(item))).collect()
}

fn item_two(mut item: Value) -> Value {
    for operation in item.as_object_mut().into_iter().flatten().map(|(_, operation)| operation) {
        if let Some(parameters) = operation.as_array_mut() {
            parameters.iter_mut().for_each(flatten);
            continue;
        }
        let body = operation.as_object_mut().and_then(|fields| fields.remove("requestBody"));
        let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
        if let Some(parameters) = parameters {
            parameters.iter_mut().for_each(flatten);
            if let Some(body) = body.as_ref().and_then(first_schema) {
                parameters.push(json!({"name": "body", "in": "body", "required": true, "schema": body}));
            }
        }
        if let Some(types) = body.as_ref().and_then(|body| body["content"].as_object()) {
            operation["consumes"] = json!(types.keys().collect::<Vec<_>>());
        }
        operation["produces"] = json!(["application/json"]);
        let schema = first_schema(&operation["responses"]["200"]);
        operation["responses"] = json!({"200": {"description": "OK", "schema": schema}});
    }
    item
}

fn first_schema(content: &Value) -> Option<Value> {
    content["content"].as_object()?.values().next()?.get("schema").cloned()
}

fn flatten(parameter: &mut Value) {
    let schema = parameter.as_object_mut().and_then(|fields| fields.remove("schema")).unwrap_or_default();
    for (name, value) in schema.as_object().into_iter().flatten() {
        parameter[name] = value.clone();
    }
}

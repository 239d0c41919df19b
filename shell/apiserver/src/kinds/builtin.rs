//! The schemas of built-in kinds, from the types of `k8s-openapi`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{KindId, Origin, lists};
use crate::schema::{Resolve, Schema, Type};

/// Adds a type to a generator and says its definition's name.
pub(crate) type Definition = fn(&mut SchemaGenerator) -> String;

/// A kind that a type describes.
pub(super) const fn of<T: JsonSchema>() -> Origin {
    Origin::BuiltIn(Some(define::<T>))
}

fn define<T: JsonSchema>(generator: &mut SchemaGenerator) -> String {
    generator.subschema_for::<T>();
    T::schema_name().into_owned()
}

/// Where definitions lie in an OpenAPI v3 document.
pub(crate) const PLACE: &str = "#/components/schemas/";

/// The definitions of all built-in kinds by their names, as OpenAPI v3 writes them.
#[derive(Debug)]
pub(crate) struct Definitions {
    pub(crate) schemas: Map<String, Value>,
}

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(|| {
    let mut generator = generator();
    let roots: Vec<_> = KindId::all().filter_map(|kind| Some((kind, name(kind, &mut generator)?))).collect();
    for meta in [
        define::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>,
        define::<k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta>,
        define::<k8s_openapi::apimachinery::pkg::apis::meta::v1::Status>,
        define::<k8s_openapi::apimachinery::pkg::apis::meta::v1::DeleteOptions>,
    ] {
        meta(&mut generator);
    }
    let mut schemas = generator.take_definitions(true);
    for (name, schema) in &mut schemas {
        any_as_object(schema);
        lists::annotate(name, schema);
        tidy(schema);
    }
    for (kind, name) in roots {
        schemas[&name]["x-kubernetes-group-version-kind"] = json!([gvk_of(kind)]);
    }
    Definitions { schemas }
});

fn generator() -> SchemaGenerator {
    let mut settings = SchemaSettings::draft2020_12();
    settings.definitions_path = PLACE.trim_start_matches('#').trim_end_matches('/').to_owned().into();
    settings.meta_schema = None;
    settings.into_generator()
}

fn name(kind: KindId, generator: &mut SchemaGenerator) -> Option<String> {
    match kind.origin {
        Origin::BuiltIn(Some(definition)) => Some(definition(generator)),
        Origin::BuiltIn(None) | Origin::Custom(_) => None,
    }
}

/// The name of the definition of a built-in kind.
pub(crate) fn definition_name(kind: KindId) -> Option<String> {
    name(kind, &mut generator())
}

/// Group, version and kind, as schemas carry them.
pub(crate) fn gvk_of(kind: KindId) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.name})
}

/// The definitions of all built-in kinds.
pub(crate) fn definitions() -> &'static Definitions {
    &DEFINITIONS
}

/// COMPAT: OpenAPI writes the schema of anything as an empty object.
fn any_as_object(schema: &mut Value) {
    if schema.is_boolean() {
        *schema = json!({});
    }
}

/// COMPAT: a reference stands alone or in `allOf`, beside which OpenAPI v3 allows a description.
fn tidy(schema: &mut Value) {
    match schema {
        Value::Object(entries) => {
            // A field may have that name too.
            if entries.len() > 1
                && entries.get("$ref").is_some_and(Value::is_string)
                && let Some(reference) = entries.remove("$ref")
            {
                entries.insert("allOf".to_owned(), json!([{"$ref": reference}]));
            }
            if let Some(Value::Array(types)) = entries.get("type") {
                let first = types.iter().find(|name| **name != "null").cloned();
                entries.insert("type".to_owned(), first.unwrap_or_default());
            }
            if let Some(properties) = entries.get_mut("properties").and_then(Value::as_object_mut) {
                properties.values_mut().for_each(any_as_object);
            }
            if let Some(items) = entries.get_mut("items") {
                any_as_object(items);
            }
            entries.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

static SCHEMAS: LazyLock<HashMap<(&str, &str, &str), Schema>> = LazyLock::new(|| {
    let mut references = References::default();
    let mut schema = |kind: KindId| {
        let mut schema = match definition_name(kind) {
            Some(name) => references.read(&name),
            None => Schema { keeps_unknown: true, ..Schema::default() },
        };
        schema.properties.insert("metadata".to_owned(), metadata());
        schema
    };
    KindId::all().map(|kind| ((kind.group, kind.version, kind.name), schema(kind))).collect()
});

static METADATA: LazyLock<Arc<Schema>> =
    LazyLock::new(|| Arc::new(References::default().read("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")));

/// The schema of the metadata of every object.
pub(crate) fn metadata() -> Arc<Schema> {
    Arc::clone(&METADATA)
}

static OPEN: LazyLock<Schema> = LazyLock::new(|| {
    let mut schema = Schema { keeps_unknown: true, ..Schema::default() };
    schema.properties.insert("metadata".to_owned(), metadata());
    schema
});

/// The schema of a built-in kind.
pub(super) fn schema(kind: KindId) -> &'static Schema {
    SCHEMAS.get(&(kind.group, kind.version, kind.name)).unwrap_or(&OPEN)
}

/// Definitions that were read, each once.
#[derive(Default)]
struct References {
    known: HashMap<String, Arc<Schema>>,
    /// Those being read: one that refers to itself is free from there on.
    open: Vec<String>,
}

impl References {
    fn read(&mut self, name: &str) -> Schema {
        let Some(schema) = DEFINITIONS.schemas.get(name) else {
            return Schema { keeps_unknown: true, ..Schema::default() };
        };
        // Quantities and ports are written as numbers too.
        if name.ends_with(".Quantity") || name.ends_with(".IntOrString") {
            return Schema { form: Type::IntOrString, ..Schema::default() };
        }
        self.open.push(name.to_owned());
        let mut read = Schema::read(schema, self);
        self.open.pop();
        // Such a definition stands for any object.
        read.keeps_unknown |= read.properties.is_empty() && read.values.is_none();
        read
    }
}

impl Resolve for References {
    fn resolve(&mut self, name: &str) -> Arc<Schema> {
        if let Some(known) = self.known.get(name) {
            return Arc::clone(known);
        }
        if self.open.iter().any(|open| open == name) {
            return Arc::new(Schema { keeps_unknown: true, ..Schema::default() });
        }
        let read = Arc::new(self.read(name));
        self.known.insert(name.to_owned(), Arc::clone(&read));
        read
    }
}

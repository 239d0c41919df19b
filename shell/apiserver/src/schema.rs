//! Structural schemas: which fields an object may have, of which types, what is defaulted, and how lists are merged.

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use serde_json::{Map, Value};

mod checked;
mod complete;
mod format;
mod paths;
mod quantity;
pub(crate) mod rules;
mod structural;
mod typed;
mod validate;

pub(crate) use checked::{Path, check};
pub(crate) use complete::{Fields, complete, prune, unknown};
pub(crate) use format::is_cidr;
pub(crate) use rules::{Rule, judge};
pub(crate) use structural::problems;
pub(crate) use typed::{Preset, fill, read};
pub use validate::Cause;
pub(crate) use validate::validate;

/// The type of a value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Type {
    /// Any type.
    #[default]
    Any,
    Object,
    Array,
    Text,
    Integer,
    Number,
    Boolean,
    /// A whole number or a string.
    IntOrString,
}

impl Type {
    fn of(schema: &Value) -> Self {
        if says(schema, "x-kubernetes-int-or-string") {
            return Self::IntOrString;
        }
        // A generator writes an optional type as a list with "null".
        let named = match schema.get("type") {
            Some(Value::Array(types)) => types.iter().filter_map(Value::as_str).find(|name| *name != "null"),
            other => other.and_then(Value::as_str),
        };
        match named {
            Some("object") => Self::Object,
            Some("array") => Self::Array,
            Some("string") if schema.get("format").is_some_and(|format| format == "int-or-string") => {
                Self::IntOrString
            }
            Some("string") => Self::Text,
            Some("integer") => Self::Integer,
            Some("number") => Self::Number,
            Some("boolean") => Self::Boolean,
            _ => Self::Any,
        }
    }

    /// The word in messages.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Object => "object",
            Self::Array => "array",
            Self::Text => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::IntOrString => "integer,string",
        }
    }
}

/// How the elements of a list are told apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// The list is one value.
    #[default]
    Atomic,
    /// Elements are scalars, each at most once.
    Set,
    /// Elements are objects told apart by these fields.
    Map(Vec<String>),
}

/// What strategic merge patches do with a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PatchStrategy {
    /// Elements are merged: scalars as a set, objects by `key`.
    pub(crate) merges: bool,
    pub(crate) key: Option<String>,
}

/// What a value must look like.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a keyword of OpenAPI schemas")]
pub(crate) struct Schema {
    pub(crate) form: Type,
    pub(crate) nullable: bool,
    pub(crate) properties: BTreeMap<String, Arc<Schema>>,
    /// The values of free keys.
    pub(crate) values: Option<Arc<Schema>>,
    pub(crate) items: Option<Arc<Schema>>,
    pub(crate) default: Option<Value>,
    pub(crate) keeps_unknown: bool,
    /// It is a whole object with `apiVersion`, `kind` and `metadata`.
    pub(crate) embedded: bool,
    pub(crate) list: ListKind,
    pub(crate) patch: PatchStrategy,
    /// The object is owned and replaced as one value.
    pub(crate) atomic: bool,
    pub(crate) limits: Limits,
    pub(crate) rules: Vec<Rule>,
    /// The name of the built-in definition that it is, without its group and version.
    pub(crate) definition: Option<Box<str>>,
    /// What fields of a built-in definition get that are left out.
    pub(crate) presets: Vec<Preset>,
    /// What they get that depends on other fields.
    pub(crate) derive: Option<fn(&mut Map<String, Value>)>,
}

/// What a value of the right type must fulfil.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    pub(crate) required: Vec<String>,
    pub(crate) choices: Vec<Value>,
    pub(crate) format: Option<String>,
    pub(crate) pattern: Option<Regex>,
    pub(crate) minimum: Option<f64>,
    pub(crate) maximum: Option<f64>,
    pub(crate) above_minimum: bool,
    pub(crate) below_maximum: bool,
    pub(crate) multiple_of: Option<f64>,
    pub(crate) shortest: Option<usize>,
    pub(crate) longest: Option<usize>,
    pub(crate) fewest: Option<usize>,
    pub(crate) most: Option<usize>,
    pub(crate) fewest_keys: Option<usize>,
    pub(crate) most_keys: Option<usize>,
    pub(crate) unique: bool,
    pub(crate) all_of: Vec<Schema>,
    pub(crate) any_of: Vec<Schema>,
    pub(crate) one_of: Vec<Schema>,
    pub(crate) not: Option<Box<Schema>>,
}

pub(crate) fn says(schema: &Value, key: &str) -> bool {
    schema.get(key) == Some(&Value::Bool(true))
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let items = value.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// How references to other schemas are followed.
pub(crate) trait Resolve {
    /// The schema of a name such as `io.k8s.api.core.v1.PodSpec`.
    fn resolve(&mut self, name: &str) -> Arc<Schema>;
}

/// There are no references: schemas in definitions are self-contained.
pub(crate) struct NoReferences;

impl Resolve for NoReferences {
    fn resolve(&mut self, _: &str) -> Arc<Schema> {
        Arc::new(Schema { keeps_unknown: true, ..Schema::default() })
    }
}

impl Schema {
    /// Reads a schema of OpenAPI v3. What does not parse (a bad pattern) is left out: `problems` names it.
    pub(crate) fn read(schema: &Value, references: &mut dyn Resolve) -> Self {
        let child = |key: &str, references: &mut dyn Resolve| {
            schema.get(key).filter(|child| child.is_object()).map(|child| Self::child(child, references))
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut fields = BTreeMap::new();
        for (name, property) in properties.into_iter().flatten() {
            fields.insert(name.clone(), Self::child(property, references));
        }
        let values = child("additionalProperties", references);
        let free = schema.get("additionalProperties") == Some(&Value::Bool(true));
        Self {
            form: Type::of(schema),
            nullable: says(schema, "nullable"),
            properties: fields,
            values,
            items: child("items", references),
            default: schema.get("default").cloned(),
            keeps_unknown: free || says(schema, "x-kubernetes-preserve-unknown-fields"),
            embedded: says(schema, "x-kubernetes-embedded-resource"),
            list: list_kind(schema),
            patch: PatchStrategy {
                merges: schema
                    .get("x-kubernetes-patch-strategy")
                    .and_then(Value::as_str)
                    .is_some_and(|strategy| strategy.split(',').any(|part| part == "merge")),
                key: schema.get("x-kubernetes-patch-merge-key").and_then(Value::as_str).map(str::to_owned),
            },
            atomic: schema.get("x-kubernetes-map-type").is_some_and(|kind| kind == "atomic"),
            limits: Limits::read(schema, references),
            rules: rules::read(schema),
            definition: None,
            presets: Preset::read(schema),
            derive: None,
        }
    }

    fn child(schema: &Value, references: &mut dyn Resolve) -> Arc<Self> {
        let alone = schema.get("allOf").and_then(Value::as_array).filter(|all| all.len() == 1);
        let referring = alone.map_or(schema, |all| &all[0]);
        match referring.get("$ref").and_then(Value::as_str) {
            Some(reference) => references.resolve(reference.rsplit('/').next().unwrap_or(reference)),
            None => Arc::new(Self::read(schema, references)),
        }
    }

    /// The schema of one field of an object.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(self.values.as_ref()).map(Arc::as_ref)
    }
}

impl Limits {
    fn read(schema: &Value, references: &mut dyn Resolve) -> Self {
        let number = |key: &str| schema.get(key).and_then(Value::as_f64);
        let count =
            |key: &str| schema.get(key).and_then(Value::as_u64).and_then(|count| usize::try_from(count).ok());
        let mut several = |key: &str| -> Vec<Schema> {
            let listed = schema.get(key).and_then(Value::as_array).into_iter().flatten();
            listed.map(|schema| Schema::read(schema, references)).collect()
        };
        let (all_of, any_of, one_of) = (several("allOf"), several("anyOf"), several("oneOf"));
        Self {
            required: texts(schema.get("required")),
            choices: schema.get("enum").and_then(Value::as_array).cloned().unwrap_or_default(),
            format: schema.get("format").and_then(Value::as_str).map(str::to_owned),
            pattern: schema
                .get("pattern")
                .and_then(Value::as_str)
                .and_then(|pattern| Regex::new(pattern).ok()),
            minimum: number("minimum"),
            maximum: number("maximum"),
            above_minimum: says(schema, "exclusiveMinimum"),
            below_maximum: says(schema, "exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            shortest: count("minLength"),
            longest: count("maxLength"),
            fewest: count("minItems"),
            most: count("maxItems"),
            fewest_keys: count("minProperties"),
            most_keys: count("maxProperties"),
            unique: says(schema, "uniqueItems"),
            all_of,
            any_of,
            one_of,
            not: schema.get("not").map(|schema| Box::new(Schema::read(schema, references))),
        }
    }
}

fn list_kind(schema: &Value) -> ListKind {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => ListKind::Set,
        Some("map") => ListKind::Map(texts(schema.get("x-kubernetes-list-map-keys"))),
        _ => ListKind::Atomic,
    }
}

/// Where in an object a walk is, as far as its kind's schema tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trail<'a> {
    schema: Option<&'a Schema>,
}

impl<'a> Trail<'a> {
    pub(crate) fn root(schema: &'a Schema) -> Self {
        Self { schema: Some(schema) }
    }

    pub(crate) fn field(self, name: &str) -> Self {
        Self { schema: self.schema.and_then(|schema| schema.field(name)) }
    }

    /// The way to any element of the list here.
    pub(crate) fn item(self) -> Self {
        Self { schema: self.schema.and_then(|schema| schema.items.as_deref()) }
    }

    /// How the list here is merged and owned.
    pub(crate) fn list(self) -> &'a ListKind {
        self.schema.map_or(&ListKind::Atomic, |schema| &schema.list)
    }

    /// What strategic merge patches do with the list here.
    pub(crate) fn patch(self) -> Option<&'a PatchStrategy> {
        self.schema.map(|schema| &schema.patch)
    }

    /// Whether the object here is one value.
    pub(crate) fn is_atomic(self) -> bool {
        self.schema.is_some_and(|schema| schema.atomic)
    }

    /// Whether a key of the object here is a declared field, not one of a map.
    pub(crate) fn declares(self, name: &str) -> bool {
        self.schema.is_some_and(|schema| schema.properties.contains_key(name))
    }

    /// What names an element of the list here in managed fields: `k:{…}` or `v:…`; none where it lacks a key.
    pub(crate) fn element(self, item: &Value) -> Option<String> {
        match self.list() {
            ListKind::Atomic => None,
            ListKind::Set => Some(format!("v:{item}")),
            ListKind::Map(keys) => {
                let mut found = Map::new();
                for key in keys {
                    let value = item.get(key).cloned().or_else(|| self.default_of_key(key))?;
                    found.insert(key.clone(), value);
                }
                Some(format!("k:{}", Value::Object(found)))
            }
        }
    }

    fn default_of_key(self, key: &str) -> Option<Value> {
        let presets = &self.item().schema?.presets;
        presets.iter().find(|preset| *preset.field == *key).map(|preset| preset.value.clone())
    }
}

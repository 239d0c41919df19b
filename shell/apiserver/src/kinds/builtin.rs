//! The schemas of built-in kinds as Kubernetes publishes them: fields, types, choices, how lists are merged and owned.
//!
//! `published.json.gz` holds the definitions of a running kube-apiserver's OpenAPI documents that the kinds of the
//! table refer to, as they are; `UPDATE=1 make test-kubernetes` writes it, and compares it without that.

use std::collections::{BTreeMap, HashMap};
use std::io::Read as _;
use std::sync::{Arc, LazyLock};

use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

use super::{KindId, Origin, unpublished};
use crate::schema::{Resolve, Schema, Type};

const PUBLISHED: &[u8] = include_bytes!("published.json.gz");

/// The definitions of all built-in kinds by their names, as OpenAPI v3 writes them.
#[derive(Debug)]
pub(crate) struct Definitions {
    pub(crate) schemas: Map<String, Value>,
    /// The names of the definitions of whole objects, by group, version and kind.
    names: BTreeMap<[String; 3], String>,
}

static DEFINITIONS: LazyLock<Definitions> = LazyLock::new(|| {
    let schemas: Map<_, _> =
        serde_json::from_str(&published()).expect("the text is that of the suite that wrote it");
    let names = schemas.iter().flat_map(|(name, schema)| {
        let kinds = schema["x-kubernetes-group-version-kind"].as_array().into_iter().flatten();
        kinds.map(move |kind| {
            let part = |part: &str| kind[part].as_str().unwrap_or_default().to_owned();
            ([part("group"), part("version"), part("kind")], name.clone())
        })
    });
    let names = names.collect();
    Definitions { schemas, names }
});

/// The definitions that Kubernetes publishes of the built-in kinds and of what they refer to, as one JSON object.
pub fn published() -> String {
    let mut text = String::new();
    GzDecoder::new(PUBLISHED).read_to_string(&mut text).expect("the file is part of the program");
    text
}

/// The name of the definition of a built-in kind.
pub(crate) fn definition_name(kind: KindId) -> Option<String> {
    let names = &DEFINITIONS.names;
    match kind.origin {
        Origin::BuiltIn => names.get(&[kind.group, kind.version, kind.name].map(str::to_owned)).cloned(),
        Origin::Custom(_) => None,
    }
}

/// Group, version and kind, as schemas carry them.
pub(crate) fn gvk_of(kind: KindId) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": kind.name})
}

/// The definitions of all built-in kinds.
pub(crate) fn definitions() -> &'static Definitions {
    &DEFINITIONS
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
    LazyLock::new(|| References::default().resolve("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"));

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
        self.open.push(name.to_owned());
        let mut read = Schema::read(schema, self);
        self.open.pop();
        let short = name.rsplit('.').next().unwrap_or(name);
        // Quantities and ports are written as numbers too.
        if ["Quantity", "IntOrString"].contains(&short) {
            read = Schema { form: Type::IntOrString, ..Schema::default() };
        }
        // Such a definition stands for any object.
        read.keeps_unknown |= read.properties.is_empty() && read.values.is_none();
        read.definition = Some(short.into());
        unpublished::amend(name, &mut read);
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

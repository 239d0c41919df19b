//! What is known of a kind. Built-in kinds are one table in `kinds/table.rs`; those of definitions are made in
//! `definitions.rs`.

use std::ops::Deref;

use serde_json::Value;

use crate::kinds::table::KINDS;
use crate::schema::{Schema, fill};

mod builtin;
pub(crate) mod checks;
mod columns;
mod defaults;
mod served;
mod table;
mod unpublished;

pub use builtin::published;
pub(crate) use builtin::{definition_name, definitions, gvk_of, metadata};
pub(crate) use columns::{Cell, Column, age, rough};
pub use served::{Kinds, ResourceKey};

/// Whether objects of a kind live in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Beside all namespaces.
    Cluster,
    /// Inside one namespace.
    Namespaced,
}

/// Who may write `.status` of a kind, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusField {
    /// An ordinary field.
    Ordinary,
    /// Only through the subresource; dropped when the object is created.
    Separate,
    /// Only through the subresource, but the creator may set it.
    SeparateAfterCreation,
}

/// Where a kind is defined.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    /// In Kubernetes.
    BuiltIn,
    /// In a CRD, whose schema its objects must follow.
    Custom(&'static Custom),
}

/// What a CRD says of a kind besides what every kind has.
#[derive(Debug)]
pub(crate) struct Custom {
    pub(crate) schema: Schema,
    /// The schema as it was written.
    pub(crate) written: Value,
}

/// Where the parts of the `scale` subresource lie in an object, as JSON pointers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) desired: &'static str,
    pub(crate) observed: &'static str,
    /// A text, or a `LabelSelector`.
    pub(crate) selector: Option<&'static str>,
}

/// What the server knows of one kind.
#[derive(Debug)]
pub struct Kind {
    /// The API group, empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// The kind's name in objects.
    pub name: &'static str,
    /// The resource's name in paths.
    pub plural: &'static str,
    /// The name of one object's resource; empty: the kind in lower case.
    pub(crate) singular: &'static str,
    /// The kind of lists; empty: the kind with `List` at its end.
    pub(crate) list_name: &'static str,
    /// Short names for `kubectl`.
    pub short: &'static [&'static str],
    /// Groups of resources for `kubectl`, such as `all`.
    pub(crate) categories: &'static [&'static str],
    /// Cluster-scoped or namespaced.
    pub scope: Scope,
    /// How `.status` is written.
    pub status: StatusField,
    /// Fields besides name and namespace that a field selector may name.
    pub fields: &'static [&'static str],
    /// The columns that a definition names, after the name; those of built-in kinds are in `columns.rs`.
    pub(crate) columns: &'static [Column],
    pub(crate) origin: Origin,
    pub(crate) complete: fn(&mut Value),
    pub(crate) check: checks::Check,
    /// Whether changes of the desired state are counted.
    pub(crate) counts_generations: bool,
    pub(crate) scale: Option<Scale>,
    /// The group and plural of the kind that keeps its objects, where that is another one.
    pub(crate) kept_as: Option<ResourceKey>,
    /// Whether objects are kept in this version.
    pub(crate) is_stored: bool,
    /// Whether objects are read and written in this version.
    pub(crate) is_served: bool,
}

impl Kind {
    /// `group/version`, or the bare version in the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The full resource name: `endpoints.submariner.io`, `nodes`.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// The name of one object's resource.
    pub fn singular(&self) -> String {
        if self.singular.is_empty() { self.name.to_lowercase() } else { self.singular.to_owned() }
    }

    /// An object of the kind before anything is in it: nobody owns its fields for having made them.
    pub(crate) fn blank_object(&self, schema: &Schema) -> Value {
        let mut object = serde_json::json!({"metadata": {}});
        if !self.is_custom() {
            fill(schema, &mut object);
        }
        object
    }

    /// The kind of lists.
    pub(crate) fn list_kind(&self) -> String {
        if self.list_name.is_empty() { format!("{}List", self.name) } else { self.list_name.to_owned() }
    }

    /// Whether `.status` is written through its own subresource only.
    pub fn has_status_subresource(&self) -> bool {
        self.status != StatusField::Ordinary
    }

    /// Whether the kind is namespaced.
    pub fn is_namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether the kind comes from a CRD, whose update rules are stricter than those of built-in kinds.
    pub(crate) fn is_custom(&self) -> bool {
        matches!(self.origin, Origin::Custom(_))
    }

    /// What the kind's CRD says of it.
    pub(crate) fn custom(&self) -> Option<&'static Custom> {
        match self.origin {
            Origin::Custom(custom) => Some(custom),
            Origin::BuiltIn => None,
        }
    }

    /// The group and plural under which objects are kept, of whatever version.
    pub(crate) fn key(&self) -> ResourceKey {
        self.kept_as.unwrap_or((self.group, self.plural))
    }
}

/// One kind in one version. INVARIANT: each is in memory once, so that it is told apart by its address.
#[derive(Clone, Copy)]
pub struct KindId(&'static Kind);

impl PartialEq for KindId {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for KindId {}

impl std::fmt::Debug for KindId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.resource(), self.version)
    }
}

impl KindId {
    /// Every built-in kind, in the order of the table.
    pub fn all() -> impl Iterator<Item = Self> {
        KINDS.iter().map(Self)
    }

    /// The built-in kind of a full resource name such as `leases.coordination.k8s.io` or `nodes`.
    pub fn named(resource: &str) -> Option<Self> {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        Self::all().find(|kind| kind.plural == plural && kind.group == group)
    }

    /// Every column of tables, in their order.
    pub(crate) fn table_columns(self) -> Vec<Column> {
        match self.origin {
            Origin::BuiltIn => columns::of(self).to_vec(),
            Origin::Custom(_) => std::iter::once(columns::NAME).chain(self.columns.iter().copied()).collect(),
        }
    }

    pub(crate) fn of_definition(kind: &'static Kind) -> Self {
        Self(kind)
    }

    /// What objects must look like.
    pub(crate) fn schema(self) -> &'static Schema {
        match self.origin {
            Origin::Custom(custom) => &custom.schema,
            Origin::BuiltIn => builtin::schema(self),
        }
    }

    pub(crate) fn namespaces() -> Self {
        Self(&KINDS[0])
    }

    pub(crate) fn definitions() -> Self {
        Self(&KINDS[1])
    }
}

impl Deref for KindId {
    type Target = Kind;

    fn deref(&self) -> &Kind {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_names_find_their_kind_also_where_plurals_clash() {
        for kind in KindId::all() {
            assert_eq!(KindId::named(&kind.resource()), Some(kind));
        }
        assert_eq!(KindId::namespaces().name, "Namespace");
        assert_eq!(KindId::definitions().name, "CustomResourceDefinition");
    }
}

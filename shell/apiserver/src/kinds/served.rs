//! The kinds that one server serves: the built-in ones and those of its definitions.

use serde_json::Value;

use super::KindId;

/// The group and plural of a resource: its objects are kept together, whatever their version.
pub type ResourceKey = (&'static str, &'static str);

/// The kinds that a server serves.
#[derive(Debug, Clone)]
pub struct Kinds(Vec<KindId>);

impl Default for Kinds {
    fn default() -> Self {
        Self(KindId::all().collect())
    }
}

impl Kinds {
    /// Every kind in every version.
    pub fn all(&self) -> impl Iterator<Item = KindId> + '_ {
        self.0.iter().copied()
    }

    /// Every kind in every version that requests may name.
    pub fn visible(&self) -> impl Iterator<Item = KindId> + '_ {
        self.all().filter(|kind| kind.is_served)
    }

    /// One kind of each resource: the one whose version objects are kept in.
    pub fn stored(&self) -> impl Iterator<Item = KindId> + '_ {
        self.all().filter(|kind| kind.is_stored)
    }

    /// The kind of a full resource name such as `endpoints.submariner.io` or `nodes`.
    pub fn named(&self, resource: &str) -> Option<KindId> {
        let (plural, group) = resource.split_once('.').unwrap_or((resource, ""));
        let mut found = self.all().filter(|kind| kind.plural == plural && kind.group == group);
        let first = found.next()?;
        Some(if first.is_stored { first } else { found.find(|kind| kind.is_stored).unwrap_or(first) })
    }

    /// The kind that serves a resource of one group and version.
    pub fn served(&self, group: &str, version: &str, plural: &str) -> Option<KindId> {
        self.visible().find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
    }

    /// The kind that an object says it is, by its `apiVersion` and `kind`.
    pub fn of(&self, object: &Value) -> Option<KindId> {
        self.typed(object.get("apiVersion")?.as_str()?, object.get("kind")?.as_str()?)
    }

    /// The kind of an `apiVersion` and a `kind`.
    pub(crate) fn typed(&self, api_version: &str, name: &str) -> Option<KindId> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        self.visible().find(|kind| kind.group == group && kind.version == version && kind.name == name)
    }

    /// The kind in whose version objects of a resource are kept.
    pub(crate) fn kept(&self, key: ResourceKey) -> Option<KindId> {
        self.all().find(|kind| kind.is_stored && kind.key() == key)
    }

    /// Serves the kinds of a definition in place of those that its resource had.
    pub(crate) fn serve(&mut self, key: ResourceKey, kinds: Vec<KindId>) {
        self.0.retain(|kind| kind.key() != key);
        self.0.extend(kinds);
    }
}

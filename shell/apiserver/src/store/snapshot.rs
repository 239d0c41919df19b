//! A collection as it stood at an earlier version, for lists that are read in pages.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{Change, Object, Store};
use crate::kinds::KindId;
use crate::refusal::Refusal;

/// Objects by their keys.
type Objects<'a> = BTreeMap<&'a str, &'a Arc<Object>>;

impl Store {
    /// The objects of a kind as they stood at a version, each with its key, after a key.
    pub(crate) fn list_at(
        &self,
        kind: KindId,
        namespace: Option<&str>,
        version: u64,
        after: Option<&str>,
    ) -> Result<Vec<(String, Arc<Object>)>, Refusal> {
        let events: Vec<_> = self.since(kind, version)?.collect();
        let prefix = namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
        let from = match after {
            Some(after) if after >= prefix.as_str() => Bound::Excluded(after),
            _ => Bound::Included(prefix.as_str()),
        };
        let keep = |(key, object): (&str, &Arc<Object>)| (key.to_owned(), Arc::clone(object));
        let Some(collection) = self.collection(kind) else { return Ok(Vec::new()) };
        let within = |key: &str| key.starts_with(&prefix);
        let present = collection
            .objects
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(key, object)| (key.as_str(), object))
            .take_while(|(key, _)| within(key));
        if events.is_empty() {
            return Ok(present.map(keep).collect());
        }
        let mut objects: Objects<'_> = present.collect();
        let keys: Vec<_> =
            events.iter().map(|event| super::key(event.object.namespace(), event.object.name())).collect();
        for (event, key) in events.iter().zip(&keys).rev() {
            let started = match from {
                Bound::Excluded(after) => key.as_str() > after,
                Bound::Included(_) | Bound::Unbounded => true,
            };
            if !within(key) || !started {
                continue;
            }
            match (event.change, &event.previous) {
                (Change::Added, _) | (_, None) => objects.remove(key.as_str()),
                (Change::Modified | Change::Deleted, Some(previous)) => objects.insert(key, previous),
            };
        }
        Ok(objects.into_iter().map(keep).collect())
    }
}

//! The objects of a kind as last seen: what a watch tells, kept.

use std::collections::{BTreeMap, BTreeSet};

use kube::Resource;
use subm_types::Problem;

use crate::{ApiError, Event, Key};

/// The last good state of all objects that a watch covers.
///
/// INVARIANT: only a complete list or the news of a deletion removes an object; one that became unreadable stays as
/// it was last read.
#[derive(Debug, Clone)]
pub struct Objects<K> {
    known: BTreeMap<Key, K>,
    unreadable: BTreeMap<Key, Problem>,
    complete: bool,
    unavailable: Option<ApiError>,
}

impl<K> Default for Objects<K> {
    fn default() -> Self {
        Self { known: BTreeMap::new(), unreadable: BTreeMap::new(), complete: false, unavailable: None }
    }
}

/// Whether an event changed anything that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// As before.
    No,
    /// Something differs.
    Yes,
}

impl<K: Resource + PartialEq> Objects<K> {
    /// Takes an event in.
    pub fn apply(&mut self, event: Event<K>) -> News {
        match event {
            Event::Snapshot { objects, unreadable } => self.replace(objects, unreadable),
            Event::Applied(object) => {
                let key = Key::of(&object);
                let healed = self.unreadable.remove(&key).is_some();
                let same = self.known.get(&key) == Some(&object);
                self.known.insert(key, object);
                news(healed || !same)
            }
            Event::Unreadable(of) => {
                let before = self.unreadable.insert(of.key, of.problem.clone());
                news(before.as_ref() != Some(&of.problem))
            }
            Event::Deleted(key) => {
                let known = self.known.remove(&key).is_some();
                news(self.unreadable.remove(&key).is_some() || known)
            }
            Event::Unavailable(error) => {
                let before = self.unavailable.replace(error.clone());
                news(before != Some(error))
            }
        }
    }

    fn replace(&mut self, objects: Vec<K>, unreadable: Vec<crate::Unreadable>) -> News {
        let unreadable: BTreeMap<_, _> = unreadable.into_iter().map(|of| (of.key, of.problem)).collect();
        let mut fresh: BTreeMap<_, _> =
            objects.into_iter().map(|object| (Key::of(&object), object)).collect();
        for (key, object) in std::mem::take(&mut self.known) {
            if unreadable.contains_key(&key) {
                fresh.insert(key, object);
            } else {
                self.known.insert(key, object);
            }
        }
        let kept: BTreeSet<_> = unreadable.keys().cloned().collect();
        let same_objects = fresh.iter().filter(|(key, _)| !kept.contains(*key)).eq(self.known.iter());
        let same = same_objects && unreadable == self.unreadable;
        let first = !std::mem::replace(&mut self.complete, true);
        let back = self.unavailable.take().is_some();
        (self.known, self.unreadable) = (fresh, unreadable);
        news(!same || first || back)
    }
}

impl<K> Objects<K> {
    /// The objects by key.
    pub const fn all(&self) -> &BTreeMap<Key, K> {
        &self.known
    }

    /// The objects in the order of their keys.
    pub fn values(&self) -> impl Iterator<Item = &K> {
        self.known.values()
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<&K> {
        self.known.get(key)
    }

    /// Tells whether a complete list was ever read: before, nothing can be said of what is absent.
    pub const fn is_complete(&self) -> bool {
        self.complete
    }

    /// What is wrong with objects that cannot be read.
    pub fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.unreadable.values()
    }

    /// The objects that cannot be read, by key.
    pub const fn unreadable(&self) -> &BTreeMap<Key, Problem> {
        &self.unreadable
    }

    /// Why the server cannot be watched at present, if so.
    pub const fn unavailable(&self) -> Option<&ApiError> {
        self.unavailable.as_ref()
    }
}

const fn news(changed: bool) -> News {
    if changed { News::Yes } else { News::No }
}

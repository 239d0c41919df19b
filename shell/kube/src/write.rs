//! Writes that write only what differs, and deletions of exactly what was seen.

use kube::Resource;
use kube::core::params::{DeleteParams, GetParams, Patch, PatchParams, PostParams, Preconditions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::request::{action, requests};
use crate::{ApiError, Connection, Key};

/// Writes under one name of a field manager.
#[derive(Debug, Clone)]
pub struct Writer {
    connection: Connection,
    manager: &'static str,
}

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// The object is new.
    Created,
    /// The object was written.
    Changed,
    /// It was already so; nothing was sent.
    Unchanged,
}

/// Metadata that the server gives; it is never written.
const GIVEN: [&str; 6] =
    ["managedFields", "resourceVersion", "uid", "creationTimestamp", "generation", "selfLink"];

impl Writer {
    /// A writer: `submariner-gateway`, `submariner-routeagent`.
    pub fn new(connection: &Connection, manager: &'static str) -> Self {
        Self { connection: connection.clone(), manager }
    }

    /// The connection that it writes over.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Reads one object.
    pub async fn get<K>(&self, key: &Key) -> Result<Option<K>, ApiError>
    where
        K: Resource<DynamicType = ()> + DeserializeOwned,
    {
        let request = requests::<K>(&key.namespace).get(&key.name, &GetParams::default());
        match self.connection.ask(action::<K>("get", key), request).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Server-side apply: our fields become these, fields of others stay; conflicts are decided for us.
    ///
    /// `live` is what a watch last told of the object; where it has all that is wanted, nothing is sent.
    pub async fn apply<K>(&self, object: &K, live: Option<&K>) -> Result<Written, ApiError>
    where
        K: Resource<DynamicType = ()> + Serialize,
    {
        let (key, wanted) = (Key::of(object), writable(object));
        if live.is_some_and(|live| holds(&writable(live), &wanted)) {
            return Ok(Written::Unchanged);
        }
        let params = PatchParams::apply(self.manager).force();
        let request = requests::<K>(&key.namespace).patch(&key.name, &params, &Patch::Apply(&wanted));
        let _: Value = self.connection.ask(action::<K>("patch", &key), request).await?;
        Ok(if live.is_some() { Written::Changed } else { Written::Created })
    }

    /// Creates the object, or makes the whole of it this one; labels and annotations too.
    ///
    /// `live` is what a watch last told of the object: if somebody wrote since, the answer is a conflict.
    pub async fn replace<K>(&self, object: &K, live: Option<&K>) -> Result<Written, ApiError>
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone,
    {
        let mut object = object.clone();
        let Some(live) = live else {
            object.meta_mut().resource_version = None;
            self.put(&object).await?;
            return Ok(Written::Created);
        };
        let (present, wanted) = (writable(live), writable(&object));
        if holds(&present, &wanted) && same_labels(&present, &wanted) {
            return Ok(Written::Unchanged);
        }
        object.meta_mut().resource_version.clone_from(&live.meta().resource_version);
        self.put(&object).await?;
        Ok(Written::Changed)
    }

    /// Creates the object where its metadata has no resource version, else replaces exactly that version; gives what
    /// the server made of it.
    pub async fn put<K>(&self, object: &K) -> Result<K, ApiError>
    where
        K: Resource<DynamicType = ()> + Serialize + DeserializeOwned,
    {
        let (key, mut wanted) = (Key::of(object), writable(object));
        let params = PostParams { field_manager: Some(self.manager.to_owned()), ..PostParams::default() };
        let Some(version) = &object.meta().resource_version else {
            let request = requests::<K>(&key.namespace).create(&params, bytes(&wanted));
            return self.connection.ask(action::<K>("create", &key), request).await;
        };
        if let Some(Value::Object(meta)) = wanted.get_mut("metadata") {
            meta.insert("resourceVersion".to_owned(), Value::from(version.as_str()));
        }
        let request = requests::<K>(&key.namespace).replace(&key.name, &params, bytes(&wanted));
        self.connection.ask(action::<K>("update", &key), request).await
    }

    /// Changes some fields of an object that is somebody else's (JSON merge patch, RFC 7396).
    pub async fn merge<K>(&self, key: &Key, patch: &Value) -> Result<(), ApiError>
    where
        K: Resource<DynamicType = ()>,
    {
        let params = PatchParams { field_manager: Some(self.manager.to_owned()), ..PatchParams::default() };
        let request = requests::<K>(&key.namespace).patch(&key.name, &params, &Patch::Merge(patch));
        let _: Value = self.connection.ask(action::<K>("patch", key), request).await?;
        Ok(())
    }

    /// Deletes the object if it is still the one that was seen, unchanged; one that is gone already is no error.
    pub async fn delete<K>(&self, seen: &K) -> Result<(), ApiError>
    where
        K: Resource<DynamicType = ()>,
    {
        let (uid, resource_version) = (seen.meta().uid.clone(), seen.meta().resource_version.clone());
        self.delete_version::<K>(&Key::of(seen), Preconditions { uid, resource_version }).await
    }

    /// Deletes what has this key and fulfils these preconditions; what is gone already is no error.
    pub async fn delete_version<K>(&self, key: &Key, preconditions: Preconditions) -> Result<(), ApiError>
    where
        K: Resource<DynamicType = ()>,
    {
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let request = requests::<K>(&key.namespace).delete(&key.name, &params);
        match self.connection.ask::<Value>(action::<K>("delete", key), request).await {
            Err(error) if !error.is_not_found() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn bytes(object: &Value) -> Vec<u8> {
    object.to_string().into_bytes()
}

/// The object as JSON without what only the server writes.
fn writable<K: Serialize>(object: &K) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(Value::Object(meta)) = value.get_mut("metadata") {
        for field in GIVEN {
            meta.remove(field);
        }
    }
    value
}

/// Tells whether a live object has everything that is wanted of it.
fn holds(live: &Value, wanted: &Value) -> bool {
    let (Value::Object(live), Value::Object(wanted)) = (live, wanted) else { return false };
    wanted.iter().all(|(field, value)| match field.as_str() {
        "metadata" => within(live.get(field), Some(value)),
        _ => live.get(field) == Some(value),
    })
}

/// Tells whether all that is wanted is there, in maps of maps; lists and words must be equal.
fn within(live: Option<&Value>, wanted: Option<&Value>) -> bool {
    match (live, wanted) {
        (_, None | Some(Value::Null)) => true,
        (Some(Value::Object(live)), Some(Value::Object(wanted))) => {
            wanted.iter().all(|(field, value)| within(live.get(field), Some(value)))
        }
        (None, Some(Value::Object(wanted))) => wanted.is_empty(),
        (live, wanted) => live == wanted,
    }
}

fn same_labels(live: &Value, wanted: &Value) -> bool {
    let map = |object: &Value, name| match object.pointer(name) {
        Some(Value::Object(map)) => map.clone(),
        _ => Map::new(),
    };
    ["/metadata/labels", "/metadata/annotations"].iter().all(|name| map(live, name) == map(wanted, name))
}

//! The objects of a cluster, as its administrator reads and writes them.

use serde_json::Value;

use anyhow::Result;

use crate::cluster::Cluster;
use crate::real::Real;

/// The objects of a cluster. Resources are named in full: `endpoints.submariner.io`. Reading panics where the server
/// gives no answer: it is for tests.
#[derive(Debug, Clone, Copy)]
pub struct Objects<'a>(pub(crate) &'a Cluster);

/// Who has them.
pub(crate) enum Side<'a> {
    Embedded(subm_apiserver::Objects),
    Real(&'a Real),
}

impl Objects<'_> {
    /// One object; the namespace of a cluster-scoped one is empty.
    pub fn get(&self, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        match self.0.side() {
            Side::Embedded(own) => own.get(resource, namespace, name),
            Side::Real(real) => real.get(resource, namespace, name),
        }
    }

    /// The objects of a resource, of one namespace or of all.
    pub fn list(&self, resource: &str, namespace: Option<&str>) -> Vec<Value> {
        match self.0.side() {
            Side::Embedded(own) => own.list(resource, namespace),
            Side::Real(real) => real.list(resource, namespace),
        }
    }

    /// Stores a new object.
    pub fn create(&self, object: Value) -> Result<Value> {
        match self.0.side() {
            Side::Embedded(own) => Ok(own.create(object)?.value()),
            Side::Real(real) => real.create(&object),
        }
    }

    /// Replaces an object.
    pub fn replace(&self, object: Value) -> Result<Value> {
        match self.0.side() {
            Side::Embedded(own) => Ok(own.replace(object)?.value()),
            Side::Real(real) => real.replace(&object, ""),
        }
    }

    /// Replaces the status of an object.
    pub fn replace_status(&self, object: Value) -> Result<Value> {
        match self.0.side() {
            Side::Embedded(own) => Ok(own.replace_status(object)?.value()),
            Side::Real(real) => real.replace(&object, "/status"),
        }
    }

    /// Applies an object, taking over fields of others.
    pub fn apply(&self, object: Value) -> Result<Value> {
        match self.0.side() {
            Side::Embedded(own) => Ok(own.apply(object)?.value()),
            Side::Real(real) => real.apply(&object),
        }
    }

    /// Merges a change into an object.
    pub fn merge(&self, resource: &str, namespace: &str, name: &str, patch: Value) -> Result<Value> {
        match self.0.side() {
            Side::Embedded(own) => Ok(own.merge(resource, namespace, name, patch)?.value()),
            Side::Real(real) => real.merge(resource, namespace, name, &patch),
        }
    }

    /// Deletes an object.
    pub fn delete(&self, resource: &str, namespace: &str, name: &str) -> Result<()> {
        match self.0.side() {
            Side::Embedded(own) => Ok(own.delete(resource, namespace, name).map(drop)?),
            Side::Real(real) => real.delete(resource, namespace, name),
        }
    }
}

//! Objects of both kinds in one manner: what of them is compared, and what of them travels.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use subm_api::check::{annotation, label};
use subm_api::{Cluster, Endpoint, Kind, keys};
use subm_types::{ClusterUid, Problem};

use crate::change::{Change, Object, ObjectKind, ObjectRef};

pub(crate) type Pairs = BTreeMap<String, String>;

/// A kind that is synchronised.
pub(crate) trait Synced: Kind {
    const OBJECT_KIND: ObjectKind;
    /// The cluster that the body names.
    fn cluster_id(&self) -> &str;
    /// Tells whether an API server keeps `wanted` as this object.
    fn holds(&self, wanted: &Self) -> bool;
    fn into_object(self) -> Object;
}

impl Synced for Cluster {
    const OBJECT_KIND: ObjectKind = ObjectKind::Cluster;

    fn cluster_id(&self) -> &str {
        &self.spec.cluster_id
    }

    fn holds(&self, wanted: &Self) -> bool {
        self.spec == wanted.spec
    }

    fn into_object(self) -> Object {
        Object::Cluster(self)
    }
}

impl Synced for Endpoint {
    const OBJECT_KIND: ObjectKind = ObjectKind::Endpoint;

    fn cluster_id(&self) -> &str {
        &self.spec.cluster_id
    }

    /// COMPAT: an API server with the definitions of 0.19 drops the address lists; writing them again would never end.
    fn holds(&self, wanted: &Self) -> bool {
        self.spec == wanted.spec || self.spec == wanted.spec.without_lists()
    }

    fn into_object(self) -> Object {
        Object::Endpoint(self)
    }
}

pub(crate) fn name_of<K: Kind>(object: &K) -> &str {
    object.metadata().name.as_deref().unwrap_or_default()
}

pub(crate) fn origin<K: Kind>(object: &K) -> Option<&str> {
    label(object.metadata(), keys::CLUSTER_ID_LABEL)
}

/// The cluster that says it wrote the object; enough of a long text to tell it from another.
pub(crate) fn uid_of<K: Kind>(object: &K) -> Option<ClusterUid> {
    const LONGEST: usize = 128;
    let uid = annotation(object.metadata(), keys::CLUSTER_UID)?;
    Some(ClusterUid(uid.chars().take(LONGEST).collect()))
}

pub(crate) fn is_kept<K: Kind>(object: &K) -> bool {
    annotation(object.metadata(), keys::KEPT).is_some()
}

/// The copy at home of another cluster's object on the hub.
pub(crate) fn copy_of<K: Synced>(original: &K, namespace: &str) -> K {
    const LOCAL: [&str; 3] = [keys::COUNTER, keys::COUNTER_STATE, keys::KEPT];
    let annotations = original.metadata().annotations.iter().flatten();
    let annotations: Pairs = annotations
        .filter(|(key, _)| is_ours(key) && !LOCAL.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let labels = origin(original).map(|id| (keys::CLUSTER_ID_LABEL.to_owned(), id.to_owned()));
    let mut copy = original.clone();
    *copy.metadata_mut() = metadata(name_of(original), namespace, labels.into_iter().collect(), annotations);
    copy
}

pub(crate) fn metadata(name: &str, namespace: &str, labels: Pairs, annotations: Pairs) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels).filter(|labels| !labels.is_empty()),
        annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
        ..ObjectMeta::default()
    }
}

/// The write that makes `have` hold `want`, if one is needed. Foreign labels and annotations stay.
pub(crate) fn write<K: Synced>(have: Option<&K>, mut want: K) -> Option<Change> {
    if let Some(have) = have {
        let (old, new) = (have.metadata(), want.metadata());
        let labels = merged(old.labels.as_ref(), new.labels.as_ref());
        let annotations = merged(old.annotations.as_ref(), new.annotations.as_ref());
        let same = |old: Option<&Pairs>, new: &Pairs| old.map_or_else(|| new.is_empty(), |old| old == new);
        if have.holds(&want)
            && same(old.labels.as_ref(), &labels)
            && same(old.annotations.as_ref(), &annotations)
        {
            return None;
        }
        let metadata = ObjectMeta {
            labels: Some(labels).filter(|labels| !labels.is_empty()),
            annotations: Some(annotations).filter(|annotations| !annotations.is_empty()),
            managed_fields: None,
            ..old.clone()
        };
        *want.metadata_mut() = metadata;
    }
    Some(Change::Write(want.into_object()))
}

/// Foreign keys of the old pairs, and all of the new ones.
fn merged(old: Option<&Pairs>, new: Option<&Pairs>) -> Pairs {
    let foreign = old.into_iter().flatten().filter(|(key, _)| !is_ours(key));
    foreign.chain(new.into_iter().flatten()).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn is_ours(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    domain == "submariner.io" || domain.ends_with(".submariner.io") || domain == "submariner-io"
}

pub(crate) fn delete<K: Synced>(object: &K, namespace: &str) -> Change {
    let metadata = object.metadata();
    Change::Delete(ObjectRef {
        kind: K::OBJECT_KIND,
        namespace: namespace.to_owned(),
        name: name_of(object).to_owned(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
    })
}

pub(crate) fn problem<K: Kind>(
    reason: &'static str,
    object: &K,
    field: &str,
    what: String,
    remedy: &str,
) -> Problem {
    let object = format!("{} {}", K::KIND, name_of(object));
    Problem { reason, object, field: field.to_owned(), what, remedy: remedy.to_owned() }
}

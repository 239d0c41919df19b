//! What a member of a clusterset may write: only what carries its own cluster id, under its own names.

use std::sync::Arc;

use serde_json::Value;
use subm_api::keys::CLUSTER_ID_LABEL as OWNER;
use subm_api::names::is_endpoint_object_name;
use subm_types::ClusterId;

use crate::access::{Authoriser, User};
use crate::policy::{self, Attempt, Policies, Told};
use crate::rbac::check_escalation;
use crate::refusal::Refusal;
use crate::store::{Object, Place, Store};

/// A member keeps at most so many objects of a kind, and none larger than this: it must not crowd out the others.
const MEMBER_OBJECTS: usize = 64;
const MEMBER_BYTES: usize = 128 * 1024;

/// What objects written by a user must be like.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Admission {
    /// Whatever the rules allow.
    #[default]
    Anything,
    /// Labelled with this cluster's id, before and after; named so that no other member's name is taken.
    OwnCluster(ClusterId),
    /// What the user's own limits, the rules against escalation and the policies in the store say.
    Reviewed(Review),
}

/// Who writes, and by which rules.
#[derive(Debug, Clone)]
pub struct Review {
    pub(crate) user: Arc<User>,
    pub(crate) authoriser: Authoriser,
    pub(crate) policies: Arc<Policies>,
    /// The options of the request.
    pub(crate) options: Value,
    /// What policies say to it.
    pub(crate) told: Arc<Told>,
}

impl PartialEq for Review {
    fn eq(&self, other: &Self) -> bool {
        self.user == other.user
    }
}

impl Eq for Review {}

impl Review {
    fn check(
        &self,
        store: &Store,
        place: &Place,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<(), Refusal> {
        self.user.admission.check(store, place, old, new)?;
        if let Some(new) = new {
            check_escalation(store, (&self.user, &self.authoriser), place, old, new)?;
        }
        let attempt = Attempt {
            store,
            place,
            old,
            new,
            user: &self.user,
            authoriser: &self.authoriser,
            options: &self.options,
        };
        policy::judge(&self.policies, &attempt, &self.told)
    }
}

impl Admission {
    /// Checks a write: creation has no old object, deletion no new one.
    pub(crate) fn check(
        &self,
        store: &Store,
        place: &Place,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> Result<(), Refusal> {
        let own = match self {
            Self::Anything => return Ok(()),
            Self::Reviewed(review) => return review.check(store, place, old, new),
            Self::OwnCluster(own) => own,
        };
        let refuse = |why: String| Err(Refusal::Forbidden(place.subject(), why));
        let own = own.as_str();
        if let Some(owner) = old.map(owner).filter(|owner| *owner != Some(own)) {
            return refuse(format!("it belongs to {}, not to cluster {own:?}", named(owner)));
        }
        let Some(new) = new else { return Ok(()) };
        if owner(new) != Some(own) {
            return refuse(format!("label {OWNER} must be {own:?}, not {}", named(owner(new))));
        }
        if place.kind.group == "submariner.io" && cluster_id(new) != Some(own) {
            return refuse(format!("spec.cluster_id must be {own:?}, not {}", named(cluster_id(new))));
        }
        let size = new.to_string().len();
        if size > MEMBER_BYTES {
            return refuse(format!("it has {size} bytes; a member's objects have at most {MEMBER_BYTES}"));
        }
        if !is_own_name(place, own) {
            return refuse(format!("objects of cluster {own:?} are named {}", own_names(place, own)));
        }
        Ok(())
    }
}

impl Admission {
    /// Checks that a new object leaves room for others.
    pub(crate) fn check_room(&self, place: &Place, store: &Store) -> Result<(), Refusal> {
        let own = match self {
            Self::Anything => return Ok(()),
            Self::Reviewed(review) => return review.user.admission.check_room(place, store),
            Self::OwnCluster(own) => own,
        };
        let objects = store.list(place.kind, Some(&place.namespace));
        let is_own =
            |object: &&Arc<Object>| object.labels().get(OWNER).is_some_and(|owner| owner == own.as_str());
        if objects.filter(is_own).count() < MEMBER_OBJECTS {
            return Ok(());
        }
        let why = format!(
            "cluster \"{own}\" has {MEMBER_OBJECTS} objects of this kind, and a member may have no more"
        );
        Err(Refusal::Forbidden(place.subject(), why))
    }
}

fn owner(object: &Value) -> Option<&str> {
    object.get("metadata")?.get("labels")?.get(OWNER)?.as_str()
}

fn cluster_id(object: &Value) -> Option<&str> {
    object.get("spec")?.get("cluster_id")?.as_str()
}

fn named(id: Option<&str>) -> String {
    id.map_or("no cluster".to_owned(), |id| format!("cluster {id:?}"))
}

/// INVARIANT: no name passes for two cluster ids, or one member could occupy a name that another needs.
fn is_own_name(place: &Place, own: &str) -> bool {
    let name = place.name.as_str();
    match place.kind.plural {
        "clusters" => name == own,
        "endpoints" => is_endpoint_object_name(own, name),
        // COMPAT: the exporting cluster draws the end of the name at random.
        "endpointslices" => true,
        _ => name == own || name.strip_prefix(own).is_some_and(|rest| rest.starts_with('.')),
    }
}

fn own_names(place: &Place, own: &str) -> String {
    match place.kind.plural {
        "clusters" => format!("{own:?}"),
        "endpoints" => format!("\"{own}-submariner-cable-{own}-<address>\""),
        _ => format!("{own:?} or \"{own}.<suffix>\""),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoint(owner: &str, cluster_id: &str) -> Value {
        json!({"metadata": {"labels": {OWNER: owner}}, "spec": {"cluster_id": cluster_id}})
    }

    fn allowed(name: &str, old: Option<&Value>, new: Option<&Value>) -> bool {
        let place = Place::new(crate::definitions::own("endpoints"), "broker", name);
        let store = Store::new([0; 16], 1, 10);
        Admission::OwnCluster("a".parse().unwrap()).check(&store, &place, old, new).is_ok()
    }

    #[test]
    fn only_own_objects_are_written_and_none_changes_hands() {
        let (own, other) = (endpoint("a", "a"), endpoint("b", "b"));
        let name = "a-submariner-cable-a-10-0-0-1";
        assert!(allowed(name, None, Some(&own)));
        assert!(allowed(name, Some(&own), Some(&own)));
        assert!(allowed(name, Some(&own), None));
        assert!(!allowed(name, None, Some(&other)));
        assert!(!allowed(name, None, Some(&endpoint("a", "b"))));
        assert!(!allowed(name, Some(&own), Some(&other)));
        assert!(!allowed(name, Some(&other), Some(&own)));
        assert!(!allowed(name, Some(&other), None));
        assert!(!allowed(name, Some(&json!({})), Some(&own)));
    }

    #[test]
    fn a_name_that_another_member_needs_is_refused() {
        let own = endpoint("a", "a");
        for name in [
            "b-submariner-cable-b-10-0-0-1",
            "a-submariner-cable-a-x-submariner-cable-a-submariner-cable-a-x-10-0-0-1",
            "a-submariner-cable-a-",
            "a",
        ] {
            assert!(!allowed(name, None, Some(&own)), "{name}");
        }
    }
}

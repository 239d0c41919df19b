//! Definitions in force: names accepted, kinds served, objects taken away with their definition.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Collection, Draft, Object, Place, Store, Writer};
use crate::access::Admission;
use crate::definitions::{self, CLEANUP, storage_version, text};
use crate::kinds::{KindId, ResourceKey};
use crate::metadata;
use crate::refusal::Refusal;
use crate::schema::{complete, prune};
use crate::store::Effect;

/// The part of the server that accepts names, as the owner of what it writes.
fn establisher(now: Timestamp) -> Writer {
    Writer {
        manager: "kube-apiserver".to_owned(),
        admission: Admission::Anything,
        now,
        effect: Effect::Lasting,
    }
}

impl Store {
    /// Refuses what is no definition, or changes what a definition may not change.
    pub(super) fn check_definition(
        place: &Place,
        before: Option<&Value>,
        value: &Value,
    ) -> Result<(), Refusal> {
        let mut causes = definitions::problems(value);
        causes
            .extend(before.map(|before| definitions::problems_of_change(before, value)).unwrap_or_default());
        if !causes.is_empty() {
            return Err(Refusal::Invalid(place.subject(), causes));
        }
        definitions::has_room(value).map_err(|why| Refusal::Forbidden(place.subject(), why))
    }

    /// What the server writes into a new definition's status.
    pub(super) fn begin_definition(value: &mut Value) {
        let stored = storage_version(value).to_owned();
        value["status"] = json!({
            "acceptedNames": {"kind": "", "plural": ""},
            "conditions": null,
            "storedVersions": [stored],
        });
        if let Some(status) = value["status"].as_object_mut() {
            status.remove("conditions");
        }
    }

    /// Accepts the names of a definition that was written, if nobody has them, and serves its kinds.
    pub(super) fn establish(&mut self, definition: &Arc<Object>, now: Timestamp) {
        let mut value = definition.value();
        let conflict = self.name_conflict(&value);
        let time = Draft::time(now);
        let condition = |kind: &str, status: &str, reason: &str, message: &str| {
            json!({"type": kind, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": time})
        };
        let (accepted, established) = match &conflict {
            None => (
                condition("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
                condition(
                    "Established",
                    "True",
                    "InitialNamesAccepted",
                    "the initial names have been accepted",
                ),
            ),
            Some((reason, message)) => (
                condition("NamesAccepted", "False", reason, message),
                condition("Established", "False", "NotAccepted", "not all names are accepted"),
            ),
        };
        if conflict.is_none() {
            value["status"]["acceptedNames"] = value["spec"]["names"].clone();
        }
        set_condition(&mut value, accepted);
        set_condition(&mut value, established);
        let stored = json!(storage_version(&value));
        if let Some(versions) = value["status"]["storedVersions"].as_array_mut()
            && !versions.contains(&stored)
        {
            versions.push(stored);
        }
        self.write_status(definition, value, now);
        if conflict.is_none() {
            self.serve(definition);
        }
    }

    /// Serves the kinds of a definition that is accepted.
    pub(crate) fn serve(&mut self, definition: &Object) {
        let kinds = definitions::kinds(&definition.value());
        let Some(kept) = kinds.iter().copied().find(|kind| kind.is_stored) else { return };
        self.kinds.serve(kept.key(), kinds);
        let collection = self.collection_mut(kept.key());
        for object in collection.objects.values_mut() {
            // COMPAT: kept objects show the defaults of the schema that is in force, at their old versions.
            let mut value = super::converted(object.value(), object.kind(), kept);
            prune(kept.schema(), &mut value);
            complete(kept.schema(), &mut value);
            *object = Arc::new(Object::new(kept, object.version(), &value));
        }
    }

    fn write_status(&mut self, definition: &Arc<Object>, mut value: Value, now: Timestamp) {
        let place = Place::new(definition.kind(), "", definition.name()).status();
        metadata::fields(&mut value).remove("resourceVersion");
        let written = self.replace(&place, value, &establisher(now));
        debug_assert!(written.is_ok(), "{written:?}");
    }

    /// Which of a definition's names another resource of the group has.
    fn name_conflict(&self, definition: &Value) -> Option<(&'static str, String)> {
        let group = text(definition, "/spec/group");
        let own = text(definition, "/spec/names/plural");
        let others: Vec<_> =
            self.kinds.stored().filter(|kind| kind.group == group && kind.plural != own).collect();
        let in_use = |name: &str| format!("{name:?} is already in use");
        let taken = |name: &str| {
            let has =
                |kind: &KindId| kind.plural == name || kind.singular() == name || kind.short.contains(&name);
            others.iter().any(has)
        };
        let singular = text(definition, "/spec/names/singular");
        let (kind, list) = (text(definition, "/spec/names/kind"), text(definition, "/spec/names/listKind"));
        if taken(own) {
            return Some(("PluralConflict", in_use(own)));
        }
        if taken(singular) {
            return Some(("SingularConflict", in_use(singular)));
        }
        let short = definition.pointer("/spec/names/shortNames").and_then(Value::as_array);
        if let Some(short) = short.into_iter().flatten().filter_map(Value::as_str).find(|short| taken(short))
        {
            return Some(("ShortNamesConflict", in_use(short)));
        }
        let typed = |name: &str| others.iter().any(|other| other.name == name || other.list_kind() == name);
        if typed(kind) {
            return Some(("KindConflict", in_use(kind)));
        }
        typed(list).then(|| ("ListKindConflict", in_use(list)))
    }

    /// The definition that makes a resource.
    pub(super) fn definition_of(&self, key: ResourceKey) -> Option<&Arc<Object>> {
        self.get(KindId::definitions(), "", &format!("{}.{}", key.1, key.0))
    }

    /// Refuses new objects of a kind whose definition is being deleted.
    pub(super) fn definition_accepts(&self, kind: KindId) -> Result<(), Refusal> {
        if kind.is_custom()
            && self.definition_of(kind.key()).is_some_and(|definition| definition.is_terminating())
        {
            return Err(Refusal::Terminating);
        }
        Ok(())
    }

    /// Marks a definition for deletion and deletes its objects.
    pub(super) fn retire(&mut self, definition: &Arc<Object>, writer: &Writer) {
        if !definition.is_terminating() {
            let mut value = definition.value();
            let fields = metadata::fields(&mut value);
            fields.insert("deletionTimestamp".to_owned(), json!(Draft::time(writer.now)));
            let finalizers = fields.entry("finalizers").or_insert_with(|| json!([]));
            if let Some(finalizers) = finalizers.as_array_mut()
                && !finalizers.contains(&json!(CLEANUP))
            {
                finalizers.push(json!(CLEANUP));
            }
            set_condition(
                &mut value,
                json!({"type": "Terminating", "status": "True", "reason": "InstanceDeletionInProgress",
                    "message": "CustomResource deletion is in progress",
                    "lastTransitionTime": Draft::time(writer.now)}),
            );
            self.insert(definition.kind(), &value);
        }
        let value = definition.value();
        let key = (text(&value, "/spec/group"), text(&value, "/spec/names/plural"));
        let objects: Vec<_> = self.objects_of(key).cloned().collect();
        for object in objects {
            let value = object.value();
            self.condemn(&object, value, writer);
        }
        self.finish_definition(key);
    }

    fn objects_of(&self, (group, plural): (&str, &str)) -> impl Iterator<Item = &Arc<Object>> {
        let found = self.collections.iter().find(|(key, _)| **key == (group, plural));
        let objects = found.into_iter().flat_map(|(_, collection)| collection.objects.values());
        // A definition may have asked for the names of a built-in kind, and not got them.
        objects.filter(|object| object.kind().is_custom())
    }

    /// Takes the cleanup finalizer from a definition that is being deleted and has no objects any more.
    pub(super) fn finish_definition(&mut self, (group, plural): (&str, &str)) {
        let name = format!("{plural}.{group}");
        let Some(definition) = self.get(KindId::definitions(), "", &name).cloned() else { return };
        if !definition.is_terminating() || self.objects_of((group, plural)).next().is_some() {
            return;
        }
        let mut value = definition.value();
        let fields = metadata::fields(&mut value);
        if let Some(finalizers) = fields.get_mut("finalizers").and_then(Value::as_array_mut) {
            finalizers.retain(|finalizer| finalizer != CLEANUP);
        }
        if metadata::has_finalizers(&value) {
            self.insert(definition.kind(), &value);
        } else {
            self.remove(definition.kind(), &definition);
            self.withdraw(&name);
        }
    }

    /// Serves the kinds of a definition no more: those who watch them are told that their history ended.
    fn withdraw(&mut self, name: &str) {
        let gone = self.kinds.named(name).map(|kind| kind.key());
        let Some(key) = gone else { return };
        self.kinds.serve(key, Vec::new());
        self.touched.insert(key);
        let version = self.version;
        let fresh = Collection { forgotten: version, latest: version, ..Collection::default() };
        self.logged -= std::mem::replace(self.collection_mut(key), fresh).logged;
    }
}

/// Sets the condition of a type in an object's status.
pub(super) fn set_condition(definition: &mut Value, mut condition: Value) {
    let conditions = &mut definition["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(conditions) = conditions.as_array_mut() else { return };
    match conditions.iter_mut().find(|known| known["type"] == condition["type"]) {
        Some(known) => {
            if known["status"] == condition["status"] {
                condition["lastTransitionTime"] = known["lastTransitionTime"].clone();
            }
            *known = condition;
        }
        None => conditions.push(condition),
    }
}

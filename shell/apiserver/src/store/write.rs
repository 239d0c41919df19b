//! Creating and changing objects.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::access::Admission;
use crate::apply::{Applied, Force, apply};
use crate::kinds::{KindId, StatusField};
use crate::managers::{Identity, Managers, Operation};
use crate::metadata;
use crate::patch::{Part, Patch};
use crate::policy;
use crate::refusal::{Refusal, Stale, Subject};
use crate::schema::Cause;
use crate::store::{Object, Store, shape};

/// Who writes, when, and what holds them back.
#[derive(Debug, Clone)]
pub struct Writer {
    /// The name under which changed fields are owned.
    pub manager: String,
    /// What this user may write.
    pub admission: Admission,
    /// The time of the write.
    pub now: Timestamp,
    /// Whether anything is kept.
    pub effect: Effect,
}

/// Whether a write is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is.
    Lasting,
    /// It is checked and answered only.
    DryRun,
}

/// The address of an object, or of its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The kind.
    pub kind: KindId,
    /// The namespace, empty for cluster-scoped kinds.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The object itself or its status.
    pub part: Part,
}

impl Place {
    /// The address of one object.
    pub fn new(kind: KindId, namespace: &str, name: &str) -> Self {
        Self { kind, namespace: namespace.to_owned(), name: name.to_owned(), part: Part::Whole }
    }

    /// The status of the object.
    #[must_use]
    pub fn status(mut self) -> Self {
        self.part = Part::Status;
        self
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject::new(self.kind, &self.name)
    }
}

/// An object on its way into the store.
pub(crate) struct Draft {
    value: Value,
    /// The owners that apply computed; other writes own what they change.
    managers: Option<Managers>,
}

impl Draft {
    /// A time as Kubernetes writes it.
    pub(crate) fn time(now: Timestamp) -> String {
        now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

impl Writer {
    fn identity(&self, kind: KindId, operation: Operation, part: Part) -> Identity<'_> {
        let part = if kind.has_status_subresource() { part } else { Part::Whole };
        Identity { kind, name: &self.manager, operation, part, now: self.now }
    }
}

impl Store {
    /// Stores a new object; `generateName` completes its name.
    pub fn create(
        &mut self,
        kind: KindId,
        namespace: &str,
        mut value: Value,
        writer: &Writer,
    ) -> Result<Arc<Object>, Refusal> {
        shape::read_body(kind, &mut value)?;
        let name = metadata::text(&value, "name").to_owned();
        let name = if name.is_empty() { self.generated_name(kind, &value)? } else { name };
        let place = Place::new(kind, namespace, &name);
        metadata::normalise(&place, &mut value)?;
        if !metadata::text(&value, "resourceVersion").is_empty() {
            return Err(Refusal::BadRequest(
                "resourceVersion should not be set on objects to be created".to_owned(),
            ));
        }
        self.admit_new(&place, Draft { value, managers: None }, writer)
    }

    fn generated_name(&self, kind: KindId, value: &Value) -> Result<String, Refusal> {
        let prefix = metadata::text(value, "generateName");
        if prefix.is_empty() {
            let message = "Required value: name or generateName is required".to_owned();
            return Err(Refusal::invalid(
                Subject::new(kind, ""),
                "metadata.name",
                "FieldValueRequired",
                message,
            ));
        }
        Ok(format!("{prefix}{}", self.suffix("name")))
    }

    /// Five letters that make a name one of its own.
    pub(super) fn suffix(&self, purpose: &str) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let drawn = self.draw(purpose).into_iter().take(5);
        drawn.map(|byte| char::from(ALPHABET[usize::from(byte) % ALPHABET.len()])).collect()
    }

    fn admit_new(&mut self, place: &Place, draft: Draft, writer: &Writer) -> Result<Arc<Object>, Refusal> {
        let kind = place.kind;
        let mut value = draft.value;
        if kind.status == StatusField::Separate
            && let Some(fields) = value.as_object_mut()
        {
            fields.remove("status");
        }
        shape::complete_whole(kind, &mut value);
        // COMPAT: nobody owns what the server adds to an object beyond its defaults.
        let managers = draft.managers.unwrap_or_else(|| {
            let mut managers = Managers::default();
            let identity = writer.identity(kind, Operation::Update, Part::Whole);
            managers.note_update(&identity, &Value::Null, &value);
            managers
        });
        if kind.key() == ("", "pods") {
            self.admit_pod(place, &mut value, writer)?;
        }
        self.shape(place, None, &mut value)?;
        policy::check(place, &value)?;
        if kind == KindId::definitions() {
            Self::check_definition(place, None, &value)?;
            Self::begin_definition(&mut value);
        }
        writer.admission.check(self, place, None, Some(&value))?;
        self.namespace_accepts(place)?;
        self.definition_accepts(kind)?;
        if self.get(kind, &place.namespace, &place.name).is_some() {
            return Err(Refusal::AlreadyExists(place.subject()));
        }
        writer.admission.check_room(place, self)?;
        let fields = metadata::fields(&mut value);
        for stale in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            fields.remove(stale);
        }
        fields.insert("uid".to_owned(), json!(metadata::uid(self.draw("uid"))));
        fields.insert("creationTimestamp".to_owned(), json!(Draft::time(writer.now)));
        fields.insert("managedFields".to_owned(), managers.to_value());
        if kind.counts_generations {
            fields.insert("generation".to_owned(), json!(1));
        }
        if writer.effect == Effect::DryRun {
            return Ok(Arc::new(Object::new(kind, self.version, &value)));
        }
        let created = self.insert(kind, &value);
        if kind == KindId::definitions() {
            self.establish(&created, writer.now);
        }
        self.collect(writer);
        Ok(created)
    }

    fn namespace_accepts(&self, place: &Place) -> Result<(), Refusal> {
        if !place.kind.is_namespaced() {
            return Ok(());
        }
        let namespaces = KindId::namespaces();
        let Some(namespace) = self.get(namespaces, "", &place.namespace) else {
            return Err(Refusal::NotFound(Subject::new(namespaces, &place.namespace)));
        };
        if namespace.is_terminating() {
            return Err(Refusal::NamespaceTerminating(place.subject(), place.namespace.clone()));
        }
        Ok(())
    }

    /// The object at a place, or `NotFound`.
    pub fn find(&self, place: &Place) -> Result<Arc<Object>, Refusal> {
        let found = self.get(place.kind, &place.namespace, &place.name);
        found.map(|found| found.seen_as(place.kind)).ok_or_else(|| Refusal::NotFound(place.subject()))
    }

    /// Replaces an object or its status.
    pub fn replace(
        &mut self,
        place: &Place,
        mut value: Value,
        writer: &Writer,
    ) -> Result<Arc<Object>, Refusal> {
        let old = self.find(place)?;
        shape::read_body(place.kind, &mut value)?;
        metadata::normalise(place, &mut value)?;
        if metadata::text(&value, "resourceVersion").is_empty() && place.kind.is_custom() {
            let message = "Invalid value: 0x0: must be specified for an update".to_owned();
            let field = "metadata.resourceVersion";
            return Err(Refusal::invalid(place.subject(), field, "FieldValueInvalid", message));
        }
        self.admit_change(place, &old, Draft { value, managers: None }, writer)
    }

    /// Changes an object or its status.
    pub fn patch(&mut self, place: &Place, patch: &Patch, writer: &Writer) -> Result<Arc<Object>, Refusal> {
        let old = self.find(place)?;
        let before = old.value();
        let mut value = patch.applied_to(place.kind, &place.name, &before)?;
        shape::read_patched(place.kind, &mut value)?;
        if metadata::text(&value, "uid") != metadata::text(&before, "uid") {
            let (field, uid) = ("metadata.uid", Value::from(metadata::text(&value, "uid")));
            let cause = Cause::invalid(field, &uid, "field is immutable");
            return Err(Refusal::Invalid(place.subject(), vec![cause]));
        }
        metadata::normalise(place, &mut value)?;
        self.admit_change(place, &old, Draft { value, managers: None }, writer)
    }

    /// Applies a configuration; creates the object where there is none.
    pub fn apply(
        &mut self,
        place: &Place,
        mut configuration: Value,
        force: Force,
        writer: &Writer,
    ) -> Result<Arc<Object>, Refusal> {
        shape::read_body(place.kind, &mut configuration)?;
        metadata::normalise(place, &mut configuration)?;
        if metadata::fields(&mut configuration)
            .remove("managedFields")
            .is_some_and(|fields| !fields.is_null())
        {
            return Err(Refusal::BadRequest("metadata.managedFields must be nil".to_owned()));
        }
        let identity = writer.identity(place.kind, Operation::Apply, place.part);
        let old = self.find(place).ok();
        let live = old.as_ref().map_or(Value::Null, |old| old.value());
        if old.is_none() && place.part == Part::Status {
            return Err(Refusal::NotFound(place.subject()));
        }
        let Applied { value, managers } = apply(&place.subject(), &live, &configuration, force, &identity)?;
        let draft = Draft { value, managers: Some(managers) };
        match old {
            Some(old) => self.admit_change(place, &old, draft, writer),
            None if !metadata::text(&configuration, "uid").is_empty() => {
                Err(Refusal::Conflict(place.subject(), Stale::Modified))
            }
            None => self.admit_new(place, draft, writer),
        }
    }

    pub(super) fn admit_change(
        &mut self,
        place: &Place,
        old: &Arc<Object>,
        draft: Draft,
        writer: &Writer,
    ) -> Result<Arc<Object>, Refusal> {
        let kind = place.kind;
        let before = old.value();
        let mut value = draft.value;
        check_fresh(place, old, &before, &value)?;
        let forget = metadata::disowns(&value);
        let given = Managers::given(&value);
        keep_what_is_not_written(kind, place.part, &before, &mut value);
        metadata::keep_immutable(&before, &mut value);
        let added = metadata::new_finalizers(&before, &value);
        if old.is_terminating() && !added.is_empty() {
            let detail = format!(
                "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                added.iter().map(|finalizer| format!("{finalizer:?}")).collect::<Vec<_>>().join(", ")
            );
            let cause = Cause::forbidden("metadata.finalizers", &detail);
            return Err(Refusal::Invalid(place.subject(), vec![cause]));
        }
        shape::complete_whole(kind, &mut value);
        let known = Managers::of(&before);
        let managers = draft.managers.unwrap_or_else(|| {
            // COMPAT: who writes owners is believed; kubectl does so when it turns to server-side apply.
            let given = given.unwrap_or_else(|| known.clone());
            let mut managers = if forget { Managers::default() } else { given };
            managers.note_update(&writer.identity(kind, Operation::Update, place.part), &before, &value);
            managers
        });
        self.shape(place, Some(&before), &mut value)?;
        policy::check(place, &value)?;
        if kind == KindId::definitions() && place.part == Part::Whole {
            Self::check_definition(place, Some(&before), &value)?;
        }
        writer.admission.check(self, place, Some(&before), Some(&value))?;

        let same_content = same_but_for_managers(&before, &value);
        if same_content && managers.agree_with(&known) {
            return Ok(Arc::clone(old));
        }
        metadata::count_generation(kind, &before, &mut value);
        metadata::fields(&mut value).insert("managedFields".to_owned(), managers.to_value());
        if writer.effect == Effect::DryRun {
            return Ok(Arc::new(Object::new(kind, old.version(), &value)));
        }
        let changed = self.insert(kind, &value);
        if kind == KindId::definitions() && place.part == Part::Whole && !changed.is_terminating() {
            self.establish(&changed, writer.now);
        }
        if changed.is_terminating() && !metadata::has_finalizers(&value) {
            let gone = self.finish_deletion(&changed);
            self.collect(writer);
            return Ok(gone);
        }
        self.collect(writer);
        Ok(changed)
    }
}

fn check_fresh(place: &Place, old: &Object, before: &Value, value: &Value) -> Result<(), Refusal> {
    let version = metadata::text(value, "resourceVersion");
    if !version.is_empty() && version != old.version().to_string() {
        return Err(Refusal::Conflict(place.subject(), Stale::Modified));
    }
    let (asked, found) = (metadata::text(value, "uid"), metadata::text(before, "uid"));
    if !asked.is_empty() && asked != found {
        let stale = Stale::Uid { asked: asked.to_owned(), found: found.to_owned() };
        return Err(Refusal::Conflict(place.subject(), stale));
    }
    Ok(())
}

/// Takes from the old object what this part of the API does not write.
fn keep_what_is_not_written(kind: KindId, part: Part, before: &Value, value: &mut Value) {
    if !kind.has_status_subresource() {
        return;
    }
    let (whole, status) = match part {
        Part::Whole | Part::Scale | Part::Binding => (&*value, before.get("status")),
        Part::Status => (before, value.get("status")),
    };
    let mut result = whole.as_object().cloned().unwrap_or_default();
    result.remove("status");
    if let Some(status) = status {
        result.insert("status".to_owned(), status.clone());
    }
    *value = Value::Object(result);
}

fn same_but_for_managers(before: &Value, after: &Value) -> bool {
    same_but_for(before, after, "metadata")
        && same_but_for(&before["metadata"], &after["metadata"], "managedFields")
}

/// Whether two objects have the same fields but for one.
fn same_but_for(before: &Value, after: &Value, field: &str) -> bool {
    let (Some(before), Some(after)) = (before.as_object(), after.as_object()) else { return before == after };
    let count = |fields: &Map<String, Value>| fields.len() - usize::from(fields.contains_key(field));
    let same = |(name, value): (&String, &Value)| name == field || after.get(name) == Some(value);
    count(before) == count(after) && before.iter().all(same)
}

/// The labels of an object; none where they are no map of strings.
pub(crate) fn labels_of(value: &Value) -> BTreeMap<String, String> {
    let labels = value.pointer("/metadata/labels").and_then(Value::as_object);
    let pairs = labels.into_iter().flatten();
    pairs.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

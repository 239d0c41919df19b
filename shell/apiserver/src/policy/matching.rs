//! Which writes a policy or a binding is about.

use serde_json::Value;

use super::Attempt;
use crate::kinds::KindId;
use crate::selector::selects;
use crate::store::labels_of;

/// `MatchResources`.
#[derive(Debug)]
pub(super) struct Match {
    rules: Vec<Rule>,
    /// Every rule is wanted where there are none: in bindings.
    everything: bool,
    excluded: Vec<Rule>,
    namespaces: Value,
    objects: Value,
    /// Rules are about resources in whatever version.
    equivalent: bool,
}

#[derive(Debug)]
struct Rule {
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    operations: Vec<String>,
    scope: String,
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Rule {
    fn list(rules: &Value) -> Vec<Self> {
        let read = |rule: &Value| Self {
            groups: texts(&rule["apiGroups"]),
            versions: texts(&rule["apiVersions"]),
            resources: texts(&rule["resources"]),
            names: texts(&rule["resourceNames"]),
            operations: texts(&rule["operations"]),
            scope: rule["scope"].as_str().unwrap_or("*").to_owned(),
        };
        rules.as_array().into_iter().flatten().map(read).collect()
    }

    fn admits(&self, attempt: &Attempt<'_>, kind: KindId) -> bool {
        let has = |listed: &[String], asked: &str| listed.iter().any(|known| known == "*" || known == asked);
        let (part, name) = (attempt.place.part.word(), &attempt.place.name);
        let resource = |known: &String| {
            let (of, subresource) = known.split_once('/').unwrap_or((known, ""));
            (of == "*" || of == kind.plural) && (subresource == "*" || subresource == part)
        };
        let scope = match self.scope.as_str() {
            "Namespaced" => kind.is_namespaced(),
            "Cluster" => !kind.is_namespaced(),
            _ => true,
        };
        scope
            && has(&self.groups, kind.group)
            && has(&self.versions, kind.version)
            && has(&self.operations, attempt.operation())
            && self.resources.iter().any(resource)
            && (self.names.is_empty() || self.names.contains(name))
    }
}

impl Match {
    pub(super) fn of(value: &Value) -> Self {
        let rules = Rule::list(&value["resourceRules"]);
        Self {
            everything: rules.is_empty(),
            rules,
            excluded: Rule::list(&value["excludeResourceRules"]),
            namespaces: value["namespaceSelector"].clone(),
            objects: value["objectSelector"].clone(),
            equivalent: value["matchPolicy"] != "Exact",
        }
    }

    /// The kind as which a write is matched; none where it is not.
    pub(super) fn kind(&self, attempt: &Attempt<'_>) -> Option<KindId> {
        if !self.selects_namespace(attempt) || !self.selects_object(attempt) {
            return None;
        }
        let own = attempt.place.kind;
        let others = attempt.store.kinds().visible().filter(|other| {
            self.equivalent
                && other.key() == own.key()
                && *other != own
                && own.is_custom() == other.is_custom()
        });
        let kinds: Vec<_> = std::iter::once(own).chain(others).collect();
        let admitted = |rules: &[Rule], kind: KindId| rules.iter().any(|rule| rule.admits(attempt, kind));
        if kinds.iter().any(|kind| admitted(&self.excluded, *kind)) {
            return None;
        }
        if self.everything {
            return Some(own);
        }
        kinds.into_iter().find(|kind| admitted(&self.rules, *kind))
    }

    fn selects_namespace(&self, attempt: &Attempt<'_>) -> bool {
        if is_empty(&self.namespaces) {
            return true;
        }
        if attempt.place.kind == KindId::namespaces() {
            // A Namespace is selected by what it will be.
            let labels = attempt.new.or(attempt.old).map(labels_of).unwrap_or_default();
            return selects(&self.namespaces, &labels);
        }
        if !attempt.place.kind.is_namespaced() {
            return true;
        }
        let labels = attempt.namespace().as_ref().map(labels_of).unwrap_or_default();
        selects(&self.namespaces, &labels)
    }

    fn selects_object(&self, attempt: &Attempt<'_>) -> bool {
        let selected =
            |object: Option<&Value>| object.is_some_and(|object| selects(&self.objects, &labels_of(object)));
        is_empty(&self.objects) || selected(attempt.new) || selected(attempt.old)
    }
}

fn is_empty(selector: &Value) -> bool {
    let has = |field: &str| match &selector[field] {
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    };
    !has("matchLabels") && !has("matchExpressions")
}

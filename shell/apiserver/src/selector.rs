//! Label and field selectors.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::kinds::KindId;
use crate::refusal::Refusal;
use crate::store::{Object, kept_field};

mod requirement;

use requirement::Requirement;

/// What a list or watch is narrowed to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    labels: Vec<Requirement>,
    fields: Vec<FieldTerm>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct FieldTerm {
    field: String,
    value: String,
    equal: bool,
}

impl Selector {
    /// Reads `labelSelector` and `fieldSelector`, either of which may be empty.
    pub fn parse(kind: KindId, labels: &str, fields: &str) -> Result<Self, Refusal> {
        let labels = requirement::parse(labels).map_err(Refusal::BadRequest)?;
        let fields = fields
            .split(',')
            .map(str::trim)
            .filter(|term| !term.is_empty())
            .map(|term| field_term(kind, term))
            .collect::<Result<Vec<_>, _>>()?;
        let fields = translated(kind, fields);
        Ok(Self { labels, fields })
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// Adds that the object must have this name.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.fields.push(FieldTerm {
            field: "metadata.name".to_owned(),
            value: name.to_owned(),
            equal: true,
        });
        self
    }

    /// Whether an object is selected.
    pub fn matches(&self, object: &Object) -> bool {
        self.labels.iter().all(|term| term.matches(object.labels()))
            && self.fields.iter().all(|term| (object.field(&term.field) == term.value) == term.equal)
    }
}

/// Whether a `metav1.LabelSelector` selects these labels.
pub(crate) fn selects(selector: &Value, labels: &BTreeMap<String, String>) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    equal.into_iter().all(|(key, value)| labels.get(key).is_some_and(|label| value == label.as_str()))
        && expressions.into_iter().all(|expression| expression_holds(expression, labels))
}

/// A `metav1.LabelSelector` as the text of a query.
pub(crate) fn written(selector: &Value) -> String {
    let texts = |values: &Value| -> Vec<String> {
        let values = values.as_array().into_iter().flatten().filter_map(Value::as_str);
        values.map(str::to_owned).collect()
    };
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let equal = equal.map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()));
    let expressions = selector["matchExpressions"].as_array().into_iter().flatten();
    let expressions = expressions.map(|expression| {
        let key = expression["key"].as_str().unwrap_or_default();
        let values = texts(&expression["values"]).join(",");
        match expression["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key.to_owned(),
        }
    });
    let mut terms: Vec<_> = equal.chain(expressions).collect();
    terms.sort();
    terms.join(",")
}

fn expression_holds(expression: &Value, labels: &BTreeMap<String, String>) -> bool {
    let key = expression["key"].as_str().unwrap_or_default().to_owned();
    let values = expression["values"].as_array().into_iter().flatten();
    let values = values.filter_map(Value::as_str).map(str::to_owned).collect();
    let term = match expression["operator"].as_str() {
        Some("In") => Requirement::In(key, values),
        Some("NotIn") => Requirement::NotIn(key, values),
        Some("Exists") => Requirement::Exists(key),
        Some("DoesNotExist") => Requirement::Absent(key),
        _ => return false,
    };
    term.matches(labels)
}

/// The fields under the names that they have in kept objects.
fn translated(kind: KindId, fields: Vec<FieldTerm>) -> Vec<FieldTerm> {
    let named = |term: FieldTerm| FieldTerm { field: kept_field(kind, &term.field), ..term };
    fields.into_iter().map(named).collect()
}

fn field_term(kind: KindId, term: &str) -> Result<FieldTerm, Refusal> {
    let (field, value, equal) = if let Some((field, value)) = term.split_once("!=") {
        (field, value, false)
    } else if let Some((field, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
        (field, value, true)
    } else {
        return Err(Refusal::BadRequest(format!("invalid field selector {term:?}: it needs =, == or !=")));
    };
    let known = field == "metadata.name"
        || (field == "metadata.namespace" && kind.is_namespaced())
        || kind.fields.contains(&field);
    if known {
        return Ok(FieldTerm { field: field.to_owned(), value: value.to_owned(), equal });
    }
    // COMPAT: kinds with fields of their own say less.
    let message = if kind.is_custom() || !kind.fields.is_empty() {
        format!("field label not supported: {field}")
    } else {
        format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    };
    Err(Refusal::BadRequest(message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn selects(labels: &str, fields: &str) -> bool {
        let kind = KindId::named("pods").unwrap();
        let object = Object::new(
            kind,
            7,
            &json!({
                "metadata": {"name": "p", "namespace": "n", "labels": {"app": "web", "tier": "front"}},
                "spec": {"nodeName": "w1"},
            }),
        );
        Selector::parse(kind, labels, fields).unwrap().matches(&object)
    }

    #[test]
    fn every_form_of_label_requirement_is_understood() {
        for yes in
            ["", "app", "app=web", "app==web,tier=front", "app!=db", "no!=x", "!no", "app in (db, web)"]
        {
            assert!(selects(yes, ""), "{yes}");
        }
        for no in ["app=db", "!app", "no", "app notin (web,db)", "app in (db),tier", "app!=web"] {
            assert!(!selects(no, ""), "{no}");
        }
        assert!(selects("app notin (db),no notin (x)", ""));
    }

    #[test]
    fn fields_select_and_unknown_ones_are_refused() {
        assert!(selects("", "metadata.name=p,metadata.namespace==n,spec.nodeName=w1"));
        assert!(!selects("", "spec.nodeName!=w1"));
        assert!(selects("", "status.podIP="));
        let kind = KindId::named("pods").unwrap();
        for (labels, fields) in [("", "spec.other=1"), ("", "metadata.name"), ("a in b", ""), ("a in (b", "")]
        {
            assert_eq!(Selector::parse(kind, labels, fields).unwrap_err().code(), 400, "{labels} {fields}");
        }
    }
}

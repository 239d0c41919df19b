//! Policies and bindings as they are used: compiled, each with its bindings.

use std::collections::BTreeMap;

use cel::Program;
use serde_json::Value;

use super::expression::{self, Known};
use super::matching::Match;
use crate::kinds::KindId;
use crate::metadata;
use crate::store::Store;

/// Every policy that is bound.
#[derive(Debug, Default)]
pub(crate) struct Policies(Vec<Policy>);

#[derive(Debug)]
pub(super) struct Policy {
    pub(super) name: String,
    pub(super) constraints: Match,
    /// Errors deny.
    pub(super) fails_closed: bool,
    /// `apiVersion` and `kind` of the parameters.
    pub(super) parameters: Option<(String, String)>,
    /// None where something in it cannot be compiled by this version.
    pub(super) programs: Result<Programs, String>,
    pub(super) bindings: Vec<Binding>,
}

#[derive(Debug, Default)]
pub(super) struct Programs {
    pub(super) conditions: Vec<(String, Program)>,
    pub(super) variables: Vec<(String, Program)>,
    pub(super) validations: Vec<Validation>,
    pub(super) annotations: Vec<(String, Program)>,
}

#[derive(Debug)]
pub(super) struct Validation {
    pub(super) text: String,
    pub(super) program: Program,
    pub(super) message: Option<String>,
    pub(super) message_program: Option<Program>,
    pub(super) reason: &'static str,
}

#[derive(Debug)]
pub(super) struct Binding {
    pub(super) name: String,
    pub(super) constraints: Option<Match>,
    pub(super) parameters: Option<Value>,
    pub(super) denies: bool,
    pub(super) warns: bool,
    pub(super) audits: bool,
}

fn kinds() -> Option<(KindId, KindId)> {
    let kind = |plural: &str| KindId::named(&format!("{plural}.{}", super::GROUP));
    Some((kind("validatingadmissionpolicies")?, kind("validatingadmissionpolicybindings")?))
}

impl Policies {
    /// Grows with every change of a policy or binding.
    pub(crate) fn latest(store: &Store) -> u64 {
        kinds().map_or(0, |(policies, bindings)| store.latest(policies).max(store.latest(bindings)))
    }

    /// Reads all policies of a store that are bound.
    pub(crate) fn of(store: &Store) -> Self {
        let Some((policies, bindings)) = kinds() else { return Self::default() };
        let mut bound: BTreeMap<String, Vec<Binding>> = BTreeMap::new();
        for binding in store.list(bindings, None) {
            let value = binding.value();
            let policy = text(&value, "/spec/policyName").to_owned();
            bound.entry(policy).or_default().push(Binding::of(&value));
        }
        let read = store.list(policies, None).filter_map(|policy| {
            let bindings = bound.remove(policy.name())?;
            Some(Policy::of(&policy.value(), bindings))
        });
        Self(read.collect())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Policy> {
        self.0.iter()
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn items<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

impl Binding {
    fn of(binding: &Value) -> Self {
        let spec = &binding["spec"];
        let does = |action: &str| items(spec, "/validationActions").any(|known| known == action);
        Self {
            name: metadata::text(binding, "name").to_owned(),
            constraints: spec.get("matchResources").filter(|given| given.is_object()).map(Match::of),
            parameters: spec.get("paramRef").filter(|given| given.is_object()).cloned(),
            denies: does("Deny"),
            warns: does("Warn"),
            audits: does("Audit"),
        }
    }
}

impl Policy {
    fn of(policy: &Value, bindings: Vec<Binding>) -> Self {
        let spec = &policy["spec"];
        let kind = &spec["paramKind"];
        Self {
            name: metadata::text(policy, "name").to_owned(),
            constraints: Match::of(&spec["matchConstraints"]),
            fails_closed: spec["failurePolicy"] != "Ignore",
            parameters: kind
                .is_object()
                .then(|| (text(kind, "/apiVersion").to_owned(), text(kind, "/kind").to_owned())),
            programs: Programs::of(spec),
            bindings,
        }
    }
}

impl Programs {
    fn of(spec: &Value) -> Result<Self, String> {
        let mut known = Known::of(spec);
        let mut programs = Self::default();
        for condition in items(spec, "/matchConditions") {
            let program = expression::compile(text(condition, "/expression"), &known)?;
            programs.conditions.push((text(condition, "/name").to_owned(), program));
        }
        for variable in items(spec, "/variables") {
            let program = expression::compile(text(variable, "/expression"), &known)?;
            let name = text(variable, "/name").to_owned();
            known.variables.push(name.clone());
            programs.variables.push((name, program));
        }
        for validation in items(spec, "/validations") {
            programs.validations.push(Validation::of(validation, &known)?);
        }
        for annotation in items(spec, "/auditAnnotations") {
            let program = expression::compile(text(annotation, "/valueExpression"), &known)?;
            programs.annotations.push((text(annotation, "/key").to_owned(), program));
        }
        Ok(programs)
    }
}

impl Validation {
    fn of(validation: &Value, known: &Known) -> Result<Self, String> {
        let given = |field: &str| validation[field].as_str().filter(|text| !text.is_empty());
        Ok(Self {
            text: text(validation, "/expression").trim().to_owned(),
            program: expression::compile(text(validation, "/expression"), known)?,
            message: given("message").map(str::to_owned),
            message_program: given("messageExpression")
                .map(|text| expression::compile(text, known))
                .transpose()?,
            reason: match given("reason") {
                Some("Unauthorized") => "Unauthorized",
                Some("Forbidden") => "Forbidden",
                Some("RequestEntityTooLarge") => "RequestEntityTooLarge",
                _ => "Invalid",
            },
        })
    }
}

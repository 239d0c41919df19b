//! What one policy says of a write.

use std::collections::HashMap;
use std::sync::Arc;

use cel::objects::{Key, Map};
use cel::{Context, Value as Found};
use serde_json::{Value, json};

use super::read::{Binding, Policy, Programs, Validation};
use super::{Attempt, Told, authorizer, parameters};
use crate::identity;
use crate::kinds::KindId;
use crate::patch::Part;
use crate::refusal::{Denied, PolicyDenied, Refusal};
use crate::scale::scale_of;
use crate::schema::rules;
use crate::store::converted;

/// COMPAT: messages that are longer are not used.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// Why a validation does not pass.
struct Failure {
    index: usize,
    message: String,
    reason: &'static str,
}

/// Judges a write by one policy in each of its bindings.
pub(super) fn judge(policy: &Policy, attempt: &Attempt<'_>, told: &Told) -> Result<(), Refusal> {
    let Some(kind) = policy.constraints.kind(attempt) else { return Ok(()) };
    for binding in &policy.bindings {
        if binding.constraints.as_ref().is_some_and(|constraints| constraints.kind(attempt).is_none()) {
            continue;
        }
        match failures(policy, binding, attempt, kind, told) {
            Ok(failures) => {
                let sorry = |failure: Failure| report(policy, binding, attempt, &failure, told);
                failures.into_iter().try_for_each(sorry)?;
            }
            Err(why) if policy.fails_closed => {
                report(
                    policy,
                    binding,
                    attempt,
                    &Failure { index: 0, message: why, reason: "Invalid" },
                    told,
                )?;
            }
            Err(why) => {
                tracing::warn!(policy = policy.name, binding = binding.name, why, "a policy is ignored");
            }
        }
    }
    Ok(())
}

/// Does with a failure what the binding says.
fn report(
    policy: &Policy,
    binding: &Binding,
    attempt: &Attempt<'_>,
    failure: &Failure,
    told: &Told,
) -> Result<(), Refusal> {
    let (name, bound, message) = (&policy.name, &binding.name, &failure.message);
    if binding.audits {
        let actions = [("Deny", binding.denies), ("Warn", binding.warns), ("Audit", binding.audits)];
        let actions: Vec<_> = actions.into_iter().filter(|(_, does)| *does).map(|(word, _)| word).collect();
        told.failed(json!({"message": message, "policy": name, "binding": bound,
            "expressionIndex": failure.index, "validationActions": actions}));
    }
    if binding.warns {
        told.warn(format!(
            "Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{bound}': {message}"
        ));
    }
    if !binding.denies {
        return Ok(());
    }
    let place = attempt.place;
    let why = format!("ValidatingAdmissionPolicy '{name}' with binding '{bound}' denied request: {message}");
    Err(Refusal::PolicyDenied(Box::new(PolicyDenied {
        denied: Denied {
            group: place.kind.group.to_owned(),
            resource: place.kind.plural.to_owned(),
            name: place.name.clone(),
            why,
        },
        reason: failure.reason,
    })))
}

/// The validations that do not pass; the error says why the policy could not be asked.
fn failures(
    policy: &Policy,
    binding: &Binding,
    attempt: &Attempt<'_>,
    kind: KindId,
    told: &Told,
) -> Result<Vec<Failure>, String> {
    let programs = policy.programs.as_ref().map_err(Clone::clone)?;
    let context = context(attempt, kind);
    let mut failures = Vec::new();
    for parameter in parameters::of(policy, binding, attempt)? {
        let mut scope = context.new_inner_scope();
        scope.add_variable_from_value("params", parameter.as_ref().map_or(Found::Null, rules::plain));
        if !conditions_hold(programs, &scope)? {
            continue;
        }
        let unknown = declare(programs, &mut scope);
        for (index, validation) in programs.validations.iter().enumerate() {
            failures.extend(validation.judge(index, &scope, &unknown, policy.fails_closed));
        }
        annotate(policy, programs, &scope, told)?;
    }
    Ok(failures)
}

fn lower(error: &impl ToString) -> String {
    let text = error.to_string();
    let mut letters = text.chars();
    letters.next().map(|first| first.to_lowercase().chain(letters).collect()).unwrap_or_default()
}

fn conditions_hold(programs: &Programs, scope: &Context<'_, '_>) -> Result<bool, String> {
    let mut wrong = None;
    for (name, program) in &programs.conditions {
        match program.execute(scope) {
            Ok(Found::Bool(true)) => {}
            // COMPAT: one that is false counts more than one that fails.
            Ok(Found::Bool(false)) => return Ok(false),
            Ok(_) => wrong = Some(format!("match condition '{name}' is neither true nor false")),
            Err(error) => {
                wrong = Some(format!("match condition '{name}' resulted in error: {}", lower(&error)));
            }
        }
    }
    wrong.map_or(Ok(true), Err)
}

/// Declares the variables; those that cannot be computed are told with their reasons.
fn declare(programs: &Programs, scope: &mut Context<'_, '_>) -> Vec<(String, String)> {
    let mut values: HashMap<Key, Found> = HashMap::new();
    let mut unknown = Vec::new();
    let all = |values: &HashMap<Key, Found>| Found::Map(Map { map: Arc::new(values.clone()) });
    for (name, program) in &programs.variables {
        scope.add_variable_from_value("variables", all(&values));
        match program.execute(scope) {
            Ok(value) => {
                values.insert(Key::String(Arc::new(name.clone())), value);
            }
            Err(error) => {
                let why = format!("composited variable {name:?} fails to evaluate: {}", lower(&error));
                unknown.push((name.clone(), why));
            }
        }
    }
    scope.add_variable_from_value("variables", all(&values));
    unknown
}

impl Validation {
    fn judge(
        &self,
        index: usize,
        scope: &Context<'_, '_>,
        unknown: &[(String, String)],
        fails_closed: bool,
    ) -> Option<Failure> {
        let (message, reason) = match self.program.execute(scope) {
            Ok(Found::Bool(true)) => return None,
            Ok(Found::Bool(false)) => (self.message(scope), self.reason),
            _ if !fails_closed => return None,
            Ok(_) => (format!("expression '{}' is neither true nor false", self.text), "Invalid"),
            Err(error) => {
                let why = lower(&error);
                let variable = unknown.iter().find(|(name, _)| why.ends_with(&format!("key: {name}")));
                let why = variable.map_or(why, |(_, why)| why.clone());
                (format!("expression '{}' resulted in error: {why}", self.text), "Invalid")
            }
        };
        Some(Failure { index, message, reason })
    }

    fn message(&self, scope: &Context<'_, '_>) -> String {
        let computed = self.message_program.as_ref().and_then(|program| program.execute(scope).ok());
        if let Some(Found::String(text)) = computed {
            let text = text.trim();
            if !text.is_empty() && text.len() <= LONGEST_MESSAGE && !text.contains('\n') {
                return text.to_owned();
            }
        }
        let given = self.message.as_ref().map(|message| message.trim().to_owned());
        given.unwrap_or_else(|| format!("failed expression: {}", self.text))
    }
}

fn annotate(
    policy: &Policy,
    programs: &Programs,
    scope: &Context<'_, '_>,
    told: &Told,
) -> Result<(), String> {
    for (key, program) in &programs.annotations {
        match program.execute(scope) {
            Ok(Found::String(text)) => {
                told.annotate(format!("{}/{key}", policy.name), text.trim().to_owned());
            }
            Ok(Found::Null) => {}
            Ok(_) => return Err(format!("audit annotation '{key}' is neither text nor null")),
            Err(error) => {
                return Err(format!("audit annotation '{key}' resulted in error: {}", lower(&error)));
            }
        }
    }
    Ok(())
}

/// Everything that expressions see of a write, which is matched as this kind.
fn context(attempt: &Attempt<'_>, kind: KindId) -> Context<'static, 'static> {
    let mut context = rules::context();
    authorizer::declare(&mut context);
    let seen = |object: Option<&Value>| {
        let Some(object) = object else { return Found::Null };
        let part = attempt.place.part;
        let scale = if part == Part::Scale { scale_of(attempt.place.kind, object) } else { None };
        match scale {
            Some(scale) => rules::plain(&scale),
            None if kind == attempt.place.kind => rules::plain(object),
            None => rules::plain(&converted(object.clone(), attempt.place.kind, kind)),
        }
    };
    context.add_variable_from_value("object", seen(attempt.new));
    context.add_variable_from_value("oldObject", seen(attempt.old));
    context.add_variable_from_value("request", rules::plain(&request(attempt, kind)));
    let namespace = if attempt.place.kind.is_namespaced() { attempt.namespace() } else { None };
    context.add_variable_from_value("namespaceObject", namespace.as_ref().map_or(Found::Null, rules::plain));
    context.add_variable_from_value("authorizer", authorizer::value(attempt));
    context
}

/// The request, as in an `AdmissionReview`. COMPAT: what is empty is left out.
fn request(attempt: &Attempt<'_>, kind: KindId) -> Value {
    let place = attempt.place;
    let kind_of = |kind: KindId| json!({"group": kind.group, "version": kind.version, "kind": kind.name});
    let resource_of =
        |kind: KindId| json!({"group": kind.group, "version": kind.version, "resource": kind.plural});
    let scale = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
    let is_scale = place.part == Part::Scale;
    let mut request = json!({
        "uid": crate::server::draw_uid(),
        "kind": if is_scale { scale.clone() } else { kind_of(kind) },
        "resource": resource_of(kind),
        "requestKind": if is_scale { scale } else { kind_of(place.kind) },
        "requestResource": resource_of(place.kind),
        "operation": attempt.operation(),
        "userInfo": identity::to_value(attempt.user),
        "dryRun": attempt.options.get("dryRun").is_some(),
        "options": attempt.options,
    });
    let texts = [
        ("name", place.name.as_str()),
        ("namespace", &place.namespace),
        ("subResource", place.part.word()),
        ("requestSubResource", place.part.word()),
    ];
    for (field, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        request[field] = json!(text);
    }
    request
}

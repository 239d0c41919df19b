//! What is wrong with a policy or a binding, told when it is written; and what it leaves to its defaults.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::GROUP;
use super::expression::{self, Known};
use crate::refusal::Refusal;
use crate::reviews;
use crate::schema::Cause;
use crate::store::Place;

/// Fills in the defaults of a policy.
pub(crate) fn complete(policy: &mut Value) {
    let Some(spec) = policy.get_mut("spec").and_then(Value::as_object_mut) else { return };
    spec.entry("failurePolicy").or_insert_with(|| json!("Fail"));
    if let Some(constraints) = spec.get_mut("matchConstraints") {
        complete_match(constraints);
    }
}

/// Fills in the defaults of a binding.
pub(crate) fn complete_binding(binding: &mut Value) {
    if let Some(resources) = binding.pointer_mut("/spec/matchResources") {
        complete_match(resources);
    }
}

fn complete_match(value: &mut Value) {
    let Some(fields) = value.as_object_mut() else { return };
    fields.entry("matchPolicy").or_insert_with(|| json!("Equivalent"));
    for selector in ["namespaceSelector", "objectSelector"] {
        fields.entry(selector).or_insert_with(|| json!({}));
    }
    for rules in ["resourceRules", "excludeResourceRules"] {
        let rules = fields.get_mut(rules).and_then(Value::as_array_mut).into_iter().flatten();
        for rule in rules.filter_map(Value::as_object_mut) {
            rule.entry("scope").or_insert_with(|| json!("*"));
        }
    }
}

/// Checks a policy or a binding that is about to be written.
pub(crate) fn check(place: &Place, value: &Value) -> Result<(), Refusal> {
    if place.kind.group != GROUP {
        return Ok(());
    }
    let mut causes = Causes(Vec::new());
    match place.kind.plural {
        "validatingadmissionpolicies" => causes.policy(&value["spec"]),
        "validatingadmissionpolicybindings" => causes.binding(&value["spec"]),
        _ => {}
    }
    if causes.0.is_empty() { Ok(()) } else { Err(Refusal::Invalid(place.subject(), causes.0)) }
}

struct Causes(Vec<Cause>);

fn items(value: &Value) -> impl Iterator<Item = (usize, &Value)> {
    value.as_array().into_iter().flatten().enumerate()
}

fn is_blank(value: &Value) -> bool {
    value.as_str().is_none_or(|text| text.trim().is_empty())
}

impl Causes {
    fn required(&mut self, field: &str, detail: &str) {
        self.0.push(Cause::required(field, detail));
    }

    fn invalid(&mut self, field: &str, value: &Value, detail: &str) {
        self.0.push(Cause::invalid(field, value, detail));
    }

    fn one_of(&mut self, field: &str, value: &Value, known: &[&str]) {
        if !value.as_str().is_some_and(|text| known.contains(&text)) {
            self.0.push(Cause::unsupported(field, value, known.iter()));
        }
    }

    fn policy(&mut self, spec: &Value) {
        let mut known = Known::of(spec);
        self.one_of("spec.failurePolicy", &spec["failurePolicy"], &["Fail", "Ignore"]);
        if let Some(kind) = spec.get("paramKind") {
            for field in ["apiVersion", "kind"].into_iter().filter(|field| is_blank(&kind[*field])) {
                self.required(&format!("spec.paramKind.{field}"), "");
            }
        }
        match spec.get("matchConstraints") {
            None => self.required("spec.matchConstraints", ""),
            Some(constraints) => {
                if constraints["resourceRules"].as_array().is_none_or(Vec::is_empty) {
                    self.required("spec.matchConstraints.resourceRules", "");
                }
                self.matching("spec.matchConstraints", constraints);
            }
        }
        self.conditions(&spec["matchConditions"], &known);
        self.variables(&spec["variables"], &mut known);
        let lacks = |field: &str| spec[field].as_array().is_none_or(Vec::is_empty);
        if lacks("validations") && lacks("auditAnnotations") {
            self.required(
                "spec.validations",
                "validations or auditAnnotations must contain at least one item",
            );
        }
        for (index, validation) in items(&spec["validations"]) {
            self.validation(&format!("spec.validations[{index}]"), validation, &known);
        }
        let mut keys = BTreeSet::new();
        for (index, annotation) in items(&spec["auditAnnotations"]) {
            let path = format!("spec.auditAnnotations[{index}]");
            self.named(&path, "key", annotation, &mut keys);
            self.expression(&format!("{path}.valueExpression"), &annotation["valueExpression"], &known);
        }
    }

    fn named<'v>(&mut self, path: &str, field: &str, value: &'v Value, seen: &mut BTreeSet<&'v str>) {
        let field_path = format!("{path}.{field}");
        match value[field].as_str().filter(|name| !name.is_empty()) {
            None => self.required(&field_path, ""),
            Some(name) if !seen.insert(name) => self.0.push(Cause::duplicate(&field_path, &value[field])),
            Some(_) => {}
        }
    }

    fn conditions(&mut self, conditions: &Value, known: &Known) {
        let mut names = BTreeSet::new();
        for (index, condition) in items(conditions) {
            let path = format!("spec.matchConditions[{index}]");
            self.named(&path, "name", condition, &mut names);
            self.expression(&format!("{path}.expression"), &condition["expression"], known);
        }
    }

    fn variables(&mut self, variables: &Value, known: &mut Known) {
        let mut names = BTreeSet::new();
        for (index, variable) in items(variables) {
            let path = format!("spec.variables[{index}]");
            self.named(&path, "name", variable, &mut names);
            let name = variable["name"].as_str().unwrap_or_default();
            let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
            let fits = name.starts_with(letter) && name.chars().all(|c| letter(c) || c.is_ascii_digit());
            if !name.is_empty() && !fits {
                self.invalid(
                    &format!("{path}.name"),
                    &variable["name"],
                    "name is not a valid CEL identifier",
                );
            }
            self.expression(&format!("{path}.expression"), &variable["expression"], known);
            known.variables.push(name.to_owned());
        }
    }

    fn validation(&mut self, path: &str, validation: &Value, known: &Known) {
        let expression = &validation["expression"];
        self.expression(&format!("{path}.expression"), expression, known);
        let lines = |value: &Value| value.as_str().is_some_and(|text| text.trim().contains('\n'));
        match validation.get("message") {
            Some(message) if is_blank(message) => {
                self.invalid(&format!("{path}.message"), message, "message must be non-empty if specified");
            }
            Some(message) if lines(message) => {
                self.invalid(&format!("{path}.message"), message, "message must not contain line breaks");
            }
            None if lines(expression) && validation.get("messageExpression").is_none() => {
                let why = "message must be specified if expression contains line breaks";
                self.required(&format!("{path}.message"), why);
            }
            Some(_) | None => {}
        }
        if let Some(text) = validation.get("messageExpression") {
            self.expression(&format!("{path}.messageExpression"), text, known);
        }
        if let Some(reason) = validation.get("reason") {
            let known = ["Unauthorized", "Forbidden", "Invalid", "RequestEntityTooLarge"];
            self.one_of(&format!("{path}.reason"), reason, &known);
        }
    }

    fn expression(&mut self, path: &str, expression: &Value, known: &Known) {
        if is_blank(expression) {
            return self.required(path, "expression is not specified");
        }
        if let Err(why) = expression::compile(expression.as_str().unwrap_or_default(), known) {
            self.invalid(path, expression, &why);
        }
    }

    fn matching(&mut self, path: &str, value: &Value) {
        if let Some(policy) = value.get("matchPolicy") {
            self.one_of(&format!("{path}.matchPolicy"), policy, &["Equivalent", "Exact"]);
        }
        for selector in ["namespaceSelector", "objectSelector"] {
            let path = format!("{path}.{selector}");
            for (index, expression) in items(&value[selector]["matchExpressions"]) {
                let known = ["In", "NotIn", "Exists", "DoesNotExist"];
                let path = format!("{path}.matchExpressions[{index}].operator");
                self.one_of(&path, &expression["operator"], &known);
            }
        }
        for rules in ["resourceRules", "excludeResourceRules"] {
            for (index, rule) in items(&value[rules]) {
                self.rule(&format!("{path}.{rules}[{index}]"), rule);
            }
        }
    }

    fn rule(&mut self, path: &str, rule: &Value) {
        for field in ["apiGroups", "apiVersions", "operations", "resources"] {
            if rule[field].as_array().is_none_or(Vec::is_empty) {
                self.required(&format!("{path}.{field}"), "");
            }
        }
        for (index, operation) in items(&rule["operations"]) {
            let path = format!("{path}.operations[{index}]");
            if operation == "CONNECT" {
                self.invalid(&path, operation, "this server asks no policy about connections");
            } else {
                self.one_of(&path, operation, &["CREATE", "UPDATE", "DELETE", "*"]);
            }
        }
        for (index, resource) in items(&rule["resources"]) {
            let name = resource.as_str().unwrap_or_default();
            let groups = rule["apiGroups"].as_array().into_iter().flatten().filter_map(Value::as_str);
            if groups.into_iter().any(|group| reviews::is_question(group, name)) {
                let why = "this server asks no policy about it";
                self.invalid(&format!("{path}.resources[{index}]"), resource, why);
            }
        }
        if let Some(scope) = rule.get("scope") {
            self.one_of(&format!("{path}.scope"), scope, &["*", "Cluster", "Namespaced"]);
        }
    }

    fn binding(&mut self, spec: &Value) {
        if is_blank(&spec["policyName"]) {
            self.required("spec.policyName", "");
        }
        if let Some(resources) = spec.get("matchResources") {
            self.matching("spec.matchResources", resources);
        }
        if let Some(reference) = spec.get("paramRef") {
            self.parameters(reference);
        }
        let mut seen = BTreeSet::new();
        for (index, action) in items(&spec["validationActions"]) {
            let path = format!("spec.validationActions[{index}]");
            self.one_of(&path, action, &["Audit", "Deny", "Warn"]);
            if !seen.insert(action.as_str().unwrap_or_default()) {
                self.0.push(Cause::duplicate(&path, action));
            }
        }
        if seen.is_empty() {
            self.required("spec.validationActions", "at least one validation action is required");
        }
        if seen.contains("Deny") && seen.contains("Warn") {
            let why = "must not contain both Deny and Warn (repeating the same validation failure information in the API \
                       response and headers serves no purpose)";
            self.invalid("spec.validationActions", &spec["validationActions"], why);
        }
    }

    fn parameters(&mut self, reference: &Value) {
        let (name, selector) = (!is_blank(&reference["name"]), reference.get("selector").is_some());
        if name && selector {
            self.0.push(Cause::forbidden("spec.paramRef.name", "name and selector are mutually exclusive"));
        }
        if !name && !selector {
            self.required("spec.paramRef", "one of name or selector must be specified");
        }
        match reference.get("parameterNotFoundAction") {
            None => self.required("spec.paramRef.parameterNotFoundAction", ""),
            Some(action) => {
                self.one_of("spec.paramRef.parameterNotFoundAction", action, &["Allow", "Deny"]);
            }
        }
    }
}

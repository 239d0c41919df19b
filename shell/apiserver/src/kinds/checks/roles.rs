//! Roles and their bindings.

use serde_json::Value;

use super::{Change, items, text};
use crate::schema::Cause;
use crate::services::go_list;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(in crate::kinds) fn role(change: &Change<'_>, causes: &mut Vec<Cause>) {
    let namespaced = change.new["kind"] == "Role";
    let has = |rule: &Value, field: &str| rule[field].as_array().is_some_and(|all| !all.is_empty());
    for (index, rule) in items(change.new, "rules") {
        let field = |name: &str| format!("rules[{index}].{name}");
        if !has(rule, "verbs") {
            causes.push(Cause::required(&field("verbs"), "verbs must contain at least one value"));
        }
        if has(rule, "nonResourceURLs") {
            if namespaced {
                let why = "namespaced rules cannot apply to non-resource URLs";
                causes.push(Cause::invalid_go(
                    &field("nonResourceURLs"),
                    &go_list(&rule["nonResourceURLs"]),
                    why,
                ));
            }
            if has(rule, "apiGroups") || has(rule, "resources") || has(rule, "resourceNames") {
                let why = "rules cannot apply to both regular resources and non-resource URLs";
                causes.push(Cause::invalid_go(
                    &field("nonResourceURLs"),
                    &go_list(&rule["nonResourceURLs"]),
                    why,
                ));
            }
            continue;
        }
        if !has(rule, "apiGroups") {
            let why = "resource rules must supply at least one api group";
            causes.push(Cause::required(&field("apiGroups"), why));
        }
        if !has(rule, "resources") {
            let why = "resource rules must supply at least one resource";
            causes.push(Cause::required(&field("resources"), why));
        }
    }
}

pub(in crate::kinds) fn binding(change: &Change<'_>, causes: &mut Vec<Cause>) {
    let reference = &change.new["roleRef"];
    let kinds: &[&str] =
        if change.new["kind"] == "RoleBinding" { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    if text(reference, "apiGroup") != GROUP {
        causes.push(Cause::unsupported("roleRef.apiGroup", &reference["apiGroup"], [GROUP].iter()));
    }
    if !kinds.contains(&text(reference, "kind")) {
        causes.push(Cause::unsupported("roleRef.kind", &reference["kind"], kinds.iter()));
    }
    for (index, subject) in items(change.new, "subjects") {
        let field = |name: &str| format!("subjects[{index}].{name}");
        let group = match text(subject, "kind") {
            "ServiceAccount" => {
                if text(subject, "namespace").is_empty() && change.new["kind"] == "ClusterRoleBinding" {
                    causes.push(Cause::required(&field("namespace"), ""));
                }
                ""
            }
            "User" | "Group" => GROUP,
            _ => {
                let known = ["ServiceAccount", "User", "Group"];
                causes.push(Cause::unsupported(&field("kind"), &subject["kind"], known.iter()));
                continue;
            }
        };
        if text(subject, "apiGroup") != group {
            causes.push(Cause::unsupported(&field("apiGroup"), &subject["apiGroup"], [group].iter()));
        }
    }
    if change.old.is_some_and(|old| old["roleRef"] != *reference) {
        let found = format!(
            "rbac.RoleRef{{APIGroup:{}, Kind:{}, Name:{}}}",
            reference["apiGroup"], reference["kind"], reference["name"]
        );
        causes.push(Cause::invalid_go("roleRef", &found, "cannot change roleRef"));
    }
}

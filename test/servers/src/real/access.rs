//! Users of a real API server: service accounts with roles.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use anyhow::{Context as _, Result};
use http::Method;
use serde_json::{Value, json};
use subm_apiserver::{Allowed, Rule, Verb};

use super::{Real, path};

const RBAC: &str = "rbac.authorization.k8s.io";

impl Real {
    /// Lets a user do what rules say and nothing else; returns the user's token.
    pub(crate) fn allow(&self, user: &str, rules: &[Rule]) -> Result<String> {
        let namespace = &self.namespace;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": user, "namespace": namespace}});
        self.apply(&account)?;
        // One role where it may something everywhere, and one in each namespace. What it no longer may is empty.
        let mut by_scope = BTreeMap::from([(String::new(), Vec::new()), (namespace.clone(), Vec::new())]);
        // COMPAT: Kubernetes takes no rule about nothing.
        let about_nothing =
            |rule: &&Rule| matches!(&rule.resources, Allowed::Only(listed) if listed.is_empty());
        for rule in rules.iter().filter(|rule| !about_nothing(rule)) {
            let namespaces = match &rule.namespaces {
                Allowed::All => vec![String::new()],
                Allowed::Only(listed) => listed.clone(),
            };
            for namespace in namespaces {
                by_scope.entry(namespace).or_default().push(policy(rule));
            }
        }
        for (scope, rules) in by_scope {
            self.bind(user, &scope, &rules)?;
        }
        let known = self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(user).cloned();
        match known {
            Some(token) => Ok(token),
            None => self.token_of(user),
        }
    }

    fn bind(&self, user: &str, scope: &str, rules: &[Value]) -> Result<()> {
        let (role, binding) = match scope {
            "" => ("ClusterRole", "ClusterRoleBinding"),
            _ => ("Role", "RoleBinding"),
        };
        let metadata = match scope {
            "" => json!({"name": format!("test-{user}")}),
            scope => json!({"name": format!("test-{user}"), "namespace": scope}),
        };
        let version = format!("{RBAC}/v1");
        self.apply(&json!({"apiVersion": version, "kind": role, "metadata": metadata, "rules": rules}))?;
        let reference = json!({"apiGroup": RBAC, "kind": role, "name": format!("test-{user}")});
        let subject = json!({"kind": "ServiceAccount", "name": user, "namespace": self.namespace});
        let binding = json!({"apiVersion": version, "kind": binding, "metadata": metadata,
            "roleRef": reference, "subjects": [subject]});
        self.apply(&binding).map(drop)
    }

    fn token_of(&self, user: &str) -> Result<String> {
        let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
            "spec": {"expirationSeconds": 7200}});
        let path = format!("{}/{user}/token", path("serviceaccounts", &self.namespace));
        let answer = self.wants(&Method::POST, &path, Some(&request))?;
        let token = answer["status"]["token"].as_str().context("no token was given")?.to_owned();
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert(user.to_owned(), token.clone());
        Ok(token)
    }

    /// Makes every token of a user worthless.
    pub(crate) fn revoke(&self, user: &str) -> Result<()> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(user);
        self.delete("serviceaccounts", &self.namespace, user)
    }
}

fn policy(rule: &Rule) -> Value {
    let listed = |allowed: &Allowed<String>| match allowed {
        Allowed::All => vec!["*".to_owned()],
        Allowed::Only(listed) => listed.clone(),
    };
    let verbs: Vec<&str> = match &rule.verbs {
        Allowed::All => vec!["*"],
        Allowed::Only(verbs) => verbs.iter().copied().map(Verb::word).collect(),
    };
    let mut policy =
        json!({"apiGroups": listed(&rule.groups), "resources": listed(&rule.resources), "verbs": verbs});
    if let Allowed::Only(names) = &rule.names {
        policy["resourceNames"] = json!(names);
    }
    policy
}

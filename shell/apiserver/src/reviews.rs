//! Questions to the server that are asked by creating an object which is not kept: who am I, may I, a token please.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::access::{Action, Authoriser, User};
use crate::identity;
use crate::kinds::KindId;
use crate::metadata;
use crate::rbac::PolicyRule;
use crate::refusal::{Refusal, Subject};
use crate::request::{self, Bodies};
use crate::server::Shared;
use crate::store::Place;

/// Group, resource, kind and whether it is namespaced.
const KNOWN: &[(&str, &str, &str, bool)] = &[
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", false),
    ("authentication.k8s.io", "tokenreviews", "TokenReview", false),
    ("authorization.k8s.io", "localsubjectaccessreviews", "LocalSubjectAccessReview", true),
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview", false),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview", false),
    ("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", false),
];
const SHORTEST: i64 = 600;
const LONGEST: i64 = 1 << 32;
const USUAL: i64 = 3600;

/// A question that a path asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    group: &'static str,
    resource: &'static str,
    kind: &'static str,
    namespace: &'a str,
    /// The ServiceAccount of a `TokenRequest`.
    name: &'a str,
}

/// Who asks.
pub(crate) struct Asker<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) user: &'a Arc<User>,
    pub(crate) authoriser: &'a Authoriser,
}

/// The groups that have questions only.
pub(crate) fn groups() -> impl Iterator<Item = &'static str> {
    ["authentication.k8s.io", "authorization.k8s.io"].into_iter()
}

/// Whether a resource is one that is asked, and not kept.
pub(crate) fn is_question(group: &str, resource: &str) -> bool {
    (group.is_empty() && resource == "serviceaccounts/token")
        || KNOWN.iter().any(|(known, plural, ..)| *known == group && *plural == resource)
}

/// The resources of a group, as discovery tells them.
pub(crate) fn resources(group: &str) -> Vec<Value> {
    if group.is_empty() {
        return vec![json!({
            "name": "serviceaccounts/token",
            "singularName": "",
            "namespaced": true,
            "group": "authentication.k8s.io",
            "version": "v1",
            "kind": "TokenRequest",
            "verbs": ["create"],
        })];
    }
    let of_group = KNOWN.iter().filter(|(known, ..)| *known == group);
    let entry = |(_, resource, kind, namespaced): &(&str, &str, &str, bool)| {
        json!({
            "name": resource,
            "singularName": kind.to_lowercase(),
            "namespaced": namespaced,
            "kind": kind,
            "verbs": ["create"],
        })
    };
    of_group.map(entry).collect()
}

impl<'a> Asked<'a> {
    /// The question of a path, if it is one.
    pub(crate) fn of(path: &'a str) -> Option<Self> {
        let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (group, namespace, resource) = match segments.as_slice() {
            ["api", "v1", "namespaces", namespace, "serviceaccounts", name, "token"] => {
                return Some(Asked {
                    group: "",
                    resource: "serviceaccounts",
                    kind: "TokenRequest",
                    namespace,
                    name,
                });
            }
            ["apis", group, "v1", resource] => (*group, "", *resource),
            ["apis", group, "v1", "namespaces", namespace, resource] => (*group, *namespace, *resource),
            _ => return None,
        };
        let known = KNOWN.iter().find(|(known_group, known, _, namespaced)| {
            *known_group == group && *known == resource && *namespaced != namespace.is_empty()
        });
        let (group, resource, kind, _) = known?;
        Some(Asked { group, resource, kind, namespace, name: "" })
    }

    pub(crate) fn action(&self) -> Action<'a> {
        Action {
            verb: "create",
            group: self.group,
            plural: self.resource,
            subresource: if self.name.is_empty() { "" } else { "token" },
            namespace: self.namespace,
            name: self.name,
        }
    }

    /// The answer: the object with its status.
    pub(crate) fn answer(
        &self,
        asker: &Asker<'_>,
        method: &Method,
        (headers, body): (&HeaderMap, &Bytes),
    ) -> Result<Value, Refusal> {
        if method != Method::POST {
            return Err(Refusal::MethodNotAllowed);
        }
        asker.authoriser.authorise(asker.user, &self.action())?;
        let mut object = request::object(headers, body, Bodies::WithProtobuf)?;
        if !object.is_object() {
            return Err(Refusal::BadRequest("the body must be a JSON object".to_owned()));
        }
        let group = if self.kind == "TokenRequest" { "authentication.k8s.io" } else { self.group };
        object["apiVersion"] = json!(format!("{group}/v1"));
        object["kind"] = json!(self.kind);
        let status = match self.kind {
            "SelfSubjectReview" => json!({"userInfo": identity::to_value(asker.user)}),
            "TokenReview" => token_review(asker, &object["spec"]),
            "TokenRequest" => self.token(asker, &mut object)?,
            "SelfSubjectRulesReview" => rules_review(asker, &object["spec"]),
            "SelfSubjectAccessReview" => access_review(asker.authoriser, asker.user, &object["spec"]),
            _ => {
                let user = subject(&object["spec"]);
                if user.name.is_empty() && user.groups.is_empty() {
                    return Err(Refusal::BadRequest(
                        "spec.user or spec.groups: Required value: at least one of user or group must be specified"
                            .to_owned(),
                    ));
                }
                access_review(asker.authoriser, &user, &object["spec"])
            }
        };
        object["status"] = status;
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        if object["metadata"].get("creationTimestamp").is_none() {
            object["metadata"]["creationTimestamp"] = Value::Null;
        }
        Ok(object)
    }

    fn token(&self, asker: &Asker<'_>, object: &mut Value) -> Result<Value, Refusal> {
        let now = Timestamp::now();
        let spec = &mut object["spec"];
        if !spec.is_object() && !spec.is_null() {
            return Err(Refusal::BadRequest("the spec of a TokenRequest must be an object".to_owned()));
        }
        let seconds = spec["expirationSeconds"].as_i64().unwrap_or(USUAL);
        let subject = Subject::new(account_kind()?, self.name);
        if seconds < SHORTEST {
            let message =
                format!("Invalid value: {seconds}: may not specify a duration less than 10 minutes");
            return Err(Refusal::invalid(subject, "spec.expirationSeconds", "FieldValueInvalid", message));
        }
        if seconds > LONGEST {
            let message =
                format!("Invalid value: {seconds}: may not specify a duration larger than 2^32 seconds");
            return Err(Refusal::invalid(subject, "spec.expirationSeconds", "FieldValueInvalid", message));
        }
        if spec["audiences"].as_array().is_none_or(Vec::is_empty) {
            spec["audiences"] = json!([identity::AUDIENCE]);
        }
        let private = self.bound_to(asker.shared, &spec["boundObjectRef"])?;
        spec["expirationSeconds"] = json!(seconds);
        let claims = json!({
            "aud": spec["audiences"],
            "exp": now.as_second() + seconds,
            "iat": now.as_second(),
            "iss": identity::AUDIENCE,
            "jti": crate::server::draw_uid(),
            "kubernetes.io": private,
            "nbf": now.as_second(),
            "sub": format!("system:serviceaccount:{}:{}", self.namespace, self.name),
        });
        let token = asker.shared.token_key().sign(&claims).ok_or(Refusal::Unavailable)?;
        let end = Timestamp::from_second(now.as_second() + seconds).unwrap_or(now);
        object["metadata"] = json!({
            "name": self.name,
            "namespace": self.namespace,
            "creationTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        });
        let end = end.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Ok(json!({"token": token, "expirationTimestamp": end}))
    }

    /// The part of the claims that names objects.
    fn bound_to(&self, shared: &Shared, reference: &Value) -> Result<Value, Refusal> {
        let store = shared.read();
        let account = store.find(&Place::new(account_kind()?, self.namespace, self.name))?.value();
        let mut private = json!({
            "namespace": self.namespace,
            "serviceaccount": {"name": self.name, "uid": metadata::text(&account, "uid")},
        });
        let Some(kind) = reference["kind"].as_str() else { return Ok(private) };
        let (field, resource) = match kind {
            "Pod" => ("pod", "pods"),
            "Secret" => ("secret", "secrets"),
            "Node" => ("node", "nodes"),
            other => {
                let message = format!("cannot bind token to object of type {other}; use Pod, Secret or Node");
                return Err(Refusal::BadRequest(message));
            }
        };
        let name = reference["name"].as_str().unwrap_or_default();
        let namespace = if field == "node" { "" } else { self.namespace };
        let kind = KindId::named(resource).ok_or(Refusal::UnknownResource)?;
        let place = Place::new(kind, namespace, name);
        let object = store.find(&place)?.value();
        let uid = metadata::text(&object, "uid");
        if let Some(asked) = reference["uid"].as_str().filter(|asked| !asked.is_empty() && *asked != uid) {
            let stale = crate::refusal::Stale::Uid { asked: asked.to_owned(), found: uid.to_owned() };
            return Err(Refusal::Conflict(place.subject(), stale));
        }
        private[field] = json!({"name": name, "uid": uid});
        Ok(private)
    }
}

fn account_kind() -> Result<KindId, Refusal> {
    KindId::named("serviceaccounts").ok_or(Refusal::UnknownResource)
}

fn token_review(asker: &Asker<'_>, spec: &Value) -> Value {
    let audiences: Vec<String> = spec["audiences"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let audiences = if audiences.is_empty() { vec![identity::AUDIENCE.to_owned()] } else { audiences };
    let token = spec["token"].as_str().unwrap_or_default();
    match identity::of_token(asker.shared, token, &audiences) {
        Some(grant) => json!({
            "authenticated": true,
            "user": identity::to_value(&grant.user),
            "audiences": audiences,
        }),
        None => json!({"user": {}, "error": "invalid bearer token"}),
    }
}

fn subject(spec: &Value) -> User {
    let groups = spec["groups"].as_array().into_iter().flatten().filter_map(Value::as_str);
    User {
        name: spec["user"].as_str().unwrap_or_default().to_owned(),
        groups: groups.map(str::to_owned).collect(),
        ..User::default()
    }
}

fn access_review(authoriser: &Authoriser, user: &User, spec: &Value) -> Value {
    let resource = &spec["resourceAttributes"];
    let text = |field: &str| resource[field].as_str().unwrap_or_default();
    let why = if resource.is_object() {
        authoriser.allows(
            user,
            &Action {
                verb: text("verb"),
                group: text("group"),
                plural: text("resource"),
                subresource: text("subresource"),
                namespace: text("namespace"),
                name: text("name"),
            },
        )
    } else {
        let text = |field: &str| spec["nonResourceAttributes"][field].as_str().unwrap_or_default();
        authoriser.allows_path(user, text("verb"), text("path"))
    };
    match why {
        None => json!({"allowed": false}),
        Some("") => json!({"allowed": true}),
        Some(reason) => json!({"allowed": true, "reason": reason}),
    }
}

fn rules_review(asker: &Asker<'_>, spec: &Value) -> Value {
    let namespace = spec["namespace"].as_str().unwrap_or_default();
    let rules = asker.authoriser.rules(asker.user, namespace);
    let (paths, resources): (Vec<_>, Vec<_>) = rules.iter().partition(|rule| !rule.urls.is_empty());
    let values = |rules: Vec<&PolicyRule>| rules.into_iter().map(PolicyRule::to_value).collect::<Vec<_>>();
    json!({"incomplete": false, "resourceRules": values(resources), "nonResourceRules": values(paths)})
}

//! Why a request is refused, and the `Status` object that says so.

use serde_json::{Value, json};

use crate::kinds::KindId;
use crate::schema::Cause;

/// An object that a request is about: its kind and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The kind.
    pub kind: KindId,
    /// The name, empty for a collection.
    pub name: String,
}

impl Subject {
    pub(crate) fn new(kind: KindId, name: &str) -> Self {
        Self { kind, name: name.to_owned() }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.kind.resource(), self.name)
    }
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// No such path or resource.
    #[error("the server could not find the requested resource")]
    UnknownResource,
    /// No such object.
    #[error("{0} not found")]
    NotFound(Subject),
    /// The name is taken.
    #[error("{0} already exists")]
    AlreadyExists(Subject),
    /// The object changed since it was read, or a precondition does not hold.
    #[error("Operation cannot be fulfilled on {0}: {1}")]
    Conflict(Subject, Stale),
    /// Server-side apply would take over fields of other managers.
    #[error("{}", apply_conflict(.1))]
    ApplyConflict(Subject, Vec<Cause>),
    /// Fields are missing or wrong.
    #[error("{} {:?} is invalid: {}", full_kind(.0.kind), .0.name, invalid_fields(.1))]
    Invalid(Subject, Vec<Cause>),
    /// A patch cannot be carried out.
    #[error("the server rejected our request due to an error in our request")]
    FailedPatch,
    /// A patch makes something of an object that cannot be read.
    #[error(" \"\" is invalid: {}", invalid_fields(.0))]
    InvalidPatch(Vec<Cause>),
    /// The request itself makes no sense.
    #[error("{0}")]
    BadRequest(String),
    /// The token is missing or unknown.
    #[error("Unauthorized")]
    Unauthorized,
    /// The user may not do this.
    #[error("{0} is forbidden: {1}")]
    Forbidden(Subject, String),
    /// The user may not do this, as the rules of access say.
    #[error("{0}")]
    Denied(Box<Denied>),
    /// An admission policy does not want it.
    #[error("{}", .0.denied)]
    PolicyDenied(Box<PolicyDenied>),
    /// The user may not ask for a path that names no object.
    #[error("forbidden: User {user:?} cannot {verb} path {path:?}")]
    DeniedPath {
        /// The user's name.
        user: String,
        /// The method in lower case.
        verb: String,
        /// The path.
        path: String,
    },
    /// No such object of a resource that the request only names.
    #[error("{} {name:?} not found", full_resource(group, resource))]
    NoSuch {
        /// The API group.
        group: String,
        /// The resource in the plural.
        resource: String,
        /// The object's name.
        name: String,
    },
    /// The user asks for more than a fair share.
    #[error("Too many requests, please try again later.")]
    TooManyRequests,
    /// The resource version is older than the history that is kept.
    #[error("too old resource version: {asked} ({oldest})")]
    Expired {
        /// The version asked for.
        asked: u64,
        /// The oldest version that can be continued from.
        oldest: u64,
    },
    /// A list cannot go on where it stopped: the history in between is forgotten.
    #[error(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter."
    )]
    ContinueExpired,
    /// An option of a list makes no sense.
    #[error("ListOptions.meta.k8s.io \"\" is invalid: {field}: Forbidden: {message}")]
    ListOptions {
        /// The option.
        field: &'static str,
        /// Why it is refused.
        message: &'static str,
    },
    /// The namespace is being deleted, so that it takes no new objects.
    #[error("{0} is forbidden: unable to create new content in namespace {1} because it is being terminated")]
    NamespaceTerminating(Subject, String),
    /// The resource version lies in the future.
    #[error("Too large resource version: {asked}, current: {current}")]
    TooLargeVersion {
        /// The version asked for.
        asked: u64,
        /// The current version.
        current: u64,
    },
    /// The resource has no such verb.
    #[error("the server does not allow this method on the requested resource")]
    MethodNotAllowed,
    /// The kind's definition is being deleted, so that it takes no new objects.
    #[error("create not allowed while custom resource definition is terminating")]
    Terminating,
    /// An applied configuration has fields that its kind does not have, or of other types.
    #[error("{0}")]
    Untyped(String),
    /// The body's content type is none of these.
    #[error("the body of the request was in an unknown format - accepted media types include: {}", .0.join(", "))]
    UnsupportedMediaType(&'static [&'static str]),
    /// None of the accepted content types can be sent.
    #[error("only the following media types are accepted: application/json, application/yaml")]
    NotAcceptable,
    /// The body is too large.
    #[error("the request body may have at most {0} bytes")]
    TooLarge(usize),
    /// A fault knob asked for it.
    #[error("the server is currently unable to handle the request")]
    Unavailable,
    /// The disk failed under the write.
    #[error("Internal error occurred: the object could not be stored; the server's log tells why")]
    NotStored,
}

/// What an admission policy does not want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyDenied {
    /// The object, and why.
    pub denied: Denied,
    /// The reason that the policy gives.
    pub reason: &'static str,
}

impl PolicyDenied {
    fn code(&self) -> u16 {
        match self.reason {
            "Unauthorized" => 401,
            "Forbidden" => 403,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        }
    }
}

/// What somebody may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The API group.
    pub group: String,
    /// The resource in the plural.
    pub resource: String,
    /// The object's name, empty for a collection.
    pub name: String,
    /// The reason.
    pub why: String,
}

impl std::fmt::Display for Denied {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let resource = full_resource(&self.group, &self.resource);
        if self.name.is_empty() {
            write!(f, "{resource} is forbidden: {}", self.why)
        } else {
            write!(f, "{resource} {:?} is forbidden: {}", self.name, self.why)
        }
    }
}

fn full_resource(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn listed(causes: &[Cause]) -> Vec<Value> {
    let listed = causes.iter();
    listed
        .map(|cause| json!({"reason": cause.reason, "message": cause.message, "field": cause.field}))
        .collect()
}

/// COMPAT: in `details` what is empty is left out.
fn named_details(name: &str, group: &str, kind: &str) -> Value {
    let mut details = json!({});
    for (field, text) in [("name", name), ("group", group), ("kind", kind)] {
        if !text.is_empty() {
            details[field] = json!(text);
        }
    }
    details
}

/// What made a write stale.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// The object changed.
    #[error("the object has been modified; please apply your changes to the latest version and try again")]
    Modified,
    /// The precondition on the uid does not hold.
    #[error("Precondition failed: UID in precondition: {asked}, UID in object meta: {found}")]
    Uid {
        /// The uid in the request.
        asked: String,
        /// The uid of the object.
        found: String,
    },
    /// The precondition on the resource version does not hold.
    #[error(
        "Precondition failed: ResourceVersion in precondition: {asked}, ResourceVersion in object meta: {found}"
    )]
    Version {
        /// The version in the request.
        asked: String,
        /// The version of the object.
        found: u64,
    },
}

fn full_kind(kind: KindId) -> String {
    if kind.group.is_empty() { kind.name.to_owned() } else { format!("{}.{}", kind.name, kind.group) }
}

fn apply_conflict(causes: &[Cause]) -> String {
    if let [only] = causes {
        return format!("Apply failed with 1 conflict: {}: {}", only.message, only.field);
    }
    let mut lines = Vec::new();
    let mut by_manager = std::collections::BTreeMap::<_, Vec<_>>::new();
    for cause in causes {
        by_manager.entry(cause.message.replacen("conflict", "conflicts", 1)).or_default().push(&cause.field);
    }
    for (manager, fields) in by_manager {
        lines.push(format!("{manager}:"));
        lines.extend(fields.into_iter().map(|field| format!("- {field}")));
    }
    format!("Apply failed with {} conflicts: {}", causes.len(), lines.join("\n"))
}

fn invalid_fields(causes: &[Cause]) -> String {
    let texts: Vec<_> = causes.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    if let [only] = texts.as_slice() { only.clone() } else { format!("[{}]", texts.join(", ")) }
}

impl Refusal {
    pub(crate) fn invalid(subject: Subject, field: &str, reason: &'static str, message: String) -> Self {
        Self::Invalid(subject, vec![Cause { reason, message, field: field.to_owned() }])
    }

    /// The HTTP status code.
    pub fn code(&self) -> u16 {
        match self {
            Self::UnknownResource | Self::NotFound(_) | Self::NoSuch { .. } => 404,
            Self::AlreadyExists(_) | Self::Conflict(..) | Self::ApplyConflict(..) => 409,
            Self::Invalid(..) | Self::InvalidPatch(_) | Self::FailedPatch | Self::ListOptions { .. } => 422,
            Self::BadRequest(_) => 400,
            Self::Unauthorized => 401,
            Self::Forbidden(..)
            | Self::Denied(_)
            | Self::DeniedPath { .. }
            | Self::NamespaceTerminating(..) => 403,
            Self::PolicyDenied(denied) => denied.code(),
            Self::TooManyRequests => 429,
            Self::Expired { .. } | Self::ContinueExpired => 410,
            Self::TooLargeVersion { .. } => 504,
            Self::MethodNotAllowed | Self::Terminating => 405,
            Self::UnsupportedMediaType(_) => 415,
            Self::NotAcceptable => 406,
            Self::TooLarge(_) => 413,
            Self::Unavailable => 503,
            Self::NotStored | Self::Untyped(_) => 500,
        }
    }

    /// The machine-readable reason.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownResource | Self::NotFound(_) | Self::NoSuch { .. } => "NotFound",
            Self::AlreadyExists(_) => "AlreadyExists",
            Self::Conflict(..) | Self::ApplyConflict(..) => "Conflict",
            Self::Invalid(..) | Self::InvalidPatch(_) | Self::FailedPatch | Self::ListOptions { .. } => {
                "Invalid"
            }
            Self::BadRequest(_) => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden(..)
            | Self::Denied(_)
            | Self::DeniedPath { .. }
            | Self::NamespaceTerminating(..) => "Forbidden",
            Self::PolicyDenied(denied) => denied.reason,
            Self::TooManyRequests => "TooManyRequests",
            Self::Expired { .. } | Self::ContinueExpired => "Expired",
            Self::TooLargeVersion { .. } => "Timeout",
            Self::MethodNotAllowed | Self::Terminating => "MethodNotAllowed",
            Self::UnsupportedMediaType(_) => "UnsupportedMediaType",
            Self::NotAcceptable => "NotAcceptable",
            Self::TooLarge(_) => "RequestEntityTooLarge",
            Self::Unavailable => "ServiceUnavailable",
            Self::NotStored => "InternalError",
            // COMPAT: Kubernetes gives no reason.
            Self::Untyped(_) => "",
        }
    }

    /// What a policy that denied something says of it.
    fn policy_details(policy: &PolicyDenied) -> Value {
        let denied = &policy.denied;
        let mut details = named_details(&denied.name, &denied.group, &denied.resource);
        details["causes"] = json!([{"message": denied.why}]);
        details
    }

    fn details(&self) -> Option<Value> {
        let ending;
        let (subject, causes): (_, &[Cause]) = match self {
            Self::PolicyDenied(policy) => return Some(Self::policy_details(policy)),
            Self::ListOptions { field, message } => {
                let cause = json!({"reason": "FieldValueForbidden",
                    "message": format!("Forbidden: {message}"), "field": field});
                return Some(json!({"group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause]}));
            }
            Self::NamespaceTerminating(subject, namespace) => {
                ending = [Cause {
                    reason: "NamespaceTerminating",
                    message: format!("namespace {namespace} is being terminated"),
                    field: "metadata.namespace".to_owned(),
                }];
                (subject, &ending)
            }
            Self::ApplyConflict(_, causes) | Self::InvalidPatch(causes) => {
                return Some(json!({"causes": listed(causes)}));
            }
            Self::NotFound(subject)
            | Self::AlreadyExists(subject)
            | Self::Conflict(subject, _)
            | Self::Forbidden(subject, _) => (subject, &[]),
            Self::Invalid(subject, causes) => (subject, causes),
            Self::TooLargeVersion { .. } => {
                let cause =
                    json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
                return Some(json!({"causes": [cause], "retryAfterSeconds": 1}));
            }
            Self::Unavailable | Self::TooManyRequests => return Some(json!({"retryAfterSeconds": 1})),
            Self::Denied(denied) => {
                return Some(named_details(&denied.name, &denied.group, &denied.resource));
            }
            Self::DeniedPath { .. } | Self::FailedPatch => return Some(json!({})),
            Self::NoSuch { group, resource, name } => return Some(named_details(name, group, resource)),
            Self::UnknownResource
            | Self::BadRequest(_)
            | Self::Unauthorized
            | Self::Expired { .. }
            | Self::ContinueExpired
            | Self::MethodNotAllowed
            | Self::Terminating
            | Self::Untyped(_)
            | Self::UnsupportedMediaType(_)
            | Self::NotAcceptable
            | Self::NotStored
            | Self::TooLarge(_) => return None,
        };
        // COMPAT: Kubernetes puts the kind here for invalid objects and the resource everywhere else.
        let kind = if matches!(self, Self::Invalid(..)) { subject.kind.name } else { subject.kind.plural };
        let mut details = json!({"kind": kind});
        for (field, text) in [("name", subject.name.as_str()), ("group", subject.kind.group)] {
            if !text.is_empty() {
                details[field] = json!(text);
            }
        }
        if !causes.is_empty() {
            details["causes"] = Value::Array(listed(causes));
        }
        Some(details)
    }

    /// The `Status` object.
    pub fn status(&self) -> Value {
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.to_string(),
            "reason": self.reason(),
            "code": self.code(),
        });
        if let Some(details) = self.details() {
            status["details"] = details;
        }
        status
    }
}

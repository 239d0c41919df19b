//! What a request asks for, read from its method, path, query and headers.

use std::collections::BTreeMap;

use axum::extract::Query as UrlQuery;
use http::{HeaderMap, Method, Uri, header};
use serde_json::Value;

use crate::access::{Action, Verb};
use crate::apply::Force;
use crate::kinds::{KindId, Kinds};
use crate::patch::{Part, Patch};
use crate::protobuf;
use crate::refusal::{Refusal, Subject};
use crate::store::{Effect, Place};

/// The objects that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) kind: KindId,
    /// None over all namespaces and for cluster-scoped kinds.
    pub(crate) namespace: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) part: Part,
}

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Query(BTreeMap<String, String>);

/// The body of a PATCH.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Patch(Patch),
    Apply(Value, Force),
}

impl Target {
    /// The target of a path below `/api/v1` or `/apis/<group>/<version>`.
    pub(crate) fn parse(path: &str, kinds: &Kinds) -> Result<Self, Refusal> {
        let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        let (group, version, rest) = match segments.as_slice() {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return Err(Refusal::UnknownResource),
        };
        let (namespace, rest) = match rest {
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => (None, rest),
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (Some(*namespace), rest),
            _ => (None, rest),
        };
        let (plural, name, subresource) = match rest {
            [plural] => (plural, None, None),
            [plural, name] => (plural, Some(*name), None),
            [plural, name, subresource] => (plural, Some(*name), Some(*subresource)),
            _ => return Err(Refusal::UnknownResource),
        };
        let kind = kinds.served(group, version, plural).ok_or(Refusal::UnknownResource)?;
        let part = match subresource {
            None => Part::Whole,
            Some("status") if kind.has_status_subresource() => Part::Status,
            Some("scale") if kind.scale.is_some() => Part::Scale,
            Some(_) => return Err(Refusal::UnknownResource),
        };
        if namespace.is_some() != kind.is_namespaced() && (namespace.is_some() || name.is_some()) {
            return Err(Refusal::UnknownResource);
        }
        Ok(Self { kind, namespace: namespace.map(str::to_owned), name: name.map(str::to_owned), part })
    }

    /// What a method does to the target.
    pub(crate) fn verb(&self, method: &Method, query: &Query) -> Result<Verb, Refusal> {
        let named = self.name.is_some();
        let writable = self.namespace.is_some() || !self.kind.is_namespaced();
        match (method.as_str(), named) {
            ("GET", _) if query.says("watch") => Ok(Verb::Watch),
            ("GET", true) => Ok(Verb::Get),
            ("GET", false) => Ok(Verb::List),
            ("POST", false) if writable => Ok(Verb::Create),
            ("PUT", true) => Ok(Verb::Update),
            ("PATCH", true) => Ok(Verb::Patch),
            ("DELETE", true) if self.part == Part::Whole => Ok(Verb::Delete),
            // COMPAT: Namespaces are deleted one by one.
            ("DELETE", false) if writable && self.kind != KindId::namespaces() => Ok(Verb::DeleteCollection),
            _ => Err(Refusal::MethodNotAllowed),
        }
    }

    pub(crate) fn action<'a>(&'a self, verb: Verb, query: &'a Query) -> Action<'a> {
        let name = match (&self.name, verb) {
            (Some(name), _) => name,
            (None, Verb::List | Verb::Watch | Verb::DeleteCollection) => query.selected_name(),
            // INVARIANT: creation reads its name from the body, so a rule for one name never allows it.
            (None, Verb::Get | Verb::Create | Verb::Update | Verb::Patch | Verb::Delete) => "",
        };
        Action {
            verb: verb.word(),
            group: self.kind.group,
            plural: self.kind.plural,
            subresource: self.part.word(),
            // COMPAT: a Namespace lies in itself, so that whoever may act in it may be allowed to read it.
            namespace: match (&self.namespace, &self.name) {
                (Some(namespace), _) => namespace,
                (None, Some(name)) if self.kind == KindId::namespaces() => name,
                (None, _) => "",
            },
            name,
        }
    }

    pub(crate) fn place(&self) -> Place {
        let namespace = self.namespace.as_deref().unwrap_or_default();
        Place {
            part: self.part,
            ..Place::new(self.kind, namespace, self.name.as_deref().unwrap_or_default())
        }
    }
}

impl Query {
    pub(crate) fn parse(uri: &Uri) -> Result<Self, Refusal> {
        let query = UrlQuery::<BTreeMap<String, String>>::try_from_uri(uri)
            .map_err(|error| Refusal::BadRequest(format!("cannot read the query: {error}")))?;
        Ok(Self(query.0))
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// COMPAT: a rule for one name also allows to list and watch by that name.
    fn selected_name(&self) -> &str {
        let mut terms = self.text("fieldSelector").split(',');
        terms
            .find_map(|term| term.trim().strip_prefix("metadata.name="))
            .map_or("", |name| name.trim_start_matches('='))
    }

    pub(crate) fn says(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "1" | "True" | "TRUE" | "t" | "T")
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(None);
        }
        let wrong = |_| Refusal::BadRequest(format!("{name} must be a number, not {text:?}"));
        text.parse().map(Some).map_err(wrong)
    }

    pub(crate) fn effect(&self) -> Result<Effect, Refusal> {
        match self.text("dryRun") {
            "" => Ok(Effect::Lasting),
            "All" => Ok(Effect::DryRun),
            other => Err(Refusal::BadRequest(format!("dryRun must be \"All\", not {other:?}"))),
        }
    }
}

fn content_type(headers: &HeaderMap) -> &str {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim()
}

/// Which bodies can be read beside JSON and YAML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// Protobuf too.
    WithProtobuf,
    /// COMPAT: custom resources have no form in protobuf.
    Custom,
}

impl Bodies {
    pub(crate) fn of(kind: KindId) -> Self {
        if kind.is_custom() || !protobuf::knows(&kind.api_version(), kind.name) {
            Self::Custom
        } else {
            Self::WithProtobuf
        }
    }
}

/// The object in a body.
pub(crate) fn object(headers: &HeaderMap, body: &[u8], bodies: Bodies) -> Result<Value, Refusal> {
    match (content_type(headers), bodies) {
        ("" | "application/json", _) => json(body),
        ("application/yaml", _) => yaml(body),
        (protobuf::MEDIA_TYPE, Bodies::WithProtobuf) => protobuf::object(body).ok_or_else(|| {
            Refusal::BadRequest("cannot read the body as an object in Kubernetes' protobuf".to_owned())
        }),
        (_, Bodies::WithProtobuf) => Err(Refusal::UnsupportedMediaType(&[
            "application/json",
            "application/yaml",
            protobuf::MEDIA_TYPE,
        ])),
        (_, Bodies::Custom) => Err(Refusal::UnsupportedMediaType(&["application/json", "application/yaml"])),
    }
}

fn json<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let wrong = |error| Refusal::BadRequest(format!("cannot read the body as JSON: {error}"));
    serde_json::from_slice(body).map_err(wrong)
}

fn yaml(body: &[u8]) -> Result<Value, Refusal> {
    let wrong = |error| Refusal::BadRequest(format!("cannot read the body as YAML: {error}"));
    serde_saphyr::from_slice(body).map_err(wrong)
}

const PATCHES: [&str; 4] = [
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
const CUSTOM_PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

/// The change in the body of a PATCH.
pub(crate) fn change(
    target: &Target,
    headers: &HeaderMap,
    query: &Query,
    body: &[u8],
) -> Result<Change, Refusal> {
    match content_type(headers) {
        "application/merge-patch+json" => Ok(Change::Patch(Patch::Merge(json(body)?))),
        "application/strategic-merge-patch+json" if !target.kind.is_custom() => {
            Ok(Change::Patch(Patch::Strategic(json(body)?)))
        }
        "application/json-patch+json" => Ok(Change::Patch(Patch::Json(json(body)?))),
        "application/apply-patch+yaml" => {
            if query.text("fieldManager").is_empty() {
                let subject = Subject::new(target.kind, target.name.as_deref().unwrap_or_default());
                let message = "Required value: is required for apply patch".to_owned();
                return Err(Refusal::invalid(subject, "fieldManager", "FieldValueRequired", message));
            }
            let force = if query.says("force") { Force::Yes } else { Force::No };
            // Nearly every client sends JSON under this type, which is read much faster.
            Ok(Change::Apply(json(body).or_else(|_| yaml(body))?, force))
        }
        _ if target.kind.is_custom() => Err(Refusal::UnsupportedMediaType(&CUSTOM_PATCHES)),
        _ => Err(Refusal::UnsupportedMediaType(&PATCHES)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_kind_namespace_name_and_subresource() {
        let read = |path: &str| {
            Target::parse(path, &Kinds::default()).ok().map(|target| {
                let kind = target.kind.resource();
                let status = target.part == Part::Status;
                (kind, target.namespace.unwrap_or_default(), target.name.unwrap_or_default(), status)
            })
        };
        let found = |kind: &str, namespace: &str, name: &str, status| {
            Some((kind.to_owned(), namespace.to_owned(), name.to_owned(), status))
        };
        assert_eq!(read("/api/v1/namespaces"), found("namespaces", "", "", false));
        assert_eq!(read("/api/v1/namespaces/a"), found("namespaces", "", "a", false));
        assert_eq!(read("/api/v1/namespaces/a/status"), found("namespaces", "", "a", true));
        assert_eq!(read("/api/v1/namespaces/a/pods"), found("pods", "a", "", false));
        assert_eq!(read("/api/v1/namespaces/a/pods/p/status"), found("pods", "a", "p", true));
        assert_eq!(read("/api/v1/pods"), found("pods", "", "", false));
        assert_eq!(read("/api/v1/nodes/n"), found("nodes", "", "n", false));
        let lease = "/apis/coordination.k8s.io/v1/namespaces/b/leases/e";
        assert_eq!(read(lease), found("leases.coordination.k8s.io", "b", "e", false));
        for wrong in [
            "/api/v1/pods/p",
            "/api/v1/namespaces/a/nodes/n",
            "/api/v1/gateways",
            "/apis/coordination.k8s.io/v2/leases",
            "/apis/coordination.k8s.io/v1/namespaces/b/leases/e/status",
            "/openapi/v3",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_collection_narrowed_to_a_name_is_asked_for_by_that_name() {
        let target = Target::parse("/api/v1/namespaces/a/pods", &Kinds::default()).unwrap();
        let asked = |verb, uri: &str| {
            let query = Query::parse(&uri.parse().unwrap()).unwrap();
            target.action(verb, &query).name.to_owned()
        };
        let name = |uri| asked(Verb::Watch, uri);
        assert_eq!(asked(Verb::Create, "/x?fieldSelector=metadata.name%3Dp"), "");
        assert_eq!(name("/x?fieldSelector=spec.nodeName%3Dn,metadata.name%3Dp"), "p");
        assert_eq!(name("/x?fieldSelector=metadata.name%3D%3Dp"), "p");
        assert_eq!(name("/x?fieldSelector=metadata.name!%3Dp"), "");
        assert_eq!(name("/x"), "");
    }
}

//! From a request to its response.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::access::{Admission, Authoriser, Grant, Review, Verb};
use crate::apply::Force;
use crate::audit::Entry;
use crate::beside;
use crate::body;
use crate::encode;
use crate::headers::{self, Share};
use crate::health;
use crate::identity::{self, Peer, authenticate, impersonate};
use crate::negotiate::{self, Endpoint, Form, Transfer};
use crate::pages::{self, Page, Wanted};
use crate::patch::{Part, Patch};
use crate::pods;
use crate::policy::Told;
use crate::refusal::{Refusal, Stale};
use crate::request::{self, Bodies, Change, Query, Target};
use crate::reviews;
use crate::scale::{Rescale, scale_of};
use crate::selector::Selector;
use crate::serve::Unreachable;
use crate::server::Shared;
use crate::store::{Deletion, Effect, Object, Preconditions, Propagation, Selected, Store, Writer};
use crate::strict::{self, FieldValidation};
use crate::table::{Carried, partial, table};
use crate::watch::{self, Scope, Start, Terms};

/// One request with everything that its answer depends on.
struct Call {
    shared: Arc<Shared>,
    grant: Grant,
    authoriser: Authoriser,
    target: Target,
    verb: Verb,
    query: Query,
    form: Form,
    headers: HeaderMap,
    body: Bytes,
    told: Arc<Told>,
}

/// What is known of a request beside its answer.
#[derive(Debug, Default)]
struct Noted {
    /// What the audit log is told, where there is one.
    entry: Option<Entry>,
    share: Option<Share>,
    /// What admission policies said.
    told: Arc<Told>,
}

pub(crate) async fn respond(
    shared: Arc<Shared>,
    request: Request<Body>,
    peer: Arc<Peer>,
) -> Result<Response<Body>, Unreachable> {
    let latency = shared.faults().latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if shared.faults().pass().await == crate::faults::Link::Refused {
        return Err(Unreachable);
    }
    let (parts, body) = request.into_parts();
    let id = headers::audit_id(&parts.headers);
    let mut noted = Noted { entry: shared.audit().map(|_| audited(&parts, &peer)), ..Noted::default() };
    let answered = answer(Arc::clone(&shared), (&parts, body), &peer, &mut noted).await;
    let answered = if health::Asked::of(parts.uri.path()).is_some() {
        answered
    } else {
        // INVARIANT: nobody is told what a crash could take back, be it done, read or the cause of a refusal.
        shared.settled().await.and(answered)
    };
    let remarks = noted.told.take();
    let response = warned(answered.unwrap_or_else(|refusal| refused(&refusal)), &remarks.warnings);
    let mut response = encode::finish(response, Transfer::of(&parts)).await;
    headers::complete(response.headers_mut(), &id, noted.share);
    shared.count(response.status().as_u16());
    if let (Some(audit), Some(mut entry)) = (shared.audit(), noted.entry) {
        entry.annotations = remarks.annotations;
        audit.tell(&id, entry, response.status().as_u16());
    }
    Ok(response)
}

fn audited(parts: &Parts, peer: &Peer) -> Entry {
    let agent = parts.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
    Entry {
        received: Timestamp::now(),
        uri: parts.uri.to_string(),
        verb: parts.method.as_str().to_lowercase(),
        user: json!({}),
        acts_as: None,
        source: peer.address.map(|address| address.to_string()),
        agent: agent.unwrap_or_default().to_owned(),
        object: None,
        decision: None,
        annotations: Vec::new(),
    }
}

async fn answer(
    shared: Arc<Shared>,
    (parts, body): (&Parts, Body),
    peer: &Peer,
    noted: &mut Noted,
) -> Result<Response<Body>, Refusal> {
    let path = parts.uri.path();
    let authenticated = authenticate(&shared, &parts.headers, peer)?;
    let authoriser = shared.authoriser();
    let _running = shared.begin(&authenticated.user)?;
    noted.share = Some(Share::of(&authenticated.user));
    let caller = impersonate(&shared, &authoriser, &parts.headers, authenticated)?;
    let (user, grant) = (Arc::clone(&caller.grant.user), caller.grant);
    if let Some(entry) = &mut noted.entry {
        entry.user = identity::to_value(caller.original.as_ref().unwrap_or(&user));
        entry.acts_as = caller.original.as_ref().map(|_| identity::to_value(&user));
    }
    if let Some(asked) = health::Asked::of(path) {
        authoriser.authorise_path(&user, &parts.method.as_str().to_lowercase(), path)?;
        return asked.answer(&shared, &parts.uri).await.ok_or(Refusal::UnknownResource);
    }
    if let Some(told) = beside::answer(&shared, (&authoriser, &user), parts)? {
        return Ok(told);
    }
    if let Some(asked) = reviews::Asked::of(path) {
        let body = body::read(body, &grant).await?;
        let authoriser = shared.authoriser();
        let asker = reviews::Asker { shared: &shared, user: &user, authoriser: &authoriser };
        let answer = asked.answer(&asker, &parts.method, (&parts.headers, &body))?;
        return Ok(respond_json(201, &answer));
    }
    if let Some(asked) = pods::Asked::of(path) {
        let asker = reviews::Asker { shared: &shared, user: &user, authoriser: &authoriser };
        return asked.answer(&asker, parts, (body, &grant)).await;
    }
    let target = Target::parse(path, shared.read().kinds()).or_else(|unknown| {
        let resource = path.starts_with("/api/") || path.starts_with("/apis/");
        if !resource {
            authoriser.authorise_path(&user, &parts.method.as_str().to_lowercase(), path)?;
        }
        Err(unknown)
    })?;
    let query = Query::parse(&parts.uri)?;
    let verb = target.verb(&parts.method, &query)?;
    let action = target.action(verb, &query);
    if let Some(entry) = &mut noted.entry {
        verb.word().clone_into(&mut entry.verb);
        entry.object = Some(object_reference(&target));
        entry.decision = Some(authoriser.allows(&user, &action).unwrap_or_default().to_owned());
    }
    authoriser.authorise(&user, &action)?;
    let endpoint = if verb == Verb::Watch { Endpoint::Events } else { Endpoint::Objects };
    let form = negotiate::form(&parts.headers, endpoint)?;
    let body = body::read(body, &grant).await?;
    // Who had the right when the request began may have lost it while the body came.
    let authoriser = shared.authoriser();
    authoriser.authorise(&user, &action)?;
    let writes = !matches!(verb, Verb::Get | Verb::List | Verb::Watch);
    if writes && shared.faults().conflicts_write() {
        return Err(Refusal::Conflict(target.place().subject(), Stale::Modified));
    }
    let headers = parts.headers.clone();
    let told = Arc::clone(&noted.told);
    Call { shared, grant, authoriser, target, verb, query, form, headers, body, told }.answer()
}

/// What a request is about, as in an audit event.
fn object_reference(target: &Target) -> Value {
    let place = target.place();
    let mut reference = json!({"resource": place.kind.plural, "apiVersion": place.kind.version});
    let subresource = place.part.word();
    for (field, text) in [
        ("namespace", place.namespace.as_str()),
        ("name", place.name.as_str()),
        ("apiGroup", place.kind.group),
        ("subresource", subresource),
    ] {
        if !text.is_empty() {
            reference[field] = json!(text);
        }
    }
    reference
}

impl Call {
    fn answer(self) -> Result<Response<Body>, Refusal> {
        match self.verb {
            Verb::Get => self.get(),
            Verb::List => self.list(),
            Verb::Watch => self.watch(),
            Verb::Create => self.create(),
            Verb::Update => self.update(),
            Verb::Patch => self.patch(),
            Verb::Delete => self.delete(),
            Verb::DeleteCollection => self.delete_collection(),
        }
    }

    fn carried(&self) -> Carried {
        Carried::named(self.query.text("includeObject"))
    }

    fn selector(&self) -> Result<Selector, Refusal> {
        let (labels, fields) = (self.query.text("labelSelector"), self.query.text("fieldSelector"));
        let selector = Selector::parse(self.target.kind, labels, fields)?;
        Ok(match &self.target.name {
            Some(name) => selector.named(name),
            None => selector,
        })
    }

    fn writer(&self) -> Result<Writer, Refusal> {
        let agent =
            self.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let agent = agent.split(['/', ' ']).next().filter(|agent| !agent.is_empty()).unwrap_or("unknown");
        let manager = match self.query.text("fieldManager") {
            "" => agent,
            manager => manager,
        };
        Ok(Writer {
            manager: manager.to_owned(),
            admission: Admission::Reviewed(Review {
                user: Arc::clone(&self.grant.user),
                authoriser: self.authoriser.clone(),
                policies: self.shared.policies(),
                options: self.options(),
                told: Arc::clone(&self.told),
            }),
            now: Timestamp::now(),
            effect: self.query.effect()?,
        })
    }

    /// The options of a write, as admission policies see them.
    fn options(&self) -> Value {
        let kind = match self.verb {
            Verb::Create => "CreateOptions",
            Verb::Patch => "PatchOptions",
            Verb::Delete | Verb::DeleteCollection => "DeleteOptions",
            Verb::Update | Verb::Get | Verb::List | Verb::Watch => "UpdateOptions",
        };
        let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        for field in ["fieldManager", "fieldValidation", "propagationPolicy"] {
            let text = self.query.text(field);
            if !text.is_empty() {
                options[field] = json!(text);
            }
        }
        if !self.query.text("dryRun").is_empty() {
            options["dryRun"] = json!(["All"]);
        }
        options
    }

    fn one(&self, code: u16, object: &Arc<Object>) -> Response<Body> {
        let object = object.seen_as(self.target.kind);
        if self.target.part == Part::Scale
            && let Some(scale) = scale_of(self.target.kind, &object.value())
        {
            return respond_json(code, &scale);
        }
        match self.form {
            Form::Plain => respond_bytes(code, object.json().clone()),
            Form::Metadata => respond_json(code, &partial(&object.value())),
            Form::Table => {
                let objects = std::iter::once(object.value());
                let now = Timestamp::now();
                respond_json(code, &table(self.target.kind, objects, object.version(), self.carried(), now))
            }
        }
    }

    fn get(&self) -> Result<Response<Body>, Refusal> {
        let object = self.shared.read().find(&self.target.place())?;
        Ok(self.one(200, &object))
    }

    fn list(&self) -> Result<Response<Body>, Refusal> {
        let selector = self.selector()?;
        let matched = self.query.text("resourceVersionMatch");
        let version = self.query.number("resourceVersion")?;
        if !matched.is_empty() && version.is_none() {
            let message = "resourceVersionMatch is forbidden unless resourceVersion is provided";
            return Err(Refusal::ListOptions { field: "resourceVersionMatch", message });
        }
        let limit = self.query.number("limit")?.unwrap_or_default();
        let wanted = Wanted {
            kind: self.target.kind,
            namespace: self.target.namespace.as_deref(),
            selector: &selector,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            token: self.query.text("continue"),
            version,
            exactly: matched == "Exact",
        };
        let page = pages::page(&self.shared.read(), &wanted)?;
        Ok(self.many(&page))
    }

    fn many(&self, page: &Page) -> Response<Body> {
        let kind = self.target.kind;
        let metadata = pages::metadata(page);
        let objects = &page.objects;
        match self.form {
            // COMPAT: in lists of built-in kinds the objects do not repeat their type.
            Form::Plain if !kind.is_custom() => {
                let head = Bytes::from_static(b"{");
                let texts = objects.iter().map(|object| [&head, object.json_in_list()].concat().into());
                list_of(&kind.list_kind(), &kind.api_version(), &metadata, texts)
            }
            Form::Plain => {
                let texts = objects.iter().map(|object| object.json().clone());
                list_of(&kind.list_kind(), &kind.api_version(), &metadata, texts)
            }
            Form::Metadata => {
                let texts = objects.iter().map(|object| Bytes::from(partial(&object.value()).to_string()));
                list_of("PartialObjectMetadataList", "meta.k8s.io/v1", &metadata, texts)
            }
            Form::Table => {
                let values = objects.iter().map(|object| object.value());
                let mut table = table(kind, values, page.version, self.carried(), Timestamp::now());
                table["metadata"] = metadata;
                respond_json(200, &table)
            }
        }
    }

    fn watch(&self) -> Result<Response<Body>, Refusal> {
        let query = &self.query;
        let version = query.number("resourceVersion")?;
        let start = match (query.text("sendInitialEvents"), version) {
            ("", None | Some(0)) => Start::Everything,
            ("", Some(version)) => Start::After(version),
            _ if query.says("sendInitialEvents") => Start::EverythingThenBookmark,
            (_, None | Some(0)) => Start::Now,
            (_, Some(version)) => Start::After(version),
        };
        let initial = !query.text("sendInitialEvents").is_empty();
        if initial && query.text("resourceVersionMatch") != "NotOlderThan" {
            let message =
                "resourceVersionMatch must be \"NotOlderThan\" where sendInitialEvents is set".to_owned();
            let subject = self.target.place().subject();
            return Err(Refusal::invalid(subject, "resourceVersionMatch", "FieldValueForbidden", message));
        }
        let scope = Scope {
            kind: self.target.kind,
            namespace: self.target.namespace.clone(),
            selector: self.selector()?,
            form: self.form,
            carried: self.carried(),
            columns_told: Cell::new(false),
        };
        let terms = Terms {
            // A version of 0 is older than any history.
            start: if self.shared.faults().expires_watch() { Start::After(0) } else { start },
            bookmarks: query.says("allowWatchBookmarks").then(|| self.shared.bookmarks()),
            timeout: query.number("timeoutSeconds")?.filter(|seconds| *seconds > 0).map(Duration::from_secs),
            revoked: self.grant.revoked.clone(),
        };
        Ok(response(200, watch::body(Arc::clone(&self.shared), scope, terms)))
    }

    /// What a client is to be warned of in a body; what it does not want is refused.
    fn judged(&self, value: &Value) -> Result<Vec<String>, Refusal> {
        let validation = FieldValidation::named(self.query.text("fieldValidation"))?;
        match self.target.part {
            Part::Scale => Ok(Vec::new()),
            Part::Whole | Part::Status | Part::Binding => {
                validation.judge(self.target.kind, value, &self.body)
            }
        }
    }

    /// The object in the body.
    fn object(&self) -> Result<Value, Refusal> {
        request::object(&self.headers, &self.body, Bodies::of(self.target.kind))
    }

    fn create(&self) -> Result<Response<Body>, Refusal> {
        let value = self.object()?;
        let warnings = self.judged(&value)?;
        let (writer, place) = (self.writer()?, self.target.place());
        let object = self.shared.write(|store| store.create(place.kind, &place.namespace, value, &writer))?;
        Ok(warned(self.one(201, &object), &warnings))
    }

    fn update(&self) -> Result<Response<Body>, Refusal> {
        let value = self.object()?;
        let warnings = self.judged(&value)?;
        let (writer, place) = (self.writer()?, self.target.place());
        let object = self.shared.write(|store| match place.part {
            Part::Scale => store.rescale(&place, Rescale::Replaced(value), &writer),
            Part::Whole | Part::Status | Part::Binding => store.replace(&place, value, &writer),
        })?;
        Ok(warned(self.one(200, &object), &warnings))
    }

    fn patch(&self) -> Result<Response<Body>, Refusal> {
        match request::change(&self.target, &self.headers, &self.query, &self.body)? {
            Change::Patch(patch) => {
                let warnings = match &patch {
                    Patch::Strategic(value) if self.target.part != Part::Scale => {
                        let validation = FieldValidation::named(self.query.text("fieldValidation"))?;
                        validation.judge_patch(self.target.kind, value, &self.body)?
                    }
                    Patch::Merge(value) | Patch::Strategic(value) => self.judged(value)?,
                    Patch::Json(_) => Vec::new(),
                };
                let (writer, place) = (self.writer()?, self.target.place());
                let object = self.shared.write(|store| match place.part {
                    Part::Scale => store.rescale(&place, Rescale::Patched(&patch), &writer),
                    Part::Whole | Part::Status | Part::Binding => store.patch(&place, &patch, &writer),
                })?;
                Ok(warned(self.one(200, &object), &warnings))
            }
            Change::Apply(..) if self.target.part == Part::Scale => {
                // A scale is patched, not applied.
                Err(Refusal::UnsupportedMediaType(&[
                    "application/json-patch+json",
                    "application/merge-patch+json",
                ]))
            }
            Change::Apply(value, force) => {
                strict::typed(&self.target.place(), &value)?;
                let writer = self.writer()?;
                let (code, object) = self.shared.write(|store| self.apply(store, value, force, &writer))?;
                Ok(self.one(code, &object))
            }
        }
    }

    fn apply(
        &self,
        store: &mut Store,
        value: Value,
        force: Force,
        writer: &Writer,
    ) -> Result<(u16, Arc<Object>), Refusal> {
        let place = self.target.place();
        let code = if store.find(&place).is_ok() { 200 } else { 201 };
        if code == 201 {
            self.authoriser.authorise(&self.grant.user, &self.target.action(Verb::Create, &self.query))?;
        }
        Ok((code, store.apply(&place, value, force, writer)?))
    }

    fn delete(&self) -> Result<Response<Body>, Refusal> {
        let (preconditions, writer) = self.deletion()?;
        let place = self.target.place();
        match self.shared.write(|store| store.delete(&place, &preconditions, &writer))? {
            Deletion::Pending(object) => Ok(self.one(200, &object)),
            Deletion::Done(object) => {
                let value = object.value();
                let mut status = success();
                status["details"] = json!({
                    "name": place.name,
                    "group": place.kind.group,
                    "kind": place.kind.plural,
                    "uid": crate::metadata::text(&value, "uid"),
                });
                Ok(respond_json(200, &status))
            }
        }
    }

    fn delete_collection(&self) -> Result<Response<Body>, Refusal> {
        let (preconditions, writer) = self.deletion()?;
        let selected = Selected {
            kind: self.target.kind,
            namespace: self.target.namespace.as_deref(),
            selector: &self.selector()?,
        };
        self.shared.write(|store| store.delete_selected(&selected, &preconditions, &writer))?;
        Ok(respond_json(200, &success()))
    }

    fn propagation(&self, options: &Value) -> Result<Propagation, Refusal> {
        let asked = options.get("propagationPolicy").and_then(Value::as_str);
        match asked.unwrap_or_else(|| self.query.text("propagationPolicy")) {
            "" if options.get("orphanDependents") == Some(&Value::Bool(true)) => Ok(Propagation::Orphan),
            "" | "Background" => Ok(Propagation::Background),
            "Foreground" => Ok(Propagation::Foreground),
            "Orphan" => Ok(Propagation::Orphan),
            other => Err(Refusal::BadRequest(format!(
                "propagationPolicy must be \"Background\", \"Foreground\" or \"Orphan\", not {other:?}"
            ))),
        }
    }

    /// The options of a deletion, from the body and the query.
    fn deletion(&self) -> Result<(Preconditions, Writer), Refusal> {
        let options = if self.body.is_empty() {
            json!({})
        } else {
            request::object(&self.headers, &self.body, Bodies::WithProtobuf)?
        };
        let text = |pointer: &str| options.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let preconditions = Preconditions {
            uid: text("/preconditions/uid"),
            version: text("/preconditions/resourceVersion"),
            propagation: self.propagation(&options)?,
            grace: match options["gracePeriodSeconds"].as_u64() {
                Some(seconds) => Some(seconds),
                None => self.query.number("gracePeriodSeconds")?,
            },
        };
        let mut writer = self.writer()?;
        if text("/dryRun/0").is_some() {
            writer.effect = Effect::DryRun;
        }
        if let Admission::Reviewed(review) = &mut writer.admission {
            let fields = options.as_object().into_iter().flatten();
            fields.for_each(|(field, value)| review.options[field] = value.clone());
        }
        Ok((preconditions, writer))
    }
}

/// The response with what the client is to be warned of.
fn warned(mut response: Response<Body>, warnings: &[String]) -> Response<Body> {
    for warning in headers::warnings(warnings) {
        if let Ok(header) = HeaderValue::from_str(&format!("299 - {warning:?}")) {
            response.headers_mut().append(header::WARNING, header);
        }
    }
    response
}

pub(crate) fn success() -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"})
}

fn list_of(
    kind: &str,
    api_version: &str,
    metadata: &Value,
    items: impl Iterator<Item = Bytes>,
) -> Response<Body> {
    let head = format!(r#"{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{metadata},"items":["#);
    let mut text = BytesMut::from(head.as_bytes());
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.put_u8(b',');
        }
        text.extend_from_slice(&item);
    }
    text.extend_from_slice(b"]}");
    respond_bytes(200, text.freeze())
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let status = refusal.status();
    // COMPAT: Kubernetes holds floods off before it speaks JSON.
    let mut response = if *refusal == Refusal::TooManyRequests {
        let mut response = plain("Too many requests, please try again later.\n");
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        response
    } else {
        respond_json(refusal.code(), &status)
    };
    if let Some(seconds) = status["details"]["retryAfterSeconds"].as_u64() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub(crate) fn respond_json(code: u16, value: &Value) -> Response<Body> {
    respond_bytes(code, Bytes::from(value.to_string()))
}

fn respond_bytes(code: u16, text: Bytes) -> Response<Body> {
    response(code, Body::from(text))
}

fn response(code: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

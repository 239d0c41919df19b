//! What is asked of a Pod beside its object: its node, its logs, and programs that run in it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use http::request::Parts;
use http::{HeaderValue, Method, Response, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::access::{Action, Admission, Grant, Review};
use crate::body;
use crate::kinds::KindId;
use crate::patch::{Part, Patch};
use crate::refusal::{Refusal, Stale};
use crate::request::{self, Bodies};
use crate::respond::{respond_json, success};
use crate::reviews::Asker;
use crate::store::{Effect, Object, Place, Writer};

mod channels;

/// Who answers for the Pods of nodes, as kubelets do.
pub trait Nodes: Debug + Send + Sync {
    /// The log of a container; an error says why there is none.
    fn log(
        &self,
        pod: &Value,
        container: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, Bytes>, String>;

    /// Starts a program in a container; an error says why it cannot be started.
    fn exec(&self, pod: &Value, container: &str, options: ExecOptions) -> Result<Session, String>;
}

/// Which part of a log is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Whether what comes later is wanted too.
    pub follow: bool,
    /// The run before the present one.
    pub previous: bool,
    /// A time before each line.
    pub timestamps: bool,
    /// Only so many lines from the end.
    pub tail: Option<u64>,
    /// Nothing older.
    pub since: Option<Timestamp>,
    /// No more than this.
    pub limit_bytes: Option<u64>,
}

/// What is to be run, and what of it is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Whether it is given something to read.
    pub stdin: bool,
    /// Whether it has a terminal.
    pub tty: bool,
}

/// A program that runs in a container.
#[derive(Debug)]
pub struct Session {
    /// What it is told.
    pub input: mpsc::Sender<Input>,
    /// What it says; the last is how it ended.
    pub output: mpsc::Receiver<Output>,
}

/// What a program is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// Something to read.
    Bytes(Bytes),
    /// There is no more to read.
    End,
    /// Its terminal has another size: columns and rows.
    Size(u16, u16),
}

/// What a program says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// To its standard output.
    Out(Bytes),
    /// To its standard error.
    Err(Bytes),
    /// It ended.
    End(Exit),
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// It could not be started.
    Failed(String),
}

/// What a path asks of a Pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    namespace: &'a str,
    name: &'a str,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Binding,
    Log,
    Exec,
}

/// The resources of Pods beside themselves, as discovery tells them.
pub(crate) fn resources() -> Vec<Value> {
    let entry = |name: &str, kind: &str, verbs: &[&str]| json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": verbs});
    vec![
        entry("pods/binding", "Binding", &["create"]),
        entry("pods/exec", "PodExecOptions", &["create", "get"]),
        entry("pods/log", "Pod", &["get"]),
    ]
}

impl<'a> Asked<'a> {
    /// What a path asks of a Pod, if it does.
    pub(crate) fn of(path: &'a str) -> Option<Self> {
        let rest = path.strip_prefix("/api/v1/namespaces/")?;
        let segments: Vec<_> = rest.split('/').collect();
        let [namespace, "pods", name, what] = segments[..] else { return None };
        let what = match what {
            "binding" => What::Binding,
            "log" => What::Log,
            "exec" => What::Exec,
            _ => return None,
        };
        Some(Self { namespace, name, what })
    }

    fn action(&self, method: &Method) -> Result<Action<'a>, Refusal> {
        let (verb, subresource) = match (self.what, method.as_str()) {
            (What::Binding, "POST") => ("create", "binding"),
            (What::Log, "GET") => ("get", "log"),
            (What::Exec, "GET") => ("get", "exec"),
            (What::Exec, "POST") => ("create", "exec"),
            _ => return Err(Refusal::MethodNotAllowed),
        };
        Ok(Action {
            verb,
            group: "",
            plural: "pods",
            subresource,
            namespace: self.namespace,
            name: self.name,
        })
    }

    pub(crate) async fn answer(
        &self,
        asker: &Asker<'_>,
        parts: &Parts,
        (sent, grant): (Body, &Grant),
    ) -> Result<Response<Body>, Refusal> {
        asker.authoriser.authorise(asker.user, &self.action(&parts.method)?)?;
        let kind = KindId::named("pods").ok_or(Refusal::UnknownResource)?;
        let place = Place::new(kind, self.namespace, self.name);
        let object = asker.shared.read().find(&place)?;
        match self.what {
            What::Binding => {
                let body = body::read(sent, grant).await?;
                bind(asker, &place, &object, &request::object(&parts.headers, &body, Bodies::Custom)?)
            }
            What::Log => log(asker, &object.value(), &Wanted::parse(parts)),
            What::Exec => channels::exec(asker, &object.value(), &Wanted::parse(parts), parts).await,
        }
    }
}

/// Gives a Pod its node, once.
fn bind(
    asker: &Asker<'_>,
    place: &Place,
    pod: &Arc<Object>,
    binding: &Value,
) -> Result<Response<Body>, Refusal> {
    let node = binding["target"]["name"].as_str().unwrap_or_default();
    if node.is_empty() {
        let detail = "Required value";
        return Err(Refusal::invalid(
            place.subject(),
            "target.name",
            "FieldValueRequired",
            detail.to_owned(),
        ));
    }
    let value = pod.value();
    let uid = binding["metadata"]["uid"].as_str().filter(|uid| !uid.is_empty());
    if let Some(asked) = uid.filter(|asked| value["metadata"]["uid"] != *asked) {
        let stale = Stale::Uid { asked: asked.to_owned(), found: pod.uid().to_owned() };
        return Err(Refusal::Conflict(place.subject(), stale));
    }
    if value["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty()) || pod.is_terminating() {
        return Err(Refusal::Conflict(place.subject(), Stale::Modified));
    }
    let now = Timestamp::now();
    let writer = Writer {
        manager: "kube-scheduler".to_owned(),
        admission: Admission::Reviewed(Review {
            user: Arc::clone(asker.user),
            authoriser: asker.authoriser.clone(),
            policies: asker.shared.policies(),
            options: json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}),
            told: Arc::default(),
        }),
        now,
        effect: Effect::Lasting,
    };
    let mut conditions = value["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.retain(|condition| condition["type"] != "PodScheduled");
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    conditions
        .push(json!({"type": "PodScheduled", "status": "True", "lastTransitionTime": seconds.to_string()}));
    let placed = Place { part: Part::Binding, ..place.clone() };
    let patch = Patch::Merge(json!({"spec": {"nodeName": node}}));
    let told = Patch::Merge(json!({"status": {"conditions": conditions}}));
    asker.shared.write(|store| {
        store.patch(&placed, &patch, &writer)?;
        store.patch(&place.clone().status(), &told, &writer)
    })?;
    Ok(respond_json(201, &success()))
}

/// The parameters of a request, which may be there several times.
struct Wanted(BTreeMap<String, Vec<String>>);

impl Wanted {
    fn parse(parts: &Parts) -> Self {
        type Pairs = axum::extract::Query<Vec<(String, String)>>;
        let mut wanted: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let pairs = Pairs::try_from_uri(&parts.uri).map(|pairs| pairs.0).unwrap_or_default();
        for (name, value) in pairs {
            wanted.entry(name).or_default().push(value);
        }
        Self(wanted)
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).and_then(|values| values.first()).map_or("", String::as_str)
    }

    fn says(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "1")
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.text(name) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Refusal::BadRequest(format!("{name} must be a number that is not negative, not {text:?}"))
            }),
        }
    }

    /// The container that is meant.
    fn container(&self, pod: &Value) -> Result<String, Refusal> {
        let names = |field: &str| -> Vec<String> {
            let containers = pod["spec"][field].as_array().into_iter().flatten();
            containers.filter_map(|container| container["name"].as_str().map(str::to_owned)).collect()
        };
        let (main, init, name) = (
            names("containers"),
            names("initContainers"),
            pod["metadata"]["name"].as_str().unwrap_or_default(),
        );
        let asked = self.text("container");
        if !asked.is_empty() {
            if main.iter().chain(&init).any(|known| known == asked) {
                return Ok(asked.to_owned());
            }
            return Err(Refusal::BadRequest(format!("container {asked} is not valid for pod {name}")));
        }
        match &main[..] {
            [only] => Ok(only.clone()),
            _ => Err(Refusal::BadRequest(format!(
                "a container name must be specified for pod {name}, choose one of: [{}]",
                main.join(" ")
            ))),
        }
    }
}

fn log(asker: &Asker<'_>, pod: &Value, wanted: &Wanted) -> Result<Response<Body>, Refusal> {
    let container = wanted.container(pod)?;
    let since = match (wanted.number("sinceSeconds")?, wanted.text("sinceTime")) {
        (Some(seconds), _) => {
            let ago = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
            Some(Timestamp::now().checked_sub(ago).unwrap_or(Timestamp::MIN))
        }
        (None, "") => None,
        (None, text) => {
            Some(text.parse().map_err(|_| Refusal::BadRequest(format!("sinceTime {text:?} is no time")))?)
        }
    };
    let options = LogOptions {
        follow: wanted.says("follow"),
        previous: wanted.says("previous"),
        timestamps: wanted.says("timestamps"),
        tail: wanted.number("tailLines")?,
        since,
        limit_bytes: wanted.number("limitBytes")?,
    };
    let nodes = nodes(asker, pod)?;
    let stream = nodes.log(pod, &container, options).map_err(Refusal::BadRequest)?;
    let mut response = Response::new(Body::from_stream(stream.map(Ok::<_, std::convert::Infallible>)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// Who answers for a Pod.
fn nodes(asker: &Asker<'_>, pod: &Value) -> Result<Arc<dyn Nodes>, Refusal> {
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    if node.is_empty() {
        return Err(Refusal::BadRequest(format!("pod {name} does not have a host assigned")));
    }
    asker.shared.nodes().ok_or_else(|| {
        Refusal::BadRequest(format!(
            "no kubelet answers for the node {node} of pod {name}: this API server has none"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_ask_of_pods() {
        let what = |path| Asked::of(path).map(|asked| (asked.namespace, asked.name, asked.what));
        assert_eq!(what("/api/v1/namespaces/a/pods/p/log"), Some(("a", "p", What::Log)));
        assert_eq!(what("/api/v1/namespaces/a/pods/p/exec"), Some(("a", "p", What::Exec)));
        assert_eq!(what("/api/v1/namespaces/a/pods/p/binding"), Some(("a", "p", What::Binding)));
        assert_eq!(what("/api/v1/namespaces/a/pods/p/status"), None);
        assert_eq!(what("/api/v1/namespaces/a/services/p/log"), None);
    }
}

//! Watches in, requests out.

use std::borrow::Cow;
use std::fmt::{self, Debug};
use std::marker::PhantomData;
use std::time::Duration;

use futures::StreamExt as _;
use http::{Method, Request, header};
use jiff::Timestamp;
use k8s_openapi::api::{apps::v1 as apps, core::v1 as core, discovery::v1 as discovery};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use subm_kube::kube::{self, Client, Resource};
use subm_kube::{Connection, Event, Key, Watch};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::object::{is_ending, key};
use crate::plan::{Plan, plan};
use crate::step::{Step, Verb};
use crate::view::{Kind, View};

/// After a request that failed, everything is planned again so soon.
const RETRY: Duration = Duration::from_millis(200);
/// Of `ConfigMaps` only those with the root certificate matter.
const ROOT_ALONE: &str = "metadata.name=kube-root-ca.crt";
/// How many changes may wait while a plan is carried out.
const WAITING: usize = 1024;

/// No plan is made while changes come closer to each other than this.
const QUIET: Duration = Duration::from_millis(2);

/// What a watch told.
enum Change {
    All(Vec<Value>),
    Put(Value),
    Gone(Key),
}

/// Keeps a cluster as its objects ask, until it is dropped. `authority` is the certificate of the API server's
/// authority.
pub async fn run(connection: Connection, authority: String) {
    let (changes, mut news) = mpsc::channel(WAITING);
    let mut watches = follow(&connection, &changes);
    let mut view = View::new(authority);
    let mut again = None;
    loop {
        tokio::select! {
            change = news.recv() => match change {
                Some(change) => take(&mut view, change),
                None => return,
            },
            () = until(again) => {}
            _ = watches.join_next() => return,
        }
        while let Ok(Some(change)) = tokio::time::timeout(QUIET, news.recv()).await {
            take(&mut view, change);
        }
        let Plan { steps, again: later } = plan(&view, Timestamp::now());
        again = later.map(|at| Timestamp::now().duration_until(at).unsigned_abs());
        if !apply(&connection.client, &mut view, &steps).await {
            again = Some(RETRY);
        }
    }
}

async fn until(again: Option<Duration>) {
    match again {
        Some(again) => tokio::time::sleep(again).await,
        None => std::future::pending().await,
    }
}

fn take(view: &mut View, (kind, change): (Kind, Change)) {
    match change {
        Change::All(objects) => view.replace(kind, objects),
        Change::Put(object) => view.put(kind, object),
        Change::Gone(key) => view.remove(kind, &key),
    }
}

/// Takes the steps in their order; false where one failed that time may mend.
async fn apply(client: &Client, view: &mut View, steps: &[Step]) -> bool {
    let mut fine = true;
    for step in steps {
        let answer = request(client, step).await;
        fine &= answer.as_ref().map_err(|error| complain(step, error)).is_ok();
        if let Ok(answer) = answer {
            learn(view, step, answer);
        }
    }
    fine
}

fn complain(step: &Step, error: &kube::Error) {
    // It is there, gone or changed already: the watch tells how.
    let behind = matches!(error, kube::Error::Api(status) if matches!(status.code, 404 | 409));
    if !behind {
        tracing::warn!(%step, %error, "a controller cannot do what is needed");
    }
}

/// What an answer says of the object is known before the watch tells it.
fn learn(view: &mut View, step: &Step, answer: Value) {
    match step.verb {
        Verb::Create | Verb::Replace | Verb::ReplaceStatus => view.put(step.kind, answer),
        // The answer is the object where it is only marked, else the end of it.
        Verb::Delete if is_ending(&answer) && key(&answer) == step.key => view.put(step.kind, answer),
        Verb::Delete => view.remove(step.kind, &step.key),
        Verb::Bind => {
            let node = step.body["target"]["name"].clone();
            let place = &step.key;
            if let Some(mut pod) = view.get(step.kind, place).cloned() {
                pod["spec"]["nodeName"] = node;
                view.put(step.kind, pod);
            }
        }
    }
}

async fn request(client: &Client, step: &Step) -> kube::Result<Value> {
    let collection = step.kind.path(&step.key.namespace);
    let object = format!("{collection}/{}", step.key.name);
    let (method, path) = match step.verb {
        Verb::Create => (Method::POST, collection),
        Verb::Replace => (Method::PUT, object),
        Verb::ReplaceStatus => (Method::PUT, format!("{object}/status")),
        Verb::Delete => (Method::DELETE, object),
        Verb::Bind => (Method::POST, format!("{object}/binding")),
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("{path}?fieldManager=kube-controller-manager"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(step.body.to_string().into_bytes())
        .map_err(kube::Error::HttpError)?;
    client.request(request).await
}

fn follow(connection: &Connection, to: &mpsc::Sender<(Kind, Change)>) -> JoinSet<()> {
    let mut watches = JoinSet::new();
    watch::<core::Namespace>(connection, Kind::Namespace, to, &mut watches);
    watch::<core::Node>(connection, Kind::Node, to, &mut watches);
    watch::<core::Pod>(connection, Kind::Pod, to, &mut watches);
    watch::<core::Service>(connection, Kind::Service, to, &mut watches);
    watch::<core::ServiceAccount>(connection, Kind::ServiceAccount, to, &mut watches);
    watch::<core::ConfigMap>(connection, Kind::ConfigMap, to, &mut watches);
    watch::<discovery::EndpointSlice>(connection, Kind::EndpointSlice, to, &mut watches);
    watch::<apps::ReplicaSet>(connection, Kind::ReplicaSet, to, &mut watches);
    watch::<apps::DaemonSet>(connection, Kind::DaemonSet, to, &mut watches);
    watch::<apps::Deployment>(connection, Kind::Deployment, to, &mut watches);
    watches
}

fn watch<K>(connection: &Connection, kind: Kind, to: &mpsc::Sender<(Kind, Change)>, watches: &mut JoinSet<()>)
where
    K: Resource<DynamicType = ()> + 'static,
{
    let watch = Watch::<Raw<K>>::all(connection);
    let watch = if kind == Kind::ConfigMap { watch.fields(ROOT_ALONE) } else { watch };
    let to = to.clone();
    watches.spawn(async move {
        let mut events = std::pin::pin!(watch.events());
        while let Some(event) = events.next().await {
            let change = match event {
                Event::Snapshot { objects, .. } => {
                    Change::All(objects.into_iter().map(|object| object.value).collect())
                }
                Event::Applied(object) => Change::Put(object.value),
                Event::Deleted(key) => Change::Gone(key),
                Event::Unreadable(_) | Event::Unavailable(_) => continue,
            };
            if to.send((kind, change)).await.is_err() {
                return;
            }
        }
    });
}

/// An object of a kind as it stands in the API.
struct Raw<K> {
    metadata: ObjectMeta,
    value: Value,
    kind: PhantomData<fn() -> K>,
}

impl<'de, K: Resource<DynamicType = ()>> Deserialize<'de> for Raw<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        if let Some(Value::Object(metadata)) = value.get_mut("metadata") {
            metadata.remove("managedFields");
        }
        let metadata = ObjectMeta::deserialize(&value["metadata"]).map_err(D::Error::custom)?;
        // Lists do not repeat them.
        value["apiVersion"] = Value::from(K::api_version(&()));
        value["kind"] = Value::from(K::kind(&()));
        Ok(Self { metadata, value, kind: PhantomData })
    }
}

impl<K> Debug for Raw<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.value, f)
    }
}

impl<K: Resource<DynamicType = ()>> Resource for Raw<K> {
    type DynamicType = ();
    type Scope = K::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        K::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        K::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        K::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        K::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

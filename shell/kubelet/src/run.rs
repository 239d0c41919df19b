//! The kubelet: Pods bound to its node in, processes and statuses out.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;
use subm_apiserver::{ExecOptions, LogOptions, Session};
use subm_kube::kube::Client;
use subm_kube::{Connection, Event, Recorder, Watch};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::api::{list, text};
use crate::children::Children;
use crate::environment::{Source, Sources};
use crate::exec::{self, Place};
use crate::pod::{Context, Worker};
use crate::refusal::Refusal;
use crate::settings::Settings;
use crate::{api, log, node};

/// The kubelet of one node; clones are handles to the same one.
#[derive(Clone)]
pub struct Kubelet(Arc<Inner>);

/// What the parts of a kubelet share.
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
    pub(crate) children: Children,
    connection: Connection,
    /// The latest run of each container, by uid of the Pod and name.
    places: Mutex<BTreeMap<(String, String), Place>>,
}

/// A container that ran, or runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Its process, while there is one.
    pub pid: Option<i32>,
    /// How often it was started again.
    pub restarts: u32,
    /// The file of its latest words.
    pub log: PathBuf,
}

impl fmt::Debug for Kubelet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubelet").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Kubelet {
    /// A kubelet that speaks to its cluster over this connection and starts processes among these.
    pub fn new(connection: Connection, settings: Settings, children: Children) -> Self {
        let name = text(&settings.node, "/metadata/name").to_owned();
        let recorder = Recorder::new(&connection, "kubelet", &name);
        let client = connection.client.clone();
        let places = Mutex::default();
        Self(Arc::new(Inner { settings, client, recorder, children, connection, places }))
    }

    /// Its node's name.
    pub fn node(&self) -> &str {
        self.0.node()
    }

    /// Registers the node and runs its Pods, until it is dropped.
    pub async fn run(self) {
        let kubelet = self.0;
        let _beats = AbortOnDrop(tokio::spawn(node::live(Arc::clone(&kubelet))));
        let mut workers: BTreeMap<String, Worker> = BTreeMap::new();
        let mut lives = JoinSet::new();
        let watch = Watch::<Pod>::all(&kubelet.connection);
        let watch = watch.fields(&format!("spec.nodeName={}", kubelet.node()));
        let mut events = pin!(watch.events());
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(event) => take(&kubelet, event, &mut workers, &mut lives),
                    None => return,
                },
                Some(over) = lives.join_next() => if let Ok(uid) = over {
                    workers.remove(&uid);
                    kubelet.places().retain(|(of, _), _| *of != uid);
                },
            }
        }
    }

    /// How a container of a Pod is; none where it never ran here.
    pub fn container(&self, pod: &Value, name: &str) -> Option<Container> {
        let place = self.0.places().get(&place_key(pod, name)).cloned()?;
        Some(Container {
            pid: place.pid,
            restarts: place.restarts,
            log: log::file(&self.0.log_folder(pod), name, place.restarts),
        })
    }

    /// The log of a container.
    pub fn log(
        &self,
        pod: &Value,
        container: &str,
        options: LogOptions,
    ) -> Result<BoxStream<'static, Bytes>, String> {
        let name = text(pod, "/metadata/name");
        let Some(found) = self.container(pod, container) else {
            let status =
                list(pod, "/status/containerStatuses").iter().find(|status| status["name"] == container);
            let reason = status.map_or("ContainerCreating", |status| text(status, "/state/waiting/reason"));
            return Err(format!("container {container:?} in pod {name:?} is waiting to start: {reason}"));
        };
        let path = if options.previous {
            let gone = || format!("previous terminated container {container:?} in pod {name:?} not found");
            log::file(&self.0.log_folder(pod), container, found.restarts.checked_sub(1).ok_or_else(gone)?)
        } else {
            found.log
        };
        let (to, from) = mpsc::channel(64);
        let (kubelet, key, pid) = (Arc::clone(&self.0), place_key(pod, container), found.pid);
        let ended = move || pid.is_none() || kubelet.places().get(&key).and_then(|place| place.pid) != pid;
        let send = move || {
            if let Err(error) = log::send(&path, &options, &to, ended) {
                tracing::debug!(%error, "a log is not told");
            }
        };
        std::thread::Builder::new()
            .name("tell-log".to_owned())
            .spawn(send)
            .map_err(|error| error.to_string())?;
        Ok(futures::stream::unfold(from, |mut from| async move { Some((from.recv().await?, from)) }).boxed())
    }

    /// Runs a program in a container.
    pub fn exec(&self, pod: &Value, container: &str, options: ExecOptions) -> Result<Session, String> {
        let place = self.0.places().get(&place_key(pod, container)).cloned();
        let place = place.filter(|place| place.pid.is_some());
        let place = place.ok_or_else(|| format!("container {container} is not running"))?;
        exec::run(&self.0, &place, options)
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn place_key(pod: &Value, container: &str) -> (String, String) {
    (text(pod, "/metadata/uid").to_owned(), container.to_owned())
}

fn take(
    kubelet: &Arc<Inner>,
    event: Event<Pod>,
    workers: &mut BTreeMap<String, Worker>,
    lives: &mut JoinSet<String>,
) {
    match event {
        Event::Snapshot { objects, .. } => {
            let seen: Vec<Value> = objects.iter().filter_map(|pod| serde_json::to_value(pod).ok()).collect();
            let gone =
                workers.iter().filter(|(uid, _)| !seen.iter().any(|pod| text(pod, "/metadata/uid") == *uid));
            gone.for_each(|(_, worker)| worker.end(worker.grace()));
            for pod in seen {
                see(kubelet, pod, workers, lives);
            }
        }
        Event::Applied(pod) => {
            if let Ok(pod) = serde_json::to_value(pod) {
                see(kubelet, pod, workers, lives);
            }
        }
        Event::Deleted(key) => {
            let of_key = |worker: &&Worker| {
                let pod = worker.pod.borrow();
                text(&pod, "/metadata/namespace") == key.namespace && text(&pod, "/metadata/name") == key.name
            };
            workers.values().filter(of_key).for_each(|worker| worker.end(worker.grace()));
        }
        Event::Unreadable(_) | Event::Unavailable(_) => {}
    }
}

fn see(
    kubelet: &Arc<Inner>,
    pod: Value,
    workers: &mut BTreeMap<String, Worker>,
    lives: &mut JoinSet<String>,
) {
    // COMPAT: the mirror of a Pod that is not run by way of the API.
    if pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string() {
        return;
    }
    let uid = text(&pod, "/metadata/uid").to_owned();
    if !workers.contains_key(&uid) && matches!(text(&pod, "/status/phase"), "Succeeded" | "Failed") {
        return;
    }
    let worker = workers.entry(uid).or_insert_with(|| Worker::start(kubelet, pod.clone(), lives));
    worker.see(pod);
}

impl Inner {
    pub(crate) fn node(&self) -> &str {
        text(&self.settings.node, "/metadata/name")
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.settings.addresses.iter().map(ToString::to_string).collect()
    }

    pub(crate) fn log_folder(&self, pod: &Value) -> PathBuf {
        let name =
            ["namespace", "name", "uid"].map(|field| text(&pod["metadata"], &format!("/{field}"))).join("_");
        self.settings.folder.join("logs").join(name)
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<(String, String), Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps where a container runs, for who wants to run something beside it.
    pub(crate) fn remember(&self, context: &Context, container: &str, place: Place) {
        self.places().insert(place_key(&context.pod.borrow(), container), place);
    }

    /// Knows that a container does not run any more.
    pub(crate) fn forget(&self, context: &Context, container: &str) {
        if let Some(place) = self.places().get_mut(&place_key(&context.pod.borrow(), container)) {
            place.pid = None;
        }
    }

    /// The place whose cell reports there.
    pub(crate) fn place_of(&self, report: &Path) -> Option<Place> {
        self.places().values().find(|place| place.ready.cell.report == report).cloned()
    }

    /// Reads what a Pod names.
    pub(crate) async fn sources(
        &self,
        pod: &Value,
        named: Vec<(Source, String)>,
    ) -> Result<Sources, Refusal> {
        let mut sources = Sources::new();
        let namespace = text(pod, "/metadata/namespace");
        for (source, name) in named {
            let path = format!("/api/v1/namespaces/{namespace}/{}/{name}", source.plural());
            let found = api::find(&self.client, &path).await;
            let found = found.map_err(|error| {
                Refusal::config(format!("cannot read {} {name}: {error}", source.plural()))
            })?;
            sources.insert((source, name), found.unwrap_or_default());
        }
        Ok(sources)
    }
}

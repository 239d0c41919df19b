//! The life of one Pod on the node.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use serde_json::{Value, json};
use subm_kube::kube;
use subm_kube::{Note, Severity};
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinSet;

use crate::api::{ask, list, path_of, text};
use crate::container::{Life, Stop};
use crate::refusal::Refusal;
use crate::run::Inner;
use crate::settings::Sandbox;
use crate::state::{Now, State};
use crate::status::{Known, status};
use crate::volumes::{self, Volumes};

/// Secrets, `ConfigMaps` and tokens are looked at again this often.
const REFRESH: Duration = Duration::from_secs(30);
const RETRY: Duration = Duration::from_millis(250);

/// What the containers of a Pod share.
pub(crate) struct Context {
    pub(crate) kubelet: Arc<Inner>,
    /// The Pod as it was last seen.
    pub(crate) pod: watch::Receiver<Value>,
    pub(crate) network: Sandbox,
    pub(crate) volumes: Mutex<Volumes>,
}

impl Context {
    /// The folder of everything that the Pod has on the machine.
    pub(crate) fn folder(&self) -> PathBuf {
        folder(&self.kubelet, &self.pod.borrow())
    }

    pub(crate) fn log_folder(&self) -> PathBuf {
        self.kubelet.log_folder(&self.pod.borrow())
    }

    /// As messages name the Pod.
    pub(crate) fn shown(&self) -> String {
        let pod = self.pod.borrow();
        format!(
            "{}_{}({})",
            text(&pod, "/metadata/name"),
            text(&pod, "/metadata/namespace"),
            text(&pod, "/metadata/uid")
        )
    }

    pub(crate) fn hostname(&self, pod: &Value) -> String {
        if pod["spec"]["hostNetwork"] == true {
            return self.kubelet.node().to_owned();
        }
        match text(pod, "/spec/hostname") {
            "" => text(pod, "/metadata/name").to_owned(),
            name => name.to_owned(),
        }
    }

    /// How long a container may take to end.
    pub(crate) fn grace(&self) -> Duration {
        grace(&self.pod.borrow())
    }

    /// Tells of something in an Event; nothing waits for it.
    pub(crate) fn note(&self, severity: Severity, reason: &str, message: String) {
        let about = reference(&self.pod.borrow());
        tell(&self.kubelet, Note { about, severity, reason: reason.to_owned(), message });
    }
}

fn tell(kubelet: &Arc<Inner>, note: Note) {
    let kubelet = Arc::clone(kubelet);
    tokio::spawn(async move {
        if let Err(error) = kubelet.recorder.record(&note).await {
            tracing::debug!(%error, "an event is lost");
        }
    });
}

fn folder(kubelet: &Inner, pod: &Value) -> PathBuf {
    kubelet.settings.folder.join("pods").join(text(pod, "/metadata/uid"))
}

fn grace(pod: &Value) -> Duration {
    let given = pod["metadata"]["deletionGracePeriodSeconds"].as_u64();
    let seconds = given.or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_u64()).unwrap_or(30);
    // COMPAT: at least a second between the request and the end.
    Duration::from_secs(seconds.max(1))
}

fn reference(pod: &Value) -> ObjectReference {
    let field = |pointer: &str| Some(text(pod, pointer).to_owned());
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: field("/metadata/name"),
        namespace: field("/metadata/namespace"),
        uid: field("/metadata/uid"),
        ..ObjectReference::default()
    }
}

/// What there is to know of a Pod from outside.
pub(crate) struct Worker {
    /// The Pod as its object is; it ends with its object.
    pub(crate) pod: watch::Sender<Value>,
    /// Whether it is to end, and how soon.
    pub(crate) stop: watch::Sender<Option<Duration>>,
}

impl Worker {
    /// Begins to run a Pod.
    pub(crate) fn start(kubelet: &Arc<Inner>, pod: Value, to: &mut JoinSet<String>) -> Self {
        let (stop, stopped) = watch::channel(None);
        let uid = text(&pod, "/metadata/uid").to_owned();
        let (pod, seen) = watch::channel(pod);
        let kubelet = Arc::clone(kubelet);
        to.spawn(async move {
            live(&kubelet, seen, stopped).await;
            uid
        });
        Self { pod, stop }
    }

    /// Takes the object in.
    pub(crate) fn see(&self, pod: Value) {
        if !text(&pod, "/metadata/deletionTimestamp").is_empty() {
            self.end(grace(&pod));
        }
        self.pod.send_replace(pod);
    }

    /// Asks the Pod to end.
    pub(crate) fn end(&self, grace: Duration) {
        self.stop.send_if_modified(|stop| {
            let sooner = stop.is_none_or(|before| grace < before);
            if sooner {
                *stop = Some(grace);
            }
            sooner
        });
    }

    pub(crate) fn grace(&self) -> Duration {
        grace(&self.pod.borrow())
    }
}

async fn live(kubelet: &Arc<Inner>, pod: watch::Receiver<Value>, stop: Stop) {
    let uid = text(&pod.borrow(), "/metadata/uid").to_owned();
    let mut known = Known { host_addresses: kubelet.addresses(), ..Known::default() };
    if let Some(context) = prepare(kubelet, &pod, &stop, &mut known).await {
        run(&Arc::new(context), &stop, &mut known).await;
    }
    loop {
        let last = pod.borrow().clone();
        if report(kubelet, &last, &known).await {
            break;
        }
        tokio::time::sleep(RETRY).await;
    }
    let last = pod.borrow().clone();
    // What is over stays to be looked at until it is deleted.
    let mut stop = stop;
    if stop.wait_for(Option::is_some).await.is_ok() {
        kubelet.settings.sandboxes.close(&uid).await;
        Volumes::new(folder(kubelet, &last)).remove();
        delete(kubelet, &last).await;
    }
}

/// Takes the object of a Pod that ended away.
async fn delete(kubelet: &Inner, pod: &Value) {
    let options = json!({"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}});
    loop {
        match ask(&kubelet.client, Method::DELETE, &path_of(pod), Some(&options)).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => return,
            Err(error) => tracing::debug!(%error, "a Pod that ended is not deleted yet"),
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Network and volumes; none where the Pod is deleted first.
async fn prepare(
    kubelet: &Arc<Inner>,
    pod: &watch::Receiver<Value>,
    stop: &Stop,
    known: &mut Known,
) -> Option<Context> {
    let mut stop = stop.clone();
    let mut volumes = Volumes::new(folder(kubelet, &pod.borrow()).join("volumes"));
    loop {
        if stop.borrow().is_some() {
            return None;
        }
        let manifest = pod.borrow().clone();
        match try_to_prepare(kubelet, &manifest, &mut volumes).await {
            Ok(network) => {
                known.addresses = network.addresses.iter().map(ToString::to_string).collect();
                let (kubelet, pod) = (Arc::clone(kubelet), pod.clone());
                return Some(Context { kubelet, pod, network, volumes: Mutex::new(volumes) });
            }
            Err(refusal) => {
                for container in list(&manifest, "/spec/containers") {
                    let now = Now::Waiting { reason: refusal.reason, message: refusal.message.clone() };
                    let state = State { now, ..State::default() };
                    known.states.insert(text(container, "/name").to_owned(), state);
                }
                report(kubelet, &manifest, known).await;
                let note = Note {
                    about: reference(&manifest),
                    severity: Severity::Warning,
                    reason: "FailedCreatePodSandBox".to_owned(),
                    message: refusal.to_string(),
                };
                tell(kubelet, note);
            }
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            _ = stop.wait_for(Option::is_some) => return None,
        }
    }
}

async fn try_to_prepare(
    kubelet: &Arc<Inner>,
    pod: &Value,
    volumes: &mut Volumes,
) -> Result<Sandbox, Refusal> {
    let settings = &kubelet.settings;
    let network = if pod["spec"]["hostNetwork"] == true {
        Sandbox { host: settings.host.clone(), addresses: settings.addresses.clone() }
    } else {
        settings.sandboxes.open(pod).await.map_err(Refusal::create)?
    };
    let sources = kubelet.sources(pod, volumes::named(pod)).await?;
    std::fs::create_dir_all(folder(kubelet, pod)).map_err(Refusal::create)?;
    volumes.fill(&kubelet.client, pod, &sources).await?;
    Ok(network)
}

/// The containers of a Pod, as far as they were started.
struct Containers<'a> {
    context: &'a Arc<Context>,
    stop: &'a Stop,
    to: mpsc::UnboundedSender<(String, State)>,
    lives: JoinSet<()>,
    /// Those that run before the others, the last one first.
    before: Vec<Value>,
    /// All others; none once they were started.
    main: Option<Vec<Value>>,
}

impl Containers<'_> {
    fn start(&mut self, container: Value, is_init: bool, known: &mut Known) {
        known.states.insert(text(&container, "/name").to_owned(), State::default());
        let life = Life {
            context: Arc::clone(self.context),
            container,
            is_init,
            stop: self.stop.clone(),
            to: self.to.clone(),
            state: State::default(),
        };
        self.lives.spawn(life.run());
    }

    /// Starts what is next; true where nothing runs and nothing will.
    fn go_on(&mut self, known: &mut Known) -> bool {
        if known.states.values().any(|state| !state.over) {
            return false;
        }
        let failed = self.main.is_some() && known.states.values().any(|state| state.code() != Some(0));
        if failed || self.stop.borrow().is_some() {
            return true;
        }
        if let Some(container) = self.before.pop() {
            self.start(container, true, known);
            return false;
        }
        let Some(main) = self.main.take() else { return true };
        for container in main {
            self.start(container, false, known);
        }
        false
    }
}

/// Runs the containers until all are over.
async fn run(context: &Arc<Context>, stop: &Stop, known: &mut Known) {
    let pod = context.pod.borrow().clone();
    let (to, mut news) = mpsc::unbounded_channel();
    // What stood there while there was no network yet.
    known.states.clear();
    let mut before = list(&pod, "/spec/initContainers").to_vec();
    before.reverse();
    let main = Some(list(&pod, "/spec/containers").to_vec());
    let mut containers = Containers { context, stop, to, lives: JoinSet::new(), before, main };
    let mut object = context.pod.clone();
    let mut refresh = tokio::time::interval(REFRESH);
    refresh.reset();
    while !containers.go_on(known) {
        let latest = context.pod.borrow().clone();
        let reported = report(&context.kubelet, &latest, known).await;
        tokio::select! {
            () = tokio::time::sleep(RETRY), if !reported => {}
            Some((name, state)) = news.recv() => {
                known.states.insert(name, state);
                while let Ok((name, state)) = news.try_recv() {
                    known.states.insert(name, state);
                }
            }
            changed = object.changed() => if changed.is_err() { return },
            _ = refresh.tick() => refill(context).await,
        }
    }
}

/// Writes what changed meanwhile of Secrets, `ConfigMaps` and tokens.
async fn refill(context: &Arc<Context>) {
    let pod = context.pod.borrow().clone();
    let mut volumes = context.volumes.lock().await;
    let filled = match context.kubelet.sources(&pod, volumes::named(&pod)).await {
        Ok(sources) => volumes.fill(&context.kubelet.client, &pod, &sources).await,
        Err(refusal) => Err(refusal),
    };
    drop(volumes);
    if let Err(refusal) = filled {
        context.note(Severity::Warning, "FailedMount", refusal.message);
    }
}

/// Writes a Pod's status where it differs; false where it must be tried again.
async fn report(kubelet: &Inner, pod: &Value, known: &Known) -> bool {
    let wanted = status(pod, known, Timestamp::now());
    if wanted == pod["status"] {
        return true;
    }
    let body = json!({"metadata": {"uid": pod["metadata"]["uid"]}, "status": wanted});
    let path = format!("{}/status?fieldManager=kubelet", path_of(pod));
    match ask(&kubelet.client, Method::PATCH, &path, Some(&body)).await {
        Ok(_) => true,
        // It is gone, or another Pod of its name is there.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => true,
        Err(error) => {
            tracing::debug!(%error, "a Pod's status is not written");
            false
        }
    }
}

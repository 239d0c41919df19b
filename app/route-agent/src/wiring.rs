//! The parts of the daemon and what they tell each other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::core::v1::Node as ApiNode;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use subm_api::{Cluster, Endpoint, RouteAgent, names};
use subm_kube::{Connection, Event, Key, Objects, Watch, Writer};
use subm_probe::{Pace, Target};
use subm_runtime::icmp::Prober;
use subm_runtime::{Admin, Converger, Readiness, Report, Shutdown, Starting, Task};
use subm_types::{CableId, Problem};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::observed::Seen;
use crate::publish::{self, Publisher};
use crate::settings::{HealthCheck, Settings};
use crate::view::{AgentView, Input, Outlook, State, trim};
use crate::{kernel, metrics};

/// How many inputs may wait; a watch that is faster waits itself.
const INPUTS: usize = 256;
/// The most probes a second that may arrive at a gateway from all nodes together.
const ARRIVALS: u32 = 200;
const MANAGER: &str = "submariner-routeagent";

/// Runs over a connection to the cluster's API until the end is asked for, in the network namespace of the calling
/// thread. What is in the kernel stays there.
pub async fn serve(settings: Settings, home: Connection, shutdown: Shutdown) -> anyhow::Result<()> {
    info!(version = env!("CARGO_PKG_VERSION"), ?settings, "route agent starts");
    let readiness = Readiness::default();
    let (inputs, received) = mpsc::channel(INPUTS);
    let (state_sender, state) = watch::channel(State::default());
    let (seen_sender, seen) = watch::channel(Seen::default());
    let (own_sender, own) = watch::channel(Objects::default());
    let converger = kernel::start(seen_sender, inputs.clone()).context("no thread for the kernel")?;
    let prober = Prober::start();
    let sources = publish::Sources {
        state: state.clone(),
        report: converger.report(),
        probes: prober.probes(),
        seen: seen.clone(),
        own,
    };
    let own_key = Key::new(&settings.namespace, names::route_agent_object_name(&settings.node.0));
    let publisher = publisher(&home, &settings, own_key.clone(), sources);
    let (admin, latency) = admin(&settings, &readiness, &converger, &prober, (&state, &seen));
    let own_object = own_object(home.clone(), own_key, own_sender, (seen, inputs.clone()));
    let _watches = watches(&home, &inputs);
    let _tasks = [
        Task::spawn("own-object", own_object),
        Task::spawn("facts", facts(converger.clone(), inputs)),
        Task::spawn("publish", publisher.run()),
        Task::spawn("latency", measure(state, converger.report(), latency)),
        admin,
    ];
    let planner = Planner {
        starting: Some(readiness.wait_for("the first plan")),
        health_check: settings.health_check,
        converger,
        prober,
        state: state_sender,
        problems: Vec::new(),
    };
    plan_until(shutdown, AgentView::new(settings), received, planner).await;
    Ok(())
}

async fn plan_until(
    shutdown: Shutdown,
    view: AgentView,
    inputs: mpsc::Receiver<Input>,
    mut planner: Planner,
) {
    tokio::select! {
        () = subm_runtime::view::run(view, inputs, move |view| planner.publish(view)) => {}
        () = shutdown.requested() => info!("route agent ends and leaves the kernel as it is"),
    }
}

fn watches(home: &Connection, inputs: &mpsc::Sender<Input>) -> [Task; 3] {
    let endpoints = Watch::<Endpoint>::namespaced(home);
    let clusters = Watch::<Cluster>::namespaced(home);
    let nodes = Watch::<ApiNode>::all(home).trim(trim);
    let to = || inputs.clone();
    [
        Task::spawn("endpoints", endpoints.forward(to(), |event| Input::Endpoints(Box::new(event)))),
        Task::spawn("clusters", clusters.forward(to(), |event| Input::Clusters(Box::new(event)))),
        Task::spawn("nodes", nodes.forward(to(), |event| Input::Nodes(Box::new(event)))),
    ]
}

/// Hands what follows from the view to those who make it so.
struct Planner {
    starting: Option<Starting>,
    health_check: Option<HealthCheck>,
    converger: Converger,
    prober: Prober<CableId>,
    state: watch::Sender<State>,
    problems: Vec<Problem>,
}

impl Planner {
    fn publish(&mut self, view: &AgentView) {
        let waiting = view.waiting();
        let Some(mut outlook) = view.outlook() else {
            self.state.send_modify(|state| state.waiting = waiting);
            return;
        };
        outlook.generation = self.converger.set_plan(outlook.plan.node.clone());
        self.prober.set_targets(targets(&outlook, self.health_check));
        for problem in outlook.problems.iter().filter(|problem| !self.problems.contains(problem)) {
            warn!(reason = problem.reason, %problem, "left out of the plan");
        }
        self.problems.clone_from(&outlook.problems);
        self.state.send_if_modified(|state| {
            let news = state.waiting != waiting || state.outlook.as_deref() != Some(&outlook);
            *state = State { outlook: Some(Arc::new(outlook)), waiting };
            news
        });
        self.starting = None;
    }
}

/// What is probed, and how often: all nodes of all clusters together must not flood a gateway.
fn targets(outlook: &Outlook, health_check: Option<HealthCheck>) -> BTreeMap<CableId, Target> {
    let Some(check) = health_check else { return BTreeMap::new() };
    let clusters = outlook.plan.remotes.len().max(1);
    let nodes = u32::try_from(outlook.nodes.saturating_mul(clusters)).unwrap_or(u32::MAX);
    let interval = Pace::NODE.interval.max(Duration::from_secs(1) * nodes / ARRIVALS);
    let pace = Pace { interval, losses: check.losses.get() };
    let target = |target: &subm_route::ProbeTarget| Target {
        to: target.destination,
        from: target.source,
        pace,
        sample_interval: check.sample_interval,
    };
    outlook.plan.targets.iter().map(|wanted| (wanted.cable.clone(), target(wanted))).collect()
}

fn publisher(home: &Connection, settings: &Settings, key: Key, sources: publish::Sources) -> Publisher {
    let plugin = match &settings.plugin {
        subm_route::NetworkPlugin::Known(name) => (*name).to_owned(),
        subm_route::NetworkPlugin::Unknown(name) => name.clone(),
    };
    let publisher = Publisher::new(Writer::new(home, MANAGER), key, plugin, sources);
    match settings.health_check {
        Some(check) => publisher.refresh_every(check.sample_interval),
        None => publisher,
    }
}

fn admin(
    settings: &Settings,
    readiness: &Readiness,
    converger: &Converger,
    prober: &Prober<CableId>,
    (state, seen): (&watch::Receiver<State>, &watch::Receiver<Seen>),
) -> (Task, Histogram) {
    let mut registry = Registry::default();
    subm_runtime::metrics::register(&mut registry, converger);
    let sources = metrics::Sources { state: state.clone(), seen: seen.clone(), probes: prober.probes() };
    let latency = metrics::register(&mut registry, sources);
    let (plan, steps, known) = (converger.clone(), converger.clone(), state.clone());
    let admin = Admin::new(readiness.clone(), registry)
        .page("plan", move || plan.plan_text())
        .page("steps", move || steps.steps_text())
        .page("view", move || format!("{:#?}\n", *known.borrow()));
    (admin.serve(settings.admin_port), latency)
}

/// Follows the node's own RouteAgent: what it remembers is read before anything is written.
async fn own_object(
    home: Connection,
    key: Key,
    own: watch::Sender<Objects<RouteAgent>>,
    (mut seen, inputs): (watch::Receiver<Seen>, mpsc::Sender<Input>),
) {
    use futures::StreamExt as _;
    let only = format!("metadata.name={}", key.name);
    let mut events = std::pin::pin!(Watch::<RouteAgent>::namespaced(&home).fields(&only).events());
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(event) => take(&own, event),
                None => return,
            },
            changed = seen.changed() => if changed.is_err() { return },
        }
        let mut keys: std::collections::BTreeSet<_> =
            seen.borrow_and_update().saved.keys().cloned().collect();
        keys.extend(publish::saved(own.borrow().get(&key)).into_keys());
        if inputs.send(Input::TakenOver(keys)).await.is_err() {
            return;
        }
    }
}

fn take(own: &watch::Sender<Objects<RouteAgent>>, event: Event<RouteAgent>) {
    own.send_if_modified(|objects| objects.apply(event) == subm_kube::News::Yes);
}

async fn facts(converger: Converger, inputs: mpsc::Sender<Input>) {
    let mut facts = converger.facts();
    loop {
        let present = facts.borrow_and_update().clone();
        if let Some(present) = present
            && inputs.send(Input::Facts(Box::new(present))).await.is_err()
        {
            return;
        }
        if facts.changed().await.is_err() {
            return;
        }
    }
}

/// Times the way of each new plan into the kernel.
async fn measure(mut state: watch::Receiver<State>, mut report: watch::Receiver<Report>, latency: Histogram) {
    let mut pending: Option<(u64, tokio::time::Instant)> = None;
    let mut last = 0;
    loop {
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            changed = report.changed() => if changed.is_err() { return },
        }
        let generation = state.borrow_and_update().outlook.as_ref().map_or(0, |outlook| outlook.generation);
        if generation > last {
            last = generation;
            pending = Some((generation, tokio::time::Instant::now()));
        }
        let done = {
            let report = report.borrow_and_update();
            pending.filter(|(generation, _)| report.converged && report.generation >= *generation)
        };
        if let Some((_, begun)) = done {
            latency.observe(begun.elapsed().as_secs_f64());
            pending = None;
        }
    }
}

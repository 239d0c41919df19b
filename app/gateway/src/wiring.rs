//! The parts of the daemon and what they tell each other.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use subm_api::Gateway;
use subm_cable::Tunnel;
use subm_ipsec::Keeper;
use subm_kube::{Access, Connection, News, Objects, Watch, Writer};
use subm_plan::Evidence;
use subm_probe::{Pace, Target};
use subm_runtime::icmp::Prober;
use subm_runtime::nat_discovery::Discoverer;
use subm_runtime::{Admin, Converger, Mode, Readiness, Shutdown, Starting, Task};
use subm_sync::Publication;
use subm_types::{CableId, HostName, Problem};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use crate::conditions::Noticeboard;
use crate::home::MANAGER;
use crate::input::Input;
use crate::metrics::Iterations;
use crate::public_address::{self, Wanted};
use crate::publish::{Feeds, Known, Publisher};
use crate::settings::{Config, Task as Job};
use crate::view::{Cables, Leadership, Outcome, View};
use crate::{discovery, home, hub, ipsec, kernel, metrics, own_end, wireguard_keys};

/// How many inputs may wait; a watch that is faster waits itself.
const INPUTS: usize = 256;

/// Runs in the network namespace of the calling thread until the end is asked for. What is in the kernel stays there.
pub async fn serve(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    info!(version = env!("CARGO_PKG_VERSION"), ?config, "gateway starts");
    let home = Access::home(config.kubeconfig.as_deref(), &config.namespace).await?.connect()?;
    let (inputs, received) = mpsc::channel(INPUTS);
    let mode = if config.task == Job::DryRun { Mode::DryRun } else { Mode::Apply };
    let (evidence, told) = watch::channel(Evidence::new());
    let kernel_feeds = kernel::Feeds { inputs: inputs.clone(), evidence };
    let converger =
        kernel::start(mode, config.driver.clone(), kernel_feeds).context("no thread for the kernel")?;
    let keeper = ipsec::start(&config).context("no thread for the IKE daemon")?;
    if config.task == Job::Uninstall {
        // Nobody plans here, so what the kernel thread tells is thrown away.
        drop(received);
        return crate::uninstall::run(&home, &config, (&converger, &keeper)).await;
    }
    let (planner, _tasks) = parts((&home, &config), (&converger, told), (&keeper, &inputs));
    drop(inputs);
    plan_until(shutdown, planner, View::new(config), received).await;
    Ok(())
}

async fn plan_until(shutdown: Shutdown, mut planner: Planner, view: View, inputs: mpsc::Receiver<Input>) {
    tokio::select! {
        () = subm_runtime::view::run(view, inputs, move |view| planner.publish(view)) => {}
        () = shutdown.requested() => info!("gateway ends and leaves the kernel as it is"),
    }
}

/// Everything that runs beside the loop, and what the loop hands to it.
fn parts(
    (home, config): (&Connection, &Config),
    (converger, evidence): (&Converger, watch::Receiver<Evidence>),
    (keeper, inputs): (&Keeper, &mpsc::Sender<Input>),
) -> (Planner, Vec<Task>) {
    let (prober, discoverer) = (Prober::start(), Discoverer::start());
    let readiness = Readiness::default();
    let (known_sender, known) = watch::channel(None);
    let (gateways_sender, gateways) = watch::channel(Objects::default());
    let (board, surroundings) = Noticeboard::new();
    let feeds = Feeds {
        known,
        surroundings,
        report: converger.report(),
        probes: prober.probes(),
        evidence,
        ipsec: keeper.report(),
        gateways,
    };
    let ((names, hostname), (roles, active)) = (watch::channel(None), watch::channel(None));
    let (publication, wanted) = watch::channel(Publication::Hold);
    let (resolvers, asked) = watch::channel(Wanted::default());
    let iterations = Iterations::default();
    let (admin, latency) = admin(config, &readiness, converger, (&feeds, &iterations));
    let publisher = Publisher::new(Writer::new(home, MANAGER), feeds.clone(), iterations);
    let (generations, generation) = watch::channel(0);
    let (home, to_loop) = (|| (home.clone(), config.clone()), || (inputs.clone(), board.clone()));
    let mut tasks = vec![
        Task::spawn("facts", home::facts(converger.clone(), inputs.clone())),
        Task::spawn("node", home::node(home(), inputs.clone())),
        Task::spawn("keys", wireguard_keys::follow(home(), to_loop())),
        Task::spawn("secret", ipsec::follow_secret(config.clone(), to_loop())),
        Task::spawn("ike", ipsec::follow_daemon(keeper.report(), inputs.clone())),
        Task::spawn("latency", metrics::time_plans(generation, feeds.report, latency)),
        admin,
    ];
    tasks.extend(reaching((&prober, &discoverer), (home().0, inputs), hostname.clone()));
    if config.task == Job::DryRun {
        tasks.push(Task::spawn("onlooker", onlooker(home().0, to_loop())));
    } else {
        tasks.extend([
            Task::spawn("election", home::election(home(), hostname, to_loop())),
            Task::spawn("hub", member(home(), wanted, to_loop())),
            Task::spawn("gateways", gateway_objects(home().0, gateways_sender)),
            Task::spawn("publish", publisher.run()),
            Task::spawn("pod", home::label_pod(home(), active)),
            Task::spawn("public address", public_address::follow(home().0, asked, inputs.clone())),
        ]);
    }
    let planner = Planner {
        starting: Some(readiness.wait_for("the first plan")),
        converger: converger.clone(),
        keeper: ipsec::Hand::new(keeper.clone(), config.driver.clone()),
        prober,
        discoverer,
        generations,
        known: known_sender,
        publication,
        names,
        roles,
        resolvers,
        established: BTreeMap::new(),
        problems: Vec::new(),
    };
    (planner, tasks)
}

/// What finds out where the others are reached.
fn reaching(
    (prober, discoverer): (&Prober<CableId>, &Discoverer),
    (home, inputs): (Connection, &mpsc::Sender<Input>),
    hostname: watch::Receiver<Option<HostName>>,
) -> [Task; 3] {
    [
        Task::spawn("ways", discovery::follow(discoverer.ways(), inputs.clone())),
        Task::spawn("last ways", discovery::remember((home, inputs.clone()), hostname)),
        Task::spawn("doubts", discovery::doubt(prober.probes(), discoverer.doubts())),
    ]
}

/// Finds out who we are, then keeps hub and home the same.
async fn member(
    (home, config): (Connection, Config),
    publication: watch::Receiver<Publication>,
    (inputs, board): (mpsc::Sender<Input>, Noticeboard),
) {
    let uid = home::identity(&home, &board).await;
    if inputs.send(Input::Uid(uid.clone())).await.is_ok() {
        hub::follow(home, config, uid, publication, (inputs, board)).await;
    }
}

/// Looks at home as if this gateway were the active one, and writes nothing.
async fn onlooker(home: Connection, (inputs, board): (mpsc::Sender<Input>, Noticeboard)) {
    let uid = home::identity(&home, &board).await;
    for input in [Input::Uid(uid), Input::Leadership(Leadership::Ours)] {
        if inputs.send(input).await.is_err() {
            return;
        }
    }
    hub::watch_home(&home, &inputs).await;
}

/// Hands what follows from the view to those who make it so.
struct Planner {
    starting: Option<Starting>,
    converger: Converger,
    keeper: ipsec::Hand,
    prober: Prober<CableId>,
    discoverer: Discoverer,
    generations: watch::Sender<u64>,
    known: watch::Sender<Option<Arc<Known>>>,
    publication: watch::Sender<Publication>,
    names: watch::Sender<Option<HostName>>,
    roles: watch::Sender<Option<bool>>,
    resolvers: watch::Sender<Wanted>,
    established: BTreeMap<CableId, i64>,
    problems: Vec<Problem>,
}

impl Planner {
    fn publish(&mut self, view: &mut View) {
        let outcome = view.outcome();
        if let Some(plan) = outcome.node_plan() {
            set(&self.generations, self.converger.set_plan(plan));
        }
        if let Some(plan) = outcome.ipsec_plan() {
            self.keeper.set_plan(plan);
        }
        self.discover(view, &outcome);
        match &outcome.cables {
            Cables::Keep(plan) => {
                self.prober.set_targets(targets(&plan.tunnels, &view.config));
                self.establish(&plan.tunnels);
            }
            Cables::HandOver => self.prober.set_targets(BTreeMap::new()),
            Cables::Hold => {}
        }
        set(&self.publication, outcome.publication.clone());
        set(&self.names, view.node.as_ref().map(|node| node.hostname.clone()));
        set(&self.roles, Some(view.leadership == Leadership::Ours));
        set(&self.resolvers, view.resolvers());
        for problem in outcome.problems.iter().filter(|problem| !self.problems.contains(problem)) {
            warn!(reason = problem.reason, %problem, "cannot be used");
        }
        self.problems.clone_from(&outcome.problems);
        if view.home.is_some() && view.facts.is_some() && view.node.is_some() {
            self.starting = None;
        }
        let established = self.established.clone();
        self.known.send_replace(Some(Arc::new(Known { view: view.clone(), outcome, established })));
    }

    /// A gateway that stands by answers too: others ask it before they know which one is active.
    fn discover(&self, view: &View, outcome: &Outcome) {
        let Some(node) = view.node.as_ref().filter(|_| view.config.task == Job::Run) else { return };
        let local = view.local(node);
        self.discoverer.set_local(discovery::local_end(&local, own_end::nat_discovery_port(node)));
        match &outcome.cables {
            Cables::Keep(plan) => self.discoverer.set_remotes(discovery::remote_ends(&local, &plan.tunnels)),
            Cables::HandOver => self.discoverer.set_remotes(BTreeMap::new()),
            Cables::Hold => {}
        }
    }

    fn establish(&mut self, tunnels: &BTreeMap<CableId, Tunnel>) {
        let now = Timestamp::now().as_second();
        self.established.retain(|id, _| tunnels.contains_key(id));
        for id in tunnels.keys() {
            self.established.entry(id.clone()).or_insert(now);
        }
    }
}

fn set<T: PartialEq>(sender: &watch::Sender<T>, value: T) {
    sender.send_if_modified(|present| {
        let news = *present != value;
        *present = value;
        news
    });
}

fn targets(tunnels: &BTreeMap<CableId, Tunnel>, config: &Config) -> BTreeMap<CableId, Target> {
    let Some(check) = config.health.filter(|_| config.task != Job::DryRun) else { return BTreeMap::new() };
    let target = |tunnel: &Tunnel| {
        let addresses = tunnel.probe?;
        Some(Target {
            to: addresses.to,
            from: addresses.from,
            pace: Pace::CABLE,
            sample_interval: check.interval,
        })
    };
    tunnels.iter().filter_map(|(id, tunnel)| Some((id.clone(), target(tunnel)?))).collect()
}

/// Follows the Gateways of this cluster.
async fn gateway_objects(home: Connection, gateways: watch::Sender<Objects<Gateway>>) {
    use futures::StreamExt as _;
    let mut events = std::pin::pin!(Watch::<Gateway>::namespaced(&home).events());
    while let Some(event) = events.next().await {
        gateways.send_if_modified(|objects| objects.apply(event) == News::Yes);
    }
}

fn admin(
    config: &Config,
    readiness: &Readiness,
    converger: &Converger,
    (feeds, iterations): (&Feeds, &Iterations),
) -> (Task, Histogram) {
    let mut registry = Registry::default();
    subm_runtime::metrics::register(&mut registry, converger);
    let latency = metrics::register(&mut registry, feeds.clone(), iterations.clone());
    let (plan, steps, known) = (converger.clone(), converger.clone(), feeds.known.clone());
    let admin = Admin::new(readiness.clone(), registry)
        .page("plan", move || plan.plan_text())
        .page("steps", move || steps.steps_text())
        .page("view", move || format!("{:#?}\n", *known.borrow()));
    (admin.serve(config.metrics_port), latency)
}

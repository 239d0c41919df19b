//! The first process inside: it builds everything, answers the command line, and ends everything with itself.

mod server;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use subm_kubelet::Children;
use subm_lab::{EchoServer, Ground, STATE_DIR};

use crate::api::Apis;
use crate::daemon::Daemons;
use crate::network::Network;
use crate::progress::{Phase, Progress};
use crate::settings::Settings;
use crate::supervisor::{complain, end_with_parent};
use crate::topology::{Cluster, Topology};
use crate::workloads::Workloads;
use crate::world::World;

/// Everything that runs.
#[derive(Debug)]
pub(crate) struct Playground {
    pub(crate) settings: Settings,
    pub(crate) world: Arc<World>,
    pub(crate) apis: Apis,
    pub(crate) daemons: Daemons,
    pub(crate) workloads: Workloads,
    /// These work as long as they are held.
    _network: Network,
    _echo: EchoServer,
}

/// The init's life. `holder` is the process that started it, as seen from outside.
pub(crate) fn run(settings: Settings, holder: i32) -> anyhow::Result<()> {
    // Outside numbers are read before `/proc` shows this world's own.
    let (own, parent) = outside_pids()?;
    end_with_parent(parent == holder)?;
    Ground::furnish()?;
    let listener =
        UnixListener::from(std::io::stdin().as_fd().try_clone_to_owned().context("the control socket")?);
    let log = File::create(Path::new(STATE_DIR).join("playground.log")).context("the log")?;
    nix::unistd::dup2_stderr(&log).context("the log")?;
    subm_runtime::telemetry::start(subm_runtime::Verbosity::Normal)?;
    let progress = Progress::start();
    let server = server::Server::start(listener, progress.clone(), own)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(start(settings, &server, &progress)) {
        Ok(playground) => {
            progress.end(Phase::Ready, "ready".to_owned());
            runtime.block_on(reap(&playground.workloads.children))
        }
        Err(error) => {
            complain(&format!("{error:#}"));
            progress.end(Phase::Failed, format!("{error:#}"));
            // Whoever waits must hear of it before everything is gone.
            thread::sleep(Duration::from_millis(500));
            Err(error)
        }
    }
}

fn outside_pids() -> anyhow::Result<(i32, i32)> {
    let stat = fs::read_to_string("/proc/self/stat").context("/proc/self/stat")?;
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse().ok());
    let own = number(stat.split_once(' ').map(|(pid, _)| pid));
    let parent = number(stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)));
    own.zip(parent).with_context(|| anyhow!("/proc/self/stat is odd: {stat}"))
}

async fn start(
    settings: Settings,
    server: &server::Server,
    progress: &Progress,
) -> anyhow::Result<Arc<Playground>> {
    let playground = Arc::new(build(settings, progress).await?);
    // From here on people can look around, also where the clusters never get joined.
    server.serve(Arc::clone(&playground));
    progress.say("waiting for the first packets between the clusters");
    crate::check::wait_until_joined(&playground).await?;
    Ok(playground)
}

async fn build(settings: Settings, progress: &Progress) -> anyhow::Result<Playground> {
    let topology = Topology::new(&settings.spec);
    let names: Vec<&str> = topology.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    progress.say(format!("laying wires: clusters {}, a hub, routers", names.join(", ")));
    let world = Arc::new(World::build(topology).await?);
    progress.say("starting an API server per cluster and the hub's");
    let apis = Apis::start(&world)?;
    apis.write_admin_kubeconfigs(&world.topology)?;
    progress.say("starting the CNI and the service proxy on every node");
    let network = Network::start(&world, &apis).await?;
    let echo = EchoServer::start()?;
    for (_, pod) in world.topology.clusters.iter().flat_map(Cluster::all_pods) {
        echo.serve(world.host(&pod.name)?)?;
    }
    progress.say("starting controllers and kubelets, and with them the gateways and route agents");
    let workloads = Workloads::start(&settings, &world, &apis)?;
    let daemons = Daemons::install(&settings, &world, &apis, &workloads)?;
    Ok(Playground { settings, world, apis, daemons, workloads, _network: network, _echo: echo })
}

/// Programs whose parents ended are this process's to bury.
async fn reap(children: &Children) -> ! {
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        every.tick().await;
        children.bury_orphans();
    }
}

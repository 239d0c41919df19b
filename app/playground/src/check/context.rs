//! What checks look at, and how they wait.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use subm_cable::CABLES;
use subm_lab::{ECHO_PORT, Host, LabError};
use subm_types::{Family, PerFamily};
use tokio::runtime::Runtime;

use super::narrow::narrow;
use super::outcome::Skip;

use crate::daemon::Daemon;
use crate::init::Playground;
use crate::topology::{Cluster, Node, Pod, Topology};

/// How long a check waits for a condition: generous, for the machine may be busy. Times that matter are told.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// How long a check waits for one answer.
pub(super) const ANSWER: Duration = Duration::from_secs(2);

/// A way from one cluster to another in a family that both have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lane<'a> {
    pub(super) from: &'a Cluster,
    pub(super) to: &'a Cluster,
    pub(super) family: Family,
}

impl Lane<'_> {
    /// Its place in the names of checks.
    pub(super) fn name(&self) -> String {
        format!("{}>{}/{}", self.from.name, self.to.name, self.family)
    }

    /// The same way for a check that runs later.
    pub(super) fn key(&self) -> LaneKey {
        LaneKey { from: self.from.name.clone(), to: self.to.name.clone(), family: self.family }
    }
}

/// A lane by the names of its clusters.
#[derive(Debug, Clone)]
pub(super) struct LaneKey {
    from: String,
    to: String,
    family: Family,
}

/// The playground that is checked.
pub(super) struct Context<'a> {
    pub(super) playground: &'a Playground,
    /// Bytes that are sent where it is about many.
    pub(super) transfer: u64,
    runtime: Runtime,
}

impl<'a> Context<'a> {
    pub(super) fn new(playground: &'a Playground, transfer: u64) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { playground, transfer, runtime })
    }

    /// Runs something asynchronous.
    pub(super) fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    pub(super) fn topology(&self) -> &'a Topology {
        &self.playground.world.topology
    }

    pub(super) fn host(&self, name: &str) -> anyhow::Result<&'a Host> {
        self.playground.world.host(name)
    }

    pub(super) fn node(&self, name: &str) -> anyhow::Result<&'a Node> {
        let found = self.topology().nodes().find(|(_, node)| node.name == name);
        found.map(|(_, node)| node).with_context(|| format!("there is no node {name}"))
    }

    pub(super) fn cluster(&self, name: &str) -> anyhow::Result<&'a Cluster> {
        self.topology().cluster(name).with_context(|| format!("there is no cluster {name}"))
    }

    pub(super) fn daemon(&self, path: &str) -> anyhow::Result<&'a Daemon> {
        let found = self.playground.daemons.all().find(|daemon| daemon.path() == path);
        found.with_context(|| format!("there is no daemon {path}"))
    }

    /// A pod on the last node, and the address of one on the last node of the other cluster: the longest way that
    /// there is.
    pub(super) fn longest_way(&self, lane: Lane<'a>) -> anyhow::Result<(&'a Host, IpAddr)> {
        let last = |cluster: &'a Cluster| cluster.nodes.last().context("a cluster without nodes");
        let (_, host) = self.pod(last(lane.from)?)?;
        let (target, _) = self.pod(last(lane.to)?)?;
        Ok((host, of(target.addresses, lane.family)?))
    }

    /// The lane of this key.
    pub(super) fn lane(&self, key: &LaneKey) -> anyhow::Result<Lane<'a>> {
        Ok(Lane { from: self.cluster(&key.from)?, to: self.cluster(&key.to)?, family: key.family })
    }

    /// What a daemon's admin endpoint says.
    pub(super) fn get(&self, daemon: &Daemon, path: &str) -> anyhow::Result<String> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, daemon.kind.admin_port()));
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&address, ANSWER)?;
            stream.set_read_timeout(Some(ANSWER))?;
            write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let what = || format!("{path} of {}", daemon.path());
        let answer = self.host(&daemon.node.name)?.enter(ask)?.with_context(what)?;
        let (head, body) = answer.split_once("\r\n\r\n").with_context(what)?;
        match head.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            _ => bail!("{}: {}", what(), body.trim()),
        }
    }

    /// Whether a daemon says that it is ready.
    pub(super) fn ready(&self, daemon: &Daemon) -> anyhow::Result<()> {
        self.get(daemon, "/readyz").map(drop)
    }

    /// Ordered pairs of different clusters.
    pub(super) fn pairs(&self) -> Vec<(&'a Cluster, &'a Cluster)> {
        let all = &self.topology().clusters;
        let others = |one| all.iter().filter(move |other| *other != one).map(move |other| (one, other));
        all.iter().flat_map(others).collect()
    }

    /// Whether the data path lives in the gateway's process, so that a kill interrupts it.
    pub(super) fn interrupted_by_kill(&self) -> bool {
        self.playground.settings.cable_driver == "wireguard"
    }

    /// Whether others on the way cannot read what the cables carry.
    pub(super) fn encrypts(&self) -> bool {
        let name = &self.playground.settings.cable_driver;
        CABLES.iter().any(|cable| cable.backend().to_string() == *name && cable.encrypts())
    }

    /// Fails with a reason to skip what counts losses, where some wire loses packets on purpose.
    pub(super) fn must_be_lossless(&self) -> anyhow::Result<()> {
        let lossy = |cluster: &&Cluster| cluster.uplink.loss.0 > 0;
        match self.topology().clusters.iter().find(lossy) {
            Some(cluster) => {
                let why = format!("the uplink of {} loses {} on purpose", cluster.name, cluster.uplink.loss);
                Err(Skip(why).into())
            }
            None => Ok(()),
        }
    }

    /// Asks once; where packets are lost on purpose, until an answer comes.
    pub(super) fn asked<T>(&self, ask: impl Fn(Duration) -> Result<T, LabError>) -> anyhow::Result<T> {
        match self.must_be_lossless() {
            Ok(()) => Ok(ask(ANSWER)?),
            Err(_) => until_ok(PATIENCE, || Ok(ask(ANSWER / 4)?)).map(|(value, _)| value),
        }
    }

    /// Every way between two clusters that long TCP connections pass.
    pub(super) fn wide_lanes(&self) -> Vec<Lane<'a>> {
        let wide = |lane: &Lane<'_>| narrow(self, *lane).is_none_or(|narrow| narrow.known);
        self.lanes().into_iter().filter(wide).collect()
    }

    /// Every way between two clusters.
    pub(super) fn lanes(&self) -> Vec<Lane<'a>> {
        let families = |(from, to): (&'a Cluster, &'a Cluster)| {
            from.common(to).into_iter().map(move |family| Lane { from, to, family })
        };
        self.pairs().into_iter().flat_map(families).collect()
    }

    /// The first pod of a node, which there always is, with its host.
    pub(super) fn pod(&self, node: &'a Node) -> anyhow::Result<(&'a Pod, &'a Host)> {
        let pod = node.pods.first().with_context(|| format!("{} has no pod", node.name))?;
        Ok((pod, self.host(&pod.name)?))
    }
}

/// The echo server at an address.
pub(super) fn echo(address: IpAddr) -> SocketAddr {
    (address, ECHO_PORT).into()
}

/// The value of a family that there is.
pub(super) fn of<T: Copy>(values: PerFamily<T>, family: Family) -> anyhow::Result<T> {
    values.get(family).copied().with_context(|| format!("there is no IP{family}"))
}

/// Asks again until it works, and tells how long that took; fails with the last reason.
pub(super) fn until_ok<T>(
    limit: Duration,
    mut attempt: impl FnMut() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Duration)> {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return Ok((value, start.elapsed())),
            Err(error) if start.elapsed() > limit => {
                bail!("still not after {} s: {error:#}", limit.as_secs());
            }
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}

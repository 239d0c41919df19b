//! What checks look at, and how they wait.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use subm_lab::{ECHO_PORT, Host};
use tokio::runtime::Runtime;

use crate::daemon::Daemon;
use crate::init::Playground;
use crate::topology::{Cluster, Node, Pod, Topology};

/// How long a check waits for a condition: generous, for the machine may be busy. Times that matter are told.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);
/// How long a check waits for one answer.
pub(super) const ANSWER: Duration = Duration::from_secs(2);

/// The playground that is checked.
pub(super) struct Context<'a> {
    pub(super) playground: &'a Playground,
    runtime: Runtime,
}

impl<'a> Context<'a> {
    pub(super) fn new(playground: &'a Playground) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { playground, runtime })
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

    /// A pod on a worker, and the address of one on a worker of another cluster: the longest way that there is.
    pub(super) fn between_workers(&self, near: &str, far: &str) -> anyhow::Result<(&'a Host, Ipv4Addr)> {
        let last = |cluster: &'a Cluster| cluster.nodes.last().context("a cluster without nodes");
        let (_, host) = self.pod(last(self.cluster(near)?)?)?;
        let (target, _) = self.pod(last(self.cluster(far)?)?)?;
        Ok((host, target.address))
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

    /// The first pod of a node, which there always is, with its host.
    pub(super) fn pod(&self, node: &'a Node) -> anyhow::Result<(&'a Pod, &'a Host)> {
        let pod = node.pods.first().with_context(|| format!("{} has no pod", node.name))?;
        Ok((pod, self.host(&pod.name)?))
    }
}

/// The echo server at an address.
pub(super) fn echo(address: Ipv4Addr) -> SocketAddr {
    (address, ECHO_PORT).into()
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

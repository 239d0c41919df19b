//! The inside end of the control socket.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::Playground;
use crate::api::Api;
use crate::check;
use crate::control::{Reply, Request};
use crate::progress::{Phase, Progress};
use crate::status::{ClusterStatus, NodeStatus, PodStatus, Status};
use crate::topology::shown;

/// Answers from before the playground stands; clones are handles to one.
#[derive(Debug, Clone)]
pub(super) struct Server(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    progress: Progress,
    /// The init, as seen from outside.
    init: i32,
    playground: OnceLock<Arc<Playground>>,
}

impl Server {
    /// Starts to answer.
    pub(super) fn start(listener: UnixListener, progress: Progress, init: i32) -> io::Result<Self> {
        let server = Self(Arc::new(Inner { progress, init, playground: OnceLock::new() }));
        let serving = server.clone();
        let listen = move || listener.incoming().for_each(|stream| serving.accept(stream));
        thread::Builder::new().name("control".to_owned()).spawn(listen)?;
        Ok(server)
    }

    fn accept(&self, stream: io::Result<UnixStream>) {
        if let Err(error) = stream.and_then(|stream| self.answer(stream)) {
            tracing::warn!(%error, "somebody was not answered");
            // The usual cause is a lack of file descriptors, which only time cures.
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Starts to answer one question.
    fn answer(&self, stream: UnixStream) -> io::Result<()> {
        let server = self.clone();
        let converse = move || {
            if let Err(error) = server.converse(&stream) {
                tracing::debug!(%error, "a conversation broke off");
            }
        };
        thread::Builder::new().name("answer".to_owned()).spawn(converse).map(drop)
    }

    /// Answers everything from now on.
    pub(super) fn serve(&self, playground: Arc<Playground>) {
        if self.0.playground.set(playground).is_err() {
            tracing::error!("a second playground was built");
        }
    }

    fn converse(&self, stream: &UnixStream) -> io::Result<()> {
        let mut reply = |reply: &Reply| -> io::Result<()> {
            let mut line = serde_json::to_string(reply)?;
            line.push('\n');
            (&mut &*stream).write_all(line.as_bytes())
        };
        // The name can be found by everyone on the machine.
        if getsockopt(stream, PeerCredentials)?.uid() != nix::unistd::geteuid().as_raw() {
            return reply(&Reply::Failed("this playground belongs to another user".to_owned()));
        }
        for line in BufReader::new(stream).lines() {
            self.reply(&serde_json::from_str(&line?)?, &mut reply)?;
        }
        Ok(())
    }

    fn reply(&self, request: &Request, reply: &mut impl FnMut(&Reply) -> io::Result<()>) -> io::Result<()> {
        match request {
            Request::Wait => self.wait(reply),
            Request::Status => match self.0.playground.get() {
                Some(playground) => reply(&Reply::Status(Box::new(self.status(playground)))),
                None => reply(&Reply::Failed("the playground is not ready yet".to_owned())),
            },
            Request::Check(wanted) => match self.0.playground.get() {
                Some(playground) => {
                    check::run(playground, wanted, |outcome| reply(&Reply::Checked(outcome)))?;
                    reply(&Reply::Done)
                }
                None => reply(&Reply::Failed("the playground is not ready yet".to_owned())),
            },
            Request::Down => {
                reply(&Reply::Done)?;
                std::process::exit(0);
            }
        }
    }

    fn wait(&self, reply: &mut impl FnMut(&Reply) -> io::Result<()>) -> io::Result<()> {
        let mut seen = 0;
        loop {
            let (lines, phase) = self.0.progress.next(seen);
            seen += lines.len();
            match phase {
                Phase::Failed => return reply(&Reply::Failed(lines.last().cloned().unwrap_or_default())),
                Phase::Starting | Phase::Ready => {
                    lines.into_iter().try_for_each(|line| reply(&Reply::Progress(line)))?;
                }
            }
            if phase == Phase::Ready {
                return reply(&Reply::Done);
            }
        }
    }

    fn status(&self, playground: &Playground) -> Status {
        let topology = &playground.world.topology;
        let api = |name: &str| playground.apis.of(name).map(Api::endpoint).unwrap_or_default();
        let clusters = topology.clusters.iter().map(|cluster| ClusterStatus {
            name: cluster.name.clone(),
            api: api(&cluster.name),
            pods: shown(cluster.pods()),
            services: shown(cluster.services()),
            echo_service: shown(cluster.echo_service()),
        });
        let hub = ClusterStatus {
            name: "hub".to_owned(),
            api: api("hub"),
            pods: "-".to_owned(),
            services: "-".to_owned(),
            echo_service: "-".to_owned(),
        };
        let nodes = topology.nodes().map(|(cluster, node)| NodeStatus {
            path: format!("{}/{}", cluster.name, node.role),
            address: shown(node.addresses()),
            pods: shown(node.pod_cidrs()),
        });
        let pods = topology.nodes().flat_map(|(cluster, node)| {
            node.pods.iter().map(move |pod| PodStatus {
                path: format!("{}/{}/{}", cluster.name, node.role, pod.role),
                address: shown(pod.addresses),
            })
        });
        let ready_after = self.0.progress.ready_after();
        Status {
            init: self.0.init,
            ready_after_ms: ready_after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            cable_driver: playground.settings.cable_driver.clone(),
            topology: playground.settings.spec.clone(),
            clusters: clusters.chain([hub]).collect(),
            nodes: nodes.collect(),
            pods: pods.collect(),
            daemons: playground.daemons.all().map(crate::daemon::Daemon::status).collect(),
        }
    }
}

//! The kernel of this node: the thread that keeps it what the plan says, and what it lacks.

use std::io;
use std::time::{Duration, Instant};

use subm_kernel::{Capability, Kernel, KernelError, Lack};
use subm_plan::{Applied, Evidence, HostFacts, NodePlan, NodeState, Scope, Step, World};
use subm_runtime::converger::Settings;
use subm_runtime::{Converger, Mode};
use subm_types::{Backend, Problem};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::input::Input;

/// What is missing may come: somebody loads a module.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Where the thread leaves what it sees.
#[derive(Debug, Clone)]
pub(crate) struct Feeds {
    /// To the view.
    pub(crate) inputs: mpsc::Sender<Input>,
    /// What cables tell of themselves.
    pub(crate) evidence: watch::Sender<Evidence>,
}

/// Starts the thread in the network namespace of the caller.
pub(crate) fn start(mode: Mode, driver: Backend, feeds: Feeds) -> io::Result<Converger> {
    let scope = Scope::gateway();
    let watched = scope.clone();
    let settings = Settings { mode, ..Settings::new(scope) };
    Converger::start(settings, move |waker| {
        let kernel = Kernel::watched(&watched, move |_| waker.wake())?;
        let (feeds, driver) = (feeds.clone(), driver.clone());
        let mut asked = Asked { kernel, driver, feeds, missing: Vec::new(), at: Instant::now() };
        asked.ask();
        Ok::<_, KernelError>(asked)
    })
}

/// A kernel that was asked what it can do, and is asked again while it lacks something.
struct Asked {
    kernel: Kernel,
    driver: Backend,
    feeds: Feeds,
    missing: Vec<Problem>,
    at: Instant,
}

impl Asked {
    fn ask(&mut self) {
        self.at = Instant::now();
        let missing = missing(&self.kernel, &self.driver);
        for problem in missing.iter().filter(|problem| !self.missing.contains(problem)) {
            warn!(%problem, "the kernel lacks something");
        }
        self.missing = missing;
        // Fails only when the daemon ends.
        drop(self.feeds.inputs.blocking_send(Input::Missing(self.missing.clone())));
    }
}

/// Of what a kernel can lack, cables over VXLAN need one thing, WireGuard one of three, and IPsec two.
fn missing(kernel: &Kernel, driver: &Backend) -> Vec<Problem> {
    let answers = kernel.probe();
    let needed: &[Capability] = match driver {
        Backend::Vxlan => &[Capability::Vxlan],
        Backend::Wireguard if !answers.has(Capability::Veth) && !answers.has(Capability::Wireguard) => {
            &[Capability::Tun]
        }
        Backend::Libreswan => &[Capability::Xfrm, Capability::Esp],
        Backend::Wireguard | Backend::Other(_) => &[],
    };
    let lacking = answers.missing().filter(|(capability, _)| needed.contains(capability));
    let problem = |(capability, lack): (Capability, &Lack)| Problem {
        reason: "MissingKernelFeature",
        object: "kernel of the gateway node".to_owned(),
        field: driver.to_string(),
        what: lack.to_string(),
        remedy: lack.remedy(capability),
    };
    lacking.map(problem).collect()
}

impl World for Asked {
    type Error = KernelError;

    fn facts(&mut self) -> Result<HostFacts, KernelError> {
        if !self.missing.is_empty() && self.at.elapsed() > ASK_AGAIN {
            self.ask();
        }
        self.kernel.facts()
    }

    fn observe(&mut self, scope: &Scope, plan: &NodePlan) -> Result<NodeState, KernelError> {
        let state = self.kernel.observe(scope, plan)?;
        self.feeds.evidence.send_replace(self.kernel.evidence());
        Ok(state)
    }

    fn apply(&mut self, scope: &Scope, steps: &[Step]) -> Applied {
        self.kernel.apply(scope, steps)
    }
}

//! The kernel of this node: the thread that keeps it what the plan says, and what it lacks.

use std::io;
use std::time::{Duration, Instant};

use subm_kernel::{Capability, Kernel, KernelError};
use subm_plan::{Applied, HostFacts, NodePlan, NodeState, Scope, Step, World};
use subm_runtime::converger::Settings;
use subm_runtime::{Converger, Mode};
use subm_types::Problem;
use tokio::sync::mpsc;
use tracing::warn;

use crate::input::Input;

/// What is missing may come: somebody loads a module.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Starts the thread in the network namespace of the caller.
pub(crate) fn start(mode: Mode, inputs: mpsc::Sender<Input>) -> io::Result<Converger> {
    let scope = Scope::gateway();
    let watched = scope.clone();
    let settings = Settings { mode, ..Settings::new(scope) };
    Converger::start(settings, move |waker| {
        let kernel = Kernel::watched(&watched, move |_| waker.wake())?;
        let mut asked = Asked { kernel, inputs: inputs.clone(), missing: Vec::new(), at: Instant::now() };
        asked.ask();
        Ok::<_, KernelError>(asked)
    })
}

/// A kernel that was asked what it can do, and is asked again while it lacks something.
struct Asked {
    kernel: Kernel,
    inputs: mpsc::Sender<Input>,
    missing: Vec<Problem>,
    at: Instant,
}

impl Asked {
    fn ask(&mut self) {
        self.at = Instant::now();
        let missing = missing(&self.kernel);
        for problem in missing.iter().filter(|problem| !self.missing.contains(problem)) {
            warn!(%problem, "the kernel lacks something");
        }
        self.missing = missing;
        // Fails only when the daemon ends.
        drop(self.inputs.blocking_send(Input::Missing(self.missing.clone())));
    }
}

/// Of what a kernel can lack, cables over VXLAN need one thing.
fn missing(kernel: &Kernel) -> Vec<Problem> {
    let answers = kernel.probe();
    let needed = answers.missing().filter(|(capability, _)| matches!(capability, Capability::Vxlan));
    needed
        .map(|(capability, lack)| Problem {
            reason: "MissingKernelFeature",
            object: "kernel of the gateway node".to_owned(),
            field: "vxlan".to_owned(),
            what: lack.to_string(),
            remedy: lack.remedy(capability),
        })
        .collect()
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
        self.kernel.observe(scope, plan)
    }

    fn apply(&mut self, scope: &Scope, steps: &[Step]) -> Applied {
        self.kernel.apply(scope, steps)
    }
}

//! The kernel of this node: the thread that keeps it what the plan says, and what it lacks.

use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};

use subm_kernel::{Capability, Kernel, KernelError};
use subm_plan::{Applied, HostFacts, NodePlan, NodeState, Scope, Step, World};
use subm_route::Feature;
use subm_runtime::Converger;
use subm_runtime::converger::Settings;
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::observed::{Observed, Seen};
use crate::view::Input;

/// What is missing may come: somebody loads a module.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// Starts the thread in the network namespace of the caller.
pub(crate) fn start(seen: watch::Sender<Seen>, inputs: mpsc::Sender<Input>) -> io::Result<Converger> {
    let scope = Scope::route_agent();
    let watched = scope.clone();
    Converger::start(Settings::new(scope), move |waker| {
        let kernel = Kernel::watched(&watched, move |_| waker.wake())?;
        let asked = Asked::new(kernel, inputs.clone());
        Ok::<_, KernelError>(Observed::new(asked, seen.clone()))
    })
}

/// A kernel that was asked what it can do, and is asked again while it lacks something.
struct Asked {
    kernel: Kernel,
    inputs: mpsc::Sender<Input>,
    missing: BTreeMap<Feature, String>,
    at: Instant,
}

impl Asked {
    fn new(kernel: Kernel, inputs: mpsc::Sender<Input>) -> Self {
        let mut asked = Self { kernel, inputs, missing: BTreeMap::new(), at: Instant::now() };
        asked.ask();
        asked
    }

    fn ask(&mut self) {
        self.at = Instant::now();
        let missing = missing(&self.kernel);
        for (feature, what) in missing.iter().filter(|(feature, _)| !self.missing.contains_key(feature)) {
            warn!(?feature, %what, "the kernel lacks something, the plan does without");
        }
        self.missing = missing;
        // Fails only when the daemon ends.
        drop(self.inputs.blocking_send(Input::Missing(self.missing.clone())));
    }
}

/// What a capability of the kernel is to the plan.
const fn feature(capability: Capability) -> Option<Feature> {
    match capability {
        Capability::Vxlan => Some(Feature::Vxlan),
        Capability::Nftables => Some(Feature::PacketFilter),
        Capability::Nat => Some(Feature::Nat),
        Capability::MssClamp => Some(Feature::MssClamp),
        Capability::Bridge
        | Capability::Tun
        | Capability::Veth
        | Capability::Xfrm
        | Capability::Esp
        | Capability::Wireguard
        | Capability::Conntrack
        | Capability::UserNamespaces => None,
    }
}

fn missing(kernel: &Kernel) -> BTreeMap<Feature, String> {
    let answers = kernel.probe();
    let told = |(capability, lack): (Capability, &subm_kernel::Lack)| {
        Some((feature(capability)?, format!("{lack}; {}", lack.remedy(capability))))
    };
    let mut missing: BTreeMap<Feature, String> = answers.missing().filter_map(told).collect();
    if missing.contains_key(&Feature::PacketFilter) {
        // What needs it goes without saying.
        missing.retain(|feature, _| !matches!(feature, Feature::Nat | Feature::MssClamp));
    }
    missing
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_asked_for_every_feature_that_the_plan_may_do_without() {
        let asked: Vec<Feature> = Capability::ALL.into_iter().filter_map(feature).collect();
        for known in [Feature::Vxlan, Feature::PacketFilter, Feature::Nat, Feature::MssClamp] {
            assert!(asked.contains(&known), "{known:?} is never found missing");
        }
    }
}

//! The drivers, and the plan of the one that this cluster uses.

use std::collections::BTreeMap;

use subm_plan::PeerEvidence;
use subm_plan::ipsec::IpsecEvidence;
use subm_types::{Backend, Planned, Problem};

use crate::tunnel::Refuse as _;
use crate::{
    Accepted, CablePlan, GatewayView, LibreswanCable, Local, Probed, Refused, Status, Tunnel, VxlanCable,
    WireguardCable, accept, families,
};

/// Something that carries packets between gateways.
pub trait Cable: Sync {
    /// The name in settings and Endpoints.
    fn backend(&self) -> Backend;

    /// What this end does not have yet and cannot be without; until then nothing is published or planned.
    fn lacks(&self, _local: &Local) -> Option<Problem> {
        None
    }

    /// What the gateway publishes in `backend_config` so that peers find it.
    fn advertise(&self, local: &Local) -> BTreeMap<String, String>;

    /// The cables to the accepted Endpoints.
    fn plan(&self, view: &GatewayView, accepted: &Accepted) -> Planned<CablePlan>;

    /// How a tunnel stands, given what probes found and what the cable itself tells.
    fn status(&self, tunnel: &Tunnel, probed: Probed, evidence: Option<PeerEvidence>) -> Status;

    /// The same, given what an IKE daemon and the kernel tell of the tunnel's pairs of subnets.
    fn refine(&self, status: Status, _tunnel: &Tunnel, _evidence: &IpsecEvidence) -> Status {
        status
    }

    /// Whether others on the way can read what it carries.
    fn encrypts(&self) -> bool;
}

/// Every driver.
pub const CABLES: &[&dyn Cable] = &[&VxlanCable, &WireguardCable, &LibreswanCable];

/// The driver of this name.
pub fn driver(backend: &Backend) -> Option<&'static dyn Cable> {
    CABLES.iter().find(|cable| cable.backend() == *backend).copied()
}

/// Plans the cables. Without a value the gateway lacks something that it once had or will have, and what stands in
/// the kernel stays: the Problems say what is missing.
pub fn plan(view: &GatewayView) -> Planned<Option<CablePlan>> {
    let missing = |problem| Planned { value: None, problems: vec![problem] };
    let Some(cable) = driver(&view.local.driver) else {
        return missing(unknown_driver(&view.local.driver));
    };
    if view.local.reachable_families().is_empty() {
        return missing(no_address());
    }
    if let Some(problem) = cable.lacks(&view.local) {
        return missing(problem);
    }
    let accepted = accept(view);
    let mut planned = cable.plan(view, &accepted);
    for Refused { endpoint, problem } in accepted.refused {
        // What has no family in common with us is told once.
        let families = families::common(&view.local, &endpoint).value;
        if families.is_empty() {
            planned.problems.push(problem.clone());
        }
        planned.refuse_all(families, &endpoint, &problem);
    }
    let mut problems = accepted.problems;
    problems.extend(planned.problems);
    problems.sort();
    Planned { value: Some(planned.value), problems }
}

fn unknown_driver(name: &Backend) -> Problem {
    let known: Vec<String> = CABLES.iter().map(|cable| cable.backend().to_string()).collect();
    Problem {
        reason: "UnknownCableDriver",
        object: "Submariner".to_owned(),
        field: "spec.cableDriver".to_owned(),
        what: format!("this version has no cable driver {:?}", name.as_str()),
        remedy: format!("set one of: {}", known.join(", ")),
    }
}

fn no_address() -> Problem {
    Problem {
        reason: "NoUplinkAddress",
        object: "gateway node".to_owned(),
        field: "default route".to_owned(),
        what: "the node has no default route with a source address of a family that this cluster has networks of, so peers could not reach it".to_owned(),
        remedy: "give the node an address and a default route; the gateway goes on by itself".to_owned(),
    }
}

//! Which Endpoints get a cable.

use std::collections::BTreeSet;
use std::net::IpAddr;

use subm_peers::{Host, View};
use subm_types::{CidrSet, Endpoint, Problem};

use crate::driver::CABLES;
use crate::{GatewayView, Refused};

/// The Endpoints that cables are planned to, and what was left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accepted {
    /// The followed Endpoint of each remote cluster, in the order in which they came to their networks.
    pub followed: Vec<Endpoint>,
    /// Endpoints that are believed and that no cable of this gateway can lead to.
    pub refused: Vec<Refused>,
    /// What else was left out, and why.
    pub problems: Vec<Problem>,
}

/// Chooses one Endpoint of each remote cluster and leaves out those that are not believed, and those that no cable of
/// this gateway can lead to.
pub fn accept(view: &GatewayView) -> Accepted {
    let local = &view.local;
    let peers = subm_peers::accept(&View {
        cluster: &local.cluster,
        uid: local.uid.as_ref(),
        networks: local.networks.clone(),
        hosts: hosts(view),
        uplinks: uplinks(view),
        endpoints: &view.endpoints,
        claims: &view.claims,
    });
    let mut out = Accepted { followed: Vec::new(), refused: Vec::new(), problems: peers.problems };
    for endpoint in peers.followed {
        match other_driver(&endpoint, view).or_else(|| address_objection(&endpoint, view)) {
            Some(problem) => out.refused.push(Refused { endpoint, problem }),
            None => out.followed.push(endpoint),
        }
    }
    out.problems.sort();
    out
}

fn hosts(view: &GatewayView) -> Vec<Host> {
    let host = |address| Host { name: "this gateway".to_owned(), address };
    addresses(view).map(host).collect()
}

fn uplinks(view: &GatewayView) -> CidrSet {
    view.facts.networks_beside(addresses(view))
}

/// The addresses of this host, of families too that no cable is over.
fn addresses(view: &GatewayView) -> impl Iterator<Item = IpAddr> {
    let all = view.local.private_ips.iter().chain(view.facts.preferred_source.iter());
    all.map(|(_, address)| *address).collect::<BTreeSet<_>>().into_iter()
}

fn other_driver(endpoint: &Endpoint, view: &GatewayView) -> Option<Problem> {
    let (theirs, ours) = (&endpoint.backend, &view.local.driver);
    let known = || CABLES.iter().map(|cable| cable.backend());
    let problem = |reason, what: String, remedy: String| Problem {
        reason,
        object: format!("Endpoint {}", endpoint.object),
        field: "spec.backend".to_owned(),
        what,
        remedy,
    };
    let cluster = &endpoint.cluster;
    if theirs == ours {
        return None;
    }
    if known().any(|one| one == *theirs) {
        let what = format!(
            "cluster {cluster} uses the cable driver {:?}, this cluster {:?}",
            theirs.as_str(),
            ours.as_str()
        );
        return Some(problem(
            "OtherCableDriver",
            what,
            "join both clusters with the same cable driver".to_owned(),
        ));
    }
    let names: Vec<String> = known().map(|one| one.to_string()).collect();
    let what = format!(
        "cluster {cluster} uses the cable driver {:?}, which this version does not have",
        theirs.as_str()
    );
    Some(problem("UnsupportedCableDriver", what, format!("join it with one of: {}", names.join(", "))))
}

fn address_objection(endpoint: &Endpoint, view: &GatewayView) -> Option<Problem> {
    let (_, ours) = view.local.private_ips.iter().find(|(family, address)| {
        endpoint.private_ips.get(*family) == Some(address)
            && endpoint.reachable_ip(*family) == Some(**address)
    })?;
    Some(Problem {
        reason: "AddressConflict",
        object: format!("Endpoint {}", endpoint.object),
        field: "spec.private_ip".to_owned(),
        what: format!("{ours} is the address of this gateway itself"),
        remedy: "give the gateway nodes different addresses, or set natEnabled where NAT stands between"
            .to_owned(),
    })
}

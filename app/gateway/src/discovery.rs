//! NAT discovery between this gateway and those that it has cables to.

use std::collections::{BTreeMap, BTreeSet};

use subm_cable::{Local, Tunnel, Way};
use subm_probe::Verdict;
use subm_probe::nat::{LocalEnd, RemoteEnd};
use subm_runtime::icmp::Probes;
use subm_runtime::nat_discovery::{NoPort, Ways};
use subm_types::{CableId, Family, Problem};
use tokio::sync::{mpsc, watch};

use crate::input::Input;
use crate::own_end;

/// Who we are, once we have an address.
pub(crate) fn local_end(local: &Local, port: u16) -> Option<LocalEnd> {
    let cable = own_end::cable_name(local)?;
    Some(LocalEnd { cluster: local.cluster.clone(), cable, private_ips: local.private_ips, port })
}

/// The ends of our cables that take part.
pub(crate) fn remote_ends(
    local: &Local,
    tunnels: &BTreeMap<CableId, Tunnel>,
) -> BTreeMap<CableId, RemoteEnd> {
    let endpoints = tunnels.values().map(|tunnel| &tunnel.endpoint);
    let ends = endpoints.flat_map(|endpoint| {
        Family::ALL.into_iter().filter_map(|family| {
            local.private_ips.get(family)?;
            let (private, public) = (endpoint.private_ips.get(family), endpoint.public_ips.get(family));
            private.or(public)?;
            let port = endpoint.nat_discovery_port?;
            let (cluster, path) = (endpoint.cluster.clone(), endpoint.cable_name.clone());
            let end = RemoteEnd { private_ip: private.copied(), public_ip: public.copied(), port };
            Some((CableId { cluster, family, path }, end))
        })
    });
    ends.collect()
}

/// Tells the loop what is found.
pub(crate) async fn follow(mut ways: watch::Receiver<Ways>, inputs: mpsc::Sender<Input>) {
    loop {
        let Ways { found, troubles } = ways.borrow_and_update().clone();
        let way = |(id, found): (CableId, subm_probe::nat::Found)| {
            (id, Way { address: found.address, nat: found.nat })
        };
        let input = Input::Ways(found.into_iter().map(way).collect(), troubles.iter().map(problem).collect());
        if inputs.send(input).await.is_err() || ways.changed().await.is_err() {
            return;
        }
    }
}

fn problem(trouble: &NoPort) -> Problem {
    Problem {
        reason: "NATDiscoveryPortInUse",
        object: "gateway node".to_owned(),
        field: format!("UDP port {}", trouble.port),
        what: format!("NAT discovery ({}) cannot listen: {}", trouble.family, trouble.reason),
        remedy: "end what holds the port, or give the node another one by the annotation gateway.submariner.io/natt-discovery-port; until then cables go where Endpoints say".to_owned(),
    }
}

/// Has the other end of each cable that dies asked anew: perhaps it is reached by another address now.
pub(crate) async fn doubt(mut probes: watch::Receiver<Probes<CableId>>, doubts: mpsc::Sender<CableId>) {
    let mut dead = BTreeSet::new();
    loop {
        let now_dead: BTreeSet<CableId> = {
            let known = probes.borrow_and_update();
            let silent = known.paths.iter().filter(|(_, probe)| probe.verdict == Verdict::Dead);
            silent.map(|(id, _)| id.clone()).collect()
        };
        // The cable's packets may be of another family than what it carries.
        let asked = now_dead
            .difference(&dead)
            .flat_map(|id| Family::ALL.into_iter().map(|family| CableId { family, ..id.clone() }));
        for id in asked {
            // The queue outlives this task, and one that is full is being worked on.
            let _told_or_busy = doubts.try_send(id);
        }
        dead = now_dead;
        if probes.changed().await.is_err() {
            return;
        }
    }
}

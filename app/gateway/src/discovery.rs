//! NAT discovery between this gateway and those that it has cables to.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use subm_api::connection::Connection;
use subm_api::{Gateway, names};
use subm_cable::{Local, Tunnel, Way};
use subm_kube::{ApiError, Connection as HomeConnection, Key, Writer};
use subm_probe::Verdict;
use subm_probe::nat::{LocalEnd, RemoteEnd};
use subm_runtime::icmp::Probes;
use subm_runtime::nat_discovery::{NoPort, Ways};
use subm_types::{CableId, CableName, Family, HostName, Problem};
use tokio::sync::{mpsc, watch};

use crate::home::MANAGER;
use crate::input::Input;
use crate::own_end;

/// How often what cannot be read is read again.
const RETRY: Duration = Duration::from_millis(500);

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

/// How the others were reached when this gateway last said so: a restart goes on from there.
pub(crate) fn last_ways(gateway: &Gateway) -> BTreeMap<CableId, Way> {
    let way = |connection: &Connection| {
        let address: IpAddr = connection.using_ip.parse().ok()?;
        let cluster = connection.endpoint.cluster_id.parse().ok()?;
        let path = CableName(connection.endpoint.cable_name.clone());
        Some((
            CableId { cluster, family: Family::of(address), path },
            Way { address, nat: connection.using_nat },
        ))
    };
    gateway.status.connections.iter().filter_map(way).collect()
}

/// Reads that, however long it takes. Who may not read it has never said it either.
pub(crate) async fn remember(
    (home, inputs): (HomeConnection, mpsc::Sender<Input>),
    mut hostname: watch::Receiver<Option<HostName>>,
) {
    let named = hostname.wait_for(Option::is_some).await.map(|name| name.clone().unwrap_or_default());
    let Ok(hostname) = named else { return };
    let (writer, key) =
        (Writer::new(&home, MANAGER), Key::new(&home.namespace, names::gateway_object_name(&hostname.0)));
    let ways = loop {
        match writer.get::<Gateway>(&key).await {
            Ok(gateway) => break gateway.as_ref().map(last_ways).unwrap_or_default(),
            Err(ApiError::Forbidden { .. }) => break BTreeMap::new(),
            Err(_) => tokio::time::sleep(RETRY).await,
        }
    };
    // Fails only when the daemon ends.
    drop(inputs.send(Input::LastWays(ways)).await);
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

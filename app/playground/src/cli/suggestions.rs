//! What to go on with once a playground is up.

use std::net::SocketAddr;

use subm_lab::ECHO_PORT;

use crate::topology::{Cluster, Topology};

/// Command lines to try, of places that are there; `subctl` is what is typed before the command.
pub(super) fn of(subctl: &str, topology: &Topology) -> String {
    let mut text = format!("Go on with\n  {subctl} check\n");
    let mut add = |words: String| text.extend(["  ", subctl, " ", &words, "\n"]);
    for words in topology.clusters.first().into_iter().flat_map(|near| within(near, topology)) {
        add(words);
    }
    add("down".to_owned());
    text
}

fn within(near: &Cluster, topology: &Topology) -> Vec<String> {
    let mut all = Vec::new();
    let far = topology.clusters.iter().skip(1).find_map(|far| {
        let family = *near.common(far).first()?;
        far.nodes.last()?.pods.first()?.addresses.get(family).copied()
    });
    let pod = near.nodes.last().and_then(|node| Some((&node.role, &node.pods.first()?.role)));
    if let (Some(far), Some((node, pod))) = (far, pod) {
        let place = format!("{}/{node}/{pod}", near.name);
        all.push(format!("exec {place} -- ping {far}"));
        all.push(format!("exec {place} -- curl http://{}/", SocketAddr::from((far, ECHO_PORT))));
    }
    let name = &near.name;
    all.push(format!("exec {name} -- kubectl -n submariner-operator get gateways.submariner.io"));
    let gateway = near.nodes.iter().find(|node| node.gateway);
    all.extend(gateway.map(|node| format!("logs -f {name}/{}/gateway", node.role)));
    all
}

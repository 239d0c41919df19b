//! The overlay between the nodes of this cluster: every node knows every other, so nothing is ever flooded.

use subm_plan::numbers::{OVERLAY_PORT, OVERLAY_VNI};
use subm_plan::{FdbEntry, Link, LinkKind, Neighbour, NodePlan, Vxlan};
use subm_types::{Family, IfName};

use crate::situation::OVERLAY_LINK;
use crate::{Feature, Handler, Situation};

pub(crate) const HANDLER: Handler =
    Handler { name: "overlay", applies: |view| view.has(Feature::Vxlan), plan };

fn plan(now: &Situation<'_>) -> NodePlan {
    let mut plan = NodePlan::default();
    let Ok(overlay) = &now.overlay else { return plan };
    let dev = IfName::constant(OVERLAY_LINK);
    let kind =
        LinkKind::Vxlan(Vxlan { vni: OVERLAY_VNI, port: OVERLAY_PORT, local: overlay.local, dev: None });
    plan.links.insert(dev.clone(), Link { kind, mtu: overlay.mtu, mac: Some(overlay.place.mac()) });
    for family in families(now) {
        plan.addresses.insert((dev.clone(), overlay.place.on_link(family)));
    }
    for peer in overlay.peers.values() {
        let mac = peer.place.mac();
        plan.fdb.insert(FdbEntry { dev: dev.clone(), mac, dst: peer.outer, port: None });
        for family in families(now) {
            let address = peer.place.address(family);
            plan.neighbours.insert(Neighbour { dev: dev.clone(), address, mac });
        }
    }
    plan
}

/// IPv4 always; IPv6 where the cluster's pods have it, since a node without IPv6 refuses such addresses.
fn families(now: &Situation<'_>) -> Vec<Family> {
    let has_v6 = now.local_families().any(|family| family == Family::V6);
    Family::ALL.into_iter().filter(|family| *family == Family::V4 || has_v6).collect()
}

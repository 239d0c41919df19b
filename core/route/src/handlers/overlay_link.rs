//! The overlay between the nodes of this cluster: every node knows every other, so nothing is ever flooded.

use subm_plan::numbers::{OVERLAY_PORT, OVERLAY_VNI};
use subm_plan::{FdbEntry, Link, LinkKind, Neighbour, NodePlan, Vxlan};
use subm_types::IfName;

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
    for family in now.carried_families() {
        plan.addresses.insert((dev.clone(), overlay.place.on_link(family)));
    }
    for peer in overlay.peers.values() {
        let mac = peer.place.mac();
        plan.fdb.insert(FdbEntry { dev: dev.clone(), mac, dst: peer.outer, port: None });
        for family in now.carried_families() {
            let address = peer.place.address(family);
            plan.neighbours.insert(Neighbour { dev: dev.clone(), address, mac });
        }
    }
    plan
}

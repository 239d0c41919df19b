//! The way of a worker to remote clusters: through the overlay to the active gateway.

use subm_plan::numbers::{METRIC_OVERLAY, TABLE_REMOTE};
use subm_plan::{NodePlan, Route, RouteKey};
use subm_types::{Family, IfName};

use crate::situation::OVERLAY_LINK;
use crate::{Handler, Situation};

pub(crate) const HANDLER: Handler = Handler { name: "remote-routes", applies: |_| true, plan };

fn plan(now: &Situation<'_>) -> NodePlan {
    let mut plan = NodePlan::default();
    let (Some(gateway), Ok(overlay)) = (now.gateway_peer(), &now.overlay) else { return plan };
    let carried = now.carried_families();
    for dst in &now.networks {
        let family = Family::of_net(dst);
        if !carried.contains(&family) {
            continue;
        }
        let mut route = Route::via(IfName::constant(OVERLAY_LINK), gateway.place.address(family));
        route.src = now.cni.get(family).map(|cni| cni.address);
        route.mtu = overlay.route_mtu(family);
        plan.routes.insert(RouteKey { table: TABLE_REMOTE, dst: *dst, metric: METRIC_OVERLAY }, route);
    }
    plan
}

//! Handlers: each plans one concern of a node.

use subm_plan::NodePlan;

use crate::{NodeView, Situation, handlers};

/// One concern of a node.
#[derive(Debug, Clone, Copy)]
pub struct Handler {
    /// Its name, for messages.
    pub name: &'static str,
    /// Whether it has anything to say here.
    pub applies: fn(&NodeView) -> bool,
    /// What it wants.
    pub plan: fn(&Situation<'_>) -> NodePlan,
}

/// Every handler; the order does not matter, since plans are joined and must not contradict.
pub const HANDLERS: &[Handler] = &[
    handlers::overlay_link::HANDLER,
    handlers::remote_routes::HANDLER,
    handlers::unreachable::HANDLER,
    handlers::outside::HANDLER,
    handlers::sysctls::HANDLER,
    handlers::identity::HANDLER,
    handlers::node_snat::HANDLER,
    handlers::mss::HANDLER,
    handlers::leak::HANDLER,
];

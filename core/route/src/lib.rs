//! From what a node knows to its routes and packet filter, on every node of a cluster.
//!
//! [`plan()`] turns a [`NodeView`] into a [`RoutePlan`]: what the kernel shall hold so that the node's pods and the
//! node itself reach remote clusters through the active gateway, and never past it. It is a fold over
//! [`HANDLERS`]; each handler is one file below `handlers`. Cables, and the routes into them, belong to the gateway
//! (`subm-cable`), not to this crate. Nothing here does I/O, reads a clock or remembers an earlier plan; a missing
//! fact makes the plan smaller and a [`Condition`] says what is missing.

mod condition;
mod handler;
mod handlers;
pub mod overlay;
mod plan;
mod remotes;
mod situation;
mod view;

pub use condition::Condition;
pub use handler::{HANDLERS, Handler};
pub use plan::{ProbeTarget, RoutePlan, plan};
pub use remotes::{Remotes, accept};
pub use situation::{Cni, Overlay, Peer, Role, Situation};
pub use view::{Feature, NetworkPlugin, Node, NodeName, NodeView};

//! The middle language between deciding and doing: the complete desired state of a node as plain data.
//!
//! Planners build a [`NodePlan`]; a [`World`] tells what is there of what a [`Scope`] owns; [`diff()`] says which
//! [`Step`]s lead from one to the other. Everything prints as iproute2 and nft would print it. Nothing here does
//! I/O, reads a clock or remembers what was done.

mod diff;
mod facts;
mod fdb;
mod flow;
pub mod ipsec;
mod link;
pub mod nft;
pub mod numbers;
mod plan;
mod route;
mod scope;
mod step;
mod sysctl;
mod wireguard;
mod world;

pub use diff::diff;
pub use facts::{HostFacts, LinkFacts};
pub use fdb::{FdbEntry, Neighbour};
pub use flow::{Flow, FlowRule};
pub use link::{Link, LinkKind, Veth, Vxlan};
pub use plan::{Alteration, Conflict, NodePlan, NodeState};
pub use route::{Route, RouteKey, RouteTarget, Rule, RuleSelector, TableId};
pub use scope::{Owner, RouteProtocol, Scope};
pub use step::Step;
pub use sysctl::{Sysctl, SysctlKey};
pub use wireguard::{Evidence, PeerEvidence, WireguardDevice, WireguardPeer};
pub use world::{Applied, StepFailure, World};

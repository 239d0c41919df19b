//! From what the gateway knows to the cables that it wants.
//!
//! [`accept()`] chooses the Endpoints that get a cable, a [`Cable`] driver turns them into the state of this node
//! and the [`Tunnel`]s in it. Everything here is a pure function of a [`GatewayView`]; what is wrong with one
//! Endpoint is a Problem beside the plan for all others. To add a driver, write one file and name it in
//! [`CABLES`]. Start with [`plan()`].

mod accept;
mod carrier;
mod driver;
mod families;
mod libreswan;
mod status;
mod tunnel;
mod view;
mod vxlan;
mod way;
mod wireguard;

pub use accept::{Accepted, accept};
pub use carrier::WireguardCarrier;
pub use driver::{CABLES, Cable, driver, plan};
pub use libreswan::{IpsecLocal, IpsecProof, LibreswanCable};
pub use status::{Probed, State, Status, Unprobed, unprobed};
pub use subm_peers::Claim;
pub use tunnel::{CablePlan, ProbeAddresses, Refused, Tunnel, TunnelPair};
pub use view::{GatewayView, InClear, Local};
pub use vxlan::VxlanCable;
pub use way::Way;
pub use wireguard::{WireguardCable, WireguardKeys};

//! From what other clusters publish to what of it is believed.
//!
//! What a peer publishes is input: [`accept()`] chooses one Endpoint of each cluster, leaves out whatever would take
//! traffic that is somebody else's, and says so in a [`subm_types::Problem`]. Gateways and route agents ask the same
//! question of different facts, so the answer is here once. It never looks at the kernel and knows no cable driver.

mod accept;
mod objection;
mod taken;
mod view;

pub use accept::{Peers, accept};
pub use view::{Claim, Host, View};

//! The vocabulary of the project: values that every layer speaks and that cannot be wrong once they exist.
//!
//! Strings end here: a [`ClusterId`], an [`IfName`] or a [`CidrSet`] is checked when it is made. Nothing in this
//! crate does I/O or knows Kubernetes or netlink. Start with [`endpoint`] (who a remote gateway is) and [`cidr`].

pub mod cidr;
pub mod cluster;
pub mod endpoint;
pub mod family;
pub mod interface;
pub mod key;
pub mod moment;
pub mod problem;
pub mod reach;
pub mod vtep;

pub use cidr::CidrSet;
pub use cluster::{ClusterId, ClusterUid, Epoch, HostName};
pub use endpoint::{Backend, CableId, CableName, Endpoint};
pub use family::{Family, PerFamily};
pub use interface::{IfName, MacAddress, Mtu};
pub use key::{IkeSecret, InvalidKey, PresharedKey, PrivateKey, PublicKey};
pub use moment::Moment;
pub use problem::{Planned, Problem};
pub use reach::Reach;
pub use vtep::{CableVtep, tunnel_networks};

//! The Linux kernel as a world to observe and to change: netlink and sysctl files.
//!
//! [`Kernel`] implements [`subm_plan::World`] for the network namespace of the thread that opens it. It finds what
//! an owner has by marks that live in the kernel (route protocol, link alias, table name), never by memory; what it
//! has read stays valid until the kernel says that something changed. [`Watcher`] tells when to look again. No
//! other program is ever started. Start with `kernel.rs`.

mod addresses;
mod conntrack;
mod error;
mod facts;
mod freshness;
mod kernel;
mod links;
mod neighbours;
mod netlink;
mod nft;
mod probe;
mod routes;
mod rules;
mod steps;
mod sysctls;
mod tun;
mod watcher;
mod wireguard;
mod xfrm;

pub use error::KernelError;
pub use kernel::Kernel;
pub use probe::{Capabilities, Capability, Lack};
pub use watcher::{Wake, Watcher};
pub use xfrm::Associations;

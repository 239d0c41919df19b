//! One concern of a node per file.

pub(crate) mod identity;
pub(crate) mod leak;
pub(crate) mod mss;
pub(crate) mod node_snat;
pub(crate) mod outside;
pub(crate) mod overlay_link;
pub(crate) mod remote_routes;
pub(crate) mod sysctls;
mod table;
pub(crate) mod unreachable;

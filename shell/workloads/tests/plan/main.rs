//! What the controllers plan, carried out on a cluster that is only data.

mod cluster;
mod daemons;
mod deployments;
mod namespaces;
mod services;

//! The workload controllers of clusters whose API is embedded: what kube-controller-manager and kube-scheduler do
//! there, as far as the playground and the tests need it.
//!
//! [`run`] watches a cluster and keeps a [`View`] of it; [`plan()`] makes of the view the [`Step`]s from what is there
//! to what should be: accounts and root certificates, Pods of `DaemonSets`, Deployments and `ReplicaSets`, nodes for Pods
//! that have none, EndpointSlices of Services. Each step is one request of an ordinary client. Nothing is remembered
//! between two plans but the view, and the answer to a write is part of it at once, so that no step is taken twice.
//!
//! Owners and namespaces are followed by the API server itself; statuses of Pods and Nodes are a kubelet's.

mod accounts;
mod budget;
mod daemons;
mod deployments;
mod object;
mod orphans;
mod placement;
mod plan;
mod replicas;
mod rollout;
mod run;
mod scheduler;
mod slices;
mod step;
mod template;
mod view;

pub use plan::{Plan, plan};
pub use run::run;
pub use step::{Step, Verb};
pub use view::{Kind, View};

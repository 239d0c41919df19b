//! A stand-in kubelet: it runs the Pods of one node as processes, each with exactly what its manifest says.
//!
//! [`Kubelet::run`] registers its node, keeps its Lease, and follows the Pods that are bound to it. A container is a
//! process of a program that the machine has ([`Image`]), started by a step in between ([`Cell::enter`]) that gives
//! it mounts, user and capabilities of its own. What the process does not have of a container: a root file system and
//! a PID namespace. What is not done (lifecycle hooks, gRPC probes, …) is said in the Pod's status.
//! [`Kubelet`] also answers for logs and `exec`.

mod api;
mod backoff;
mod cell;
mod children;
mod container;
mod environment;
mod exec;
mod log;
mod node;
mod pod;
mod probe;
mod refusal;
mod run;
mod settings;
mod state;
mod status;
mod volumes;

pub use backoff::Backoff;
pub use cell::{Cell, CellError};
pub use children::Children;
pub use run::{Container, Kubelet};
pub use settings::{Image, Sandbox, Sandboxes, Settings};

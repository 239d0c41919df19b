//! Joined clusters on one machine: nodes and pods are network namespaces, the daemons are real processes.
//!
//! `subctl playground up` starts a holder, which owns the playground's name and opens a world of its own
//! (`supervisor`); its child is the first process inside (`init`) and builds everything: wires (`world`), API
//! servers (`api`), a bridge CNI and a service proxy (`network`), workload controllers and kubelets (`workloads`), the
//! daemons as Pods (`daemon`). The command line asks it
//! over a socket (`control`) or enters its namespaces (`exec`). Nothing outside those namespaces is ever changed, and
//! the kernel takes all of it away when the holder ends, however it ends. Start with [`run`].

mod api;
mod check;
mod cli;
mod control;
mod daemon;
mod exec;
mod init;
mod log;
mod memory;
mod network;
mod progress;
mod sandbox;
mod settings;
mod status;
mod supervisor;
mod table;
mod topology;
mod workloads;
mod world;

pub use cli::run;

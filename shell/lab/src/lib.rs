//! Hosts that are network namespaces, wires between them, and traffic over the wires: the ground of the playground
//! and of the tests.
//!
//! [`Ground`] makes a process the first of a world of its own, [`Host`] is one namespace in it, `wire` joins hosts,
//! [`EchoServer`] answers in them, `traffic` asks from them and tells what came back as values, [`Watch`] sees what
//! passes a link. Nothing here touches the network of the machine outside, and everything is gone when the process
//! is. Start with [`Host`].

pub mod capability;
mod echo;
mod error;
mod ground;
mod host;
mod impairment;
mod nat;
pub mod traffic;
mod watch;
mod wire;

pub use echo::{ECHO_PORT, EchoServer};
pub use error::LabError;
pub use ground::{Ground, NETNS_DIR, STATE_DIR};
pub use host::Host;
pub use impairment::Impairment;
pub use nat::{Guarded, SourcePort, Transport};
pub use watch::{Search, SearchReport, Sighting, Suspect, Watch, payload_pattern};
pub use wire::Veth;

//! libreswan's IKE daemon as a world to observe and to change.
//!
//! [`Keeper`] is the thread that makes the daemon what an [`IpsecPlan`](subm_plan::ipsec::IpsecPlan) says and keeps it
//! so. It starts pluto where none answers, and leaves it running when it ends: tunnels outlive this process, which finds
//! its daemon again by the control socket. The only programs that are started are pluto itself, `whack`, by which pluto
//! is spoken to, and `certutil` for the database that pluto does not start without. They get no secret by their
//! arguments or environment. Start with `keeper.rs`.

mod arguments;
mod error;
mod keeper;
mod places;
mod pluto;
mod programs;

pub use error::IpsecError;
pub use keeper::{IpsecReport, Keeper, Settings};
pub use places::Places;

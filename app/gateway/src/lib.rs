//! The gateway daemon: publishes this cluster's end, keeps the cables to the others, says how they stand.
//!
//! It is wiring around pure decisions: `view` holds everything that is known and gives what follows from it,
//! `subm_cable` the cables, `status` how they stand. It never ends because of what others published, never undoes
//! what is in the kernel, and concludes nothing from objects that are absent before every list is complete.
//! Start with `wiring`.

mod carrier;
mod conditions;
mod discovery;
mod heartbeats;
mod home;
mod hub;
mod input;
mod ipsec;
mod kernel;
mod metrics;
mod node;
mod own_end;
mod public_address;
mod publish;
pub mod settings;
mod status;
mod uninstall;
mod view;
mod wireguard_keys;
mod wiring;

use anyhow::Context as _;

pub use settings::{Config, InvalidSettings, Settings};
pub use wiring::serve;

/// Runs until a signal asks for the end. What is in the kernel stays there.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    subm_runtime::telemetry::start(settings.verbosity()).context("logging cannot be started")?;
    let config = settings.check()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime cannot be started")?;
    runtime.block_on(async {
        let shutdown = subm_runtime::Shutdown::on_signal().context("signals cannot be heard")?;
        serve(config, shutdown).await
    })
}

//! The route agent: on every node, the way of its pods and processes to remote clusters, and none past it.
//!
//! Wiring around a pure plan: [`settings`] is what the daemon is told, `view` everything that it knows, `subm_route`
//! what follows, the converger of `subm_runtime` what makes the kernel so, `publish` what the node's RouteAgent says.
//! It never ends because of what others published, never undoes what is in the kernel, and concludes nothing from
//! objects that are absent before every list is complete. Start with `wiring`.

mod kernel;
mod metrics;
mod observed;
mod publish;
pub mod settings;
mod status;
mod sysctls;
mod view;
mod wiring;

use anyhow::Context as _;

use subm_kube::Access;
use subm_runtime::Shutdown;

pub use settings::{Arguments, InvalidSettings, Settings};
pub use wiring::serve;

/// Runs until a signal asks for the end. What is in the kernel stays there.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    subm_runtime::telemetry::start(arguments.how_verbose()).context("logging cannot be started")?;
    let settings = Settings::try_from(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime cannot be started")?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signal().context("signals cannot be heard")?;
        let home = Access::home(settings.kubeconfig.as_deref(), &settings.namespace).await?.connect()?;
        serve(settings, home, shutdown).await
    })
}

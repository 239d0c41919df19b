//! The stand-alone hub: the embedded API with everything that a clusterset needs to meet, in one process.
//!
//! [`settings`] is what the program is told, `folder` everything that it keeps (objects, keys, the administrator's
//! kubeconfig), `hub` the objects that every hub has, `serving` the process itself, `backup` and `member` the commands
//! beside it. It runs no controllers and follows no owner references. Start with `serving`.

mod backup;
mod folder;
mod hub;
mod member;
mod metrics;
mod serving;
pub mod settings;

use anyhow::Context as _;
use subm_runtime::{Shutdown, Verbosity};

pub use settings::{Arguments, InvalidSettings};

use settings::{Part, Settings};

/// Does what was asked for: serves until a signal asks for the end, or does one thing and ends.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let verbosity = Verbosity::from_settings(arguments.verbosity.as_deref(), arguments.debug.as_deref());
    subm_runtime::telemetry::start(verbosity).context("logging cannot be started")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the asynchronous runtime cannot be started")?;
    let part = arguments.part.clone();
    let settings = Settings::try_from(arguments)?;
    runtime.block_on(async {
        match part {
            None => {
                let shutdown = Shutdown::on_signal().context("signals cannot be heard")?;
                serving::serve(settings, shutdown).await
            }
            Some(Part::Backup { file }) => backup::make(&settings, &file).await,
            Some(Part::Restore { file }) => backup::restore(&settings, &file),
            Some(Part::Member { cluster }) => member::add(&settings, &cluster).await,
        }
    })
}

//! The IKE daemon of IPsec cables: its secret, its plan, its end.

use std::io;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use subm_ipsec::{IpsecReport, Keeper, Places, Settings};
use subm_plan::ipsec::IpsecPlan;
use subm_types::{Backend, IkeSecret};
use tokio::sync::{mpsc, watch};
use tracing::warn;

use crate::conditions::{Finding, Noticeboard};
use crate::input::Input;
use crate::settings::{Config, Psk, Task};
use crate::wireguard_keys::{PSK_SAFE, secret_text};

const RETRY: Duration = Duration::from_secs(2);
/// How often a mounted secret is read again.
const REREAD: Duration = Duration::from_secs(10);

/// Starts the thread that keeps the daemon in the network namespace of the caller.
pub(crate) fn start(config: &Config) -> io::Result<Keeper> {
    let places = Places::new(config.ipsec.directory.clone(), config.ipsec.log_file.clone());
    let dry_run = config.task == Task::DryRun;
    Keeper::start(Settings { places, debug: config.ipsec.debug, dry_run })
}

/// Hands plans on to the thread.
pub(crate) struct Hand {
    keeper: Keeper,
    driver: Backend,
    last: Option<IpsecPlan>,
}

impl Hand {
    pub(crate) const fn new(keeper: Keeper, driver: Backend) -> Self {
        Self { keeper, driver, last: None }
    }

    /// A daemon that is ours and belongs to a driver that was chosen before loses its connections; with another driver
    /// there is nothing else to keep.
    pub(crate) fn set_plan(&mut self, plan: IpsecPlan) {
        let changed = self.last.as_ref() != Some(&plan);
        if changed {
            let ended = self.driver != Backend::Libreswan;
            self.last = Some(plan.clone());
            if ended { self.keeper.retire() } else { self.keeper.set_plan(plan) }
        }
    }
}

/// Reads the secret that all clusters share, and follows it. A driver without IKE has no use for it.
pub(crate) async fn follow_secret(config: Config, (inputs, board): (mpsc::Sender<Input>, Noticeboard)) {
    if config.driver != Backend::Libreswan {
        return;
    }
    let mut known: Option<IkeSecret> = None;
    let mut said = String::new();
    loop {
        let pause = match secret(&config.psk) {
            Ok(secret) => {
                if known.as_ref() != Some(&secret) {
                    board.post(Finding::holds(PSK_SAFE, "AsExpected", ""));
                    known = Some(secret.clone());
                    // Fails only when the daemon ends.
                    drop(inputs.send(Input::IkeSecret(secret)).await);
                }
                said.clear();
                REREAD
            }
            // What was read before stays in use.
            Err(error) => {
                let what = format!("{error:#}");
                if what != said {
                    warn!(error = %what, "the secret of IPsec cables cannot be read, trying again");
                    board.post(Finding::fails(PSK_SAFE, "Unreadable", &what));
                }
                said = what;
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// COMPAT: the bytes of the text; of a mounted Secret the text is the base64 of what is in the file.
fn secret(psk: &Psk) -> anyhow::Result<IkeSecret> {
    let text = secret_text(psk)?.filter(|text| !text.is_empty()).context(
        "neither CE_IPSEC_PSK nor CE_IPSEC_PSKSECRET names a secret, and IPsec cables have none without; give every cluster the same Secret with a random text as CE_IPSEC_PSKSECRET",
    )?;
    Ok(IkeSecret::new(text.as_bytes().to_vec()))
}

/// Tells the loop since when the daemon runs: Go members call a server again when that changes.
pub(crate) async fn follow_daemon(mut report: watch::Receiver<IpsecReport>, inputs: mpsc::Sender<Input>) {
    let mut known = None;
    loop {
        let since = report.borrow_and_update().since;
        if since.is_some() && since != known {
            known = since;
            if inputs.send(Input::IkeSince(since)).await.is_err() {
                return;
            }
        }
        if report.changed().await.is_err() {
            return;
        }
    }
}

/// Ends the daemon and removes its files.
pub(crate) async fn shut_down(keeper: Keeper) -> anyhow::Result<()> {
    let ended = tokio::task::spawn_blocking(move || keeper.shut_down()).await;
    ended.context("the IKE daemon was not ended")?.map_err(|said| anyhow!("end the IKE daemon: {said}"))
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn the_secret_is_the_text_and_none_is_no_secret() {
        let text = |text: &str| Psk::Text(Zeroizing::new(text.to_owned()));
        assert_eq!(secret(&text("dGV4dA==")).unwrap().as_bytes(), b"dGV4dA==");
        for none in [Psk::Unset, Psk::Empty, text("")] {
            let said = secret(&none).unwrap_err().to_string();
            assert!(said.contains("CE_IPSEC_PSKSECRET"), "{said}");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("psk");
        std::fs::write(&path, "text").unwrap();
        assert_eq!(secret(&Psk::Mounted(path)).unwrap().as_bytes(), b"dGV4dA==");
    }
}

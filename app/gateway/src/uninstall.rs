//! The end of a member: everything that the gateway made goes, here and on the hub.

use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Node;
use subm_api::{Gateway, names};
use subm_ipsec::Keeper;
use subm_kube::{Connection, Key, Writer};
use subm_plan::NodePlan;
use subm_runtime::Converger;
use subm_sync::Publication;
use tokio::time::timeout;
use tracing::info;

use crate::conditions::Noticeboard;
use crate::home::MANAGER;
use crate::node::NodeSettings;
use crate::settings::Config;
use crate::{home, hub, ipsec, wireguard_keys};

/// The operator waits two minutes for the whole of it.
const PATIENCE: Duration = Duration::from_mins(1);

/// Removes the cables from the kernel, our Gateway, and what we published or copied.
pub(crate) async fn run(
    home: &Connection,
    config: &Config,
    (converger, keeper): (&Converger, &Keeper),
) -> anyhow::Result<()> {
    let generation = converger.set_plan(NodePlan::default());
    let mut report = converger.report();
    let gone = report.wait_for(|report| report.generation >= generation && report.converged);
    timeout(PATIENCE, gone)
        .await
        .context("the cables did not go in time")?
        .context("the kernel thread ended")?;
    ipsec::shut_down(keeper.clone()).await?;
    info!("the cables are gone");
    remove_gateway(home, config).await?;
    wireguard_keys::remove(home, config).await?;
    withdraw(home, config).await
}

async fn remove_gateway(home: &Connection, config: &Config) -> anyhow::Result<()> {
    let writer = Writer::new(home, MANAGER);
    let node: Option<Node> = writer.get(&Key::new("", &config.node_name)).await?;
    let Some(node) = node else { return Ok(()) };
    let name = names::gateway_object_name(&NodeSettings::of(&node).hostname.0);
    if let Some(gateway) = writer.get::<Gateway>(&Key::new(&config.namespace, name)).await? {
        writer.delete(&gateway).await?;
        info!("the Gateway object is gone");
    }
    Ok(())
}

async fn withdraw(home: &Connection, config: &Config) -> anyhow::Result<()> {
    let (board, _) = Noticeboard::new();
    let work = async {
        let uid = home::identity(home, &board).await;
        let connection = hub::connect(config, &board).await;
        let (sync, run) = hub::synchronise((&connection, home), config, uid);
        sync.publish(Publication::Withdraw);
        let mut state = sync.state();
        let settled = state.wait_for(|state| state.settled && state.connected_since.is_some());
        tokio::select! {
            () = run => bail!("the synchronisation ended"),
            settled = settled => settled.map(drop).context("the synchronisation ended"),
        }
    };
    timeout(PATIENCE, work)
        .await
        .context("our objects did not go in time; see the log for what refused")??;
    info!("our objects are gone, here and on the hub");
    Ok(())
}

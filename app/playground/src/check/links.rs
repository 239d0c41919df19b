//! Uplinks are as bad as they were asked to be.

use std::time::Duration;

use anyhow::bail;
use subm_lab::traffic::PingRun;

use super::Check;
use super::context::{Context, of};
use crate::topology::Cluster;

const LENGTH: Duration = Duration::from_secs(2);

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    let lossy = context.topology().clusters.iter().filter(|cluster| cluster.uplink.loss.0 > 0);
    let check = |cluster: &Cluster| {
        let name = cluster.name.clone();
        Check::new(format!("link/{name}/loss"), move |context| loss(context, context.cluster(&name)?))
    };
    lossy.map(check).collect()
}

/// From the cluster to the WAN's end of its uplink and back: each way loses its share.
fn loss(context: &Context<'_>, cluster: &Cluster) -> anyhow::Result<String> {
    let wire = f64::from(cluster.uplink.loss.0) / 100_000.0;
    let expected = 1.0 - (1.0 - wire).powi(2);
    let mut all = Vec::new();
    for family in cluster.families.list() {
        let target = of(cluster.wan_end(), family)?.addr();
        let pings = PingRun::start(context.host(&cluster.name)?, target, Duration::from_millis(1))?;
        std::thread::sleep(LENGTH);
        let report = pings.stop()?;
        let sent = f64::from(report.sent.max(1));
        let lost = f64::from(report.sent - report.received) / sent;
        // Four standard deviations of that many draws, and a packet that found no neighbour.
        let tolerance = 4.0 * (expected * (1.0 - expected) / sent).sqrt() + 2.0 / sent;
        let seen = format!("{:.2}% of {} lost there and back", lost * 100.0, report.sent);
        if (lost - expected).abs() > tolerance {
            bail!("{seen} in IP{family}, expected {:.2}%", expected * 100.0);
        }
        all.push(seen);
    }
    Ok(format!("{}, expected {:.2}%", all.join(" and "), expected * 100.0))
}

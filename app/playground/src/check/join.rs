//! From an Endpoint on the hub to the first packet: another cluster, of one gateway, comes and goes.

use std::time::{Duration, Instant};

use anyhow::bail;
use subm_lab::traffic;

use super::Check;
use super::context::{Context, Lane, PATIENCE, until_ok};
use super::member::{Claim, Member};
use super::visitor::{Visitor, visit};

const SAMPLES: u32 = 8;
const QUIET: Duration = Duration::from_millis(250);

pub(super) fn checks(context: &Context<'_>) -> Vec<Check> {
    // One way is enough: the visitor is the other end of all.
    let first = context.pairs().into_iter().next();
    let lanes = context.lanes().into_iter().filter(|lane| Some((lane.from, lane.to)) == first);
    let check = |lane: Lane<'_>| {
        let key = lane.key();
        Check::new(format!("join/endpoint-to-first-packet/{}", lane.family), move |context| {
            sample(context, context.lane(&key)?)
        })
    };
    lanes.map(check).collect()
}

fn sample(context: &Context<'_>, lane: Lane<'_>) -> anyhow::Result<String> {
    let visitor = Visitor::arrive(context, lane.family)?;
    let outcome = sample_with(context, lane, &visitor);
    visitor.leave()?;
    outcome
}

fn sample_with(context: &Context<'_>, lane: Lane<'_>, visitor: &Visitor) -> anyhow::Result<String> {
    let (pod, network) = visit(lane.family);
    let claim = Claim {
        uid: "00000000-0000-4000-8000-000000000200",
        gateway: Visitor::addresses(context),
        networks: vec![network.to_string()],
        public_key: visitor.public_key(),
    };
    let (host, _) = context.longest_way(lane)?;
    let reach = |limit| traffic::ping(host, pod, 56, limit);
    let mut times = Vec::new();
    for _ in 0..SAMPLES {
        let mut member = Member::join(context, "visitor")?;
        member.publish_cluster(&claim)?;
        // What follows another change within an instant is planned together with it: this is about one change.
        std::thread::sleep(QUIET);
        if reach(Duration::from_millis(20)).is_ok() {
            bail!("{pod} answers before its Endpoint is on the hub");
        }
        let start = Instant::now();
        member.publish_endpoint(&claim)?;
        until_ok(PATIENCE, || Ok(reach(Duration::from_millis(20))?))?;
        times.push(start.elapsed());
        drop(member);
        until_ok(PATIENCE, || match reach(Duration::from_millis(20)) {
            Ok(_) => bail!("{pod} still answers after its Endpoint is gone"),
            Err(_) => Ok(()),
        })?;
    }
    times.sort_unstable();
    let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
    Ok(format!("median {} ms, worst {} ms of {SAMPLES}", median.as_millis(), worst.as_millis()))
}

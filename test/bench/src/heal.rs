//! How soon what others delete is back.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use subm_kernel::Kernel;
use subm_lab::Host;
use subm_plan::{NodePlan, Scope, Step, World};

use crate::record::{Bound, Record};
use crate::samples::Samples;
use crate::{Bench, Programs};

pub(crate) const BENCH: Bench =
    Bench { name: "heal", about: "from the deletion of kernel state of ours to its return", run };

const ROUNDS: usize = 5;
const NODES: [&str; 4] = ["east-gateway", "east-worker", "west-gateway", "west-worker"];
const PATIENCE: Duration = Duration::from_secs(20);
const LIMIT: f64 = 1000.0;
/// Between two hits a daemon may come to rest.
const REST: Duration = Duration::from_millis(150);

/// One kind of state, and how somebody else takes all of it away from its owner.
struct Kind {
    name: &'static str,
    steps: fn(&Scope, &NodePlan) -> Vec<Step>,
}

const KINDS: [Kind; 6] = [
    Kind {
        name: "nft",
        steps: |scope, own| own.table.iter().map(|_| Step::DeleteTable(scope.table.clone())).collect(),
    },
    Kind {
        name: "routes",
        steps: |_, own| {
            own.routes.iter().map(|(key, route)| Step::DeleteRoute(*key, route.clone())).collect()
        },
    },
    Kind { name: "rules", steps: |_, own| own.rules.iter().cloned().map(Step::DeleteRule).collect() },
    Kind { name: "links", steps: |_, own| own.links.keys().cloned().map(Step::DeleteLink).collect() },
    Kind {
        name: "addresses",
        steps: |_, own| {
            own.addresses.iter().map(|(dev, net)| Step::DeleteAddress(dev.clone(), *net)).collect()
        },
    },
    Kind {
        name: "forwarding",
        steps: |_, own| {
            let fdb = own.fdb.iter().cloned().map(Step::DeleteFdb);
            fdb.chain(own.neighbours.iter().cloned().map(Step::DeleteNeighbour)).collect()
        },
    },
];

fn run(programs: &Programs) -> Result<Vec<Record>> {
    let playground = programs.playground(&[])?;
    let nodes = NODES.iter().map(|name| playground.host(name)).collect::<Result<Vec<Host>>>()?;
    let mut records = Vec::new();
    for kind in &KINDS {
        let mut times = Vec::new();
        for _ in 0..ROUNDS {
            for node in &nodes {
                let hit = node.enter(|| hit(kind.steps))?;
                times.extend(hit.with_context(|| format!("{} of {}", kind.name, node.name()))?);
                std::thread::sleep(REST);
            }
        }
        records.extend(report(kind.name, times)?);
    }
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        for node in &nodes {
            times.push(sysctl(node)?);
            std::thread::sleep(REST);
        }
    }
    records.extend(report("sysctls", times)?);
    playground.down()?;
    Ok(records)
}

fn report(kind: &str, times: Vec<Duration>) -> Result<[Record; 2]> {
    let samples = Samples::of_milliseconds(times).with_context(|| format!("there are no {kind}"))?;
    let target = format!("≤ 1 s, worst of {}", samples.len());
    Ok([
        Record::new(format!("heal/{kind}/median"), samples.median(), "ms"),
        Record::new(format!("heal/{kind}/max"), samples.max(), "ms").asks(Bound::AtMost(LIMIT), target),
    ])
}

/// Takes a kind of state from all owners at once and waits until all is as it was; nothing if there is none.
fn hit(steps: fn(&Scope, &NodePlan) -> Vec<Step>) -> Result<Option<Duration>> {
    let scopes = [Scope::gateway(), Scope::route_agent()];
    let before = picture(&scopes)?;
    let mut kernel = Kernel::open()?;
    let mut taken = 0;
    for (scope, own) in scopes.iter().zip(&before) {
        let steps = steps(scope, own);
        if !steps.is_empty() {
            taken += kernel.apply(scope, &steps).done;
        }
    }
    if taken == 0 {
        return Ok(None);
    }
    let start = Instant::now();
    while picture(&scopes)? != before {
        ensure!(start.elapsed() < PATIENCE, "it did not come back within {} s", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(Some(start.elapsed()))
}

fn picture(scopes: &[Scope]) -> Result<Vec<NodePlan>> {
    let mut kernel = Kernel::open()?;
    let mut look = |scope: &Scope| -> Result<NodePlan> {
        let mut own = kernel.observe(scope, &NodePlan::default())?.own;
        // The kernel may have chosen the hardware address: it chooses another the next time.
        own.links.values_mut().for_each(|link| link.mac = None);
        Ok(own)
    };
    scopes.iter().map(&mut look).collect()
}

/// Makes the overlay's source check strict and waits until it is loose again.
fn sysctl(node: &Host) -> Result<Duration> {
    const PATH: &str = "net/ipv4/conf/vx-submariner/rp_filter";
    let before = node.read_sysctl(PATH)?;
    if before == "1" {
        bail!("{} checks sources strictly on the overlay", node.name());
    }
    node.sysctl(PATH, "1")?;
    let start = Instant::now();
    while node.read_sysctl(PATH)? != before {
        ensure!(start.elapsed() < PATIENCE, "{PATH} did not come back");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(start.elapsed())
}

//! Everything that the project and the playground's CNI have in the kernel is taken away at once, and comes back.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use subm_e2e::{Playground, program, until};
use subm_kernel::Kernel;
use subm_lab::traffic::{UdpFlow, ping};
use subm_lab::{ECHO_PORT, Host};
use subm_plan::{NodePlan, Owner, RouteProtocol, Scope, Step, World};

const NODES: [&str; 4] = ["east-gateway", "east-worker", "west-gateway", "west-worker"];
const ANSWER: Duration = Duration::from_millis(500);

/// The daemons' scopes, and those of the playground's CNI and service proxy.
fn scopes() -> [Scope; 4] {
    [
        Scope::gateway(),
        Scope::route_agent(),
        Scope::of(Owner("playground-cni"), RouteProtocol(86), &["cni0"]),
        Scope::of(Owner("playground-proxy"), RouteProtocol(87), &[]),
    ]
}

/// What an owner has, without what the kernel chooses anew each time.
fn picture() -> Result<Vec<NodePlan>> {
    let mut kernel = Kernel::open()?;
    let mut look = |scope: &Scope| -> Result<NodePlan> {
        let mut own = kernel.observe(scope, &NodePlan::default())?.own;
        own.links.values_mut().for_each(|link| link.mac = None);
        Ok(own)
    };
    scopes().iter().map(&mut look).collect()
}

/// Steps that take everything away: what hangs on a link goes first, so that each kind is hit by itself.
fn all_of(scope: &Scope, own: &NodePlan) -> Vec<Step> {
    let mut steps: Vec<Step> = own.table.iter().map(|_| Step::DeleteTable(scope.table.clone())).collect();
    steps.extend(own.routes.iter().map(|(key, route)| Step::DeleteRoute(*key, route.clone())));
    steps.extend(own.rules.iter().cloned().map(Step::DeleteRule));
    steps.extend(own.neighbours.iter().cloned().map(Step::DeleteNeighbour));
    steps.extend(own.fdb.iter().cloned().map(Step::DeleteFdb));
    steps.extend(own.addresses.iter().map(|(dev, net)| Step::DeleteAddress(dev.clone(), *net)));
    steps.extend(own.links.keys().cloned().map(Step::DeleteLink));
    steps
}

fn destroy(before: &[NodePlan]) -> Result<()> {
    let mut kernel = Kernel::open()?;
    for (scope, own) in scopes().iter().zip(before) {
        let steps = all_of(scope, own);
        let done = kernel.apply(scope, &steps).done;
        ensure!(steps.is_empty() || done > 0, "nothing of {} could be taken away", scope.owner);
    }
    Ok(())
}

fn counted(playground: &Playground, place: &str, port: u16) -> Result<u64> {
    // Ordinary shells have no HTTP: the program that does is the test's own.
    let node = playground.host(&place.replace('/', "-"))?;
    let ask = move || -> Result<String> {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = node.enter(ask)??;
    let lines = text.lines().filter(|line| line.starts_with("submariner_drift_repaired_total{"));
    Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum())
}

#[test]
fn everything_deleted_at_once_comes_back_and_flows_show_their_own_source() -> Result<()> {
    let playground = Playground::up(&program("subctl")?, &["--pods", "1"])?;
    let nodes = NODES.iter().map(|name| playground.host(name)).collect::<Result<Vec<Host>>>()?;
    let pod = playground.host("east-worker-pod-1")?;
    let far: SocketAddr = (Ipv4Addr::new(10, 2, 1, 2), ECHO_PORT).into();
    let flow = UdpFlow::open(&pod, far)?;
    let own_source = || -> Result<()> {
        let echoed = flow.ask(100, ANSWER)?;
        ensure!(echoed.source_kept(), "{} is seen as {}", echoed.own.ip(), echoed.seen_as.ip());
        Ok(())
    };
    until("a flow runs", own_source)?;
    let drift = || -> Result<u64> {
        let agents = ["east/gateway", "east/worker", "west/gateway", "west/worker"];
        let agents = agents.iter().map(|place| counted(&playground, place, 32782));
        let gateways =
            ["east/gateway", "west/gateway"].iter().map(|place| counted(&playground, place, 32780));
        agents.chain(gateways).sum()
    };
    let drift_before = drift()?;

    let before = nodes.iter().map(|node| node.enter(picture)?).collect::<Result<Vec<_>>>()?;
    let objects: usize = before.iter().flatten().map(|own| own.routes.len() + own.links.len()).sum();
    ensure!(objects > 10, "there is hardly anything to take away: {objects}");
    for (node, before) in nodes.iter().zip(&before) {
        node.enter(|| destroy(before))?.with_context(|| node.name().to_owned())?;
    }
    for (node, before) in nodes.iter().zip(&before) {
        until("everything is back", || {
            for ((scope, now), before) in scopes().iter().zip(node.enter(picture)??).zip(before) {
                ensure!(now == *before, "{} on {}: it is\n{now}it was\n{before}", scope.owner, node.name());
            }
            Ok(())
        })?;
    }
    until("the flow shows its own source again", own_source)?;
    until("another ping passes", || Ok(ping(&pod, Ipv4Addr::new(10, 2, 0, 2), 56, ANSWER)?))?;
    until("drift is counted", || {
        let now = drift()?;
        ensure!(now > drift_before, "{now} as before");
        Ok(())
    })?;
    playground.down()
}

//! Two clusters of one node each and a hub, with API servers in the test's own process, or real ones.

mod api;
mod member;

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use subm_apiserver::Link;
use subm_lab::{EchoServer, Ground, Host, traffic};
use subm_servers::{Servers, Which};

pub use api::{Api, Condition};
pub use member::Member;

use crate::{Kind, until};

/// Where Submariner runs.
pub const OPERATOR_NAMESPACE: &str = "submariner-operator";
/// Where members meet on the hub.
pub const BROKER_NAMESPACE: &str = "submariner-k8s-broker";

const SWITCH: &str = "lan0";
const MTU: u32 = 1500;
const HUB: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 2);

/// The clusters and their hub. Daemons are started by the test.
#[derive(Debug)]
pub struct Clusterset {
    /// The hub's API.
    pub hub: Api,
    /// The first cluster: pods 10.1.0.0/16, services 100.65.0.0/16.
    pub east: Member,
    /// The second cluster: pods 10.2.0.0/16, services 100.66.0.0/16.
    pub west: Member,
    wan: Host,
    _echo: EchoServer,
    _servers: Servers,
}

/// What is wrong with the way to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outage {
    /// Connections are reset and new ones refused.
    Refuses,
    /// Its wire is cut: nothing comes back.
    CutOff,
    /// Nothing any more.
    Over,
}

impl Clusterset {
    /// Makes it in namespaces of the calling thread's own.
    pub fn new() -> Result<Self> {
        let servers = Servers::new()?;
        Ground::of_thread()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(Self::lay(servers))
    }

    async fn lay(servers: Servers) -> Result<Self> {
        let wan = Host::create("wan").await?;
        wan.add_bridge(SWITCH, MTU).await?;
        let echo = EchoServer::start()?;
        let hub = Host::create("hub").await?;
        plug(&hub, &wan, HUB).await?;
        let hub = Api::start(&servers, Which::Hub, (&hub, HUB), BROKER_NAMESPACE)?;
        let [east, west] = [("east", 1, Which::East), ("west", 2, Which::West)];
        let east = Member::lay(&servers, east, &wan, &hub).await?;
        let west = Member::lay(&servers, west, &wan, &hub).await?;
        for member in [&east, &west] {
            echo.serve(&member.pod)?;
        }
        Ok(Self { hub, east, west, wan, _echo: echo, _servers: servers })
    }

    /// Starts all daemons of both clusters with good settings and waits until pods reach each other.
    pub fn join(&mut self) -> Result<()> {
        for member in [&mut self.east, &mut self.west] {
            for kind in [Kind::Gateway, Kind::RouteAgent] {
                member.start(kind, &[])?;
            }
        }
        until("pods of the two clusters reach each other", || self.works())
    }

    /// A new credential of a member on the hub.
    pub fn member_token(hub: &Api, cluster: &str) -> Result<String> {
        hub.grant_member(cluster)
    }

    /// Pods of the two clusters reach each other and see each other's own addresses.
    pub fn works(&self) -> Result<()> {
        for (near, far) in [(&self.east, &self.west), (&self.west, &self.east)] {
            let echoed = traffic::udp(&near.pod, far.echo(), 100, Duration::from_millis(300))?;
            ensure!(echoed.source_kept(), "{} is seen as {}", echoed.own.ip(), echoed.seen_as.ip());
        }
        Ok(())
    }

    /// Takes the hub away or gives it back.
    pub fn hub_is(&self, outage: Outage) -> Result<()> {
        let faults = self.hub.faults();
        faults.set_link(if outage == Outage::Refuses { Link::Refused } else { Link::Up });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let netlink = self.wan.netlink()?;
            let port = "hub";
            let changed = match outage {
                Outage::CutOff => netlink.set_link_down(port).await,
                Outage::Refuses | Outage::Over => netlink.set_link_up(port).await,
            };
            changed.context("the hub's wire")
        })
    }

    /// What every daemon said so far, for the message of a failure.
    pub fn logs(&self) -> String {
        [&self.east, &self.west].map(Member::logs).concat()
    }
}

/// Gives a host an uplink to the switch, with an address there.
async fn plug(host: &Host, switch: &Host, address: Ipv4Addr) -> Result<()> {
    let port = host.name().to_owned();
    subm_lab::Veth { here: (host, "eth0"), there: (switch, &port), mtu: MTU }.lay().await?;
    switch.attach(&port, SWITCH).await?;
    host.add_address("eth0", format!("{address}/24").parse()?).await?;
    Ok(())
}

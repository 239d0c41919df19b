//! What is between a gateway and the underlay.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::json;
use subm_lab::{Guarded, Host, SourcePort, Transport, Veth};
use subm_types::{Backend, Family};

use super::{Gateway, Ground, HOME, Member, UNDERLAY, UNDERLAY6, underlay_address, underlay_address6};

/// The inner side of a box, and the gateway behind it; each cluster has a LAN of its own.
fn inside(cluster: &str, host: u8) -> (Ipv4Addr, Ipv6Addr) {
    let second = super::second(cluster);
    let segment = u16::from(second);
    (
        Ipv4Addr::new(192, 168, 70 + second, host),
        Ipv6Addr::new(0xfd77, segment, 0, 0, 0, 0, 0, u16::from(host)),
    )
}

/// The address of a load balancer, which is not that of what leaves.
fn balancer(cluster: &str) -> (Ipv4Addr, Ipv6Addr) {
    (underlay_address(cluster, 9), underlay_address6(cluster, 9))
}

/// The ports of cables and of NAT discovery.
const PORTS: [u16; 2] = [4500, 4490];

/// What is between a gateway and the underlay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    Nothing,
    /// A NAT that leads the ports of cables and of NAT discovery to the gateway.
    PortForward,
    /// A NAT that draws source ports and lets nobody in.
    RandomMasquerade,
    /// A firewall that lets in answers, and what comes to these UDP ports.
    Firewall(&'static [u16]),
    /// A load balancer that leads the ports to the gateway, with a NAT beside it by which packets leave.
    LoadBalancer,
}

impl Ground {
    /// A gateway of this driver behind something.
    pub(crate) fn gateway_behind(
        &self,
        cluster: &'static str,
        families: &'static [Family],
        (driver, behind): (&Backend, Behind),
    ) -> Gateway {
        let member = Member { home: cluster, cluster, number: 1, families, behind };
        let mut gateway = self.wired(member, &json!({}), |_| {});
        gateway.config.driver = driver.clone();
        let (four, six) = (underlay_address(cluster, 1), underlay_address6(cluster, 1));
        gateway.config.public_ip = match behind {
            Behind::Nothing | Behind::Firewall(_) => String::new(),
            Behind::PortForward | Behind::RandomMasquerade => format!("ipv4:{four},ipv6:{six}"),
            Behind::LoadBalancer => {
                let (four, six) = balancer(cluster);
                let ingress = json!([{"ip": four.to_string()}, {"ip": six.to_string()}]);
                let service = json!({
                    "apiVersion": "v1", "kind": "Service",
                    "metadata": {"name": "submariner-gateway", "namespace": HOME},
                    "spec": {"type": "LoadBalancer", "ports": [{"port": 4500, "protocol": "UDP"}]},
                    "status": {"loadBalancer": {"ingress": ingress}}
                });
                self.home(cluster).objects().create(service.clone()).unwrap();
                let mut given =
                    self.home(cluster).objects().get("services", HOME, "submariner-gateway").unwrap();
                given["status"] = service["status"].clone();
                self.home(cluster).objects().replace_status(given).unwrap();
                "lb:submariner-gateway".to_owned()
            }
        };
        gateway.config.nat_enabled = matches!(behind, Behind::PortForward | Behind::RandomMasquerade);
        gateway.start();
        gateway
    }

    /// Connects a gateway to the underlay, by way of what is between.
    pub(super) async fn connect(&self, host: &Host, member: Member) {
        if member.behind == Behind::Nothing {
            self.plug_in(host, member).await;
        } else {
            self.hide(host, member).await;
        }
    }

    /// Connects a host to the underlay under the addresses of a member.
    async fn plug_in(&self, host: &Host, member: Member) {
        let port = format!("p-{}", member.node());
        Veth { here: (host, "eth0"), there: (&self.underlay, &port), mtu: 1500 }.lay().await.unwrap();
        self.underlay.attach(&port, "br0").await.unwrap();
        let outside = underlay_address(member.cluster, member.number);
        host.add_address("eth0", format!("{outside}/24").parse().unwrap()).await.unwrap();
        host.add_route("0.0.0.0/0".parse().unwrap(), UNDERLAY).await.unwrap();
        if member.families.contains(&Family::V6) {
            let outside = underlay_address6(member.cluster, member.number);
            host.add_address("eth0", format!("{outside}/64").parse().unwrap()).await.unwrap();
            host.add_route("::/0".parse().unwrap(), UNDERLAY6).await.unwrap();
        }
    }

    /// Puts a box between a host and the underlay, which has the member's addresses.
    async fn hide(&self, host: &Host, member: Member) {
        let between = Host::create(&format!("box-{}", member.cluster)).await.unwrap();
        self.plug_in(&between, member).await;
        lay_lan(host, &between, member).await;
        between.forward_packets().unwrap();
        match member.behind {
            Behind::Nothing => {}
            Behind::Firewall(open) => self.guard(&between, member, open).await,
            Behind::RandomMasquerade => translate(&between, SourcePort::Random).await,
            Behind::PortForward => {
                translate(&between, SourcePort::Kept).await;
                lead_in(&between, member).await;
            }
            Behind::LoadBalancer => {
                add_balancer(&between, member).await;
                translate(&between, SourcePort::Random).await;
                lead_in(&between, member).await;
            }
        }
    }

    /// Lets the box guard a network that everybody knows the way to.
    async fn guard(&self, between: &Host, member: Member, open: &[u16]) {
        let (four, six) = inside(member.cluster, 0);
        self.underlay.forward_packets().unwrap();
        let by = underlay_address(member.cluster, member.number);
        self.underlay.add_route(format!("{four}/24").parse().unwrap(), by).await.unwrap();
        if member.families.contains(&Family::V6) {
            let by = underlay_address6(member.cluster, member.number);
            self.underlay.add_route(format!("{six}/64").parse().unwrap(), by).await.unwrap();
            between.firewall_with_ports("eth0", Guarded::Ipv6, open).await.unwrap();
        }
        // A gateway of IPv6 alone has its cable there; its way to the API is not what is guarded.
        if member.families.contains(&Family::V4) {
            between.firewall_with_ports("eth0", Guarded::Ipv4, open).await.unwrap();
        }
    }
}

/// Lays the wire between a gateway and the box in front of it.
async fn lay_lan(host: &Host, between: &Host, member: Member) {
    let (ours, theirs) = (inside(member.cluster, 1), inside(member.cluster, 2));
    Veth { here: (host, "eth0"), there: (between, "lan0"), mtu: 1500 }.lay().await.unwrap();
    for (host, link, addresses) in [(between, "lan0", ours), (host, "eth0", theirs)] {
        give(host, link, addresses, member).await;
    }
    host.add_route("0.0.0.0/0".parse().unwrap(), ours.0).await.unwrap();
    if member.families.contains(&Family::V6) {
        host.add_route("::/0".parse().unwrap(), ours.1).await.unwrap();
    }
}

/// Gives a link addresses of the member's families; IPv4 is the way to the APIs too.
async fn give(host: &Host, link: &str, (four, six): (Ipv4Addr, Ipv6Addr), member: Member) {
    host.add_address(link, format!("{four}/24").parse().unwrap()).await.unwrap();
    if member.families.contains(&Family::V6) {
        host.add_address(link, format!("{six}/64").parse().unwrap()).await.unwrap();
    }
}

async fn add_balancer(between: &Host, member: Member) {
    give(between, "eth0", balancer(member.cluster), member).await;
}

async fn translate(between: &Host, port: SourcePort) {
    between.masquerade("eth0", port).await.unwrap();
    between.masquerade6("eth0", port).await.unwrap();
}

async fn lead_in(between: &Host, member: Member) {
    let (four, six) = inside(member.cluster, 2);
    for port in PORTS {
        between.forward_port("eth0", (Transport::Udp, port), (four, port).into()).await.unwrap();
    }
    if member.families.contains(&Family::V6) {
        for port in PORTS {
            let name = (Transport::Udp, port);
            between.forward_port("eth0", name, (six, port).into()).await.unwrap();
        }
    }
}

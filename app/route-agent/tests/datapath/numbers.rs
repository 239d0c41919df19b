//! The addresses of the site in either family.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use subm_lab::{ECHO_PORT, Suspect};
use subm_types::Family;

/// The addresses of one family.
#[derive(Clone, Copy)]
pub(crate) struct Numbers {
    pub(crate) family: Family,
    pub(crate) worker: &'static str,
    pub(crate) gateway: &'static str,
    pub(crate) pods: &'static str,
    pub(crate) services: &'static str,
    pub(crate) pod: &'static str,
    pub(crate) worker_cni: &'static str,
    pub(crate) gateway_cni: &'static str,
    pub(crate) cable: &'static str,
    pub(crate) remote: &'static str,
    pub(crate) remote_pods: &'static str,
    pub(crate) remote_services: &'static str,
    pub(crate) remote_gateway: &'static str,
    pub(crate) node_bits: u8,
    pub(crate) pod_bits: u8,
}

impl Numbers {
    pub(crate) const V4: Self = Self {
        family: Family::V4,
        worker: "172.18.0.3",
        gateway: "172.18.0.2",
        pods: "10.1.0.0/16",
        services: "100.1.0.0/16",
        pod: "10.1.1.2",
        worker_cni: "10.1.1.1",
        gateway_cni: "10.1.0.1",
        cable: "10.2.0.9",
        remote: "10.2.0.5",
        remote_pods: "10.2.0.0/16",
        remote_services: "100.2.0.0/16",
        remote_gateway: "172.19.0.2",
        node_bits: 24,
        pod_bits: 24,
    };
    pub(crate) const V6: Self = Self {
        family: Family::V6,
        worker: "fd18::a:3",
        gateway: "fd18::a:2",
        pods: "fd01::/48",
        services: "fd01:100::/112",
        pod: "fd01:0:0:1::2",
        worker_cni: "fd01:0:0:1::1",
        gateway_cni: "fd01::1",
        cable: "fd02::9",
        remote: "fd02::5",
        remote_pods: "fd02::/48",
        remote_services: "fd02:100::/112",
        remote_gateway: "fd19::2",
        node_bits: 64,
        pod_bits: 64,
    };

    /// What a remote pod answers on.
    pub(crate) fn echo(&self) -> SocketAddr {
        SocketAddr::new(self.remote_pod(), ECHO_PORT)
    }

    pub(crate) fn remote_pod(&self) -> IpAddr {
        self.remote.parse().unwrap()
    }

    /// Packets to the remote cluster.
    pub(crate) fn suspect(&self) -> Suspect {
        Suspect { src: None, dst: Some(self.remote_pods.parse().unwrap()) }
    }

    pub(crate) fn all_of(&self) -> &'static str {
        if self.family == Family::V4 { "0.0.0.0/0" } else { "::/0" }
    }

    pub(crate) fn node(&self, address: &str) -> IpNet {
        IpNet::new(address.parse().unwrap(), self.node_bits).unwrap()
    }

    pub(crate) fn pod_net(&self, address: &str) -> IpNet {
        IpNet::new(address.parse().unwrap(), self.pod_bits).unwrap()
    }
}

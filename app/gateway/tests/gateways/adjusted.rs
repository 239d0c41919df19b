//! Gateways with settings of their own.

use serde_json::{Value, json};
use subm_lab::{Host, Suspect, Watch};
use subm_types::Family;
use submariner_gateway::Config;

use super::{Behind, Gateway, Ground, Member, underlay_address};

impl Ground {
    /// A gateway of a cluster with this Node annotation, after its settings were changed.
    pub(crate) fn gateway_with(
        &self,
        cluster: &'static str,
        annotations: &Value,
        adjust: impl FnOnce(&mut Config),
    ) -> Gateway {
        let families = &[Family::V4];
        let member = Member { home: cluster, cluster, number: 1, families, behind: Behind::Nothing };
        self.adjusted(member, annotations, adjust)
    }

    /// A gateway of a cluster whose pods have both families, after its settings were changed.
    pub(crate) fn dual_gateway_with(
        &self,
        cluster: &'static str,
        adjust: impl FnOnce(&mut Config),
    ) -> Gateway {
        let families = &Family::ALL;
        let member = Member { home: cluster, cluster, number: 1, families, behind: Behind::Nothing };
        self.adjusted(member, &json!({}), adjust)
    }

    /// A gateway behind a port forward, after its settings were changed.
    pub(crate) fn hidden_gateway_with(
        &self,
        cluster: &'static str,
        adjust: impl FnOnce(&mut Config),
    ) -> Gateway {
        let behind = Behind::PortForward;
        let member = Member { home: cluster, cluster, number: 1, families: &[Family::V4], behind };
        let public = format!("ipv4:{}", underlay_address(cluster, 1));
        self.adjusted(member, &json!({}), |config| {
            config.public_ip = public;
            adjust(config);
        })
    }

    fn adjusted(&self, member: Member, annotations: &Value, adjust: impl FnOnce(&mut Config)) -> Gateway {
        let mut gateway = self.wired(member, annotations, |_| {});
        gateway.config.ipsec.directory = self.files.path().join(format!("{}.ipsec", member.node()));
        adjust(&mut gateway.config);
        gateway.start();
        gateway
    }

    /// Packets that pass the underlay and are not wrapped, until the watch is stopped.
    pub(crate) fn watch_for(&self, suspects: &[Suspect]) -> Watch {
        self.runtime.block_on(Watch::start(&self.underlay, "br0", suspects)).unwrap()
    }
}

impl Gateway {
    /// Where it runs.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// Where the files of its IKE daemon are.
    pub(crate) fn ipsec_directory(&self) -> &std::path::Path {
        &self.config.ipsec.directory
    }
}

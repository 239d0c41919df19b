//! What a person should know about a node, as Kubernetes conditions say it.

use subm_types::Family;

use crate::{Feature, NetworkPlugin, Overlay, Role, Situation};

/// A condition of the node (`metav1.Condition` without its times).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// The type.
    pub kind: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// A CamelCase word.
    pub reason: &'static str,
    /// A sentence.
    pub message: String,
}

impl Condition {
    fn good(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, holds: true, reason, message: message.into() }
    }

    fn bad(kind: &'static str, reason: &'static str, message: impl Into<String>) -> Self {
        Self { kind, holds: false, reason, message: message.into() }
    }
}

pub(crate) fn conditions(now: &Situation<'_>) -> Vec<Condition> {
    vec![cni(now), plugin(now), gateway(now), overlay(now), endpoints(now), kernel(now)]
}

fn cni(now: &Situation<'_>) -> Condition {
    const KIND: &str = "CNIInterfaceFound";
    let missing: Vec<String> = now
        .local_families()
        .filter(|family| now.cni.get(*family).is_none())
        .map(|family| now.view.cluster_cidrs.of(family).to_string())
        .collect();
    if now.view.cluster_cidrs.is_empty() {
        let message = "no cluster CIDR is configured; set SUBMARINER_CLUSTERCIDR";
        return Condition::bad(KIND, "NoClusterCIDR", message);
    }
    if !missing.is_empty() {
        let message = format!(
            "no interface of this node has an address in {}: processes of the node reach remote pods only once the \
             network plug-in has made one, or the cluster CIDR is put right",
            missing.join(", ")
        );
        return Condition::bad(KIND, "InterfaceNotFound", message);
    }
    let found: Vec<String> =
        now.cni.iter().map(|(_, cni)| format!("{} on {}", cni.address, cni.link)).collect();
    Condition::good(KIND, "InterfaceFound", found.join(", "))
}

fn plugin(now: &Situation<'_>) -> Condition {
    const KIND: &str = "NetworkPluginSupported";
    match &now.view.plugin {
        NetworkPlugin::Known(name) => Condition::good(KIND, "Known", *name),
        NetworkPlugin::Unknown(name) => Condition::bad(
            KIND,
            "UnknownNetworkPlugin",
            format!(
                "network plug-in {name:?} is not known and treated like generic; known are {}",
                NetworkPlugin::KNOWN.join(", ")
            ),
        ),
    }
}

fn gateway(now: &Situation<'_>) -> Condition {
    const KIND: &str = "GatewayFound";
    match (&now.role, &now.remotes.local) {
        (Role::Gateway, _) => Condition::good(KIND, "ThisNode", "this node is the active gateway"),
        (Role::Worker { gateway }, _) => Condition::good(KIND, "OtherNode", format!("node {gateway}")),
        (Role::NoGateway, Some(local)) => Condition::bad(
            KIND,
            "UnknownGatewayNode",
            format!(
                "Endpoint {} field spec.hostname: no node of this cluster is called {:?}; label the node \
                 kubernetes.io/hostname={0}",
                local.object, local.hostname.0
            ),
        ),
        (Role::NoGateway, None) => Condition::bad(
            KIND,
            "NoEndpoint",
            "this cluster has no Endpoint: label a node submariner.io/gateway=true and see that its gateway runs",
        ),
    }
}

fn overlay(now: &Situation<'_>) -> Condition {
    const KIND: &str = "OverlayPlanned";
    match &now.overlay {
        Ok(overlay) => Condition::good(KIND, "Planned", overlay_message(overlay)),
        Err(reason) => Condition::bad(KIND, reason.word(), reason.to_string()),
    }
}

fn overlay_message(overlay: &Overlay) -> String {
    let mut message = format!("{} peers over {}", overlay.peers.len(), overlay.uplink);
    if !overlay.left_out.is_empty() {
        let names: Vec<String> = overlay.left_out.iter().map(ToString::to_string).collect();
        let left = format!("; without an InternalIP of the others' family: {}", names.join(", "));
        message.push_str(&left);
    }
    if let Some(inside) = overlay.route_mtu(Family::V6) {
        let small =
            format!("; the MTU of {} leaves {inside} bytes: larger IPv6 datagrams are lost", overlay.uplink);
        message.push_str(&small);
    }
    message
}

fn endpoints(now: &Situation<'_>) -> Condition {
    const KIND: &str = "EndpointsAccepted";
    let mut problems = now.view.unreadable.iter().chain(&now.remotes.problems);
    let Some(first) = problems.next() else {
        let message = format!("{} remote clusters", now.remotes.followed.len());
        return Condition::good(KIND, "AllAccepted", message);
    };
    let all: Vec<String> = std::iter::once(first).chain(problems).map(ToString::to_string).collect();
    Condition::bad(KIND, first.reason, all.join(". "))
}

fn kernel(now: &Situation<'_>) -> Condition {
    const KIND: &str = "KernelSupported";
    if now.view.missing.is_empty() {
        return Condition::good(KIND, "AllFeatures", "the kernel has everything that is used");
    }
    let lack = |(feature, needs): (&Feature, &String)| format!("{} ({needs})", effect(*feature));
    let all: Vec<String> = now.view.missing.iter().map(lack).collect();
    Condition::bad(KIND, "MissingFeature", all.join(". "))
}

const fn effect(feature: Feature) -> &'static str {
    match feature {
        Feature::Vxlan => "no VXLAN: pods of this node reach remote clusters only while it is the gateway",
        Feature::PacketFilter => {
            "no nftables: sources are not kept, segment sizes not limited, and only routes stop leaks"
        }
        Feature::Nat => {
            "no NAT in nftables: the network plug-in may rewrite the source of cross-cluster packets"
        }
        Feature::MssClamp => "segment sizes are not limited: large TCP packets depend on path MTU discovery",
    }
}

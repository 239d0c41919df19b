//! Everything that the gateway knows, and what follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use subm_api::{Claims, ClusterSpec, EndpointSpec};
use subm_cable::{CablePlan, Claim, GatewayView, Local, Way, WireguardKeys};
use subm_plan::ipsec::IpsecPlan;
use subm_plan::{HostFacts, NodePlan};
use subm_probe::public_address::Answers;
use subm_sync::{Publication, Published, PublishedEndpoint, Snapshot, Takeover};
use subm_types::{
    CableId, ClusterId, ClusterUid, Endpoint, HostName, IkeSecret, PerFamily, Planned, Problem,
};

use crate::conditions::Finding;
use crate::node::NodeSettings;
use crate::own_end;
use crate::public_address::{self, Known, Wanted};
use crate::settings::Config;

/// Whether this gateway is the active one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Leadership {
    /// It is not known yet, or not any more.
    #[default]
    Unknown,
    /// We hold the lease.
    Ours,
    /// Another one holds it.
    Others,
}

/// Everything that can influence what the gateway does.
#[derive(Debug, Clone)]
pub(crate) struct View {
    /// The settings.
    pub(crate) config: Config,
    /// The host's network.
    pub(crate) facts: Option<HostFacts>,
    /// The Node object.
    pub(crate) node: Option<NodeSettings>,
    /// The UID of `kube-system`.
    pub(crate) uid: Option<ClusterUid>,
    /// The objects at home, once every kind was listed in full.
    pub(crate) home: Option<Arc<Snapshot>>,
    /// The takeover with the highest epoch, here or on the hub.
    pub(crate) latest_takeover: Option<Takeover>,
    /// The lease.
    pub(crate) leadership: Leadership,
    /// The keys of WireGuard cables.
    pub(crate) wireguard: Option<WireguardKeys>,
    /// The secret by which ends of IPsec cables know each other.
    pub(crate) ike_secret: Option<IkeSecret>,
    /// Since when the IKE daemon runs, in Unix seconds.
    pub(crate) ike_since: Option<i64>,
    /// What the kernel lacks.
    pub(crate) missing: Vec<Problem>,
    /// How others are reached, as far as it was found out.
    pub(crate) ways: BTreeMap<CableId, Way>,
    /// What keeps that from being found out.
    pub(crate) discovery: Vec<Problem>,
    /// How others were reached before this process began; absent until that was read.
    pub(crate) last_ways: Option<BTreeMap<CableId, Way>>,
    /// What was said of our public address.
    pub(crate) answers: Answers,
    /// The addresses of the uplink when they were last known: a default route that is away for a moment must not
    /// take the gateway's name away.
    uplink: PerFamily<std::net::IpAddr>,
}

/// What becomes of the cables.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cables {
    /// Nothing changes: something is not known yet, or what stands is better than nothing.
    Hold,
    /// These.
    Keep(Box<CablePlan>),
    /// None: another gateway of this cluster has taken over.
    HandOver,
}

/// What follows from a view.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    /// The cables.
    pub(crate) cables: Cables,
    /// What is published.
    pub(crate) publication: Publication,
    /// Our end, as far as it is known.
    pub(crate) own_end: Option<EndpointSpec>,
    /// Remote Endpoints as they were published, by name.
    pub(crate) remotes: BTreeMap<String, EndpointSpec>,
    /// What is wrong.
    pub(crate) problems: Vec<Problem>,
}

impl Outcome {
    /// What the IKE daemon keeps, if that is to change.
    pub(crate) fn ipsec_plan(&self) -> Option<IpsecPlan> {
        match &self.cables {
            Cables::Hold => None,
            Cables::Keep(plan) => Some(plan.ipsec.clone()),
            Cables::HandOver => Some(IpsecPlan::default()),
        }
    }

    /// The state of the node, if it is to change.
    pub(crate) fn node_plan(&self) -> Option<NodePlan> {
        match &self.cables {
            Cables::Hold => None,
            Cables::Keep(plan) => Some(plan.node.clone()),
            Cables::HandOver => Some(NodePlan::default()),
        }
    }
}

/// The objects at home after they were checked.
struct Checked {
    endpoints: Vec<Endpoint>,
    own: Vec<Endpoint>,
    claims: BTreeMap<ClusterId, Claim>,
    problems: Vec<Problem>,
}

impl View {
    /// Knows nothing but the settings.
    pub(crate) fn new(config: Config) -> Self {
        Self {
            config,
            facts: None,
            node: None,
            uid: None,
            home: None,
            latest_takeover: None,
            leadership: Leadership::default(),
            wireguard: None,
            ike_secret: None,
            ike_since: None,
            missing: Vec::new(),
            ways: BTreeMap::new(),
            discovery: Vec::new(),
            last_ways: None,
            answers: Answers::new(),
            uplink: PerFamily::default(),
        }
    }

    /// Takes the host's network in.
    pub(crate) fn set_facts(&mut self, facts: HostFacts) {
        for (family, address) in facts.preferred_source.iter() {
            self.uplink.set(family, *address);
        }
        self.facts = Some(facts);
    }

    /// What follows from all that. A pure function: the same view gives the same outcome, whatever came first.
    pub(crate) fn outcome(&self) -> Outcome {
        let mut problems: Vec<Problem> = self.missing.iter().chain(&self.discovery).cloned().collect();
        let mut out = Outcome {
            cables: Cables::Hold,
            publication: Publication::Hold,
            own_end: None,
            remotes: BTreeMap::new(),
            problems: Vec::new(),
        };
        if let (Some(node), Some(facts)) = (&self.node, &self.facts) {
            problems.extend(node.problems.iter().cloned());
            let local = self.local(node);
            let checked = self.home.as_ref().map(|home| (home, self.check(home)));
            let own = checked.as_ref().map(|(_, checked)| checked.own.as_slice()).unwrap_or_default();
            let known = self.public_address(&local, &node.hostname, own);
            let spec = own_end::spec(&self.config, node, (&local, facts), known);
            problems.extend(spec.problems);
            out.own_end = spec.value;
            if let Some((home, checked)) = &checked {
                problems.extend(checked.problems.iter().cloned());
                let cables = self.cables(local, &node.hostname, checked, facts);
                problems.extend(cables.problems);
                out.cables = cables.value;
                out.publication = self.publication(node, out.own_end.as_ref(), checked);
                out.remotes = self.remotes(home);
            }
        }
        problems.sort();
        problems.dedup();
        out.problems = problems;
        out
    }

    /// What this cluster and node are.
    pub(crate) fn local(&self, node: &NodeSettings) -> Local {
        let local = own_end::local(&self.config, node, self.uplink);
        let ipsec = own_end::ipsec(&self.config, node, &local, (self.ike_secret.as_ref(), self.ike_since));
        Local { uid: self.uid.clone(), wireguard: self.wireguard.clone(), ipsec, ..local }
    }

    fn public_address(&self, local: &Local, hostname: &HostName, own: &[Endpoint]) -> Known<'_> {
        let published = own_end::published(own_end::cable_name(local).as_ref(), hostname, own);
        Known { answers: &self.answers, published }
    }

    /// How it stands with our public address.
    pub(crate) fn public_address_finding(&self) -> Option<Finding> {
        let node = self.node.as_ref()?;
        let local = self.local(node);
        let own = self.home.as_ref().map(|home| self.check(home).own).unwrap_or_default();
        let known = self.public_address(&local, &node.hostname, &own);
        Some(public_address::finding(&public_address::asked(&self.config, node), &local, known))
    }

    /// Whom to ask for our public address.
    pub(crate) fn resolvers(&self) -> Wanted {
        let Some(node) = &self.node else { return Wanted::default() };
        let families = self.local(node).private_ips.iter().map(|(family, _)| family).collect();
        Wanted { resolvers: public_address::asked(&self.config, node).resolvers.wanted, families }
    }

    fn check(&self, home: &Snapshot) -> Checked {
        let mut out =
            Checked { endpoints: Vec::new(), own: Vec::new(), claims: BTreeMap::new(), problems: Vec::new() };
        for object in &home.endpoints {
            match Endpoint::try_from(object) {
                Ok(endpoint) => out.endpoints.push(endpoint),
                Err(problems) => out.problems.extend(problems),
            }
        }
        for object in &home.clusters {
            match Claims::try_from(object) {
                Ok(claims) => {
                    let claim = Claim { networks: claims.all(), uid: claims.uid.clone() };
                    out.claims.insert(claims.cluster, claim);
                }
                Err(problems) => out.problems.extend(problems),
            }
        }
        out.own = out.endpoints.iter().filter(|endpoint| self.is_own(endpoint)).cloned().collect();
        out
    }

    fn is_own(&self, endpoint: &Endpoint) -> bool {
        let same =
            endpoint.cluster_uid.as_ref().zip(self.uid.as_ref()).is_none_or(|(one, other)| one == other);
        endpoint.cluster == self.config.cluster && same
    }

    fn cables(
        &self,
        local: Local,
        hostname: &HostName,
        checked: &Checked,
        facts: &HostFacts,
    ) -> Planned<Cables> {
        match (self.leadership, &self.last_ways) {
            // Until it is known how others were reached, cables that stand are not led elsewhere.
            (Leadership::Ours, None) => Planned { value: Cables::Hold, problems: Vec::new() },
            (Leadership::Ours, Some(last_ways)) => {
                let view = GatewayView {
                    local,
                    endpoints: checked.endpoints.clone(),
                    claims: checked.claims.clone(),
                    facts: facts.clone(),
                    ways: last_ways.iter().chain(&self.ways).map(|(id, way)| (id.clone(), *way)).collect(),
                };
                let planned = subm_cable::plan(&view);
                Planned {
                    value: planned.value.map_or(Cables::Hold, |plan| Cables::Keep(Box::new(plan))),
                    problems: planned.problems,
                }
            }
            // Without the lease the cables stand until the successor has published itself: the packets that arrive
            // until then have nowhere else to go.
            (Leadership::Others | Leadership::Unknown, _) => {
                let successor =
                    own_end::newest(&checked.own).is_some_and(|newest| newest.hostname != *hostname);
                let value = if successor { Cables::HandOver } else { Cables::Hold };
                Planned { value, problems: Vec::new() }
            }
        }
    }

    fn publication(&self, node: &NodeSettings, own: Option<&EndpointSpec>, checked: &Checked) -> Publication {
        let (Leadership::Ours, Some(spec), Some(_)) = (self.leadership, own, &self.uid) else {
            return Publication::Hold;
        };
        let name = subm_types::CableName(spec.cable_name.clone());
        let epoch = own_end::epoch(&name, &node.hostname, &checked.own, self.latest_takeover.as_ref());
        let texts = |nets: &[ipnet::IpNet]| nets.iter().map(ToString::to_string).collect();
        let cluster = ClusterSpec {
            cluster_id: self.config.cluster.to_string(),
            color_codes: vec!["blue".to_owned()],
            service_cidr: texts(&self.config.service_cidrs),
            cluster_cidr: texts(&self.config.cluster_cidrs),
            global_cidr: Vec::new(),
        };
        let endpoint = PublishedEndpoint { spec: spec.clone(), epoch, annotations: BTreeMap::new() };
        Publication::Publish(Published { cluster, endpoints: vec![endpoint] })
    }

    fn remotes(&self, home: &Snapshot) -> BTreeMap<String, EndpointSpec> {
        let remote =
            home.endpoints.iter().filter(|object| object.spec.cluster_id != self.config.cluster.as_str());
        remote.filter_map(|object| Some((object.metadata.name.clone()?, object.spec.clone()))).collect()
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
pub(crate) mod tests;

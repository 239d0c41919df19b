//! Everything that the daemon knows, and what follows from it.

mod claims;
mod endpoints;
mod nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node as ApiNode;
use subm_api::{Cluster, Endpoint as ApiEndpoint, EndpointSpec};
use subm_kube::{ApiError, Event};
use subm_plan::{HostFacts, SysctlKey};
use subm_route::{Feature, NodeView, RoutePlan, plan};
use subm_runtime::{Dirty, View};
use subm_types::{Planned, Problem};

use crate::settings::Settings;
use claims::ClusterClaims;
use endpoints::Endpoints;
use nodes::Nodes;
pub(crate) use nodes::trim;

/// Everything that can change what is known.
#[derive(Debug)]
pub(crate) enum Input {
    /// Endpoints of the own namespace.
    Endpoints(Box<Event<ApiEndpoint>>),
    /// Clusters of the own namespace.
    Clusters(Box<Event<Cluster>>),
    /// Nodes.
    Nodes(Box<Event<ApiNode>>),
    /// The host's network.
    Facts(Box<HostFacts>),
    /// What the kernel lacks.
    Missing(BTreeMap<Feature, String>),
    /// Kernel parameters that this project has changed, now or before.
    TakenOver(BTreeSet<SysctlKey>),
}

/// What the daemon knows.
#[derive(Debug)]
pub(crate) struct AgentView {
    settings: Settings,
    endpoints: Endpoints,
    claims: ClusterClaims,
    nodes: Nodes,
    facts: Option<HostFacts>,
    missing: BTreeMap<Feature, String>,
    taken_over: BTreeSet<SysctlKey>,
}

/// A plan, and what is needed to tell of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outlook {
    /// The plan.
    pub(crate) plan: RoutePlan,
    /// What was left out of it.
    pub(crate) problems: Vec<Problem>,
    /// Endpoints as they were published, by object name.
    pub(crate) specs: BTreeMap<String, EndpointSpec>,
    /// How many nodes the cluster has.
    pub(crate) nodes: usize,
    /// The plan's number with the converger.
    pub(crate) generation: u64,
    /// Whether remote gateways are probed.
    pub(crate) probing: bool,
}

/// Where the daemon stands.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// The present plan; none before everything was heard of once.
    pub(crate) outlook: Option<Arc<Outlook>>,
    /// What has not been heard of yet, and what cannot be heard of at present, with the reason.
    pub(crate) waiting: Vec<String>,
}

impl AgentView {
    pub(crate) fn new(settings: Settings) -> Self {
        Self {
            settings,
            endpoints: Endpoints::default(),
            claims: ClusterClaims::default(),
            nodes: Nodes::default(),
            facts: None,
            missing: BTreeMap::new(),
            taken_over: BTreeSet::new(),
        }
    }

    /// What follows. Nothing before all lists were complete and the host was looked at once: until then what stands
    /// in the kernel stays as it is.
    pub(crate) fn outlook(&self) -> Option<Outlook> {
        let facts = self.facts.as_ref()?;
        if !(self.endpoints.is_complete() && self.nodes.is_complete() && self.claims.is_settled()) {
            return None;
        }
        let view = NodeView {
            node: self.settings.node.clone(),
            cluster: self.settings.cluster.clone(),
            cluster_cidrs: self.settings.cluster_cidrs.clone(),
            service_cidrs: self.settings.service_cidrs.clone(),
            plugin: self.settings.plugin.clone(),
            nodes: self.nodes.all(),
            endpoints: self.endpoints.readable(),
            claims: self.claims.networks(),
            unreadable: self.endpoints.problems(),
            facts: facts.clone(),
            missing: self.missing.clone(),
            taken_over: self.taken_over.clone(),
        };
        let Planned { value, problems } = plan(&view);
        Some(Outlook {
            plan: value,
            problems,
            specs: self.endpoints.specs(),
            nodes: view.nodes.len(),
            generation: 0,
            probing: self.settings.health_check.is_some(),
        })
    }

    /// What has not been heard of yet, and what is not heard of any more.
    pub(crate) fn waiting(&self) -> Vec<String> {
        let lists = [
            ("Endpoints", self.endpoints.is_complete(), self.endpoints.unavailable()),
            ("Clusters", self.claims.is_complete(), self.claims.unavailable()),
            ("Nodes", self.nodes.is_complete(), self.nodes.unavailable()),
        ];
        let mut out: Vec<String> = lists.into_iter().filter_map(|list| doubt(&list)).collect();
        if self.facts.is_none() {
            out.push("the host's network was not looked at yet".to_owned());
        }
        out
    }
}

fn doubt(&(kind, complete, unavailable): &(&str, bool, Option<&ApiError>)) -> Option<String> {
    match (complete, unavailable) {
        (true, None) => None,
        (false, None) => Some(format!("{kind} were not listed yet")),
        (_, Some(error)) => Some(format!("{kind} cannot be watched: {error}")),
    }
}

impl View for AgentView {
    type Input = Input;

    fn apply(&mut self, input: Input) -> Dirty {
        match input {
            Input::Endpoints(event) => self.endpoints.apply(*event),
            Input::Clusters(event) => self.claims.apply(*event),
            Input::Nodes(event) => self.nodes.apply(*event),
            Input::Facts(facts) => replace(&mut self.facts, Some(*facts)),
            Input::Missing(missing) => replace(&mut self.missing, missing),
            Input::TakenOver(keys) => replace(&mut self.taken_over, keys),
        }
    }
}

fn replace<T: PartialEq>(place: &mut T, new: T) -> Dirty {
    let dirty = Dirty::differs(place, &new);
    *place = new;
    dirty
}

const fn dirty(news: subm_kube::News) -> Dirty {
    match news {
        subm_kube::News::Yes => Dirty::Yes,
        subm_kube::News::No => Dirty::No,
    }
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;

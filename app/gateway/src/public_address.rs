//! The address of this gateway as it is seen from outside: whom the settings name, what follows from the answers, and
//! the tasks that ask.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{LoadBalancerIngress, Service};
use subm_cable::Local;
use subm_kube::{Connection, Event, Watch};
use subm_probe::public_address::{
    Answers, Choice, DEFAULT_RESOLVERS, Heard, Resolver, Resolvers, Told, choose,
};
use subm_runtime::Task;
use subm_runtime::public_address::{Outside, names};
use subm_types::{Family, PerFamily, Planned, Problem, Reach};
use tokio::sync::{mpsc, watch};

use crate::conditions::Finding;
use crate::input::Input;
use crate::node::NodeSettings;
use crate::settings::Config;

/// COMPAT: how often everybody is asked again.
const INTERVAL: Duration = Duration::from_mins(1);
/// After a failure it is tried again after so long, then after twice as long, up to the interval.
const RETRY: Duration = Duration::from_secs(5);
/// A preferred resolver that has said nothing for so long is not waited for.
const SLOW: Duration = Duration::from_secs(2);

/// Whom the settings name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) resolvers: Resolvers,
    /// Where they are named.
    field: &'static str,
    /// Whether somebody named them, rather than nobody anyone else.
    given: bool,
}

/// COMPAT: the node's annotation is stronger than the setting; without either there is a list of public services.
pub(crate) fn asked(config: &Config, node: &NodeSettings) -> Asked {
    let setting = Some(config.public_ip.as_str()).filter(|list| !list.is_empty());
    let (list, field) = match (&node.public_ip, setting) {
        (Some(list), _) => (Some(list.as_str()), subm_api::keys::NODE_PUBLIC_IP),
        (None, list) => (list, "SUBMARINER_PUBLICIP"),
    };
    let resolvers = Resolvers::read(list.unwrap_or(DEFAULT_RESOLVERS));
    let resolvers = if config.air_gapped { resolvers.air_gapped() } else { resolvers };
    Asked { resolvers, field, given: list.is_some() }
}

/// What is known of the public address.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// What was answered.
    pub(crate) answers: &'a Answers,
    /// What our Endpoint said last.
    pub(crate) published: PerFamily<IpAddr>,
}

/// The addresses of the families that the end has: what is told now, else what was told last.
pub(crate) fn resolve(
    config: &Config,
    asked: &Asked,
    local: &Local,
    known: Known<'_>,
) -> Planned<PerFamily<IpAddr>> {
    let Choice { found, open } = choose(&asked.resolvers.wanted, known.answers);
    let anybody = !asked.resolvers.wanted.is_empty();
    let mut out = Planned { value: PerFamily::default(), problems: unreadable(asked) };
    for (family, _) in local.private_ips.iter() {
        let told = found.get(family).map(|(address, _)| *address);
        let last = known.published.get(family).copied().filter(|_| anybody);
        if let Some(address) = told.or(last) {
            out.value.set(family, address);
        }
    }
    // An IPv6 address is rarely hidden by a NAT: without an outer one peers use that of the node.
    let hidden = config.nat_enabled && !config.air_gapped && local.private_ips.v4.is_some();
    let lacking = hidden && out.value.v4.is_none() && !open.contains(&Family::V4);
    let nothing = asked.given && anybody && out.value == PerFamily::default() && open.is_empty();
    if lacking || nothing {
        out.problems.push(unresolved(asked, known.answers));
    }
    out
}

fn unreadable(asked: &Asked) -> Vec<Problem> {
    let problem = |one: &subm_probe::public_address::Unreadable| Problem {
        reason: "UnresolvedPublicIP",
        object: "gateway node".to_owned(),
        field: asked.field.to_owned(),
        what: format!("{:?} {}", one.element, one.what),
        remedy: "correct or remove it; the others are asked".to_owned(),
    };
    asked.resolvers.unreadable.iter().map(problem).collect()
}

fn unresolved(asked: &Asked, answers: &Answers) -> Problem {
    let failures = failures(asked, answers);
    let why = if failures.is_empty() { "nobody tells it".to_owned() } else { failures.join("; ") };
    Problem {
        reason: "UnresolvedPublicIP",
        object: "gateway node".to_owned(),
        field: asked.field.to_owned(),
        what: format!("the public address is not known: {why}"),
        remedy: "set ipv4:ADDRESS or ipv6:ADDRESS, here or as the node's annotation gateway.submariner.io/public-ip; until then no public address is published".to_owned(),
    }
}

/// Who could not tell, and why.
fn failures(asked: &Asked, answers: &Answers) -> Vec<String> {
    let failure = |resolver: &Resolver| match answers.get(resolver)? {
        Told::Slow => Some(format!("{resolver} has not answered yet")),
        Told::Heard(heard) => heard.failure.as_ref().map(|why| format!("{resolver}: {why}")),
    };
    asked.resolvers.wanted.iter().filter_map(failure).collect()
}

/// How it stands with the public address, and who does not tell it.
pub(crate) fn finding(asked: &Asked, local: &Local, known: Known<'_>) -> Finding {
    const KIND: &str = "PublicAddressKnown";
    let wanted = &asked.resolvers.wanted;
    match (wanted.is_empty(), asked.resolvers.unreadable.is_empty()) {
        (true, true) => return Finding::holds(KIND, "NotAsked", "nobody outside is asked"),
        (true, false) => {
            let lines: Vec<String> = unreadable(asked).iter().map(ToString::to_string).collect();
            return Finding::fails(KIND, "Unreadable", lines.join("\n"));
        }
        (false, _) => {}
    }
    let Choice { found, open } = choose(wanted, known.answers);
    let used = |family: &Family| local.private_ips.get(*family).is_some();
    let told: Vec<String> = found
        .iter()
        .filter(|(family, _)| used(family))
        .map(|(_, (address, rank))| format!("{address} as {} says", wanted[*rank]))
        .collect();
    let last: Vec<String> = known.published.iter().map(|(_, address)| address.to_string()).collect();
    let failures = failures(asked, known.answers);
    let with = |first: String| {
        let lines: Vec<String> = std::iter::once(first).chain(failures.iter().cloned()).collect();
        lines.join("\n")
    };
    match (told.is_empty(), open.iter().any(used), last.is_empty()) {
        (false, _, _) if failures.is_empty() => Finding::holds(KIND, "Resolved", told.join(", ")),
        (false, _, _) => Finding::holds(KIND, "SomeFail", with(told.join(", "))),
        (true, true, _) => Finding::unknown(KIND, "Asking", with("nobody has answered yet".to_owned())),
        (true, false, false) => {
            let first = format!("nobody tells it; {} stands, which was told last", last.join(", "));
            Finding::fails(KIND, "LastStands", with(first))
        }
        (true, false, true) => Finding::fails(KIND, "Unresolved", with("nobody tells it".to_owned())),
    }
}

/// Whom to ask, and over what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) resolvers: Vec<Resolver>,
    pub(crate) families: BTreeSet<Family>,
}

/// Asks all of them at once, each as long as it is wanted, and tells the loop what they say.
pub(crate) async fn follow(
    home: Connection,
    mut wanted: watch::Receiver<Wanted>,
    inputs: mpsc::Sender<Input>,
) {
    let mut outside = None;
    let mut asking: BTreeMap<Resolver, Task> = BTreeMap::new();
    let mut families = BTreeSet::new();
    loop {
        let now = wanted.borrow_and_update().clone();
        let same = now.families == families;
        asking.retain(|resolver, _| same && now.resolvers.contains(resolver));
        for resolver in now.resolvers {
            let ear = Ear { resolver: resolver.clone(), inputs: inputs.clone() };
            let task = match &resolver {
                Resolver::Literal(_) => continue,
                Resolver::LoadBalancer(service) => {
                    let (home, service) = (home.clone(), service.clone());
                    asking
                        .entry(resolver)
                        .or_insert_with(|| Task::spawn("balancer", balancer(home, service, ear)))
                }
                Resolver::Api(_) | Resolver::Dns(_) => {
                    let outside = outside.get_or_insert_with(Outside::of_environment).clone();
                    let families = now.families.clone();
                    asking
                        .entry(resolver)
                        .or_insert_with(|| Task::spawn("resolver", ask(outside, families, ear)))
                }
            };
            tracing::debug!(task = task.name(), "asks for the public address");
        }
        families = now.families;
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

/// Where a resolver's answers go.
struct Ear {
    resolver: Resolver,
    inputs: mpsc::Sender<Input>,
}

impl Ear {
    async fn tell(&self, told: Told) {
        // Fails only when the daemon ends.
        drop(self.inputs.send(Input::PublicAddress(self.resolver.clone(), told)).await);
    }
}

async fn ask(outside: Outside, families: BTreeSet<Family>, ear: Ear) {
    let mut pause = RETRY;
    loop {
        let mut asked = std::pin::pin!(outside.ask(&ear.resolver, &families));
        let heard = tokio::select! {
            heard = &mut asked => heard,
            () = tokio::time::sleep(SLOW) => {
                ear.tell(Told::Slow).await;
                asked.await
            }
        };
        pause = if heard.failure.is_none() { INTERVAL } else { (pause * 2).min(INTERVAL) };
        ear.tell(Told::Heard(heard)).await;
        tokio::time::sleep(pause).await;
    }
}

/// Follows a Service; a name that its load balancer has is resolved again and again.
async fn balancer(home: Connection, service: String, ear: Ear) {
    let only = format!("metadata.name={service}");
    let mut events = std::pin::pin!(Watch::<Service>::namespaced(&home).fields(&only).events());
    let mut present: Option<Option<Service>> = None;
    loop {
        let again = tokio::time::sleep(INTERVAL);
        tokio::select! {
            Some(event) = events.next() => match event {
                Event::Snapshot { objects, .. } => present = Some(objects.into_iter().next()),
                Event::Applied(object) => present = Some(Some(object)),
                Event::Deleted(_) => present = Some(None),
                // What was known stands.
                Event::Unreadable(_) | Event::Unavailable(_) => {}
            },
            () = again => {}
        }
        let heard = match &present {
            None => Heard::failed(format!("Service {}/{service} cannot be read yet", home.namespace)),
            Some(None) => Heard::failed(format!("there is no Service {}/{service}", home.namespace)),
            Some(Some(object)) => ingress(object).await,
        };
        ear.tell(Told::Heard(heard)).await;
    }
}

/// What a load balancer has got.
async fn ingress(service: &Service) -> Heard {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let points: &[LoadBalancerIngress] =
        status.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    if points.is_empty() {
        return Heard::failed("the Service has no load balancer yet (status.loadBalancer.ingress is empty)");
    }
    let addresses = points.iter().filter_map(|point| point.ip.as_deref()?.parse::<IpAddr>().ok());
    let mut found = PerFamily::of(addresses.filter(|address| Reach::of(*address) != Reach::Nowhere));
    let mut failure = None;
    for name in points.iter().filter_map(|point| point.hostname.as_deref()) {
        let heard = names(name).await;
        let both = found.iter().chain(heard.found.iter()).map(|(_, address)| *address).collect::<Vec<_>>();
        found = PerFamily::of(both);
        failure = failure.or(heard.failure);
    }
    if found == PerFamily::default() && failure.is_none() {
        failure = Some("its load balancer has no address that can be used".to_owned());
    }
    Heard { found, failure }
}

#[cfg(test)]
#[path = "public_address_tests.rs"]
mod tests;

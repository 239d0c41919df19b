//! The kernel of one network namespace, observed for one owner at a time.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use nlink::netlink::{Connection, Netfilter, NetlinkSocket, Nftables};
use subm_plan::{
    Alteration, Applied, Evidence, Flow, FlowRule, HostFacts, Neighbour, NodePlan, NodeState, Rule, Scope,
    Step,
};
use subm_plan::{World, diff};
use subm_types::IfName;

use crate::facts::Defaults;
use crate::freshness::{self, Interest, Kind};
use crate::links::LinkRecord;
use crate::neighbours::FdbRecord;
use crate::netlink::Netlink;
use crate::nft::TableRecord;
use crate::routes::RouteRecord;
use crate::watcher::{Wake, Watcher};
use crate::wireguard::Devices;
use crate::{KernelError, addresses, conntrack, links, neighbours, nft, routes, rules, sysctls, tun};

/// Everything is read again after this long, whatever the notifications said.
const FULL: Duration = Duration::from_secs(30);
/// A table that changes while it is read is read again this often.
const ATTEMPTS: usize = 5;

/// The network namespace of the thread that opened it; it stays on that thread.
///
/// It answers from what it read as long as the kernel tells of no change (see `freshness.rs`), knows the
/// packet filter unchanged by its generation number, and never by what it did itself. Kernel parameters are read
/// each time. Must not be used inside an async runtime: it drives one of its own.
pub struct Kernel {
    watcher: Option<Watcher>,
    pub(crate) nft: Option<Connection<Nftables>>,
    pub(crate) conntrack: Option<Connection<Netfilter>>,
    events: NetlinkSocket,
    pub(crate) netlink: Netlink,
    interest: Interest,
    scope: Option<Scope>,
    pub(crate) cache: Cache,
    flows: Option<FlowCheck>,
    pub(crate) wireguard: Devices,
    /// Whether the kernel has WireGuard, and when it was asked.
    asked: Option<(bool, Instant)>,
}

/// What was read and is still true.
#[derive(Default)]
pub(crate) struct Cache {
    since: Option<Instant>,
    pub(crate) links: Option<Vec<LinkRecord>>,
    pub(crate) addresses: Option<Vec<addresses::AddressRecord>>,
    entries: Option<(Vec<FdbRecord>, Vec<Neighbour>)>,
    rules: Option<Vec<Rule>>,
    routes: Option<Vec<RouteRecord>>,
    pub(crate) defaults: Option<Defaults>,
    /// Whether TUN devices can be opened.
    pub(crate) tun: bool,
    table: Option<(u32, Option<TableRecord>)>,
}

/// The last look at tracked flows, and what it was for.
struct FlowCheck {
    rules: BTreeSet<FlowRule>,
    table: Option<TableRecord>,
    at: Instant,
    wrong: BTreeSet<Flow>,
}

impl Cache {
    fn forget(&mut self, kind: Kind) {
        match kind {
            Kind::Links => self.links = None,
            Kind::Addresses => self.addresses = None,
            Kind::Neighbours => self.entries = None,
            Kind::Rules => self.rules = None,
            Kind::Routes => self.routes = None,
            Kind::Defaults => self.defaults = None,
        }
    }
}

impl Kernel {
    /// Opens the network namespace of the calling thread.
    pub fn open() -> Result<Self, KernelError> {
        let netlink = Netlink::open()?;
        let events =
            netlink.inside(freshness::listen).map_err(KernelError::netlink("listen to rtnetlink"))?;
        // A kernel without a packet filter is one with no tables.
        let nft = netlink.inside(Connection::<Nftables>::new).ok();
        let conntrack = netlink.inside(Connection::<Netfilter>::new).ok();
        Ok(Self {
            watcher: None,
            nft,
            conntrack,
            events,
            netlink,
            interest: Interest::default(),
            scope: None,
            cache: Cache::default(),
            flows: None,
            wireguard: Devices::default(),
            asked: None,
        })
    }

    /// Opens the namespace and calls `wake` whenever there is reason to look at it again, until it is dropped.
    pub fn watched(scope: &Scope, wake: impl Fn(Wake) + Send + 'static) -> Result<Self, KernelError> {
        let mut kernel = Self::open()?;
        kernel.watcher = Some(Watcher::start(scope, wake)?);
        Ok(kernel)
    }

    /// Takes nothing for true any more: the next look reads everything.
    pub fn resync(&mut self) {
        self.cache = Cache::default();
        self.flows = None;
    }

    /// The steps that [`World::apply`] would have to take; nothing is changed.
    pub fn preview(&mut self, scope: &Scope, plan: &NodePlan) -> Result<Vec<Step>, KernelError> {
        Ok(diff(&self.observe(scope, plan)?, plan))
    }

    /// What WireGuard devices tell of their peers.
    pub fn evidence(&self) -> Evidence {
        self.wireguard.evidence()
    }

    /// Asks the kernel for WireGuard, seldom: where it has none, each question starts `modprobe`.
    fn has_wireguard(&mut self) -> bool {
        match self.asked {
            Some((has, at)) if has || at.elapsed() < FULL => has,
            Some(_) | None => {
                let has = self.probe_link("wireguard").is_none();
                self.asked = Some((has, Instant::now()));
                has
            }
        }
    }

    fn look(&mut self, scope: Option<&Scope>) -> Result<(), KernelError> {
        if let Some(scope) = scope
            && self.scope.as_ref() != Some(scope)
        {
            self.resync();
            self.interest = Interest::of(scope);
            self.scope = Some(scope.clone());
        }
        let full = self.cache.since.is_none_or(|since| since.elapsed() >= FULL);
        if full {
            self.cache =
                Cache { since: Some(Instant::now()), tun: tun::openable().is_ok(), ..Cache::default() };
        }
        for kind in freshness::drain(&self.events, &mut self.interest) {
            self.cache.forget(kind);
        }
        if self.cache.links.is_none() {
            let links = links::list(&self.netlink)?;
            self.interest.learn(&links);
            self.cache.links = Some(links);
        }
        if self.cache.addresses.is_none() {
            self.cache.addresses = Some(addresses::list(&self.netlink)?);
        }
        Ok(())
    }

    pub(crate) fn links(&self) -> &[LinkRecord] {
        self.cache.links.as_deref().unwrap_or_default()
    }

    /// The scope's own links that stand, with their names.
    fn own_links(&self, scope: &Scope) -> Vec<(IfName, LinkRecord)> {
        let stands = |name: &IfName| {
            let link =
                self.links().iter().find(|link| link.name == name.as_str() && link.belongs_to(scope))?;
            Some((name.clone(), link.clone()))
        };
        scope.links.iter().filter_map(stands).collect()
    }

    fn look_at_routing(&mut self, scope: &Scope, own: &[(IfName, LinkRecord)]) -> Result<(), KernelError> {
        if self.cache.entries.is_none() {
            let (mut fdb, mut permanent) = (Vec::new(), Vec::new());
            for (name, link) in own {
                fdb.extend(neighbours::list_fdb(&self.netlink, name, link.index)?);
                permanent.extend(neighbours::list(&self.netlink, name, link.index)?);
            }
            self.cache.entries = Some((fdb, permanent));
        }
        if self.cache.rules.is_none() {
            self.cache.rules = Some(rules::list(&self.netlink, scope.protocol)?);
        }
        if self.cache.routes.is_none() {
            self.cache.routes = Some(routes::list(&self.netlink, scope.protocol, self.links())?);
        }
        Ok(())
    }

    /// The scope's table. KERNEL: the generation changes with every commit, so an equal one means an equal table.
    fn table(&mut self, scope: &Scope) -> Result<Option<TableRecord>, KernelError> {
        let Some(filter) = &self.nft else { return Ok(None) };
        for _ in 0..ATTEMPTS {
            let before = match self.netlink.wait(nft::generation(filter)) {
                Ok(generation) => generation,
                // EINVAL, EOPNOTSUPP: the kernel has no nftables, hence no table.
                Err(error) if error.is_invalid_argument() || error.is_not_supported() => return Ok(None),
                Err(error) => {
                    return Err(KernelError::netlink("ask for the packet filter's generation")(error));
                }
            };
            if let Some((generation, table)) = &self.cache.table
                && *generation == before
            {
                return Ok(table.clone());
            }
            let read = self.netlink.wait(nft::read(filter, &scope.table));
            let table = read.map_err(KernelError::netlink("read the packet-filter table"))?;
            self.cache.table = Some((before, table));
        }
        // It never stood still: what was read last is the best there is, and is read again next time.
        Ok(self.cache.table.take().and_then(|(_, table)| table))
    }

    /// Tracked flows that break the plan's rules. They are listed when they may have changed sides: at the first
    /// look, after a step in the packet filter, when the flow rules or the table (by content or handles) are not
    /// those of the last listing, and after a minute; a flow goes wrong only while our table is not what it should
    /// be.
    fn wrong_flows(&mut self, plan: &NodePlan, table: Option<&TableRecord>) -> BTreeSet<Flow> {
        const LATEST: Duration = Duration::from_mins(1);
        if plan.flows.is_empty() {
            self.flows = None;
            return BTreeSet::new();
        }
        let holds = |check: &FlowCheck| {
            check.rules == plan.flows && check.table.as_ref() == table && check.at.elapsed() < LATEST
        };
        if let Some(check) = self.flows.as_ref().filter(|check| holds(check)) {
            return check.wrong.clone();
        }
        let Some(conntrack) = &self.conntrack else { return BTreeSet::new() };
        let wrong = self.netlink.wait(conntrack::wrong_flows(conntrack, &plan.flows));
        let wrong = wrong.unwrap_or_else(|error| {
            tracing::warn!(%error, "tracked flows cannot be listed: those with a wrong source keep it");
            BTreeSet::new()
        });
        let at = Instant::now();
        self.flows =
            Some(FlowCheck { rules: plan.flows.clone(), table: table.cloned(), at, wrong: wrong.clone() });
        wrong
    }

    fn state_of_links(&self, scope: &Scope, plan: &NodePlan, own: &[(IfName, LinkRecord)]) -> NodeState {
        let mut state = NodeState::default();
        for (name, link) in own {
            let decoded = link.decode(self.links());
            if decoded.altered {
                state.altered.insert(Alteration::Link(name.clone()));
            }
            if decoded.down {
                state.altered.insert(Alteration::Down(name.clone()));
            }
            let found = subm_plan::Link { kind: decoded.kind, mtu: link.mtu, mac: link.mac };
            state.own.links.insert(name.clone(), found);
            let here = self.cache.addresses.iter().flatten().filter(|record| record.index == link.index);
            let addresses = here.map(|record| (name.clone(), record.net));
            state.own.addresses.extend(addresses.filter(|address| {
                let made_by_kernel =
                    matches!(address.1, IpNet::V6(net) if net.addr().is_unicast_link_local());
                !made_by_kernel || plan.addresses.contains(address)
            }));
        }
        let taken = |name: &&IfName| self.links().iter().any(|link| link.name == name.as_str());
        let foreign = |name: &&IfName| !state.own.links.contains_key(*name);
        state.foreign_links = scope.links.iter().filter(taken).filter(foreign).cloned().collect();
        state
    }

    fn add_routing(&self, state: &mut NodeState) {
        let (fdb, neighbours) = self
            .cache
            .entries
            .as_ref()
            .map_or((&[][..], &[][..]), |(fdb, neighbours)| (fdb.as_slice(), neighbours.as_slice()));
        for record in fdb {
            if !record.permanent {
                state.altered.insert(Alteration::Fdb(record.entry.clone()));
            }
            state.own.fdb.insert(record.entry.clone());
        }
        state.own.neighbours = neighbours.iter().cloned().collect();
        state.own.rules = self.cache.rules.iter().flatten().cloned().collect();
        for record in self.cache.routes.iter().flatten() {
            let other = state.own.routes.insert(record.key, record.route.clone());
            if record.altered || other.is_some() {
                state.altered.insert(Alteration::Route(record.key));
            }
        }
    }
}

impl World for Kernel {
    type Error = KernelError;

    fn facts(&mut self) -> Result<HostFacts, KernelError> {
        self.look(None)?;
        if self.cache.defaults.is_none() {
            self.cache.defaults = Some(Defaults::read(&self.netlink, self.links())?);
        }
        let wireguard = self.has_wireguard();
        Ok(crate::facts::gather(&self.cache, wireguard))
    }

    fn observe(&mut self, scope: &Scope, plan: &NodePlan) -> Result<NodeState, KernelError> {
        self.look(Some(scope))?;
        let own = self.own_links(scope);
        self.look_at_routing(scope, &own)?;
        let table = self.table(scope)?;
        let mut state = self.state_of_links(scope, plan, &own);
        let links = self.cache.links.as_deref().unwrap_or_default();
        state.own.wireguard = self.wireguard.observe(&self.netlink, (&own, links), plan)?;
        self.add_routing(&mut state);
        state.wrong_flows = self.wrong_flows(plan, table.as_ref());
        if let Some(record) = table {
            if record.altered {
                state.altered.insert(Alteration::Table);
            }
            state.own.table = Some(record.table);
        }
        let found = |key: &subm_plan::SysctlKey| Some((key.clone(), sysctls::read(&key.path())?));
        state.own.sysctls = plan.sysctls.keys().filter_map(found).collect();
        Ok(state)
    }

    /// Steps that fail are taken once more after all others: some wait for what only goes at the end.
    fn apply(&mut self, scope: &Scope, steps: &[Step]) -> Applied {
        let mut failed = Vec::new();
        for step in steps {
            if self.take(scope, step).is_err() {
                failed.push(step);
            }
        }
        let again = failed.into_iter().filter_map(|step| Some((step, self.take(scope, step).err()?)));
        let failures: Vec<_> = again.map(|(step, error)| crate::steps::failure(step, &error)).collect();
        if !steps.is_empty() {
            // What was done is not what is there: it is read again.
            self.cache = Cache::default();
        }
        if steps.iter().any(in_filter) {
            self.flows = None;
        }
        Applied { done: steps.len() - failures.len(), failures }
    }
}

/// Whether flows may have changed sides by a step.
const fn in_filter(step: &Step) -> bool {
    matches!(step, Step::SetTable(_) | Step::ChangeElements(..) | Step::DeleteTable(_) | Step::ForgetFlow(_))
}

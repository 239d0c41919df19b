//! A world that remembers what it was: first values of kernel parameters, and how much of the plan is there.

use std::collections::BTreeMap;

use subm_plan::{Applied, HostFacts, NodePlan, NodeState, Scope, Step, SysctlKey, World};
use subm_runtime::ObjectKind;
use subm_types::IfName;
use tokio::sync::watch;

use crate::sysctls::Saved;

/// What was seen of the kernel beyond what the plan needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Parameters of links that are not ours, as they were before the plan changed them.
    pub(crate) saved: Saved,
    /// Our objects by kind, at the last look.
    pub(crate) objects: BTreeMap<ObjectKind, usize>,
}

/// Passes everything on and tells what it saw.
#[derive(Debug)]
pub(crate) struct Observed<W> {
    inner: W,
    seen: watch::Sender<Seen>,
}

impl<W> Observed<W> {
    pub(crate) const fn new(inner: W, seen: watch::Sender<Seen>) -> Self {
        Self { inner, seen }
    }
}

impl<W: World> World for Observed<W> {
    type Error = W::Error;

    fn facts(&mut self) -> Result<HostFacts, Self::Error> {
        self.inner.facts()
    }

    fn observe(&mut self, scope: &Scope, plan: &NodePlan) -> Result<NodeState, Self::Error> {
        let state = self.inner.observe(scope, plan)?;
        self.seen.send_if_modified(|seen| {
            let before = seen.clone();
            let foreign = plan.sysctls.iter().filter(|(key, _)| !is_ours(key, scope));
            let found = |(key, wanted): (&SysctlKey, &u32)| {
                let found = state.own.sysctls.get(key).filter(|found| *found != wanted)?;
                Some((key.clone(), *found))
            };
            for (key, found) in foreign.filter_map(found) {
                seen.saved.entry(key).or_insert(found);
            }
            seen.objects = objects(&state.own);
            *seen != before
        });
        Ok(state)
    }

    fn apply(&mut self, scope: &Scope, steps: &[Step]) -> Applied {
        self.inner.apply(scope, steps)
    }
}

fn is_ours(key: &SysctlKey, scope: &Scope) -> bool {
    let ours = |link: &IfName| scope.links.contains(link);
    match key {
        SysctlKey::Forwarding(_) => false,
        SysctlKey::AcceptRa(link)
        | SysctlKey::RpFilter(link)
        | SysctlKey::SendRedirects(link)
        | SysctlKey::LinkForwarding(_, link)
        | SysctlKey::AddrGenMode(link) => ours(link),
    }
}

/// How many objects of each kind a plan or a state has.
pub(crate) fn objects(plan: &NodePlan) -> BTreeMap<ObjectKind, usize> {
    BTreeMap::from([
        (ObjectKind::Link, plan.links.len()),
        (ObjectKind::Address, plan.addresses.len()),
        (ObjectKind::Sysctl, plan.sysctls.len()),
        (ObjectKind::Fdb, plan.fdb.len()),
        (ObjectKind::Neighbour, plan.neighbours.len()),
        (ObjectKind::Rule, plan.rules.len()),
        (ObjectKind::Route, plan.routes.len()),
        (ObjectKind::Table, usize::from(plan.table.is_some())),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use subm_types::Family;

    /// A kernel of sysctls alone.
    struct Sysctls(BTreeMap<SysctlKey, u32>);

    impl World for Sysctls {
        type Error = Infallible;

        fn facts(&mut self) -> Result<HostFacts, Infallible> {
            Ok(HostFacts::default())
        }

        fn observe(&mut self, _: &Scope, _: &NodePlan) -> Result<NodeState, Infallible> {
            let own = NodePlan { sysctls: self.0.clone(), ..NodePlan::default() };
            Ok(NodeState { own, ..NodeState::default() })
        }

        fn apply(&mut self, _: &Scope, _: &[Step]) -> Applied {
            Applied::default()
        }
    }

    #[test]
    fn the_first_value_of_a_foreign_parameter_is_kept() {
        let key = |link: &str| SysctlKey::RpFilter(link.parse().unwrap());
        let (sender, seen) = watch::channel(Seen::default());
        let forward = SysctlKey::Forwarding(Family::V4);
        let found = BTreeMap::from([(key("eth0"), 1), (key("vx-submariner"), 1), (forward.clone(), 1)]);
        let mut world = Observed::new(Sysctls(found), sender);
        let wanted = BTreeMap::from([(key("eth0"), 2), (key("vx-submariner"), 2), (forward, 1)]);
        let plan = NodePlan { sysctls: wanted, ..NodePlan::default() };
        let scope = Scope::route_agent();
        world.observe(&scope, &plan).unwrap();
        world.inner.0.insert(key("eth0"), 0);
        world.observe(&scope, &plan).unwrap();
        assert_eq!(seen.borrow().saved, Saved::from([(key("eth0"), 1)]));
    }
}

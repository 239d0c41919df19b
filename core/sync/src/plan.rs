//! The whole decision.

use crate::change::SyncPlan;
use crate::sides::Sides;
use crate::trust::{HubTrust, judge, loss};
use crate::view::{Completeness, Own, Publication, Snapshot, Takeover};
use crate::{own as ours, remote, withdrawal};

/// Decides what to write and delete on the hub and at home.
///
/// How to drive it: call it whenever either snapshot or the publication changed, and after every round that wrote
/// something; apply [`SyncPlan::marks`] first, and go on only if all of them succeeded; then apply [`SyncPlan::hub`]
/// and [`SyncPlan::home`], each in its order, independently of each other. A failed change (also a conflict: somebody
/// was quicker) needs no treatment but another call with a newer snapshot. While the hub cannot be reached, hand in
/// the last snapshot that was seen; at the start, a partial one. Nothing at all is decided while home is partial.
/// Repeated rounds settle: after at most three a call with the result of the last one decides nothing more.
///
/// Which copies exist at home: of each other member whose networks overlap neither ours nor another member's, its
/// Cluster and one Endpoint: of those on the hub that can be read and lie inside that Cluster, the one with the highest
/// epoch, or among those without one the newest. What is refused is a problem, and an earlier copy of it stays.
pub fn plan(hub: &Snapshot, home: &Snapshot, own: &Own) -> SyncPlan {
    if home.completeness == Completeness::Partial {
        return SyncPlan::default();
    }
    let sides = Sides::new(hub, home, own);
    if own.publication == Publication::Withdraw {
        return withdrawal::plan(&sides);
    }
    let trust = judge(&sides);
    let mut remote = remote::plan(&sides, trust);
    let ours = ours::plan(&sides, trust, &remote.copies);
    let mut problems = ours.problems;
    problems.append(&mut remote.problems);
    if trust == HubTrust::Lost {
        problems.extend(loss(&sides));
    }
    problems.sort();
    problems.dedup();
    let home =
        ours.home_writes.into_iter().chain(remote.writes).chain(remote.deletes).chain(ours.home_deletes);
    SyncPlan { marks: remote.marks, hub: ours.hub, home: home.collect(), problems, trust }
}

/// The takeover with the highest epoch that any Endpoint of this cluster has, on the hub or at home: another gateway
/// uses the next epoch, the same one goes on with this.
pub fn latest_takeover(hub: &Snapshot, home: &Snapshot, own: &Own) -> Option<Takeover> {
    Sides::new(hub, home, own).latest_takeover()
}

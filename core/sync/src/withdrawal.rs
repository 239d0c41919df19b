//! Leaving: what is ours goes, also the copies that we made.

use crate::change::{Change, SyncPlan};
use crate::object::{Synced, delete, origin};
use crate::sides::{Named, Sides};
use crate::trust::judge;

pub(crate) fn plan(sides: &Sides<'_>) -> SyncPlan {
    let mut hub = from_hub(sides, &sides.hub_endpoints);
    hub.append(&mut from_hub(sides, &sides.hub_clusters));
    let mut home = from_home(sides, &sides.home_endpoints);
    home.append(&mut from_home(sides, &sides.home_clusters));
    SyncPlan { hub, home, trust: judge(sides), ..SyncPlan::default() }
}

fn from_hub<K: Synced>(sides: &Sides<'_>, objects: &Named<'_, K>) -> Vec<Change> {
    let ours = objects.values().filter(|object| sides.ours_on_hub(**object));
    ours.map(|object| delete(*object, &sides.own.hub_namespace)).collect()
}

fn from_home<K: Synced>(sides: &Sides<'_>, objects: &Named<'_, K>) -> Vec<Change> {
    let ours = objects.values().filter(|object| sides.ours_at_home(**object) || origin(**object).is_some());
    ours.map(|object| delete(*object, &sides.own.home_namespace)).collect()
}

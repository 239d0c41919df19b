//! Whether the hub is what it was when we last wrote to it.

use subm_api::Cluster;
use subm_api::check::annotation;
use subm_api::keys;
use subm_types::Problem;

use crate::sides::Sides;

/// How far absence on the hub is evidence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HubTrust {
    /// A list is still missing: nothing is concluded.
    #[default]
    Partial,
    /// Our own Cluster is there and its counter is not lower than at home: what is absent was withdrawn.
    Confirmed,
    /// Our own Cluster is missing or its counter is lower: the hub is new to us, was emptied, or was restored.
    Lost,
    /// Another cluster uses our id.
    Duplicate,
}

/// The counter of a member's own Cluster; 0 where it has none.
pub(crate) fn counter(cluster: &Cluster) -> u64 {
    annotation(&cluster.metadata, keys::COUNTER).and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(crate) fn judge(sides: &Sides<'_>) -> HubTrust {
    if !sides.hub_complete {
        return HubTrust::Partial;
    }
    if sides.duplicate.is_some() {
        return HubTrust::Duplicate;
    }
    let home = sides.own_home_cluster().map_or(0, counter);
    match sides.own_hub_cluster().map(counter) {
        Some(hub) if hub >= home => HubTrust::Confirmed,
        Some(_) | None => HubTrust::Lost,
    }
}

/// The problem of a hub that had our state and has it no more.
pub(crate) fn loss(sides: &Sides<'_>) -> Option<Problem> {
    let home = sides.own_home_cluster().map(counter).filter(|&counter| counter > 0)?;
    let found = sides
        .own_hub_cluster()
        .map_or_else(|| "is missing".to_owned(), |cluster| format!("has counter {}", counter(cluster)));
    Some(Problem {
        reason: "HubEmptiedOrRestored",
        object: format!("Cluster {} on the hub", sides.own.cluster),
        field: format!("metadata.annotations[{}]", keys::COUNTER),
        what: format!("our own object {found} while ours at home has counter {home}"),
        remedy: "nothing: it is published again, and what others published stands until they do so too"
            .to_owned(),
    })
}

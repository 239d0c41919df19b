//! What clusters say of themselves.

use std::collections::BTreeMap;

use subm_api::{Claims, Cluster};
use subm_kube::{ApiError, Event, Objects};
use subm_runtime::Dirty;
use subm_types::{CidrSet, ClusterId};

use super::dirty;

#[derive(Debug, Default)]
pub(super) struct ClusterClaims {
    objects: Objects<Cluster>,
}

impl ClusterClaims {
    pub(super) fn apply(&mut self, event: Event<Cluster>) -> Dirty {
        dirty(self.objects.apply(event))
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.objects.is_complete()
    }

    pub(super) const fn unavailable(&self) -> Option<&ApiError> {
        self.objects.unavailable()
    }

    /// Tells whether there is nothing to wait for: they are listed, or this process may not list them.
    ///
    /// COMPAT: the Go operator grants route agents no access to Clusters.
    pub(super) const fn is_settled(&self) -> bool {
        let refused = matches!(
            self.objects.unavailable(),
            Some(ApiError::Forbidden { .. } | ApiError::NotFound { .. })
        );
        self.objects.is_complete() || refused
    }

    /// The networks by which others reach each cluster; Clusters that cannot be read are the gateway's concern.
    pub(super) fn networks(&self) -> BTreeMap<ClusterId, CidrSet> {
        let claims = self.objects.values().filter_map(|object| Claims::try_from(object).ok());
        claims.map(|claims| (claims.cluster.clone(), claims.reachable())).collect()
    }
}

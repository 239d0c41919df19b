//! Which addresses a cluster says are its own.

use ipnet::IpNet;
use subm_types::{CidrSet, ClusterId, ClusterUid, Problem};

use crate::check::{Faults, MAX_NETWORKS};
use crate::cluster::Cluster;

/// A Cluster after it was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// The id of the cluster.
    pub cluster: ClusterId,
    /// Which cluster really wrote it.
    pub uid: Option<ClusterUid>,
    /// Networks of services.
    pub service: CidrSet,
    /// Networks of pods.
    pub pod: CidrSet,
    /// Networks of Globalnet; empty without it.
    pub global: CidrSet,
}

impl Claims {
    /// Every address that the cluster may publish.
    pub fn all(&self) -> CidrSet {
        self.service.union(&self.pod).union(&self.global)
    }

    /// The addresses by which other clusters reach it: with Globalnet those alone, because the others may be anybody's.
    pub fn reachable(&self) -> CidrSet {
        if self.global.is_empty() { self.service.union(&self.pod) } else { self.global.clone() }
    }
}

impl TryFrom<&Cluster> for Claims {
    type Error = Vec<Problem>;

    fn try_from(object: &Cluster) -> Result<Self, Self::Error> {
        let mut faults = Faults::of(object);
        let spec = &object.spec;
        let cluster = faults.cluster_id(&spec.cluster_id);
        let mut set = |field: &str, list: &[String]| -> CidrSet { networks(&mut faults, field, list) };
        let service = set("spec.service_cidr", &spec.service_cidr);
        let pod = set("spec.cluster_cidr", &spec.cluster_cidr);
        let global = set("spec.global_cidr", &spec.global_cidr);
        let uid = faults.cluster_uid(&object.metadata);
        match cluster {
            Some(cluster) if faults.is_empty() => Ok(Self { cluster, uid, service, pod, global }),
            Some(_) | None => Err(faults.into()),
        }
    }
}

fn networks(faults: &mut Faults, field: &str, list: &[String]) -> CidrSet {
    let nets: Vec<IpNet> = faults.networks(field, list, MAX_NETWORKS);
    nets.into_iter().collect()
}

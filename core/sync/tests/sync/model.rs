//! An API server's behaviour as far as plans depend on it: names, versions, UIDs, creation times, preconditions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::Metadata;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use subm_api::{Cluster, ClusterSpec, Endpoint, EndpointSpec, keys};
use subm_sync::{
    Change, Completeness, Object, ObjectKind, ObjectRef, Own, Publication, Published, PublishedEndpoint,
    Snapshot, SyncPlan, plan,
};
use subm_types::{ClusterUid, Epoch};

/// One namespace of one API server.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Side {
    pub(crate) clusters: BTreeMap<String, Cluster>,
    pub(crate) endpoints: BTreeMap<String, Endpoint>,
    revision: i64,
}

impl Side {
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            clusters: self.clusters.values().cloned().collect(),
            endpoints: self.endpoints.values().cloned().collect(),
            completeness: Completeness::Complete,
        }
    }

    pub(crate) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Write(Object::Cluster(cluster)) => {
                    self.revision += 1;
                    store(&mut self.clusters, cluster, self.revision);
                }
                Change::Write(Object::Endpoint(endpoint)) => {
                    self.revision += 1;
                    store(&mut self.endpoints, endpoint, self.revision);
                }
                Change::Delete(target) if target.kind == ObjectKind::Cluster => {
                    remove(&mut self.clusters, target);
                }
                Change::Delete(target) => remove(&mut self.endpoints, target),
            }
        }
    }

    pub(crate) fn put(&mut self, object: Object) {
        self.apply(&[Change::Write(object)]);
    }
}

fn store<K: Metadata<Ty = ObjectMeta> + Clone>(objects: &mut BTreeMap<String, K>, object: &K, revision: i64) {
    let mut object = object.clone();
    let meta = object.metadata_mut();
    let name = meta.name.clone().unwrap();
    if let Some(old) = objects.get(&name).map(Metadata::metadata) {
        assert_eq!(meta.resource_version, old.resource_version, "{name}: replaced without its version");
        meta.creation_timestamp.clone_from(&old.creation_timestamp);
        meta.uid.clone_from(&old.uid);
    } else {
        assert_eq!(meta.resource_version, None, "{name}: replaced though it is gone");
        meta.creation_timestamp = Some(Time(Timestamp::from_second(1_700_000_000 + revision).unwrap()));
        meta.uid = Some(format!("uid-{revision}"));
    }
    meta.resource_version = Some(revision.to_string());
    objects.insert(name, object);
}

fn remove<K: Metadata<Ty = ObjectMeta>>(objects: &mut BTreeMap<String, K>, target: &ObjectRef) {
    let have = objects.remove(&target.name).unwrap();
    assert_eq!(
        (&have.metadata().uid, &have.metadata().resource_version),
        (&target.uid, &target.resource_version)
    );
}

/// A member: its home, and who it is.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) own: Own,
    pub(crate) home: Side,
}

impl Member {
    /// A cluster with the networks 10.N.0.0/16 and 10.(N+100).0.0/16, whose gateway has the address 10.0.0.N.
    pub(crate) fn new(id: &str, number: u8) -> Self {
        let own = Own {
            cluster: id.parse().unwrap(),
            uid: ClusterUid(format!("kube-system-of-{id}")),
            hub_namespace: "submariner-k8s-broker".to_owned(),
            home_namespace: "submariner-operator".to_owned(),
            publication: Publication::Hold,
        };
        let mut member = Self { own, home: Side::default() };
        member.publish(number, number, 1);
        member
    }

    /// Publishes from the gateway 10.0.0.`host` with the networks of `number`.
    pub(crate) fn publish(&mut self, number: u8, host: u8, epoch: u64) {
        let id = self.own.cluster.to_string();
        let cluster = cluster_spec(&id, number);
        let endpoint = PublishedEndpoint {
            spec: endpoint_spec(&id, number, host),
            epoch: Epoch(epoch),
            annotations: BTreeMap::new(),
        };
        self.own.publication = Publication::Publish(Published { cluster, endpoints: vec![endpoint] });
    }

    pub(crate) fn plan(&self, hub: &Side) -> SyncPlan {
        plan(&hub.snapshot(), &self.home.snapshot(), &self.own)
    }

    /// One round.
    pub(crate) fn round(&mut self, hub: &mut Side) -> SyncPlan {
        let plan = self.plan(hub);
        self.home.apply(&plan.marks);
        hub.apply(&plan.hub);
        self.home.apply(&plan.home);
        plan
    }

    /// Rounds until nothing is to be done: at most three that do something. Returns the problems that remain.
    pub(crate) fn settle(&mut self, hub: &mut Side) -> Vec<&'static str> {
        for _ in 0..4 {
            let plan = self.round(hub);
            if plan.is_settled() {
                return plan.problems.iter().map(|problem| problem.reason).collect();
            }
        }
        panic!("{} does not settle: {:#?}", self.own.cluster, self.plan(hub));
    }

    /// The names of copied Endpoints.
    pub(crate) fn copies(&self) -> Vec<&str> {
        let copies = self.home.endpoints.iter().filter(|(_, endpoint)| endpoint.metadata.labels.is_some());
        copies.map(|(name, _)| name.as_str()).collect()
    }
}

/// Lets every member act until none does.
pub(crate) fn settle_all(members: &mut [Member], hub: &mut Side) {
    for _ in 0..20 {
        let mut quiet = true;
        for member in &mut *members {
            quiet &= member.round(hub).is_settled();
        }
        if quiet {
            return;
        }
    }
    panic!("the members do not settle");
}

/// A hub with these members, settled.
pub(crate) fn clusterset(ids: &[&str]) -> (Vec<Member>, Side) {
    let mut members: Vec<Member> = (1..).zip(ids).map(|(number, id)| Member::new(id, number)).collect();
    let mut hub = Side::default();
    settle_all(&mut members, &mut hub);
    (members, hub)
}

pub(crate) fn cluster_spec(id: &str, number: u8) -> ClusterSpec {
    ClusterSpec {
        cluster_id: id.to_owned(),
        cluster_cidr: vec![format!("10.{number}.0.0/16")],
        service_cidr: vec![format!("10.{}.0.0/16", number + 100)],
        ..ClusterSpec::default()
    }
}

pub(crate) fn endpoint_spec(id: &str, number: u8, host: u8) -> EndpointSpec {
    EndpointSpec {
        cluster_id: id.to_owned(),
        cable_name: format!("submariner-cable-{id}-10-0-0-{host}"),
        hostname: format!("node-{host}"),
        subnets: vec![format!("10.{}.0.0/16", number + 100), format!("10.{number}.0.0/16")],
        private_ip: format!("10.0.0.{host}"),
        backend: "vxlan".to_owned(),
        ..EndpointSpec::default()
    }
}

fn hub_metadata(id: &str, name: String) -> ObjectMeta {
    let labels = BTreeMap::from([(keys::CLUSTER_ID_LABEL.to_owned(), id.to_owned())]);
    ObjectMeta {
        name: Some(name),
        namespace: Some("submariner-k8s-broker".to_owned()),
        labels: Some(labels),
        ..ObjectMeta::default()
    }
}

/// A Cluster on the hub as a Go member writes it.
pub(crate) fn go_cluster(id: &str, number: u8) -> Object {
    Object::Cluster(Cluster { metadata: hub_metadata(id, id.to_owned()), spec: cluster_spec(id, number) })
}

/// An Endpoint on the hub as a Go member writes it.
pub(crate) fn go_endpoint(id: &str, number: u8, host: u8) -> Object {
    let spec = endpoint_spec(id, number, host);
    Object::Endpoint(Endpoint { metadata: hub_metadata(id, format!("{id}-{}", spec.cable_name)), spec })
}

/// The name of the Endpoint of a gateway.
pub(crate) fn endpoint_name(id: &str, host: u8) -> String {
    format!("{id}-submariner-cable-{id}-10-0-0-{host}")
}

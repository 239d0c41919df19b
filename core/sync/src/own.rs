//! Our own objects, at home and on the hub.

use std::collections::BTreeMap;

use subm_api::check::annotation;
use subm_api::{Claims, Cluster, ClusterSpec, Endpoint, EndpointSpec, keys, names};
use subm_types::{Epoch, Problem};

use crate::change::{Change, Object, ObjectKind};
use crate::object::{Pairs, Synced, delete, metadata, name_of, origin, problem, write};
use crate::sides::{Named, Sides, epoch_of};
use crate::trust::{HubTrust, counter};
use crate::view::{Publication, Published, PublishedEndpoint};

/// What happens to our own objects.
#[derive(Default)]
pub(crate) struct OwnPlan {
    pub(crate) hub: Vec<Change>,
    pub(crate) home_writes: Vec<Change>,
    pub(crate) home_deletes: Vec<Change>,
    pub(crate) problems: Vec<Problem>,
}

/// The copies at home as they will be.
pub(crate) type Copies = BTreeMap<(ObjectKind, String), Object>;

pub(crate) fn plan(sides: &Sides<'_>, trust: HubTrust, copies: &Copies) -> OwnPlan {
    let mut out = OwnPlan::default();
    let Publication::Publish(published) = &sides.own.publication else { return out };
    let spec = ClusterSpec { cluster_id: sides.own.cluster.to_string(), ..published.cluster.clone() };
    let cluster =
        Cluster { metadata: metadata(&sides.own_cluster_name(), "", Pairs::new(), uid(sides)), spec };
    if let Err(problems) = Claims::try_from(&cluster) {
        out.problems = problems;
        return out;
    }
    let endpoints = endpoints(sides, published, &mut out.problems);
    if let Some(problem) = superseded(sides, published) {
        out.problems.push(problem);
        return out;
    }
    at_home(sides, trust, &cluster, &endpoints, &mut out);
    match (&sides.duplicate, trust) {
        (Some((uid, object)), _) => out.problems.push(duplicate(sides, object, &uid.0)),
        (None, HubTrust::Partial) => {}
        (None, _) => on_hub(sides, trust, (cluster, endpoints), copies, &mut out),
    }
    out
}

fn uid(sides: &Sides<'_>) -> Pairs {
    Pairs::from([(keys::CLUSTER_UID.to_owned(), sides.own.uid.0.clone())])
}

fn endpoints(sides: &Sides<'_>, published: &Published, problems: &mut Vec<Problem>) -> Vec<Endpoint> {
    let mut out = Vec::new();
    for PublishedEndpoint { spec, epoch, annotations: more } in &published.endpoints {
        let spec = EndpointSpec { cluster_id: sides.own.cluster.to_string(), ..spec.clone() };
        let mut annotations = more.clone();
        annotations.append(&mut uid(sides));
        annotations.insert(keys::EPOCH.to_owned(), epoch.to_string());
        let name = names::endpoint_object_name(&spec).unwrap_or_default();
        let endpoint = Endpoint { metadata: metadata(&name, "", Pairs::new(), annotations), spec };
        match subm_types::Endpoint::try_from(&endpoint) {
            Ok(_) => out.push(endpoint),
            Err(mut found) => problems.append(&mut found),
        }
    }
    out
}

fn at_home(sides: &Sides<'_>, trust: HubTrust, cluster: &Cluster, endpoints: &[Endpoint], out: &mut OwnPlan) {
    let namespace = sides.own.home_namespace.as_str();
    let seen = sides.own_hub_cluster().filter(|_| trust == HubTrust::Confirmed).map_or(0, counter);
    let known = sides.own_home_cluster().map_or(0, counter);
    let mut cluster = placed(cluster, namespace);
    // INVARIANT: the counter at home never exceeds one that was seen on the hub, so a hub that lags behind our own
    // writes is not mistaken for one that was restored.
    if seen.max(known) > 0 {
        annotate(&mut cluster, keys::COUNTER, seen.max(known).to_string());
    }
    home_write(sides, &sides.home_clusters, cluster, out);
    for endpoint in endpoints {
        home_write(sides, &sides.home_endpoints, placed(endpoint, namespace), out);
    }
    if !endpoints.is_empty() {
        let ours = sides.home_endpoints.values().filter(|object| sides.ours_at_home(**object));
        let stale = ours.filter(|object| !contains(endpoints, name_of(**object)));
        out.home_deletes.extend(stale.map(|object| delete(*object, namespace)));
    }
}

fn home_write<K: Synced>(sides: &Sides<'_>, home: &Named<'_, K>, object: K, out: &mut OwnPlan) {
    match home.get(name_of(&object)) {
        Some(have) if !sides.ours_at_home(*have) => out.problems.push(taken(&object, "at home")),
        have => out.home_writes.extend(write(have.copied(), object)),
    }
}

fn on_hub(
    sides: &Sides<'_>,
    trust: HubTrust,
    (cluster, endpoints): (Cluster, Vec<Endpoint>),
    copies: &Copies,
    out: &mut OwnPlan,
) {
    let namespace = sides.own.hub_namespace.as_str();
    let mut cluster = labelled(sides, &cluster);
    let endpoints: Vec<Endpoint> = endpoints.iter().map(|endpoint| labelled(sides, endpoint)).collect();
    let (count, digest) = next_counter(sides, trust, &digest(&cluster, &endpoints, copies));
    annotate(&mut cluster, keys::COUNTER, count.to_string());
    annotate(&mut cluster, keys::COUNTER_STATE, digest);
    let stale_clusters = sides.hub_clusters.values().filter(|object| sides.ours_on_hub(**object));
    let stale_clusters = stale_clusters.filter(|object| name_of(**object) != name_of(&cluster));
    let ours =
        sides.hub_endpoints.values().filter(|object| sides.ours_on_hub(**object) && !endpoints.is_empty());
    let stale = ours.filter(|object| !contains(&endpoints, name_of(**object)));
    let deletes: Vec<Change> = stale
        .map(|object| delete(*object, namespace))
        .chain(stale_clusters.map(|object| delete(*object, namespace)))
        .collect();
    hub_write(sides, &sides.hub_clusters, cluster, out);
    for endpoint in endpoints {
        hub_write(sides, &sides.hub_endpoints, endpoint, out);
    }
    out.hub.extend(deletes);
}

fn hub_write<K: Synced>(sides: &Sides<'_>, hub: &Named<'_, K>, object: K, out: &mut OwnPlan) {
    match hub.get(name_of(&object)) {
        Some(have) if origin(*have).is_some() && !sides.ours_on_hub(*have) => {
            out.problems.push(taken(&object, "on the hub"));
        }
        have => out.hub.extend(write(have.copied(), object)),
    }
}

/// The counter that our Cluster on the hub must have, and the state that it stands for.
fn next_counter(sides: &Sides<'_>, trust: HubTrust, state: &str) -> (u64, String) {
    let home = sides.own_home_cluster().map_or(0, counter);
    let hub = sides.own_hub_cluster();
    let current = hub.map_or(0, counter);
    let written = hub.and_then(|cluster| annotation(&cluster.metadata, keys::COUNTER_STATE));
    let stands = trust == HubTrust::Confirmed && written == Some(state) && current > 0;
    (if stands { current } else { current.max(home).saturating_add(1) }, state.to_owned())
}

/// A short name of everything that a restored hub could have lost: what we publish, and what we learned.
fn digest(cluster: &Cluster, endpoints: &[Endpoint], copies: &Copies) -> String {
    let ours = std::iter::once(text(cluster)).chain(endpoints.iter().map(text));
    let theirs = copies.values().map(|object| match object {
        Object::Cluster(cluster) => text(cluster),
        Object::Endpoint(endpoint) => text(endpoint),
    });
    let mut lines: Vec<String> = ours.chain(theirs).collect();
    lines.sort();
    let hash = lines
        .iter()
        .flat_map(|line| line.bytes().chain([b'\n']))
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    format!("{hash:016x}")
}

fn text<K: Synced>(object: &K) -> String {
    let mut object = object.clone();
    let meta = object.metadata();
    let annotations = meta.annotations.iter().flatten().filter(|(key, _)| key.as_str() != keys::KEPT);
    let annotations = annotations.map(|(key, value)| (key.clone(), value.clone())).collect();
    let name = name_of(&object).to_owned();
    *object.metadata_mut() = metadata(&name, "", Pairs::new(), annotations);
    serde_json::to_string(&object).unwrap_or_default()
}

fn placed<K: Synced>(object: &K, namespace: &str) -> K {
    let mut object = object.clone();
    object.metadata_mut().namespace = Some(namespace.to_owned());
    object
}

fn labelled<K: Synced>(sides: &Sides<'_>, object: &K) -> K {
    let mut object = placed(object, &sides.own.hub_namespace);
    let label = (keys::CLUSTER_ID_LABEL.to_owned(), sides.own.cluster.to_string());
    object.metadata_mut().labels = Some(Pairs::from([label]));
    object
}

fn annotate(cluster: &mut Cluster, key: &str, value: String) {
    cluster.metadata.annotations.get_or_insert_default().insert(key.to_owned(), value);
}

fn contains(endpoints: &[Endpoint], name: &str) -> bool {
    endpoints.iter().any(|endpoint| name_of(endpoint) == name)
}

fn superseded(sides: &Sides<'_>, published: &Published) -> Option<Problem> {
    let ours: Epoch = published.endpoints.iter().map(|endpoint| endpoint.epoch).max()?;
    let hub = sides.hub_endpoints.values().filter(|object| sides.ours_on_hub(**object));
    let home = sides.home_endpoints.values().filter(|object| sides.ours_at_home(**object));
    let newer = hub.chain(home).find(|object| epoch_of(object).is_some_and(|epoch| epoch > ours))?;
    let found = epoch_of(newer).unwrap_or_default();
    let what = format!("a gateway of this cluster took over with epoch {found}, ours is {ours}");
    let field = format!("metadata.annotations[{}]", keys::EPOCH);
    let remedy = "nothing if another gateway is active; else take over again with a higher epoch";
    Some(problem("SupersededGateway", *newer, &field, what, remedy))
}

fn duplicate(sides: &Sides<'_>, object: &str, uid: &str) -> Problem {
    let id = &sides.own.cluster;
    Problem {
        reason: "DuplicateClusterID",
        object: format!("{object} on the hub"),
        field: format!("metadata.annotations[{}]", keys::CLUSTER_UID),
        what: format!("cluster id {id} is used by the cluster with UID {uid:?}; ours is {}", sides.own.uid),
        remedy: format!(
            "join this cluster with another id; or, if the other one is gone for good, delete what has the label {}={id} on the hub",
            keys::CLUSTER_ID_LABEL
        ),
    }
}

fn taken<K: Synced>(object: &K, side: &str) -> Problem {
    let what = format!("an object of this name belongs to another cluster {side}");
    problem("NameTaken", object, "metadata.name", what, "delete that object, or join with another cluster id")
}

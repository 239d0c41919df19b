//! `DaemonSets`: one Pod of a template on every node that takes it.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::budget::{is_available, share};
use crate::object::{is_ending, is_over, is_true, list, number, owner_reference, text};
use crate::placement::{selects_node, tolerates};
use crate::plan::Plan;
use crate::replicas::set_count;
use crate::step::Step;
use crate::template;
use crate::view::{Kind, View};

const HASH: &str = "controller-revision-hash";
/// COMPAT: what Pods of `DaemonSets` always tolerate, with the effect.
const TOLERATED: [(&str, &str); 6] = [
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
];
const NETWORK_UNAVAILABLE: &str = "node.kubernetes.io/network-unavailable";
const AFFINITY: &str =
    "/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";

/// A DaemonSet with what is there of it.
struct Daemon<'a> {
    set: &'a Value,
    hash: String,
    /// Nodes that should have a Pod, with those that they have.
    nodes: Vec<(&'a Value, Vec<&'a Value>)>,
    /// Pods elsewhere.
    misplaced: Vec<&'a Value>,
}

pub(crate) fn plan(view: &View, now: Timestamp, plan: &mut Plan) {
    for set in view.all(Kind::DaemonSet).filter(|set| !is_ending(set)) {
        let daemon = Daemon::of(view, set);
        let before = plan.steps.len();
        daemon.place(plan);
        if plan.steps.len() == before {
            daemon.roll(now, plan);
        }
        let status = daemon.status(now, plan);
        plan.steps.extend(Step::status(Kind::DaemonSet, set, status));
    }
}

/// The node of a Pod, or the one that its affinity names before it has one.
fn node_of(pod: &Value) -> &str {
    let placed = text(pod, "/spec/nodeName");
    if !placed.is_empty() {
        return placed;
    }
    let terms = list(&pod["spec"], AFFINITY);
    let mut fields = terms.iter().flat_map(|term| list(term, "/matchFields"));
    fields.find(|field| field["key"] == "metadata.name").map_or("", |field| text(field, "/values/0"))
}

impl<'a> Daemon<'a> {
    fn of(view: &'a View, set: &'a Value) -> Self {
        let pods = view.controlled(Kind::Pod, set);
        let spec = tolerant(&set["spec"]["template"]["spec"]);
        let takes =
            |node: &&Value| selects_node(&spec, node) && tolerates(&spec, node, &["NoSchedule", "NoExecute"]);
        let nodes: Vec<(&Value, Vec<&Value>)> = view
            .all(Kind::Node)
            .filter(takes)
            .map(|node| {
                let name = text(node, "/metadata/name");
                (node, pods.iter().copied().filter(|pod| node_of(pod) == name).collect())
            })
            .collect();
        let placed =
            |pod: &&Value| nodes.iter().any(|(node, _)| text(node, "/metadata/name") == node_of(pod));
        let misplaced = pods.iter().copied().filter(|pod| !placed(pod)).collect();
        Self { set, hash: template::hash(&set["spec"]["template"]), nodes, misplaced }
    }

    fn is_updated(&self, pod: &Value) -> bool {
        text(pod, "/metadata/labels/controller-revision-hash") == self.hash
    }

    /// One Pod on each node, none elsewhere; the next one when the last is gone.
    fn place(&self, plan: &mut Plan) {
        for (node, pods) in &self.nodes {
            if pods.is_empty() {
                plan.steps.push(Step::create(Kind::Pod, self.pod(text(node, "/metadata/name"))));
            }
            let mut living: Vec<&Value> = pods.iter().copied().filter(|pod| !is_ending(pod)).collect();
            let over = living.iter().copied().filter(|pod| is_over(pod));
            plan.steps.extend(over.map(|pod| Step::delete(Kind::Pod, pod)));
            living.retain(|pod| !is_over(pod));
            living.sort_by_key(|pod| text(pod, "/metadata/creationTimestamp"));
            plan.steps.extend(living.iter().skip(1).map(|pod| Step::delete(Kind::Pod, pod)));
        }
        let misplaced = self.misplaced.iter().filter(|pod| !is_ending(pod));
        plan.steps.extend(misplaced.map(|pod| Step::delete(Kind::Pod, pod)));
    }

    /// Replaces Pods of older templates, as many at a time as may be missing.
    fn roll(&self, now: Timestamp, plan: &mut Plan) {
        if text(self.set, "/spec/updateStrategy/type") == "OnDelete" {
            return;
        }
        let wanted = i64::try_from(self.nodes.len()).unwrap_or(i64::MAX);
        let given = &self.set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"];
        let limit = share(given, wanted, true).unwrap_or(1).max(1);
        let (mut ready, mut unready) = (Vec::new(), Vec::new());
        let mut missing = 0;
        for (_, pods) in &self.nodes {
            let Some(pod) = pods.iter().copied().find(|pod| !is_ending(pod)) else {
                missing += 1;
                continue;
            };
            let available = is_available(pod, self.set, now, plan);
            missing += i64::from(!available);
            let stale = if available { &mut ready } else { &mut unready };
            stale.extend((!self.is_updated(pod)).then_some(pod));
        }
        let budget = usize::try_from(limit - missing).unwrap_or_default();
        // What is of no use is replaced at once.
        let replaced = unready.into_iter().chain(ready.into_iter().take(budget));
        plan.steps.extend(replaced.map(|pod| Step::delete(Kind::Pod, pod)));
    }

    fn pod(&self, node: &str) -> Value {
        let references = owner_reference("DaemonSet", "apps/v1", self.set);
        let mut pod = template::pod(self.set, &references, Some((HASH, &self.hash)));
        pod["spec"] = tolerant(&pod["spec"]);
        let field = json!({"key": "metadata.name", "operator": "In", "values": [node]});
        // COMPAT: the node's name replaces whatever fields the affinity asked for, in each of its terms.
        let terms = list(&pod["spec"], AFFINITY);
        let terms: Vec<Value> = if terms.is_empty() {
            vec![json!({"matchFields": [field]})]
        } else {
            terms
                .iter()
                .cloned()
                .map(|mut term| {
                    term["matchFields"] = json!([field]);
                    term
                })
                .collect()
        };
        let required =
            &mut pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
        required["nodeSelectorTerms"] = Value::Array(terms);
        pod
    }

    fn status(&self, now: Timestamp, plan: &mut Plan) -> Value {
        let living = |pods: &[&'a Value]| -> Option<&'a Value> {
            pods.iter().copied().find(|pod| !is_ending(pod) && !is_over(pod))
        };
        let present: Vec<&Value> = self.nodes.iter().filter_map(|(_, pods)| living(pods)).collect();
        let ready = present.iter().filter(|pod| is_true(pod, "Ready")).count();
        let available = present.iter().filter(|pod| is_available(pod, self.set, now, plan)).count();
        let updated = present.iter().filter(|pod| self.is_updated(pod)).count();
        let mut status = self.set["status"].clone();
        if !status.is_object() {
            status = json!({});
        }
        status["observedGeneration"] = json!(number(self.set, "/metadata/generation"));
        status["currentNumberScheduled"] = json!(present.len());
        status["desiredNumberScheduled"] = json!(self.nodes.len());
        status["numberMisscheduled"] = json!(self.misplaced.len());
        status["numberReady"] = json!(ready);
        for (field, count) in [
            ("updatedNumberScheduled", updated),
            ("numberAvailable", available),
            ("numberUnavailable", self.nodes.len() - available),
        ] {
            set_count(&mut status, field, count);
        }
        status
    }
}

/// The spec of a DaemonSet's Pod with what all of them tolerate.
fn tolerant(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let mut tolerations = list(&spec, "/tolerations").to_vec();
    let network = (spec["hostNetwork"] == true).then_some((NETWORK_UNAVAILABLE, "NoSchedule"));
    for (name, effect) in TOLERATED.into_iter().chain(network) {
        let toleration = json!({"key": name, "operator": "Exists", "effect": effect});
        if !tolerations.contains(&toleration) {
            tolerations.push(toleration);
        }
    }
    spec["tolerations"] = Value::Array(tolerations);
    spec
}

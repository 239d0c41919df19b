//! Deployments: from one ReplicaSet to the next, with few enough Pods missing or too many at each moment.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::budget::share;
use crate::object::{is_ending, number, owner_reference, text};
use crate::plan::Plan;
use crate::rollout;
use crate::step::Step;
use crate::template;
use crate::view::{Kind, View};

pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";
pub(crate) const HASH: &str = "pod-template-hash";

/// A Deployment with its `ReplicaSets`.
pub(crate) struct Rollout<'a> {
    pub(crate) deployment: &'a Value,
    /// The set of the present template.
    pub(crate) new: Option<&'a Value>,
    /// All others, the oldest first.
    pub(crate) old: Vec<&'a Value>,
    hash: String,
}

pub(crate) fn plan(view: &View, now: Timestamp, plan: &mut Plan) {
    for deployment in view.all(Kind::Deployment).filter(|deployment| !is_ending(deployment)) {
        let rollout = Rollout::of(view, deployment);
        let before = plan.steps.len();
        if let Some(step) = rollout.revise() {
            // What follows is planned from the answer.
            plan.steps.push(step);
            continue;
        }
        match rollout.new {
            None if deployment["spec"]["paused"] == true => {}
            None => plan.steps.push(rollout.create(view)),
            Some(new) => plan.steps.extend(rollout.scale(view, new)),
        }
        if plan.steps.len() == before {
            plan.steps.extend(rollout.forget());
        }
        plan.steps.extend(
            rollout::status(&rollout, now)
                .and_then(|status| Step::status(Kind::Deployment, deployment, status)),
        );
    }
}

impl<'a> Rollout<'a> {
    fn of(view: &'a View, deployment: &'a Value) -> Self {
        let hash = template::hash(&deployment["spec"]["template"]);
        let mut old = view.controlled(Kind::ReplicaSet, deployment);
        let is_new = |set: &&Value| text(set, "/metadata/labels/pod-template-hash") == hash;
        let new = old.iter().copied().find(is_new);
        old.retain(|set| !is_new(set) && !is_ending(set));
        old.sort_by_key(|set| revision(set));
        Self { deployment, new, old, hash }
    }

    pub(crate) fn wanted(&self) -> i64 {
        number(self.deployment, "/spec/replicas")
    }

    fn recreates(&self) -> bool {
        text(self.deployment, "/spec/strategy/type") == "Recreate"
    }

    /// How many Pods there may be beyond those that are wanted.
    fn surge(&self) -> i64 {
        if self.recreates() {
            return 0;
        }
        let given = &self.deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"];
        share(given, self.wanted(), true)
            .unwrap_or_else(|| share(&json!("25%"), self.wanted(), true).unwrap_or(1))
    }

    /// How many Pods may be missing.
    pub(crate) fn unavailable(&self) -> i64 {
        if self.recreates() {
            return 0;
        }
        let given = &self.deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"];
        let given = share(given, self.wanted(), false)
            .unwrap_or_else(|| share(&json!("25%"), self.wanted(), false).unwrap_or(0));
        // COMPAT: with neither surge nor a missing one nothing could ever move.
        let given = if given == 0 && self.surge() == 0 { 1 } else { given };
        given.min(self.wanted())
    }

    fn total(&self) -> i64 {
        self.old.iter().chain(&self.new).map(|set| number(set, "/spec/replicas")).sum()
    }

    /// How many Pods the new set may have now.
    fn room(&self, view: &View, present: i64) -> i64 {
        if self.recreates() {
            let left = self.old.iter().flat_map(|set| view.controlled(Kind::Pod, set));
            return if left.count() == 0 { self.wanted() } else { present };
        }
        let free = (self.wanted() + self.surge() - self.total()).max(0);
        (present + free).min(self.wanted()).max(present.min(self.wanted()))
    }

    /// The new set's revision is higher than all others', and the Deployment's is the new set's.
    fn revise(&self) -> Option<Step> {
        let highest = self.old.last().map_or(0, |set| revision(set));
        let new = self.new?;
        let present = revision(new);
        if present <= highest {
            let mut set = new.clone();
            set["metadata"]["annotations"][REVISION] = json!((highest + 1).to_string());
            return Some(Step::replace(Kind::ReplicaSet, set));
        }
        if revision(self.deployment) != present {
            let mut deployment = self.deployment.clone();
            deployment["metadata"]["annotations"][REVISION] = json!(present.to_string());
            return Some(Step::replace(Kind::Deployment, deployment));
        }
        None
    }

    fn create(&self, view: &View) -> Step {
        let deployment = self.deployment;
        let highest = self.old.last().map_or(0, |set| revision(set));
        let mut template = deployment["spec"]["template"].clone();
        template["metadata"]["labels"][HASH] = json!(self.hash);
        let mut selector = deployment["spec"]["selector"].clone();
        selector["matchLabels"][HASH] = json!(self.hash);
        let mut set = json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "namespace": text(deployment, "/metadata/namespace"),
                "name": format!("{}-{}", text(deployment, "/metadata/name"), self.hash),
                "labels": template["metadata"]["labels"],
                "annotations": {
                    REVISION: (highest + 1).to_string(),
                    "deployment.kubernetes.io/desired-replicas": self.wanted().to_string(),
                    "deployment.kubernetes.io/max-replicas": (self.wanted() + self.surge()).to_string(),
                },
                "ownerReferences": owner_reference("Deployment", "apps/v1", deployment),
            },
            "spec": {"replicas": self.room(view, 0), "selector": selector, "template": template},
        });
        if let Some(seconds) = deployment["spec"]["minReadySeconds"].as_i64() {
            set["spec"]["minReadySeconds"] = json!(seconds);
        }
        Step::create(Kind::ReplicaSet, set)
    }

    fn scale(&self, view: &View, new: &Value) -> Vec<Step> {
        let mut steps = Vec::new();
        let paused = self.deployment["spec"]["paused"] == true;
        let present = number(new, "/spec/replicas");
        let room = if self.old.iter().all(|set| number(set, "/spec/replicas") == 0) {
            self.room(view, present.min(self.wanted()))
        } else if paused {
            present
        } else {
            self.room(view, present)
        };
        let seconds = number(self.deployment, "/spec/minReadySeconds");
        if room != present || seconds != number(new, "/spec/minReadySeconds") {
            let mut set = new.clone();
            set["spec"]["replicas"] = json!(room);
            set["spec"]["minReadySeconds"] = json!(seconds);
            steps.push(Step::replace(Kind::ReplicaSet, set));
        }
        if !paused {
            self.shrink(new, &mut steps);
        }
        steps
    }

    /// Takes Pods from old sets: first those that are of no use, then as many as others replace.
    fn shrink(&self, new: &Value, steps: &mut Vec<Step>) {
        let least = self.wanted() - self.unavailable();
        let missing = number(new, "/spec/replicas") - number(new, "/status/availableReplicas");
        let mut budget = if self.recreates() { i64::MAX } else { self.total() - least - missing };
        for set in &self.old {
            let present = number(set, "/spec/replicas");
            let useless = (present - number(set, "/status/availableReplicas")).max(0);
            let taken = useless.max(present.min(budget.max(0))).min(budget.max(0)).min(present);
            if taken > 0 {
                let mut set = (*set).clone();
                set["spec"]["replicas"] = json!(present - taken);
                steps.push(Step::replace(Kind::ReplicaSet, set));
                budget -= taken;
            }
        }
    }

    /// Old sets that nobody will want back.
    fn forget(&self) -> Vec<Step> {
        let limit = self.deployment["spec"]["revisionHistoryLimit"].as_u64().unwrap_or(10);
        let idle = |set: &&&Value| number(set, "/spec/replicas") == 0 && number(set, "/status/replicas") == 0;
        let surplus = self.old.len().saturating_sub(usize::try_from(limit).unwrap_or(usize::MAX));
        self.old.iter().take(surplus).filter(idle).map(|set| Step::delete(Kind::ReplicaSet, set)).collect()
    }
}

fn revision(object: &Value) -> i64 {
    object["metadata"]["annotations"][REVISION].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

//! A cluster that is only data: steps are taken, names and versions given out, and time stands still.

use jiff::Timestamp;
use serde_json::{Value, json};
use subm_kube::Key;
use subm_workloads::{Kind, Step, Verb, View, plan};

pub(crate) struct Cluster {
    view: View,
    objects: Vec<(Kind, Value)>,
    given: u32,
    /// Every step that was taken.
    pub(crate) taken: Vec<String>,
}

const KINDS: [Kind; 10] = [
    Kind::Namespace,
    Kind::Node,
    Kind::Pod,
    Kind::Service,
    Kind::ServiceAccount,
    Kind::ConfigMap,
    Kind::EndpointSlice,
    Kind::ReplicaSet,
    Kind::DaemonSet,
    Kind::Deployment,
];

impl Cluster {
    /// With these nodes, all of them ready.
    pub(crate) fn of(nodes: &[&str]) -> Self {
        let mut view = View::new("PEM".to_owned());
        for kind in KINDS {
            view.replace(kind, []);
        }
        let mut cluster = Self { view, objects: Vec::new(), given: 0, taken: Vec::new() };
        for node in nodes {
            cluster.put(Kind::Node, node_of(node));
        }
        cluster
    }

    /// Writes an object as somebody else.
    pub(crate) fn put(&mut self, kind: Kind, mut object: Value) {
        self.given += 1;
        let metadata = &mut object["metadata"];
        if metadata["uid"].is_null() {
            metadata["uid"] = json!(format!("uid-{}", self.given));
        }
        if metadata["name"].is_null() {
            let prefix = metadata["generateName"].as_str().unwrap_or_default();
            metadata["name"] = json!(format!("{prefix}{}", self.given));
        }
        metadata["resourceVersion"] = json!(self.given.to_string());
        let key = key(&object);
        self.objects.retain(|(of, other)| *of != kind || super::cluster::key(other) != key);
        self.objects.push((kind, object.clone()));
        self.view.put(kind, object);
    }

    pub(crate) fn remove(&mut self, kind: Kind, place: &Key) {
        self.objects.retain(|(of, object)| *of != kind || key(object) != *place);
        self.view.remove(kind, place);
    }

    pub(crate) fn all(&self, kind: Kind) -> Vec<Value> {
        self.objects.iter().filter(|(of, _)| *of == kind).map(|(_, object)| object.clone()).collect()
    }

    pub(crate) fn one(&self, kind: Kind, name: &str) -> Value {
        self.all(kind).into_iter().find(|object| object["metadata"]["name"] == name).unwrap_or_default()
    }

    /// Takes steps until there are none.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100 {
            let steps = plan(&self.view, Timestamp::UNIX_EPOCH).steps;
            if steps.is_empty() {
                return;
            }
            for step in steps {
                self.take(step);
            }
        }
        panic!("it never comes to rest: {:#?}", self.taken);
    }

    /// Plans once and takes the steps.
    pub(crate) fn step(&mut self) {
        for step in plan(&self.view, Timestamp::UNIX_EPOCH).steps {
            self.take(step);
        }
    }

    fn take(&mut self, step: Step) {
        self.taken.push(step.to_string());
        match step.verb {
            Verb::Create | Verb::Replace | Verb::ReplaceStatus => self.put(step.kind, step.body),
            Verb::Delete => self.remove(step.kind, &step.key),
            Verb::Bind => {
                let mut pod = self.one(Kind::Pod, &step.key.name);
                pod["spec"]["nodeName"] = step.body["target"]["name"].clone();
                self.put(Kind::Pod, pod);
            }
        }
    }

    /// A kubelet makes every placed Pod run and be ready.
    pub(crate) fn run_pods(&mut self) {
        for (pod, number) in self.all(Kind::Pod).into_iter().zip(1..) {
            if !pod["spec"]["nodeName"].is_null() {
                let mut pod = pod;
                pod["status"] = json!({
                    "phase": "Running",
                    "podIP": format!("10.1.0.{number}"),
                    "podIPs": [{"ip": format!("10.1.0.{number}")}, {"ip": format!("fd00::{number}")}],
                    "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:00:00Z"}],
                });
                self.put(Kind::Pod, pod);
            }
        }
    }

    /// Everything goes on until nothing changes: controllers and kubelets in turns.
    pub(crate) fn run(&mut self) {
        for _ in 0..40 {
            self.settle();
            self.run_pods();
        }
        self.settle();
    }
}

pub(crate) fn key(object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    Key::new(text("namespace"), text("name"))
}

pub(crate) fn node_of(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    })
}

pub(crate) fn template(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "a"}},
        "spec": {"containers": [{"name": "c", "image": image, "ports": [{"name": "web", "containerPort": 8080}]}]},
    })
}

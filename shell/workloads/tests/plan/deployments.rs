use serde_json::{Value, json};
use subm_workloads::Kind;

use crate::cluster::{Cluster, template};

fn deployment(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"namespace": "n", "name": "d", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "a"}},
            "template": template("one"),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}},
            "progressDeadlineSeconds": 600,
        },
    })
}

fn condition(object: &Value, kind: &str) -> String {
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.iter().find(|condition| condition["type"] == kind).cloned().unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    format!("{}, {}", text("status"), text("reason"))
}

fn pods(cluster: &Cluster, image: &str) -> usize {
    cluster.all(Kind::Pod).iter().filter(|pod| pod["spec"]["containers"][0]["image"] == image).count()
}

#[test]
fn pods_are_made_spread_over_nodes_and_counted() {
    let mut cluster = Cluster::of(&["east", "west"]);
    cluster.put(Kind::Deployment, deployment(4));
    cluster.settle();
    let before = cluster.one(Kind::Deployment, "d");
    assert_eq!(before["status"]["unavailableReplicas"], 4);
    assert_eq!(condition(&before, "Available"), "False, MinimumReplicasUnavailable");
    cluster.run();
    let after = cluster.one(Kind::Deployment, "d");
    for field in ["replicas", "readyReplicas", "availableReplicas", "updatedReplicas"] {
        assert_eq!(after["status"][field], 4, "{field}");
    }
    assert_eq!(after["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    assert_eq!(condition(&after, "Available"), "True, MinimumReplicasAvailable");
    assert_eq!(condition(&after, "Progressing"), "True, NewReplicaSetAvailable");
    let on_east = cluster.all(Kind::Pod).iter().filter(|pod| pod["spec"]["nodeName"] == "east").count();
    assert_eq!(on_east, 2);
    let set = &cluster.all(Kind::ReplicaSet)[0];
    assert_eq!(set["metadata"]["ownerReferences"][0]["uid"], after["metadata"]["uid"]);
}

#[test]
fn a_new_template_takes_over_within_its_bounds() {
    let mut cluster = Cluster::of(&["east"]);
    cluster.put(Kind::Deployment, deployment(4));
    cluster.run();
    let mut changed = cluster.one(Kind::Deployment, "d");
    changed["spec"]["template"] = template("two");
    changed["metadata"]["generation"] = json!(2);
    cluster.put(Kind::Deployment, changed);
    for _ in 0..40 {
        cluster.settle();
        let (old, new) = (pods(&cluster, "one"), pods(&cluster, "two"));
        assert!(old + new <= 5, "{old} old and {new} new are too many");
        let ready = cluster.all(Kind::Pod).iter().filter(|pod| pod["status"]["phase"] == "Running").count();
        assert!(ready >= 3, "{ready} ready are too few");
        cluster.run_pods();
    }
    cluster.settle();
    assert_eq!((pods(&cluster, "one"), pods(&cluster, "two")), (0, 4));
    let after = cluster.one(Kind::Deployment, "d");
    assert_eq!(after["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "2");
    assert_eq!(condition(&after, "Progressing"), "True, NewReplicaSetAvailable");
    assert_eq!(cluster.all(Kind::ReplicaSet).len(), 2, "the old set stays for going back");
}

#[test]
fn recreating_ends_all_before_it_makes_any() {
    let mut cluster = Cluster::of(&["east"]);
    let mut recreating = deployment(2);
    recreating["spec"]["strategy"] = json!({"type": "Recreate"});
    cluster.put(Kind::Deployment, recreating);
    cluster.run();
    let mut changed = cluster.one(Kind::Deployment, "d");
    changed["spec"]["template"] = template("two");
    cluster.put(Kind::Deployment, changed);
    for _ in 0..40 {
        cluster.step();
        assert!(pods(&cluster, "one") == 0 || pods(&cluster, "two") == 0);
        cluster.run_pods();
    }
    assert_eq!((pods(&cluster, "one"), pods(&cluster, "two")), (0, 2));
}

#[test]
fn scaling_down_spares_what_is_ready() {
    let mut cluster = Cluster::of(&["east"]);
    cluster.put(Kind::Deployment, deployment(3));
    cluster.settle();
    let mut ready = cluster.all(Kind::Pod).remove(1);
    let name = ready["metadata"]["name"].clone();
    ready["status"] = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    cluster.put(Kind::Pod, ready);
    let mut smaller = cluster.one(Kind::Deployment, "d");
    smaller["spec"]["replicas"] = json!(1);
    cluster.put(Kind::Deployment, smaller);
    cluster.settle();
    let left = cluster.all(Kind::Pod);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["metadata"]["name"], name);
}

#[test]
fn a_pod_that_no_node_takes_says_why() {
    let mut cluster = Cluster::of(&["east"]);
    let mut choosy = deployment(1);
    choosy["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "fast"});
    cluster.put(Kind::Deployment, choosy);
    cluster.settle();
    let pod = &cluster.all(Kind::Pod)[0];
    assert_eq!(condition(pod, "PodScheduled"), "False, Unschedulable");
    assert_eq!(
        pod["status"]["conditions"][0]["message"],
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    );
}

use serde_json::{Value, json};
use subm_kube::Key;
use subm_workloads::Kind;

use crate::cluster::{Cluster, node_of, template};

fn set() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet",
        "metadata": {"namespace": "n", "name": "d", "generation": 1},
        "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": template("one")},
    })
}

fn nodes(cluster: &Cluster) -> Vec<String> {
    let pods = cluster.all(Kind::Pod);
    let mut nodes: Vec<String> =
        pods.iter().map(|pod| pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()).collect();
    nodes.sort();
    nodes
}

#[test]
fn every_node_that_takes_the_pod_has_one() {
    let mut cluster = Cluster::of(&["east", "west"]);
    cluster.put(Kind::DaemonSet, set());
    cluster.run();
    assert_eq!(nodes(&cluster), ["east", "west"]);
    let status = &cluster.one(Kind::DaemonSet, "d")["status"];
    for (field, wanted) in [
        ("desiredNumberScheduled", 2),
        ("currentNumberScheduled", 2),
        ("numberReady", 2),
        ("numberAvailable", 2),
        ("updatedNumberScheduled", 2),
        ("numberMisscheduled", 0),
        ("observedGeneration", 1),
    ] {
        assert_eq!(status[field], wanted, "{field} of {status}");
    }
    assert!(status.get("numberUnavailable").is_none());
    let pod = &cluster.all(Kind::Pod)[0];
    assert_eq!(pod["metadata"]["ownerReferences"][0]["controller"], true);
    assert!(pod["metadata"]["labels"]["controller-revision-hash"].is_string());
}

#[test]
fn a_label_that_goes_takes_the_pod_with_it_and_a_new_node_gets_one() {
    let mut cluster = Cluster::of(&["east", "west"]);
    let mut west = node_of("west");
    west["metadata"]["labels"]["gateway"] = json!("true");
    cluster.put(Kind::Node, west);
    let mut set = set();
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"gateway": "true"});
    cluster.put(Kind::DaemonSet, set);
    cluster.run();
    assert_eq!(nodes(&cluster), ["west"]);
    cluster.put(Kind::Node, node_of("west"));
    let mut north = node_of("north");
    north["metadata"]["labels"]["gateway"] = json!("true");
    cluster.put(Kind::Node, north);
    cluster.run();
    assert_eq!(nodes(&cluster), ["north"]);
}

#[test]
fn taints_keep_pods_away_but_those_of_trouble_do_not() {
    let mut cluster = Cluster::of(&[]);
    for (name, taint) in [("kept", "example.com/own"), ("cordoned", "node.kubernetes.io/unschedulable")] {
        let mut node = node_of(name);
        node["spec"]["taints"] = json!([{"key": taint, "effect": "NoSchedule"}]);
        cluster.put(Kind::Node, node);
    }
    let mut unready = node_of("unready");
    unready["status"] = json!({});
    cluster.put(Kind::Node, unready);
    cluster.put(Kind::DaemonSet, set());
    cluster.run();
    assert_eq!(nodes(&cluster), ["cordoned", "unready"]);
}

#[test]
fn a_deleted_pod_comes_back_and_one_that_ends_is_waited_for() {
    let mut cluster = Cluster::of(&["east"]);
    cluster.put(Kind::DaemonSet, set());
    cluster.run();
    let mut ending = cluster.all(Kind::Pod).remove(0);
    ending["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:30Z");
    let name = ending["metadata"]["name"].as_str().unwrap().to_owned();
    cluster.put(Kind::Pod, ending);
    cluster.settle();
    assert_eq!(cluster.all(Kind::Pod).len(), 1, "the next waits until the last is gone");
    cluster.remove(Kind::Pod, &Key::new("n", name.clone()));
    cluster.run();
    assert_eq!(nodes(&cluster), ["east"]);
    assert_ne!(cluster.all(Kind::Pod)[0]["metadata"]["name"], name.as_str());
}

#[test]
fn a_pod_goes_with_its_node() {
    let mut cluster = Cluster::of(&["east", "west"]);
    cluster.put(Kind::DaemonSet, set());
    cluster.run();
    let mut pod = cluster.all(Kind::Pod).into_iter().find(|pod| pod["spec"]["nodeName"] == "west").unwrap();
    pod["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:30Z");
    cluster.put(Kind::Pod, pod);
    cluster.remove(Kind::Node, &Key::new("", "west"));
    cluster.run();
    assert_eq!(nodes(&cluster), ["east"]);
}

#[test]
fn an_update_replaces_one_pod_at_a_time() {
    let mut cluster = Cluster::of(&["east", "west", "north"]);
    cluster.put(Kind::DaemonSet, set());
    cluster.run();
    let mut changed = cluster.one(Kind::DaemonSet, "d");
    changed["spec"]["template"] = template("two");
    changed["metadata"]["generation"] = json!(2);
    cluster.put(Kind::DaemonSet, changed);
    let images = |cluster: &Cluster, image: &str| {
        cluster.all(Kind::Pod).iter().filter(|pod| pod["spec"]["containers"][0]["image"] == image).count()
    };
    for replaced in 1..=3 {
        cluster.settle();
        assert_eq!((images(&cluster, "two"), images(&cluster, "one")), (replaced, 3 - replaced));
        cluster.run_pods();
    }
    cluster.settle();
    let status = &cluster.one(Kind::DaemonSet, "d")["status"];
    assert_eq!((&status["observedGeneration"], &status["updatedNumberScheduled"]), (&json!(2), &json!(3)));
}

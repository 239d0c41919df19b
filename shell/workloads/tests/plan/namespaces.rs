use serde_json::json;
use subm_workloads::Kind;

use crate::cluster::Cluster;

#[test]
fn a_namespace_has_an_account_and_the_root_certificate() {
    let mut cluster = Cluster::of(&[]);
    cluster.put(Kind::Namespace, json!({"metadata": {"name": "a"}}));
    cluster.put(
        Kind::Namespace,
        json!({"metadata": {"name": "ending", "deletionTimestamp": "1970-01-01T00:00:00Z"}}),
    );
    cluster.settle();
    assert_eq!(cluster.taken, ["create ServiceAccount a/default", "create ConfigMap a/kube-root-ca.crt"]);
    let mut map = cluster.one(Kind::ConfigMap, "kube-root-ca.crt");
    assert_eq!(map["data"], json!({"ca.crt": "PEM"}));
    map["data"] = json!({"ca.crt": "another"});
    cluster.put(Kind::ConfigMap, map);
    cluster.settle();
    assert_eq!(cluster.one(Kind::ConfigMap, "kube-root-ca.crt")["data"], json!({"ca.crt": "PEM"}));
}

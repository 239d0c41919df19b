//! What every namespace has: a ServiceAccount for Pods that name none, and the certificate of the API server.

use serde_json::json;
use subm_kube::Key;

use crate::object::{is_ending, text};
use crate::plan::Plan;
use crate::step::Step;
use crate::view::{Kind, View};

const ACCOUNT: &str = "default";
const ROOT: &str = "kube-root-ca.crt";
const DESCRIPTION: &str = "kubernetes.io/description";
/// COMPAT: the words of kube-controller-manager's root-ca-cert-publisher.
const DESCRIBED: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
     endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
     distributions of Kubernetes clusters.";

pub(crate) fn plan(view: &View, plan: &mut Plan) {
    for namespace in view.all(Kind::Namespace).filter(|namespace| !is_ending(namespace)) {
        let name = text(namespace, "/metadata/name");
        if view.get(Kind::ServiceAccount, &Key::new(name, ACCOUNT)).is_none() {
            let account = json!({
                "apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"namespace": name, "name": ACCOUNT},
            });
            plan.steps.push(Step::create(Kind::ServiceAccount, account));
        }
        plan.steps.extend(root_certificate(view, name));
    }
}

fn root_certificate(view: &View, namespace: &str) -> Option<Step> {
    let data = json!({"ca.crt": view.authority});
    let Some(found) = view.get(Kind::ConfigMap, &Key::new(namespace, ROOT)) else {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"namespace": namespace, "name": ROOT, "annotations": {DESCRIPTION: DESCRIBED}},
            "data": data,
        });
        return Some(Step::create(Kind::ConfigMap, map));
    };
    if found["data"] == data {
        return None;
    }
    let mut map = found.clone();
    map["data"] = data;
    Some(Step::replace(Kind::ConfigMap, map))
}

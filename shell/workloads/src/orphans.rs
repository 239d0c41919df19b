//! Pods whose node is gone: nobody ends them but we.

use subm_kube::Key;

use crate::object::{controller, is_ending, text};
use crate::plan::Plan;
use crate::step::Step;
use crate::view::{Kind, View};

/// COMPAT: Kubernetes waits for 40 s before; a node of a playground does not come back by itself.
pub(crate) fn plan(view: &View, plan: &mut Plan) {
    for pod in view.all(Kind::Pod) {
        let node = text(pod, "/spec/nodeName");
        if node.is_empty() || view.get(Kind::Node, &Key::new("", node)).is_some() {
            continue;
        }
        // A Pod that nobody controls may be waiting for a node that is yet to come.
        if is_ending(pod) || !controller(pod).is_empty() {
            plan.steps.push(Step::delete_now(Kind::Pod, pod));
        }
    }
}

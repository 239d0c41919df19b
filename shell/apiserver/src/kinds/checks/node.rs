//! Nodes and Leases.

use serde_json::Value;

use super::{Change, POSITIVE, items};
use crate::patch::Part;
use crate::schema::{Cause, is_cidr};

pub(in crate::kinds) fn node(change: &Change<'_>, causes: &mut Vec<Cause>) {
    let spec = &change.new["spec"];
    for (index, net) in items(spec, "podCIDRs") {
        if !is_cidr(net.as_str().unwrap_or_default()) {
            let detail = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            causes.push(Cause::invalid(&format!("spec.podCIDRs[{index}]"), net, detail));
        }
    }
    let Some(old) = change.old.map(|old| &old["spec"]) else { return };
    if change.part != Part::Whole {
        return;
    }
    let set = |value: &Value| value.as_array().is_some_and(|all| !all.is_empty());
    if set(&old["podCIDRs"]) && old["podCIDRs"] != spec["podCIDRs"] {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        causes.push(Cause::forbidden("spec.podCIDRs", detail));
    }
    if old["providerID"].as_str().is_some_and(|id| !id.is_empty()) && old["providerID"] != spec["providerID"]
    {
        let detail = "node updates may not change providerID except from \"\" to valid";
        causes.push(Cause::forbidden("spec.providerID", detail));
    }
}

pub(in crate::kinds) fn lease(change: &Change<'_>, causes: &mut Vec<Cause>) {
    let spec = &change.new["spec"];
    let duration = &spec["leaseDurationSeconds"];
    if duration.as_i64().is_some_and(|seconds| seconds <= 0) {
        causes.push(Cause::invalid("spec.leaseDurationSeconds", duration, "must be greater than 0"));
    }
    let transitions = &spec["leaseTransitions"];
    if transitions.as_i64().is_some_and(|count| count < 0) {
        causes.push(Cause::invalid("spec.leaseTransitions", transitions, POSITIVE));
    }
}

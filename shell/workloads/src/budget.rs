//! How many may be missing or too many, and since when a Pod counts as available.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::object::{condition, is_true, number, time};
use crate::plan::Plan;

/// A number or a share of another (`25%`).
pub(crate) fn share(value: &Value, of: i64, round_up: bool) -> Option<i64> {
    if let Some(number) = value.as_i64() {
        return Some(number.max(0));
    }
    let percent: i64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    let whole = of * percent.max(0);
    Some(if round_up { (whole + 99) / 100 } else { whole / 100 })
}

/// Whether a Pod has been ready for as long as its owner asks; if only time is missing, the plan is made again then.
pub(crate) fn is_available(pod: &Value, owner: &Value, now: Timestamp, plan: &mut Plan) -> bool {
    if !is_true(pod, "Ready") {
        return false;
    }
    let least = number(owner, "/spec/minReadySeconds");
    if least == 0 {
        return true;
    }
    let since = condition(pod, "Ready").and_then(|ready| time(ready, "/lastTransitionTime"));
    let Some(at) = since.and_then(|since| since.checked_add(SignedDuration::from_secs(least)).ok()) else {
        return false;
    };
    if at > now {
        plan.look_again(at);
    }
    at <= now
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_share_is_rounded_as_its_use_asks() {
        assert_eq!(share(&json!(2), 10, true), Some(2));
        assert_eq!(share(&json!("25%"), 3, true), Some(1));
        assert_eq!(share(&json!("25%"), 3, false), Some(0));
        assert_eq!(share(&json!("much"), 3, false), None);
    }
}

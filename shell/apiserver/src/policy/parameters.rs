//! The objects that a binding gives to its policy as parameters.

use serde_json::Value;

use super::Attempt;
use super::read::{Binding, Policy};
use crate::kinds::KindId;
use crate::selector::selects;

/// Each parameter with which the policy is to be asked; the error says why there are none.
pub(super) fn of(
    policy: &Policy,
    binding: &Binding,
    attempt: &Attempt<'_>,
) -> Result<Vec<Option<Value>>, String> {
    let (Some((api_version, name)), Some(reference)) = (&policy.parameters, &binding.parameters) else {
        return Ok(vec![None]);
    };
    let kind = attempt.store.kinds().typed(api_version, name).ok_or_else(|| {
        format!("failed to configure policy: failed to find resource referenced by paramKind: '{api_version}, Kind={name}'")
    })?;
    let found =
        found(kind, reference, attempt).map_err(|why| format!("failed to configure binding: {why}"))?;
    if found.is_empty() && reference["parameterNotFoundAction"] != "Allow" {
        return Err(
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
                .to_owned(),
        );
    }
    Ok(found.into_iter().map(Some).collect())
}

fn found(kind: KindId, reference: &Value, attempt: &Attempt<'_>) -> Result<Vec<Value>, String> {
    let text = |field: &str| reference[field].as_str().filter(|text| !text.is_empty());
    let own = Some(attempt.place.namespace.as_str()).filter(|namespace| !namespace.is_empty());
    let namespace = match (kind.is_namespaced(), text("namespace").or(own)) {
        (true, Some(namespace)) => namespace,
        (true, None) => {
            let why =
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources";
            return Err(why.to_owned());
        }
        (false, _) if text("namespace").is_some() => {
            return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".to_owned());
        }
        (false, _) => "",
    };
    if let Some(name) = text("name") {
        let object = attempt.store.get(kind, namespace, name);
        return Ok(object.map(|object| object.seen_as(kind).value()).into_iter().collect());
    }
    let of_namespace = kind.is_namespaced().then_some(namespace);
    let objects = attempt.store.list(kind, of_namespace);
    let selected = objects.filter(|object| selects(&reference["selector"], object.labels()));
    Ok(selected.map(|object| object.seen_as(kind).value()).collect())
}

//! Nobody grants what they do not have.

use serde_json::Value;

use crate::access::{Action, Authoriser, User};
use crate::rbac::{Kinds, PolicyRule};
use crate::refusal::{Denied, Refusal};
use crate::store::{Place, Store};

const GROUP: &str = "rbac.authorization.k8s.io";

/// Checks a role or binding that is about to be written.
pub(crate) fn check(
    store: &Store,
    (user, authoriser): (&User, &Authoriser),
    place: &Place,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), Refusal> {
    if place.kind.group != GROUP {
        return Ok(());
    }
    let Some(kinds) = Kinds::known() else { return Ok(()) };
    let (verb, target, rules) = match place.kind.plural {
        "roles" | "clusterroles" => {
            let same = |field: &str| old.is_some_and(|old| old[field] == new[field]);
            if same("rules") && same("aggregationRule") {
                return Ok(());
            }
            ("escalate", (place.kind.plural, place.name.as_str()), PolicyRule::list(&new["rules"]))
        }
        _ => {
            let reference = &new["roleRef"];
            if old.is_some_and(|old| old["roleRef"] == *reference && old["subjects"] == new["subjects"]) {
                return Ok(());
            }
            let plural = if reference["kind"] == "Role" { "roles" } else { "clusterroles" };
            let name = reference["name"].as_str().unwrap_or_default();
            let rules = match kinds.rules_of(store, reference, &place.namespace) {
                Some(rules) => rules,
                // Whoever may bind a role may bind one that is not there yet.
                None if may(authoriser, user, "bind", (plural, name), &place.namespace) => Vec::new(),
                None => return Err(missing_role(plural, name)),
            };
            ("bind", (plural, name), rules)
        }
    };
    if may(authoriser, user, verb, target, &place.namespace) {
        return Ok(());
    }
    let lacking = authoriser.lacking(user, &place.namespace, &rules);
    if lacking.is_empty() {
        return Ok(());
    }
    let lacking: Vec<_> = lacking.iter().map(ToString::to_string).collect();
    let why = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        serde_json::json!(user.groups).to_string().replace(',', " "),
        lacking.join("\n")
    );
    Err(Refusal::Denied(Box::new(Denied {
        group: GROUP.to_owned(),
        resource: place.kind.plural.to_owned(),
        name: place.name.clone(),
        why,
    })))
}

fn may(
    authoriser: &Authoriser,
    user: &User,
    verb: &str,
    (plural, name): (&str, &str),
    namespace: &str,
) -> bool {
    let action = Action { verb, group: GROUP, plural, subresource: "", namespace, name };
    authoriser.allows(user, &action).is_some()
}

fn missing_role(plural: &str, name: &str) -> Refusal {
    Refusal::NoSuch { group: GROUP.to_owned(), resource: plural.to_owned(), name: name.to_owned() }
}

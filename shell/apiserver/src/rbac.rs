//! Role-based access control: what the roles and bindings in a store allow to whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::access::{Action, User};
use crate::kinds::KindId;
use crate::store::{Object, Store};

mod bootstrap;
mod escalation;
mod rule;

pub(crate) use bootstrap::objects as bootstrap_objects;
pub(crate) use escalation::check as check_escalation;
pub(crate) use rule::PolicyRule;

/// Whoever is in it may do everything; no object can take that away.
pub(crate) const MASTERS: &str = "system:masters";

/// The kinds that decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kinds {
    roles: KindId,
    cluster_roles: KindId,
    bindings: KindId,
    cluster_bindings: KindId,
}

/// What is bound to whom.
#[derive(Debug, Default)]
pub(crate) struct Rbac {
    bound: Vec<Bound>,
}

#[derive(Debug)]
struct Bound {
    subjects: Vec<Holder>,
    rules: Arc<Vec<PolicyRule>>,
    /// None everywhere.
    namespace: Option<String>,
    /// As in the reason of an audit event.
    reason: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Holder {
    User(String),
    Group(String),
}

impl Kinds {
    pub(crate) fn known() -> Option<Self> {
        let kind = |plural: &str| KindId::named(&format!("{plural}.rbac.authorization.k8s.io"));
        Some(Self {
            roles: kind("roles")?,
            cluster_roles: kind("clusterroles")?,
            bindings: kind("rolebindings")?,
            cluster_bindings: kind("clusterrolebindings")?,
        })
    }

    /// Grows with every change of what is allowed.
    pub(crate) fn latest(self, store: &Store) -> u64 {
        let kinds = [self.roles, self.cluster_roles, self.bindings, self.cluster_bindings];
        kinds.into_iter().map(|kind| store.latest(kind)).max().unwrap_or_default()
    }

    /// Rules of a role by its reference; none where there is no such role.
    fn rules_of(self, store: &Store, reference: &Value, namespace: &str) -> Option<Vec<PolicyRule>> {
        let name = reference["name"].as_str()?;
        let role = match reference["kind"].as_str()? {
            "ClusterRole" => store.get(self.cluster_roles, "", name),
            "Role" if !namespace.is_empty() => store.get(self.roles, namespace, name),
            _ => None,
        };
        role.map(|role| PolicyRule::list(&role.value()["rules"]))
    }
}

impl Rbac {
    /// Reads all bindings of a store and the roles that they name.
    pub(crate) fn of(store: &Store) -> Self {
        let Some(kinds) = Kinds::known() else { return Self::default() };
        let mut known: BTreeMap<String, Option<Arc<Vec<PolicyRule>>>> = BTreeMap::new();
        let bindings =
            [kinds.cluster_bindings, kinds.bindings].into_iter().flat_map(|kind| store.list(kind, None));
        let mut bound = Vec::new();
        for binding in bindings {
            let value = binding.value();
            let reference = &value["roleRef"];
            let key = format!("{} {reference}", binding.namespace());
            let read = || kinds.rules_of(store, reference, binding.namespace()).map(Arc::new);
            let rules = known.entry(key).or_insert_with(read).clone();
            bound.extend(rules.map(|rules| Bound::new(binding, &value, rules)));
        }
        Self { bound }
    }

    fn of_user(&self, user: &User, namespace: &str) -> Vec<&Bound> {
        let here =
            |bound: &&Bound| bound.namespace.as_deref().is_none_or(|own| !own.is_empty() && own == namespace);
        let own = |bound: &&Bound| bound.subjects.iter().any(|subject| subject.is(user));
        self.bound.iter().filter(here).filter(own).collect()
    }

    /// Why an action is allowed, if it is.
    pub(crate) fn allows(&self, user: &User, action: &Action<'_>) -> Option<&str> {
        let bound = self.of_user(user, action.namespace).into_iter();
        let mut allowing = bound.filter(|bound| bound.rules.iter().any(|rule| rule.admits(action)));
        allowing.next().map(|bound| bound.reason.as_str())
    }

    /// Why a path is allowed, if it is.
    pub(crate) fn allows_path(&self, user: &User, verb: &str, path: &str) -> Option<&str> {
        let bound = self.of_user(user, "").into_iter();
        let mut allowing = bound.filter(|bound| bound.rules.iter().any(|rule| rule.admits_path(verb, path)));
        allowing.next().map(|bound| bound.reason.as_str())
    }

    /// Every rule that a user has in a namespace.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<&PolicyRule> {
        self.of_user(user, namespace).into_iter().flat_map(|bound| bound.rules.iter()).collect()
    }
}

impl Bound {
    fn new(binding: &Object, value: &Value, rules: Arc<Vec<PolicyRule>>) -> Self {
        let namespace = binding.namespace();
        let subjects = value["subjects"].as_array().into_iter().flatten();
        let (kind, role) = (value["roleRef"]["kind"].as_str(), value["roleRef"]["name"].as_str());
        let name = if namespace.is_empty() {
            binding.name().to_owned()
        } else {
            format!("{}/{namespace}", binding.name())
        };
        Self {
            subjects: subjects.filter_map(|subject| Holder::of(subject, namespace)).collect(),
            rules,
            namespace: (!namespace.is_empty()).then(|| namespace.to_owned()),
            reason: format!(
                "RBAC: allowed by {} {name:?} of {} {:?} to the subjects of the binding",
                binding.kind().name,
                kind.unwrap_or_default(),
                role.unwrap_or_default()
            ),
        }
    }
}

impl Holder {
    fn of(subject: &Value, namespace: &str) -> Option<Self> {
        let name = subject["name"].as_str()?;
        match subject["kind"].as_str()? {
            "User" => Some(Self::User(name.to_owned())),
            "Group" => Some(Self::Group(name.to_owned())),
            "ServiceAccount" => {
                let namespace =
                    subject["namespace"].as_str().filter(|own| !own.is_empty()).unwrap_or(namespace);
                Some(Self::User(format!("system:serviceaccount:{namespace}:{name}")))
            }
            _ => None,
        }
    }

    fn is(&self, user: &User) -> bool {
        match self {
            Self::User(name) => user.name == *name,
            Self::Group(name) => user.groups.contains(name),
        }
    }
}

/// The rules of `ClusterRoles` that gather others', where they are not yet what they should be.
pub(crate) fn aggregated(store: &Store) -> Vec<(String, Value)> {
    let Some(kinds) = Kinds::known() else { return Vec::new() };
    let all: Vec<_> = store.list(kinds.cluster_roles, None).map(|role| (role, role.value())).collect();
    let gathering = all.iter().filter_map(|(role, value)| {
        let selectors = value.pointer("/aggregationRule/clusterRoleSelectors")?.as_array()?;
        let selected = |part: &Object| {
            selectors.iter().any(|selector| crate::selector::selects(selector, part.labels()))
        };
        let parts = all.iter().filter(|(part, _)| part.name() != role.name() && selected(part));
        let more = parts.flat_map(|(_, part)| part["rules"].as_array().into_iter().flatten());
        let mut rules: Vec<Value> = Vec::new();
        more.for_each(|rule| {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        });
        let known = value["rules"].as_array().map_or(&[][..], Vec::as_slice);
        (known != rules).then(|| (role.name().to_owned(), Value::Array(rules)))
    });
    gathering.collect()
}

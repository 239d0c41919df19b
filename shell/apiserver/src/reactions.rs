//! What follows at once from a write: tokens in Secrets, and roles that gather others' rules.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::access::Admission;
use crate::identity::{TokenKey, legacy_claims};
use crate::kinds::KindId;
use crate::metadata;
use crate::patch::Patch;
use crate::policy;
use crate::rbac;
use crate::store::{Change, Effect, Place, Preconditions, Store, Writer};

const TOKEN_TYPE: &str = "kubernetes.io/service-account-token";
const POLICIES: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
const ACCOUNT: &str = "kubernetes.io/service-account.name";
const ACCOUNT_UID: &str = "kubernetes.io/service-account.uid";

/// What the server knows beside the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Means<'a> {
    pub(crate) key: &'a TokenKey,
    /// The certificate of the server's authority, where it is known.
    pub(crate) authority: Option<&'a str>,
}

/// Does what follows from everything that happened after a version.
pub(crate) fn react(store: &mut Store, version: u64, means: Means<'_>) {
    let changed = |store: &Store, resource: &str| {
        KindId::named(resource).is_some_and(|kind| store.latest(kind) > version)
    };
    if changed(store, "serviceaccounts") {
        drop_tokens_of_the_gone(store, version);
    }
    if changed(store, "secrets") {
        fill_secrets(store, version, means);
    }
    if changed(store, POLICIES) {
        tell_policies_read(store, version);
    }
    if changed(store, "clusterroles.rbac.authorization.k8s.io") {
        gather_roles(store);
    }
}

fn writer(manager: &str) -> Writer {
    Writer {
        manager: manager.to_owned(),
        admission: Admission::Anything,
        now: Timestamp::now(),
        effect: Effect::Lasting,
    }
}

/// The objects of a resource that an event after a version left behind, or that it took away.
fn happened(store: &Store, resource: &str, version: u64, to: impl Fn(Change) -> bool) -> Vec<Value> {
    let Some(kind) = KindId::named(resource) else { return Vec::new() };
    let Ok(events) = store.since(kind, version) else { return Vec::new() };
    events.filter(|event| to(event.change)).map(|event| event.object.value()).collect()
}

fn annotation<'a>(object: &'a Value, name: &str) -> &'a str {
    object["metadata"]["annotations"][name].as_str().unwrap_or_default()
}

fn fill_secrets(store: &mut Store, version: u64, means: Means<'_>) {
    for secret in happened(store, "secrets", version, |change| change != Change::Deleted) {
        let filled = secret["data"]["token"].as_str().is_some_and(|token| !token.is_empty());
        if secret["type"] == TOKEN_TYPE && !filled {
            // A refusal says that the Secret went away meanwhile.
            let _gone = fill(store, &secret, means);
        }
    }
}

fn fill(store: &mut Store, secret: &Value, means: Means<'_>) -> Option<()> {
    let (namespace, name) = (metadata::text(secret, "namespace"), metadata::text(secret, "name"));
    let place = Place::new(KindId::named("secrets")?, namespace, name);
    let account = annotation(secret, ACCOUNT);
    let writer = writer("kube-controller-manager");
    let Some(found) = store.get(KindId::named("serviceaccounts")?, namespace, account) else {
        // COMPAT: a token for nobody is taken away.
        store.delete(&place, &Preconditions::default(), &writer).ok()?;
        return Some(());
    };
    let found = found.value();
    let uid = metadata::text(&found, "uid");
    let wanted = annotation(secret, ACCOUNT_UID);
    if !wanted.is_empty() && wanted != uid {
        store.delete(&place, &Preconditions::default(), &writer).ok()?;
        return Some(());
    }
    let token = means.key.sign(&legacy_claims(namespace, name, (account, uid)))?;
    let mut data = json!({
        "token": crate::base64_of(token.as_bytes()),
        "namespace": crate::base64_of(namespace.as_bytes()),
    });
    if let Some(authority) = means.authority {
        data["ca.crt"] = json!(crate::base64_of(authority.as_bytes()));
    }
    let patch = json!({"metadata": {"annotations": {ACCOUNT_UID: uid}}, "data": data});
    store.patch(&place, &Patch::Merge(patch), &writer).ok().map(drop)
}

fn drop_tokens_of_the_gone(store: &mut Store, version: u64) {
    let Some(kind) = KindId::named("secrets") else { return };
    for account in happened(store, "serviceaccounts", version, |change| change == Change::Deleted) {
        let (namespace, uid) = (metadata::text(&account, "namespace"), metadata::text(&account, "uid"));
        let secrets: Vec<_> = store.list(kind, Some(namespace)).cloned().collect();
        for secret in secrets {
            let value = secret.value();
            if value["type"] == TOKEN_TYPE && annotation(&value, ACCOUNT_UID) == uid {
                let place = Place::new(kind, namespace, secret.name());
                // A refusal says that it went away meanwhile.
                let _gone =
                    store.delete(&place, &Preconditions::default(), &writer("kube-controller-manager"));
            }
        }
    }
}

fn tell_policies_read(store: &mut Store, version: u64) {
    let Some(kind) = KindId::named(POLICIES) else { return };
    for policy in happened(store, POLICIES, version, |change| change != Change::Deleted) {
        if policy["status"]["observedGeneration"] != policy["metadata"]["generation"] {
            let place = Place::new(kind, "", metadata::text(&policy, "name")).status();
            let patch = Patch::Merge(policy::status_of(&policy));
            // A refusal says that the policy went away meanwhile.
            let _gone = store.patch(&place, &patch, &writer("kube-controller-manager"));
        }
    }
}

fn gather_roles(store: &mut Store) {
    let Some(kind) = KindId::named("clusterroles.rbac.authorization.k8s.io") else { return };
    for (name, rules) in rbac::aggregated(store) {
        let patch = Patch::Merge(json!({"rules": rules}));
        // A refusal says that the role went away meanwhile.
        let _gone =
            store.patch(&Place::new(kind, "", &name), &patch, &writer("clusterrole-aggregation-controller"));
    }
}

//! Tokens of ServiceAccounts: what they claim, and whether that still holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::access::User;
use crate::kinds::KindId;
use crate::metadata;
use crate::store::Store;

/// Who issues tokens, and for whom they are meant where nobody else is named.
pub(crate) const AUDIENCE: &str = "https://kubernetes.default.svc";
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";

/// A token whose signature holds.
pub(crate) struct Review<'a> {
    pub(crate) claims: &'a Value,
    pub(crate) token: &'a str,
    pub(crate) audiences: &'a [String],
    pub(crate) now: Timestamp,
}

/// The groups of every ServiceAccount of a namespace.
pub(crate) fn groups(namespace: &str) -> Vec<String> {
    vec![
        "system:serviceaccounts".to_owned(),
        format!("system:serviceaccounts:{namespace}"),
        "system:authenticated".to_owned(),
    ]
}

/// The user of a token, as long as its ServiceAccount and what it is bound to are there.
pub(crate) fn service_account(store: &Store, review: &Review<'_>) -> Option<User> {
    if review.claims["iss"] == LEGACY_ISSUER { legacy(store, review) } else { bound(store, review) }
}

fn bound(store: &Store, review: &Review<'_>) -> Option<User> {
    let claims = review.claims;
    let (now, time) = (review.now.as_second(), |field: &str| claims[field].as_i64());
    if claims["iss"] != AUDIENCE || now >= time("exp")? || time("nbf").is_some_and(|begin| now < begin) {
        return None;
    }
    let meant = claims["aud"].as_array()?;
    if !meant.iter().any(|one| review.audiences.iter().any(|asked| one == asked.as_str())) {
        return None;
    }
    let private = &claims["kubernetes.io"];
    let namespace = private["namespace"].as_str()?;
    let account = &private["serviceaccount"];
    let uid = account["uid"].as_str()?;
    let name = account["name"].as_str()?;
    if !is_there(store, "serviceaccounts", namespace, (name, uid)) {
        return None;
    }
    for (field, resource) in [("pod", "pods"), ("secret", "secrets"), ("node", "nodes")] {
        let holder = &private[field];
        if let (Some(name), Some(uid)) = (holder["name"].as_str(), holder["uid"].as_str()) {
            let namespace = if resource == "nodes" { "" } else { namespace };
            if !is_there(store, resource, namespace, (name, uid)) {
                return None;
            }
        }
    }
    let id = claims["jti"].as_str().map(|id| vec![format!("JTI={id}")]);
    let extra = id.map(|id| ("authentication.kubernetes.io/credential-id".to_owned(), id));
    Some(user(namespace, name, uid, extra.into_iter().collect()))
}

/// A token that lies in a Secret and is worth something as long as that is there.
fn legacy(store: &Store, review: &Review<'_>) -> Option<User> {
    let text = |field: &str| review.claims[format!("{LEGACY_ISSUER}/{field}")].as_str();
    let (namespace, name) = (text("namespace")?, text("service-account.name")?);
    let uid = text("service-account.uid")?;
    let secret = store.get(KindId::named("secrets")?, namespace, text("secret.name")?)?;
    if secret.is_terminating() || !is_there(store, "serviceaccounts", namespace, (name, uid)) {
        return None;
    }
    let stored = secret.value();
    let token = crate::base64_of(review.token.as_bytes());
    let same = subtle_eq(stored["data"]["token"].as_str()?.as_bytes(), token.as_bytes());
    same.then(|| user(namespace, name, uid, BTreeMap::new()))
}

/// Compares without telling where the difference is.
fn subtle_eq(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
}

fn user(namespace: &str, name: &str, uid: &str, extra: BTreeMap<String, Vec<String>>) -> User {
    User {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        uid: uid.to_owned(),
        groups: groups(namespace),
        extra,
        ..User::default()
    }
}

fn is_there(store: &Store, resource: &str, namespace: &str, (name, uid): (&str, &str)) -> bool {
    let found = KindId::named(resource).and_then(|kind| store.get(kind, namespace, name));
    found.is_some_and(|found| metadata::text(&found.value(), "uid") == uid)
}

/// What a token in a Secret claims.
pub(crate) fn legacy_claims(namespace: &str, secret: &str, (account, uid): (&str, &str)) -> Value {
    let field = |field: &str| format!("{LEGACY_ISSUER}/{field}");
    json!({
        "iss": LEGACY_ISSUER,
        field("namespace"): namespace,
        field("secret.name"): secret,
        field("service-account.name"): account,
        field("service-account.uid"): uid,
        "sub": format!("system:serviceaccount:{namespace}:{account}"),
    })
}

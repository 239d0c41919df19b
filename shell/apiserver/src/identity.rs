//! Who asks: by client certificate, by a granted token, by a token of a ServiceAccount, or nobody in particular.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, header};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::access::{Action, Admission, Authoriser, Grant, User};
use crate::refusal::Refusal;
use crate::server::Shared;

mod account;
mod certificate;
mod token;

pub(crate) use account::{AUDIENCE, Review as TokenReview, legacy_claims, service_account};
pub(crate) use certificate::ClientAuthority;
pub use token::TokenKey;

/// The other end of a connection.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peer {
    pub(crate) address: Option<IpAddr>,
    pub(crate) certificates: Vec<CertificateDer<'static>>,
}

/// Who asks, and who is asked for where somebody acts as another.
pub(crate) struct Caller {
    pub(crate) grant: Grant,
    /// The one who acts as another.
    pub(crate) original: Option<Arc<User>>,
}

impl Grant {
    fn lasting(user: User) -> Self {
        Self { user: Arc::new(user), revoked: CancellationToken::new() }
    }
}

/// Finds out who asks. COMPAT: whoever shows nothing is anonymous; whoever shows something worthless is refused.
pub(crate) fn authenticate(shared: &Shared, headers: &HeaderMap, peer: &Peer) -> Result<Grant, Refusal> {
    let by_certificate = shared.client_authority().and_then(|authority| authority.user(&peer.certificates));
    if let Some(user) = by_certificate {
        return Ok(Grant::lasting(user));
    }
    let token = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    let Some(token) = token else {
        if peer.certificates.is_empty() {
            return Ok(Grant::lasting(User::anonymous()));
        }
        return Err(Refusal::Unauthorized);
    };
    let (scheme, token) = token.split_once(' ').ok_or(Refusal::Unauthorized)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::Unauthorized);
    }
    of_token(shared, token.trim(), &[AUDIENCE.to_owned()]).ok_or(Refusal::Unauthorized)
}

/// Who holds a token that is meant for one of these audiences.
pub(crate) fn of_token(shared: &Shared, token: &str, audiences: &[String]) -> Option<Grant> {
    if let Some(grant) = shared.credentials().holder(token) {
        return Some(grant);
    }
    let claims = shared.token_key().verify(token)?;
    let review = TokenReview { claims: &claims, token, audiences, now: Timestamp::now() };
    let mut user = service_account(&shared.read(), &review)?;
    user.admission = shared.member_admission(&user.name);
    Some(Grant::lasting(user))
}

/// Takes the place of another user, where the headers ask for it and roles allow it.
pub(crate) fn impersonate(
    shared: &Shared,
    authoriser: &Authoriser,
    headers: &HeaderMap,
    grant: Grant,
) -> Result<Caller, Refusal> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let groups: Vec<String> = headers
        .get_all("impersonate-group")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(str::to_owned)
        .collect();
    let Some(name) = text("impersonate-user") else {
        if groups.is_empty() {
            return Ok(Caller { grant, original: None });
        }
        let message =
            "requested [{Group  ".to_owned() + &groups.join(" ") + "}] without impersonating a user";
        return Err(Refusal::BadRequest(message));
    };
    let ask = |plural: &str, namespace: &str, name: &str| {
        let action = Action { verb: "impersonate", group: "", plural, subresource: "", namespace, name };
        authoriser.authorise(&grant.user, &action).map(drop)
    };
    let account = name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
    match account {
        Some((namespace, name)) => ask("serviceaccounts", namespace, name)?,
        None => ask("users", "", name)?,
    }
    for group in &groups {
        ask("groups", "", group)?;
    }
    let mut user = User { name: name.to_owned(), groups, ..User::default() };
    if let Some((namespace, _)) = account {
        if user.groups.is_empty() {
            user.groups = account::groups(namespace);
        }
        user.admission = shared.member_admission(name);
    } else if name == "system:anonymous" {
        user.groups.push("system:unauthenticated".to_owned());
    } else if !user.groups.iter().any(|group| group == "system:authenticated") {
        user.groups.push("system:authenticated".to_owned());
    }
    let acting = Grant { user: Arc::new(user), revoked: grant.revoked.clone() };
    Ok(Caller { grant: acting, original: Some(grant.user) })
}

/// A user as in reviews and audit events.
pub(crate) fn to_value(user: &User) -> Value {
    let mut value = serde_json::json!({"username": user.name});
    if !user.uid.is_empty() {
        value["uid"] = user.uid.clone().into();
    }
    if !user.groups.is_empty() {
        value["groups"] = user.groups.clone().into();
    }
    if !user.extra.is_empty() {
        value["extra"] = serde_json::json!(user.extra);
    }
    value
}

impl Shared {
    /// INVARIANT: on a hub, the ServiceAccount of a member writes only what is its own, whatever its roles allow.
    pub(crate) fn member_admission(&self, user: &str) -> Admission {
        let member = self.hub().and_then(|namespace| {
            let name = user.strip_prefix("system:serviceaccount:")?.strip_prefix(namespace)?;
            name.strip_prefix(":cluster-")?.parse().ok()
        });
        member.map_or(Admission::Anything, Admission::OwnCluster)
    }
}

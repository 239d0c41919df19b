//! Who may do what: tokens, rules as in RBAC, and what a member of a clusterset may write.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use subm_types::ClusterId;
use tokio_util::sync::CancellationToken;

use crate::kinds::KindId;
use crate::refusal::{Refusal, Subject};

mod admission;

pub use admission::Admission;

/// What a request wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection.
    Watch,
    /// Add an object.
    Create,
    /// Replace an object.
    Update,
    /// Change or apply an object.
    Patch,
    /// Delete an object.
    Delete,
    /// Delete a collection.
    DeleteCollection,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::List,
        Self::Watch,
        Self::Create,
        Self::Update,
        Self::Patch,
        Self::Delete,
        Self::DeleteCollection,
    ];

    /// The word in rules and messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// One entry of a rule: everything, or what is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allowed<T> {
    /// Everything.
    All,
    /// Only these.
    Only(Vec<T>),
}

impl<T: PartialEq> Allowed<T> {
    fn admits<Q: ?Sized>(&self, asked: &Q) -> bool
    where
        T: PartialEq<Q>,
    {
        match self {
            Self::All => true,
            Self::Only(listed) => listed.iter().any(|listed| listed == asked),
        }
    }
}

/// What a user may do, as in an RBAC rule with its binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// API groups.
    pub groups: Allowed<String>,
    /// Resources; a subresource is written `nodes/status`.
    pub resources: Allowed<String>,
    /// Verbs.
    pub verbs: Allowed<Verb>,
    /// Namespaces; `Only` admits neither cluster-scoped objects nor lists over all namespaces.
    pub namespaces: Allowed<String>,
    /// Names; `Only` admits neither lists without a name nor creation.
    pub names: Allowed<String>,
}

impl Rule {
    /// Everything, everywhere.
    pub fn everything() -> Self {
        Self {
            groups: Allowed::All,
            resources: Allowed::All,
            verbs: Allowed::All,
            namespaces: Allowed::All,
            names: Allowed::All,
        }
    }

    /// All verbs on resources of one group, everywhere.
    pub fn on(group: &str, resources: &[&str]) -> Self {
        Self {
            groups: Allowed::Only(vec![group.to_owned()]),
            resources: Allowed::Only(resources.iter().map(|&resource| resource.to_owned()).collect()),
            ..Self::everything()
        }
    }

    /// The same with these verbs only.
    #[must_use]
    pub fn verbs(mut self, verbs: &[Verb]) -> Self {
        self.verbs = Allowed::Only(verbs.to_vec());
        self
    }

    /// The same in one namespace only.
    #[must_use]
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespaces = Allowed::Only(vec![namespace.to_owned()]);
        self
    }

    /// The same for one name only.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.names = Allowed::Only(vec![name.to_owned()]);
        self
    }

    fn admits(&self, action: &Action<'_>) -> bool {
        self.groups.admits(action.kind.group)
            && self.resources.admits(action.resource().as_str())
            && self.verbs.admits(&action.verb)
            && self.namespaces.admits(action.namespace)
            && self.names.admits(action.name)
    }
}

/// What a request wants to do to what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Action<'a> {
    pub(crate) verb: Verb,
    pub(crate) kind: KindId,
    pub(crate) subresource: &'a str,
    /// Empty over all namespaces and for cluster-scoped objects.
    pub(crate) namespace: &'a str,
    /// Empty for collections.
    pub(crate) name: &'a str,
}

impl Action<'_> {
    fn resource(&self) -> String {
        if self.subresource.is_empty() {
            self.kind.plural.to_owned()
        } else {
            format!("{}/{}", self.kind.plural, self.subresource)
        }
    }
}

/// A user and what the user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name in messages.
    pub name: String,
    /// What is allowed; the rest is not.
    pub rules: Vec<Rule>,
    /// What written objects must be like.
    pub admission: Admission,
}

impl User {
    pub(crate) fn authorise(&self, action: &Action<'_>) -> Result<(), Refusal> {
        if self.rules.iter().any(|rule| rule.admits(action)) {
            return Ok(());
        }
        let place = if action.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {:?}", action.namespace)
        };
        let why = format!(
            "User {:?} cannot {} resource {:?} in API group {:?} {place}",
            self.name,
            action.verb.word(),
            action.resource(),
            action.kind.group
        );
        Err(Refusal::Forbidden(Subject::new(action.kind, action.name), why))
    }
}

/// A bearer token and the user whom it stands for.
#[derive(Clone)]
pub struct Credential {
    token: String,
    user: User,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("token", &"…").field("user", &self.user).finish()
    }
}

impl Credential {
    /// May do everything.
    pub fn admin(token: &str) -> Self {
        Self::with_rules(token, "system:admin", vec![Rule::everything()])
    }

    /// A user with rules of its own.
    pub fn with_rules(token: &str, user: &str, rules: Vec<Rule>) -> Self {
        let user = User { name: user.to_owned(), rules, admission: Admission::Anything };
        Self { token: token.to_owned(), user }
    }

    /// A member of a clusterset at its hub: reads Clusters and Endpoints of the broker namespace, writes its own,
    /// keeps Leases of its own there, and sees nothing else.
    pub fn member(token: &str, cluster: &ClusterId, namespace: &str) -> Self {
        let rules = vec![
            Rule::on("submariner.io", &["clusters", "endpoints"]).within(namespace),
            Rule::on("coordination.k8s.io", &["leases"]).within(namespace),
        ];
        let user = User {
            name: format!("cluster-{cluster}"),
            rules,
            admission: Admission::OwnCluster(cluster.clone()),
        };
        Self { token: token.to_owned(), user }
    }
}

/// A user who holds a valid token, until it is revoked.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) user: Arc<User>,
    pub(crate) revoked: CancellationToken,
}

/// The valid tokens, by their digests: comparing digests tells nothing about a token.
#[derive(Debug, Clone, Default)]
pub struct Credentials(Arc<RwLock<BTreeMap<[u8; 32], Grant>>>);

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

impl Credentials {
    /// Makes a token valid.
    pub fn grant(&self, credential: Credential) {
        let grant = Grant { user: Arc::new(credential.user), revoked: CancellationToken::new() };
        let mut grants = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(replaced) = grants.insert(digest(&credential.token), grant) {
            replaced.revoked.cancel();
        }
    }

    /// Makes every token of a user invalid and ends the user's watches.
    pub fn revoke(&self, user: &str) {
        let mut grants = self.0.write().unwrap_or_else(PoisonError::into_inner);
        grants.retain(|_, grant| {
            let stays = grant.user.name != user;
            if !stays {
                grant.revoked.cancel();
            }
            stays
        });
    }

    pub(crate) fn holder(&self, authorization: Option<&str>) -> Result<Grant, Refusal> {
        let (scheme, token) =
            authorization.and_then(|text| text.split_once(' ')).ok_or(Refusal::Unauthorized)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::Unauthorized);
        }
        let grants = self.0.read().unwrap_or_else(PoisonError::into_inner);
        grants.get(&digest(token.trim())).cloned().ok_or(Refusal::Unauthorized)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action<'a>(verb: Verb, resource: &str, namespace: &'a str, name: &'a str) -> Action<'a> {
        let kind = KindId::named(resource).unwrap_or_else(|| crate::definitions::own("endpoints"));
        Action { verb, kind, subresource: "", namespace, name }
    }

    #[test]
    fn a_member_reads_endpoints_of_its_namespace_and_no_secret() {
        let member = Credential::member("t", &"east".parse().unwrap(), "broker").user;
        for verb in Verb::ALL {
            assert!(member.authorise(&action(verb, "endpoints.submariner.io", "broker", "")).is_ok());
            for (resource, namespace) in [
                ("secrets", "broker"),
                ("endpoints.submariner.io", ""),
                ("endpoints.submariner.io", "other"),
                ("nodes", ""),
            ] {
                let refusal = member.authorise(&action(verb, resource, namespace, "x")).unwrap_err();
                assert_eq!(refusal.code(), 403);
            }
        }
        let refusal = member.authorise(&action(Verb::Get, "secrets", "broker", "psk")).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            r#"secrets "psk" is forbidden: User "cluster-east" cannot get resource "secrets" in API group "" in the namespace "broker""#
        );
    }

    #[test]
    fn names_and_subresources_are_told_apart() {
        let rules = vec![Rule::on("", &["nodes/status"]).named("n1").verbs(&[Verb::Patch])];
        let user = Credential::with_rules("t", "kubelet", rules).user;
        let mut asked = action(Verb::Patch, "nodes", "", "n1");
        assert!(user.authorise(&asked).is_err());
        asked.subresource = "status";
        assert!(user.authorise(&asked).is_ok());
        asked.name = "n2";
        assert!(user.authorise(&asked).is_err());
    }

    #[test]
    fn revoked_and_unknown_tokens_are_unauthorised() {
        let credentials = Credentials::default();
        credentials.grant(Credential::admin("secret"));
        let grant = credentials.holder(Some("Bearer secret")).unwrap();
        for wrong in [None, Some("Bearer other"), Some("Basic secret"), Some("secret")] {
            assert_eq!(credentials.holder(wrong).unwrap_err(), Refusal::Unauthorized);
        }
        credentials.revoke("system:admin");
        assert!(grant.revoked.is_cancelled());
        assert!(credentials.holder(Some("Bearer secret")).is_err());
    }
}

//! Who may do what: tokens, rules as in RBAC, and what a member of a clusterset may write.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use subm_types::ClusterId;
use tokio_util::sync::CancellationToken;

use crate::rbac::{MASTERS, PolicyRule, Rbac};
use crate::refusal::{Denied, Refusal};

mod admission;

pub use admission::Admission;
pub(crate) use admission::Review;

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
        let verb = match &self.verbs {
            Allowed::All => true,
            Allowed::Only(verbs) => verbs.iter().any(|verb| verb.word() == action.verb),
        };
        verb && self.groups.admits(action.group)
            && self.resources.admits(action.resource().as_str())
            && self.namespaces.admits(action.namespace)
            && self.names.admits(action.name)
    }
}

/// What a request wants to do to what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Action<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) plural: &'a str,
    pub(crate) subresource: &'a str,
    /// Empty over all namespaces and for cluster-scoped objects.
    pub(crate) namespace: &'a str,
    /// Empty for collections.
    pub(crate) name: &'a str,
}

impl Action<'_> {
    fn resource(&self) -> String {
        if self.subresource.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}/{}", self.plural, self.subresource)
        }
    }
}

/// A user and what the user may do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    /// The name in messages and bindings.
    pub name: String,
    /// What tells two users of one name apart.
    pub uid: String,
    /// The groups in bindings.
    pub groups: Vec<String>,
    /// Whatever else the credential tells.
    pub extra: BTreeMap<String, Vec<String>>,
    /// What is allowed beside what roles allow.
    pub rules: Vec<Rule>,
    /// What written objects must be like.
    pub admission: Admission,
}

/// Who may do what at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Authoriser(Arc<Rbac>);

impl Authoriser {
    pub(crate) fn new(rbac: Arc<Rbac>) -> Self {
        Self(rbac)
    }

    /// Why an action is allowed, if it is.
    pub(crate) fn allows(&self, user: &User, action: &Action<'_>) -> Option<&str> {
        if user.is_master() || user.rules.iter().any(|rule| rule.admits(action)) {
            return Some("");
        }
        self.0.allows(user, action)
    }

    pub(crate) fn authorise(&self, user: &User, action: &Action<'_>) -> Result<&str, Refusal> {
        self.allows(user, action).ok_or_else(|| {
            let place = if action.namespace.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {:?}", action.namespace)
            };
            let why = format!(
                "User {:?} cannot {} resource {:?} in API group {:?} {place}",
                user.name,
                action.verb,
                action.resource(),
                action.group
            );
            Refusal::Denied(Box::new(Denied {
                group: action.group.to_owned(),
                resource: action.plural.to_owned(),
                name: action.name.to_owned(),
                why,
            }))
        })
    }

    /// Why a path that names no object is allowed, if it is.
    pub(crate) fn allows_path(&self, user: &User, verb: &str, path: &str) -> Option<&str> {
        if user.is_master() { Some("") } else { self.0.allows_path(user, verb, path) }
    }

    pub(crate) fn authorise_path(&self, user: &User, verb: &str, path: &str) -> Result<&str, Refusal> {
        self.allows_path(user, verb, path).ok_or_else(|| Refusal::DeniedPath {
            user: user.name.clone(),
            verb: verb.to_owned(),
            path: path.to_owned(),
        })
    }

    /// What of these rules a user does not have.
    pub(crate) fn lacking(&self, user: &User, namespace: &str, rules: &[PolicyRule]) -> Vec<PolicyRule> {
        if user.is_master() {
            return Vec::new();
        }
        let own = self.0.rules(user, namespace);
        let parts = rules.iter().flat_map(PolicyRule::parts);
        let lacks = |part: &PolicyRule| {
            let granted = part.as_action(namespace);
            !own.iter().any(|rule| rule.covers(part))
                && !granted.is_some_and(|action| user.rules.iter().any(|rule| rule.admits(&action)))
        };
        let mut lacking: Vec<PolicyRule> = Vec::new();
        for part in parts.filter(lacks) {
            match lacking.iter_mut().find(|known| known.is_about(&part)) {
                Some(known) => known.verbs.extend(part.verbs),
                None => lacking.push(part),
            }
        }
        lacking
    }

    /// Every rule that a user has in a namespace, as in `SelfSubjectRulesReview`.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<PolicyRule> {
        let mut rules: Vec<_> = self.0.rules(user, namespace).into_iter().cloned().collect();
        let granted = user.rules.iter().filter(|rule| rule.namespaces.admits(namespace));
        rules.extend(granted.map(Rule::as_policy));
        if user.is_master() {
            rules.push(PolicyRule::everything());
            rules.push(PolicyRule::every_path());
        }
        rules
    }
}

impl Rule {
    fn as_policy(&self) -> PolicyRule {
        let texts = |allowed: &Allowed<String>| match allowed {
            Allowed::All => vec!["*".to_owned()],
            Allowed::Only(texts) => texts.clone(),
        };
        PolicyRule {
            verbs: match &self.verbs {
                Allowed::All => vec!["*".to_owned()],
                Allowed::Only(verbs) => verbs.iter().map(|verb| verb.word().to_owned()).collect(),
            },
            groups: texts(&self.groups),
            resources: texts(&self.resources),
            names: match &self.names {
                Allowed::All => Vec::new(),
                Allowed::Only(names) => names.clone(),
            },
            urls: Vec::new(),
        }
    }
}

impl User {
    /// Whoever is asked without credentials.
    pub(crate) fn anonymous() -> Self {
        Self {
            name: "system:anonymous".to_owned(),
            groups: vec!["system:unauthenticated".to_owned()],
            ..Self::default()
        }
    }

    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == MASTERS)
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
        Self::in_groups(token, "system:admin", &[MASTERS])
    }

    /// A user of these groups, who may do what roles allow.
    pub fn in_groups(token: &str, user: &str, groups: &[&str]) -> Self {
        let mut credential = Self::with_rules(token, user, Vec::new());
        credential.user.groups.splice(0..0, groups.iter().map(|&group| group.to_owned()));
        credential
    }

    /// A user with rules of its own.
    pub fn with_rules(token: &str, user: &str, rules: Vec<Rule>) -> Self {
        let user = User { name: user.to_owned(), groups: authenticated(), rules, ..User::default() };
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
            groups: authenticated(),
            rules,
            admission: Admission::OwnCluster(cluster.clone()),
            ..User::default()
        };
        Self { token: token.to_owned(), user }
    }
}

fn authenticated() -> Vec<String> {
    vec!["system:authenticated".to_owned()]
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

    /// Who holds a token.
    pub(crate) fn holder(&self, token: &str) -> Option<Grant> {
        let grants = self.0.read().unwrap_or_else(PoisonError::into_inner);
        grants.get(&digest(token)).cloned()
    }
}

#[cfg(test)]
mod tests;

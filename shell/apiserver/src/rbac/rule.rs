//! One rule of a role.

use serde_json::{Value, json};

use crate::access::Action;

/// What a rule allows, as in `rbac.authorization.k8s.io/v1`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PolicyRule {
    pub(crate) verbs: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) urls: Vec<String>,
}

fn has(listed: &[String], asked: &str) -> bool {
    listed.iter().any(|listed| listed == "*" || listed == asked)
}

impl PolicyRule {
    /// The rules of a list; what is no rule is left out.
    pub(crate) fn list(rules: &Value) -> Vec<Self> {
        rules.as_array().into_iter().flatten().map(Self::of).collect()
    }

    fn of(rule: &Value) -> Self {
        let texts = |field: &str| -> Vec<String> {
            let items = rule[field].as_array().into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            verbs: texts("verbs"),
            groups: texts("apiGroups"),
            resources: texts("resources"),
            names: texts("resourceNames"),
            urls: texts("nonResourceURLs"),
        }
    }

    pub(crate) fn admits(&self, action: &Action<'_>) -> bool {
        has(&self.verbs, action.verb)
            && has(&self.groups, action.group)
            && self.has_resource(action.plural, action.subresource)
            && (self.names.is_empty() || self.names.iter().any(|name| name == action.name))
    }

    fn has_resource(&self, plural: &str, subresource: &str) -> bool {
        self.resources.iter().any(|listed| match listed.split_once('/') {
            _ if listed == "*" => true,
            None => subresource.is_empty() && listed == plural,
            Some((of, part)) => !subresource.is_empty() && part == subresource && (of == "*" || of == plural),
        })
    }

    pub(crate) fn admits_path(&self, verb: &str, path: &str) -> bool {
        let covers = |url: &String| match url.strip_suffix('*') {
            Some(prefix) => path.starts_with(prefix),
            None => path == url,
        };
        has(&self.verbs, verb) && self.urls.iter().any(covers)
    }

    /// Every verb on every object.
    pub(crate) fn everything() -> Self {
        let all = || vec!["*".to_owned()];
        Self { verbs: all(), groups: all(), resources: all(), ..Self::default() }
    }

    /// Every verb on every path.
    pub(crate) fn every_path() -> Self {
        Self { verbs: vec!["*".to_owned()], urls: vec!["*".to_owned()], ..Self::default() }
    }

    /// What a smallest part asks for, unless it is about paths.
    pub(crate) fn as_action<'a>(&'a self, namespace: &'a str) -> Option<Action<'a>> {
        let resource = self.resources.first()?;
        let (plural, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let name = self.names.first().map_or("", String::as_str);
        Some(Action {
            verb: self.verbs.first()?,
            group: self.groups.first()?,
            plural,
            subresource,
            namespace,
            name,
        })
    }

    /// The rule in its smallest parts, each with one verb, group, resource and name, or one verb and path.
    pub(crate) fn parts(&self) -> Vec<Self> {
        self.verbs.iter().flat_map(|verb| self.parts_of(verb)).collect()
    }

    fn parts_of(&self, verb: &String) -> Vec<Self> {
        let one = |text: &String| vec![text.clone()];
        let with_verb = Self { verbs: one(verb), ..Self::default() };
        let paths = self.urls.iter().map(|url| Self { urls: one(url), ..with_verb.clone() });
        let of_group = |group: &String| {
            let with_group = Self { groups: one(group), ..with_verb.clone() };
            let of = |resource: &String| Self { resources: one(resource), ..with_group.clone() };
            self.resources.iter().map(of).collect::<Vec<_>>()
        };
        let whole = self.groups.iter().flat_map(of_group);
        let named = whole.flat_map(|whole| {
            if self.names.is_empty() {
                return vec![whole];
            }
            self.names.iter().map(|name| Self { names: one(name), ..whole.clone() }).collect()
        });
        paths.chain(named).collect()
    }

    /// Whether two rules differ in their verbs at most.
    pub(crate) fn is_about(&self, other: &Self) -> bool {
        let same = |field: fn(&Self) -> &Vec<String>| field(self) == field(other);
        same(|rule| &rule.groups)
            && same(|rule| &rule.resources)
            && same(|rule| &rule.names)
            && same(|rule| &rule.urls)
    }

    /// Whether this rule allows all that a smallest part allows.
    pub(crate) fn covers(&self, part: &Self) -> bool {
        let all = |own: &[String], asked: &[String]| asked.iter().all(|asked| has(own, asked));
        if !part.urls.is_empty() {
            let covered = |url: &String| {
                self.urls.iter().any(|own| match own.strip_suffix('*') {
                    Some(prefix) => url.starts_with(prefix),
                    None => url == own,
                })
            };
            return all(&self.verbs, &part.verbs) && part.urls.iter().all(covered);
        }
        let resource = |asked: &String| {
            let (plural, subresource) = asked.split_once('/').unwrap_or((asked, ""));
            self.resources.contains(asked) || self.has_resource(plural, subresource)
        };
        let names = self.names.is_empty()
            || (!part.names.is_empty() && part.names.iter().all(|name| self.names.contains(name)));
        all(&self.verbs, &part.verbs)
            && all(&self.groups, &part.groups)
            && part.resources.iter().all(resource)
            && names
    }

    /// As in `SelfSubjectRulesReview`.
    pub(crate) fn to_value(&self) -> Value {
        let mut value = json!({"verbs": self.verbs});
        for (field, texts) in [
            ("apiGroups", &self.groups),
            ("resources", &self.resources),
            ("resourceNames", &self.names),
            ("nonResourceURLs", &self.urls),
        ] {
            if !texts.is_empty() {
                value[field] = json!(texts);
            }
        }
        value
    }
}

/// COMPAT: as Kubernetes prints the rules that somebody lacks.
impl std::fmt::Display for PolicyRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = [
            ("APIGroups", &self.groups),
            ("Resources", &self.resources),
            ("ResourceNames", &self.names),
            ("NonResourceURLs", &self.urls),
            ("Verbs", &self.verbs),
        ];
        let texts = fields.into_iter().filter(|(_, texts)| !texts.is_empty()).map(|(field, texts)| {
            let texts: Vec<_> = texts.iter().map(|text| format!("{text:?}")).collect();
            format!("{field}:[{}]", texts.join(" "))
        });
        write!(f, "{{{}}}", texts.collect::<Vec<_>>().join(", "))
    }
}

//! Which clusters a command is about: one context of a kubeconfig for each.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use kube::config::Kubeconfig;

use crate::KubeArgs;

/// A context that stands for its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) context: String,
    pub(crate) cluster: String,
}

/// The contexts to use, and what a person should know about the choice.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) contexts: Vec<Chosen>,
    pub(crate) warnings: Vec<String>,
}

/// Reads the kubeconfig that the arguments mean.
pub(crate) fn read(args: &KubeArgs) -> anyhow::Result<Kubeconfig> {
    match &args.kubeconfig {
        Some(path) => Kubeconfig::read_from(path).with_context(|| format!("cannot read {}", path.display())),
        None => Kubeconfig::read().context("cannot read the kubeconfig; name one with --kubeconfig"),
    }
}

/// Chooses the one context, the named contexts, or one for each cluster: of a cluster's contexts the one whose user
/// stands in the most contexts.
pub(crate) fn choose(config: &Kubeconfig, args: &KubeArgs) -> anyhow::Result<Choice> {
    let known = known(config);
    let named: Vec<&String> = args.context.iter().chain(&args.contexts).collect();
    if named.is_empty() {
        let choice = one_for_each_cluster(&known);
        if choice.contexts.is_empty() {
            bail!("the kubeconfig has no context; name a kubeconfig with --kubeconfig");
        }
        return Ok(choice);
    }
    let mut contexts = Vec::new();
    for name in named {
        let Some((cluster, _)) = known.get(name.as_str()) else {
            let all: Vec<&str> = known.keys().copied().collect();
            bail!("the kubeconfig has no context {name:?}; it has: {}", all.join(", "));
        };
        contexts.push(Chosen { context: name.clone(), cluster: (*cluster).to_owned() });
    }
    Ok(Choice { contexts, warnings: Vec::new() })
}

/// Contexts by name, with their cluster and user.
fn known(config: &Kubeconfig) -> BTreeMap<&str, (&str, &str)> {
    let context = |named: &'_ kube::config::NamedContext| named.context.is_some();
    config
        .contexts
        .iter()
        .filter(|named| context(named))
        .filter_map(|named| {
            let context = named.context.as_ref()?;
            Some((
                named.name.as_str(),
                (context.cluster.as_str(), context.user.as_deref().unwrap_or_default()),
            ))
        })
        .collect()
}

fn one_for_each_cluster(known: &BTreeMap<&str, (&str, &str)>) -> Choice {
    let clusters: BTreeSet<&str> = known.values().map(|(cluster, _)| *cluster).collect();
    let uses = |wanted: &str| known.values().filter(|(_, user)| *user == wanted).count();
    let mut choice = Choice::default();
    for cluster in clusters {
        let mut candidates: Vec<(&str, &str)> = known
            .iter()
            .filter(|(_, (of, _))| *of == cluster)
            .map(|(name, (_, user))| (*name, *user))
            .collect();
        candidates.sort_by_key(|(name, user)| (std::cmp::Reverse(uses(user)), *name));
        let Some((context, _)) = candidates.first() else { continue };
        if candidates.len() > 1 {
            let names: Vec<&str> = candidates.iter().map(|(name, _)| *name).collect();
            choice.warnings.push(format!(
                "cluster {cluster:?} has several contexts ({}): using {context:?}; choose with --context",
                names.join(", ")
            ));
        }
        choice.contexts.push(Chosen { context: (*context).to_owned(), cluster: cluster.to_owned() });
    }
    choice
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = "
apiVersion: v1
kind: Config
contexts:
- {name: a-admin, context: {cluster: a, user: admin}}
- {name: a-dev, context: {cluster: a, user: dev}}
- {name: b, context: {cluster: b, user: dev}}
";

    fn chosen(context: Option<&str>, contexts: &[&str]) -> anyhow::Result<Choice> {
        let args = KubeArgs {
            kubeconfig: None,
            context: context.map(str::to_owned),
            contexts: contexts.iter().map(|&name| name.to_owned()).collect(),
            namespace: String::new(),
        };
        choose(&Kubeconfig::from_yaml(CONFIG)?, &args)
    }

    fn names(choice: &Choice) -> Vec<&str> {
        choice.contexts.iter().map(|chosen| chosen.context.as_str()).collect()
    }

    #[test]
    fn each_cluster_is_taken_once_by_its_most_used_user() {
        let choice = chosen(None, &[]).unwrap();
        assert_eq!(names(&choice), ["a-dev", "b"]);
        assert_eq!(choice.warnings.len(), 1);
    }

    #[test]
    fn named_contexts_are_taken_as_named() {
        assert_eq!(names(&chosen(Some("a-admin"), &[]).unwrap()), ["a-admin"]);
        assert_eq!(names(&chosen(None, &["b", "a-admin"]).unwrap()), ["b", "a-admin"]);
    }

    #[test]
    fn an_unknown_context_is_an_error_that_lists_the_known() {
        let error = chosen(Some("c"), &[]).unwrap_err().to_string();
        assert!(error.contains("a-admin, a-dev, b"), "{error}");
    }
}

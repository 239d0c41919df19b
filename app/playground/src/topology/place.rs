//! Places in a playground as a person writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Cluster, Node, Pod, Topology};

impl Topology {
    /// What is meant by a path like `east/worker/pod-1`, `east/worker`, `east` or `hub`.
    pub(crate) fn resolve(&self, path: &Path) -> Result<Target<'_>, UnknownPlace> {
        let known = |wanted: &str, known: Vec<&str>| UnknownPlace {
            wanted: wanted.to_owned(),
            known: known.join(", "),
        };
        if *path == Path::of(&["hub"]) {
            return Ok(Target::Hub(self.hub().0));
        }
        let name = path.0.first().map_or("", String::as_str);
        let cluster = self.cluster(name).ok_or_else(|| {
            known(name, self.clusters.iter().map(|cluster| cluster.name.as_str()).chain(["hub"]).collect())
        })?;
        let Some(role) = path.0.get(1) else { return Ok(Target::Cluster(cluster)) };
        let node = cluster.nodes.iter().find(|node| node.role == *role).ok_or_else(|| {
            known(&path.to_string(), cluster.nodes.iter().map(|node| node.role.as_str()).collect())
        })?;
        let Some(role) = path.0.get(2) else { return Ok(Target::Node(cluster, node)) };
        let pod = node.pods.iter().find(|pod| pod.role == *role).ok_or_else(|| {
            known(&path.to_string(), node.pods.iter().map(|pod| pod.role.as_str()).collect())
        })?;
        Ok(Target::Pod(cluster, node, pod))
    }
}

/// A place in the playground as a person writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Path(Vec<String>);

impl Path {
    pub(crate) fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|&part| part.to_owned()).collect())
    }
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<String> = text.trim_matches('/').split('/').map(str::to_owned).collect();
        let complete = parts.len() <= 3 && parts.iter().all(|part| !part.is_empty());
        if complete {
            Ok(Self(parts))
        } else {
            Err("write it like east/worker/pod-1, east/worker, east or hub".to_owned())
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// What a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// The place of the hub's API server.
    Hub(&'a str),
    /// The place of the cluster's API server.
    Cluster(&'a Cluster),
    Node(&'a Cluster, &'a Node),
    Pod(&'a Cluster, &'a Node, &'a Pod),
}

impl Target<'_> {
    /// The name of its network namespace.
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Hub(host) => host,
            Self::Cluster(cluster) => &cluster.name,
            Self::Node(_, node) => &node.name,
            Self::Pod(_, _, pod) => &pod.name,
        }
    }

    /// The API server that people mean there.
    pub(crate) fn api(&self) -> &str {
        match self {
            Self::Hub(_) => "hub",
            Self::Cluster(cluster) | Self::Node(cluster, _) | Self::Pod(cluster, ..) => &cluster.name,
        }
    }
}

/// A path that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownPlace {
    wanted: String,
    known: String,
}

impl fmt::Display for UnknownPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no {} in the playground: there are {}", self.wanted, self.known)
    }
}

impl std::error::Error for UnknownPlace {}

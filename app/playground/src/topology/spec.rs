//! What a playground is to be, as flags and files say it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use subm_types::ClusterId;

use super::uplink::{Nat, NatBox, Uplink};
use super::value::{Count, Families, Gateways, LinkMtu, Pods, Workers, text};

/// A whole playground. Addresses follow from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Spec {
    /// Where the hub is.
    #[serde(default, with = "text")]
    pub(crate) hub: HubPlace,
    pub(crate) clusters: Vec<ClusterSpec>,
}

/// One cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct ClusterSpec {
    pub(crate) name: ClusterName,
    #[serde(default, with = "text")]
    pub(crate) families: Families,
    #[serde(default = "one")]
    pub(crate) gateways: Gateways,
    #[serde(default = "one_worker")]
    pub(crate) workers: Workers,
    #[serde(default = "two")]
    pub(crate) pods: Pods,
    /// Of its nodes' network, and of pods.
    #[serde(default = "ethernet")]
    pub(crate) mtu: LinkMtu,
    #[serde(default)]
    pub(crate) uplink: Uplink,
}

const fn one() -> Gateways {
    Count(1)
}

const fn one_worker() -> Workers {
    Count(1)
}

const fn two() -> Pods {
    Count(2)
}

const fn ethernet() -> LinkMtu {
    Count(1500)
}

impl ClusterSpec {
    pub(crate) fn named(name: ClusterName) -> Self {
        Self {
            name,
            families: Families::default(),
            gateways: one(),
            workers: one_worker(),
            pods: two(),
            mtu: ethernet(),
            uplink: Uplink::default(),
        }
    }
}

impl ClusterSpec {
    /// Whether a cable can come in through the boxes.
    fn check_nat(&self) -> Result<(), Impossible> {
        let (name, boxes) = (self.name.as_str().to_owned(), &self.uplink.nat.0);
        if boxes.is_empty() {
            return Ok(());
        }
        if boxes.iter().any(|kind| *kind != NatBox::Forward) {
            return Err(Impossible::NoWayIn(name, self.uplink.nat.clone()));
        }
        if self.gateways.0 > 1 {
            return Err(Impossible::ForwardedToOne(name, "several gateway nodes", "let it have one"));
        }
        match self.families {
            Families::Ipv4 => Ok(()),
            Families::Ipv6 | Families::Dual => {
                Err(Impossible::ForwardedToOne(name, "IPv6 nodes", "let its families be ipv4"))
            }
        }
    }
}

/// The name of a cluster, short enough for the names of links.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct ClusterName(String);

/// Names of places that are no clusters.
const TAKEN: [&str; 2] = ["hub", "wan"];
const LONGEST_NAME: usize = 15;

impl ClusterName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<ClusterId>().map_err(|wrong| wrong.to_string())?;
        if text.len() > LONGEST_NAME || TAKEN.contains(&text) {
            return Err(format!(
                "a cluster cannot be called {text:?}: choose up to {LONGEST_NAME} letters and digits, but not {}",
                TAKEN.join(" or ")
            ));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ClusterName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        name.0
    }
}

/// Where the hub's API server is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum HubPlace {
    /// In a host of its own.
    #[default]
    Apart,
    /// On a node of a member.
    Node { cluster: String, role: String },
}

impl FromStr for HubPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            None if text == "apart" => Ok(Self::Apart),
            Some((cluster, role)) if !cluster.is_empty() && !role.is_empty() && !role.contains('/') => {
                Ok(Self::Node { cluster: cluster.to_owned(), role: role.to_owned() })
            }
            Some(_) | None => {
                Err(format!("{text:?} is no place for the hub: write apart, or a node such as east/gateway"))
            }
        }
    }
}

impl fmt::Display for HubPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apart => f.write_str("apart"),
            Self::Node { cluster, role } => write!(f, "{cluster}/{role}"),
        }
    }
}

/// A playground that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Impossible {
    #[error("a playground has 2 to {MOST_CLUSTERS} clusters, not {0}")]
    Clusters(usize),
    #[error("two clusters are called {0}: give each a name of its own")]
    SameName(String),
    #[error("the cluster {1} would have hosts with names of the cluster {0}: choose another name")]
    NameWithin(String, String),
    #[error("{0} ({1}) and {2} ({3}) have no address family in common: let one of them be dual")]
    NoFamily(String, Families, String, Families),
    #[error("the hub cannot be on {0}: there are the nodes {1}")]
    NoSuchNode(String, String),
    #[error("the hub cannot be on {0}: it is behind a NAT, where nobody reaches it; let it be apart")]
    HubBehindNat(String),
    #[error(
        "the cluster {0} has the NAT {1} in front of its gateway, through which no cable comes in yet: \
         write forward for each of its boxes, or none"
    )]
    NoWayIn(String, Nat),
    #[error(
        "the cluster {0} has a NAT in front of {1}: a forwarded port leads to one gateway over IPv4 only; {2}"
    )]
    ForwardedToOne(String, &'static str, &'static str),
}

/// How many clusters there are numbers for.
pub(crate) const MOST_CLUSTERS: usize = 8;

impl Spec {
    /// What is wrong between its parts; each part alone is right once it exists.
    pub(crate) fn check(&self) -> Result<(), Impossible> {
        if !(2..=MOST_CLUSTERS).contains(&self.clusters.len()) {
            return Err(Impossible::Clusters(self.clusters.len()));
        }
        for (index, one) in self.clusters.iter().enumerate() {
            for other in &self.clusters[index + 1..] {
                compatible(one, other)?;
            }
            one.check_nat()?;
        }
        self.check_hub()
    }

    fn check_hub(&self) -> Result<(), Impossible> {
        let HubPlace::Node { cluster, role } = &self.hub else { return Ok(()) };
        let topology = super::Topology::new(self);
        let nodes = || topology.nodes().map(|(cluster, node)| format!("{}/{}", cluster.name, node.role));
        if nodes().any(|node| node == format!("{cluster}/{role}")) {
            let own = topology.cluster(cluster);
            return match own.and_then(super::Cluster::public) {
                Some(_) => Err(Impossible::HubBehindNat(self.hub.to_string())),
                None => Ok(()),
            };
        }
        Err(Impossible::NoSuchNode(self.hub.to_string(), nodes().collect::<Vec<_>>().join(", ")))
    }
}

fn compatible(one: &ClusterSpec, other: &ClusterSpec) -> Result<(), Impossible> {
    let (near, far) = (one.name.as_str(), other.name.as_str());
    if near == far {
        return Err(Impossible::SameName(near.to_owned()));
    }
    let within =
        |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('-'));
    for (outer, inner) in [(near, far), (far, near)] {
        if within(outer, inner) {
            return Err(Impossible::NameWithin(outer.to_owned(), inner.to_owned()));
        }
    }
    if !one.families.list().any(|family| other.families.has(family)) {
        return Err(Impossible::NoFamily(near.to_owned(), one.families, far.to_owned(), other.families));
    }
    Ok(())
}

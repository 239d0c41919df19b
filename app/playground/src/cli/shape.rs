//! Flags that say what a playground is to be, and the spec that they make.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context, bail};
use clap::Args;

use crate::topology::{
    CLUSTERS, ClusterName, ClusterSpec, Clusters, Families, Gateways, HubPlace, LinkMtu, Loss, Nat, Pods,
    Rate, Spec, Workers,
};

/// The shape of a playground; without a flag, as is said in brackets. A value for each cluster may be followed by
/// exceptions: `dual,west=ipv4`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(super) struct ShapeArgs {
    /// Read all of this from a YAML file (docs/playground.md); - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = SHAPE)]
    topology: Option<PathBuf>,
    /// How many clusters, or their names: east,west,north [default: 2]
    #[arg(long, value_name = "N|NAMES")]
    clusters: Option<ClusterNames>,
    /// How many gateway nodes per cluster: one is active, the others stand by [default: 1]
    #[arg(long, value_name = "N[,CLUSTER=N…]")]
    gateways: Option<PerCluster<Gateways>>,
    /// How many other nodes per cluster [default: 1]
    #[arg(long, value_name = "N[,CLUSTER=N…]")]
    workers: Option<PerCluster<Workers>>,
    /// How many pods per node [default: 2]
    #[arg(long, value_name = "N[,CLUSTER=N…]")]
    pods: Option<PerCluster<Pods>>,
    /// Address families of nodes, pods and services: ipv4, ipv6 or dual [default: ipv4]
    #[arg(long, value_name = "FAMILIES[,CLUSTER=…]")]
    families: Option<PerCluster<Families>>,
    /// MTU of the nodes' network, from 1280 [default: 1500]
    #[arg(long, value_name = "BYTES[,CLUSTER=…]")]
    mtu: Option<PerCluster<LinkMtu>>,
    /// MTU of the wire between a cluster and the others, from 1280 [default: 1500]
    #[arg(long, value_name = "BYTES[,CLUSTER=…]")]
    uplink_mtu: Option<PerCluster<LinkMtu>>,
    /// Packets that this wire loses, in each direction [default: 0%]
    #[arg(long, value_name = "PERCENT[,CLUSTER=…]")]
    loss: Option<PerCluster<Loss>>,
    /// What this wire lets through, in each direction, such as 100mbit [default: unlimited]
    #[arg(long, value_name = "RATE[,CLUSTER=…]")]
    rate: Option<PerCluster<Rate>>,
    /// NAT on this wire, from the cluster outwards: none, masquerade, masquerade-random, forward, or two with + between
    /// [default: none]
    #[arg(long, value_name = "NAT[,CLUSTER=…]")]
    nat: Option<PerCluster<Nat>>,
    /// Where the hub is: apart, or a node such as east/gateway [default: apart]
    #[arg(long, value_name = "PLACE")]
    hub: Option<HubPlace>,
}

/// Every flag that a file says as well.
const SHAPE: [&str; 11] = [
    "clusters",
    "gateways",
    "workers",
    "pods",
    "families",
    "mtu",
    "uplink_mtu",
    "loss",
    "rate",
    "nat",
    "hub",
];

impl ShapeArgs {
    /// What is asked for.
    pub(super) fn spec(self) -> anyhow::Result<Spec> {
        let spec = match &self.topology {
            Some(path) => read(path)?,
            None => self.by_flags()?,
        };
        spec.check()?;
        Ok(spec)
    }

    fn by_flags(self) -> anyhow::Result<Spec> {
        let names = match self.clusters {
            Some(ClusterNames(names)) => names,
            None => first(2),
        };
        let mut clusters: Vec<ClusterSpec> = names.into_iter().map(ClusterSpec::named).collect();
        set("gateways", self.gateways, &mut clusters, |cluster| &mut cluster.gateways)?;
        set("workers", self.workers, &mut clusters, |cluster| &mut cluster.workers)?;
        set("pods", self.pods, &mut clusters, |cluster| &mut cluster.pods)?;
        set("families", self.families, &mut clusters, |cluster| &mut cluster.families)?;
        set("mtu", self.mtu, &mut clusters, |cluster| &mut cluster.mtu)?;
        set("uplink-mtu", self.uplink_mtu, &mut clusters, |cluster| &mut cluster.uplink.mtu)?;
        set("loss", self.loss, &mut clusters, |cluster| &mut cluster.uplink.loss)?;
        set("rate", self.rate, &mut clusters, |cluster| &mut cluster.uplink.rate)?;
        set("nat", self.nat, &mut clusters, |cluster| &mut cluster.uplink.nat)?;
        Ok(Spec { hub: self.hub.unwrap_or_default(), clusters })
    }
}

/// Reads a topology file.
fn read(path: &PathBuf) -> anyhow::Result<Spec> {
    let name = path.display().to_string();
    let text = match name.as_str() {
        "-" => std::io::read_to_string(std::io::stdin()).context("standard input")?,
        _ => std::fs::read_to_string(path).with_context(|| format!("the topology {name}"))?,
    };
    serde_saphyr::from_str(&text).map_err(|wrong| {
        anyhow::anyhow!("the topology {name}: {wrong}\n(the format is in docs/playground.md)")
    })
}

fn first(count: u32) -> Vec<ClusterName> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    CLUSTERS.iter().take(count).filter_map(|name| name.parse().ok()).collect()
}

fn set<T: Clone>(
    flag: &str,
    values: Option<PerCluster<T>>,
    clusters: &mut [ClusterSpec],
    field: impl Fn(&mut ClusterSpec) -> &mut T,
) -> anyhow::Result<()> {
    let Some(PerCluster { all, exceptions }) = values else { return Ok(()) };
    let known: Vec<String> = clusters.iter().map(|cluster| cluster.name.as_str().to_owned()).collect();
    if let Some(stranger) = exceptions.keys().find(|name| !known.contains(name)) {
        bail!("--{flag} names the cluster {stranger:?}, but there are {}", known.join(", "));
    }
    for cluster in clusters {
        if let Some(value) = exceptions.get(cluster.name.as_str()).or(all.as_ref()) {
            *field(cluster) = value.clone();
        }
    }
    Ok(())
}

/// A number of clusters, or their names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ClusterNames(Vec<ClusterName>);

impl FromStr for ClusterNames {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
            return text.parse::<Clusters>().map(|count| Self(first(count.0)));
        }
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// A value for every cluster, and others for some.
#[derive(Debug, Clone, PartialEq, Eq)]
struct PerCluster<T> {
    all: Option<T>,
    exceptions: BTreeMap<String, T>,
}

impl<T: FromStr> FromStr for PerCluster<T>
where
    T::Err: fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut values = Self { all: None, exceptions: BTreeMap::new() };
        for item in text.split(',') {
            let parse = |value: &str| value.parse().map_err(|wrong: T::Err| wrong.to_string());
            let before = match item.split_once('=') {
                Some((cluster, value)) => values.exceptions.insert(cluster.to_owned(), parse(value)?),
                None => values.all.replace(parse(item)?),
            };
            if before.is_some() {
                return Err(format!(
                    "{item:?} comes after another value for the same: leave one of them out"
                ));
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        shape: ShapeArgs,
    }

    fn spec(words: &str) -> Result<Spec, String> {
        let line = Line::try_parse_from(std::iter::once("up").chain(words.split_whitespace()))
            .map_err(|wrong| wrong.to_string().lines().next().unwrap_or_default().to_owned())?;
        line.shape.spec().map_err(|wrong| format!("{wrong:#}"))
    }

    #[test]
    fn flags_say_what_a_file_says() {
        let words = "--clusters east,north --families dual,north=ipv6 --gateways 2 --workers 0,east=3 --mtu 9000 \
                     --uplink-mtu 1280,east=9000 --loss east=0.5% --rate 100mbit --hub east/worker-2";
        let file = "
hub: east/worker-2
clusters:
  - name: east
    families: dual
    gateways: 2
    workers: 3
    mtu: 9000
    uplink: {mtu: 9000, loss: 0.5%, rate: 100mbit}
  - {name: north, families: ipv6, gateways: 2, workers: 0, mtu: 9000, uplink: {mtu: 1280, rate: 100mbit}}
";
        assert_eq!(spec(words).unwrap(), serde_saphyr::from_str(file).unwrap());
    }

    #[test]
    fn a_wrong_flag_is_named_with_what_would_be_right() {
        for (words, said) in [
            ("--clusters 9", r#""9": write a whole number from 2 to 8"#),
            ("--clusters=-1", r#""-1": write a whole number from 2 to 8"#),
            ("--families ipv5", r#""ipv5" is no choice of families: write ipv4, ipv6 or dual"#),
            ("--mtu 1000", r#""1000": write a whole number from 1280 to 65535"#),
            ("--pods 2,3", r#""3" comes after another value for the same: leave one of them out"#),
            ("--pods 2,north=3", r#"--pods names the cluster "north", but there are east, west"#),
            ("--clusters Hub,east", "cluster id \"Hub\" must have 1 to 63 lower-case letters"),
            ("--loss 5", "\"5\" is no loss: write a percentage such as 5%"),
            ("--rate fast", "\"fast\" is no rate: write one such as 100mbit"),
            (
                "--nat masquerade",
                "has the NAT masquerade in front of its gateway, through which no cable comes in yet",
            ),
            ("--nat forward --families dual", "has a NAT in front of IPv6 nodes"),
            ("--nat forward --gateways 2", "has a NAT in front of several gateway nodes"),
            ("--nat east=forward --hub east/gateway", "it is behind a NAT, where nobody reaches it"),
            ("--hub attic", "write apart, or a node such as east/gateway"),
            ("--topology a --pods 1", "cannot be used with"),
            ("--topology /no/such/file", "the topology /no/such/file: No such file or directory"),
        ] {
            let wrong = spec(words).unwrap_err();
            assert!(wrong.contains(said), "{words}: {wrong}");
        }
    }

    #[test]
    fn a_wrong_file_is_named_with_line_field_and_what_would_be_right() {
        let wrong = |text: &str| serde_saphyr::from_str::<Spec>(text).unwrap_err().to_string();
        for (text, at, said) in [
            (
                "clusters:\n- name: east\n  worker: 1\n",
                "line 3 column 3",
                "unknown field `worker`, expected one of",
            ),
            (
                "clusters:\n- name: east\n  workers: 21\n",
                "line 3 column 12",
                "write a whole number from 0 to 20",
            ),
            (
                "clusters:\n- name: east\n  workers: many\n",
                "line 3 column 12",
                "write a whole number from 0 to 20",
            ),
            (
                "clusters:\n- name: east\n  workers: 1.5\n",
                "line 3 column 12",
                "write a whole number from 0 to 20",
            ),
            ("clusters:\n- families: both\n", "line 2 column 13", "write ipv4, ipv6 or dual"),
            ("clusters:\n- name: east\n  name: west\n", "line 3 column 3", "duplicate"),
            ("clusters:\n- name: wan\n", "line 2 column 9", "choose up to 15 letters and digits"),
            ("clusters: 2\n", "line 1 column 11", "sequence"),
            (
                "clusters:\n- name: east\n  uplink: {loss: 5}\n",
                "line 3 column 18",
                "write a percentage such as 5%",
            ),
            ("hub: attic\n", "line 1 column 6", "write apart, or a node"),
        ] {
            let wrong = wrong(text);
            assert!(wrong.contains(at) && wrong.contains(said), "{text}: {wrong}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read_again() {
        let spec =
            spec("--clusters 3 --families dual,west=ipv4 --nat west=forward+forward --loss 1% --rate 1gbit")
                .unwrap();
        let text = serde_saphyr::to_string(&spec).unwrap();
        assert_eq!(serde_saphyr::from_str::<Spec>(&text).unwrap(), spec, "{text}");
        let json = serde_json::to_string(&spec).unwrap();
        assert_eq!(serde_json::from_str::<Spec>(&json).unwrap(), spec, "{json}");
    }
}

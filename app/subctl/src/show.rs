//! `subctl show`: the state of Submariner as its own objects tell it.

mod connections;
mod endpoints;
mod gateways;
mod networks;

use anyhow::bail;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::cluster::{self, Installed};
use crate::contexts;
use crate::output::{self, Format};
use crate::progress::{Progress, told};
use crate::{KubeArgs, table::Table};

/// What to show, of which clusters, in which form.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(subcommand)]
    what: What,
    /// The form of the result
    #[arg(long, short, global = true, value_enum, default_value_t)]
    output: Format,
    #[command(flatten)]
    kube: KubeArgs,
}

#[derive(Debug, Clone, Copy, Subcommand)]
enum What {
    /// The tunnels to other clusters, and how they stand
    Connections,
    /// The ends of the cables, local and remote
    Endpoints,
    /// The gateway nodes
    Gateways,
    /// The networks of pods and services
    Networks,
}

/// The result for one cluster, for `-o json` and `-o yaml`.
#[derive(Debug, Serialize)]
struct Report {
    cluster: String,
    #[serde(flatten)]
    shown: Shown,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Shown {
    Connections(Vec<connections::Row>),
    Endpoints(Vec<endpoints::Row>),
    Gateways(Vec<gateways::Row>),
    Networks(networks::Networks),
    NotInstalled(bool),
}

impl What {
    const fn title(self) -> &'static str {
        match self {
            Self::Connections => "Showing Connections",
            Self::Endpoints => "Showing Endpoints",
            Self::Gateways => "Showing Gateways",
            Self::Networks => "Showing Network details",
        }
    }

    fn of(self, installed: &Installed) -> anyhow::Result<Shown> {
        Ok(match self {
            Self::Connections => Shown::Connections(connections::rows(&installed.gateways)?),
            Self::Endpoints => Shown::Endpoints(endpoints::rows(&installed.gateways)),
            Self::Gateways => Shown::Gateways(gateways::rows(&installed.gateways)),
            Self::Networks => Shown::Networks(networks::networks(installed)?),
        })
    }
}

impl Shown {
    fn text(&self) -> String {
        match self {
            Self::Connections(rows) => connections::table(rows).to_string(),
            Self::Endpoints(rows) => endpoints::table(rows).to_string(),
            Self::Gateways(rows) => gateways::table(rows).to_string(),
            Self::Networks(networks) => networks.to_string(),
            Self::NotInstalled(_) => String::new(),
        }
    }
}

/// Shows one thing of every chosen cluster; a cluster that cannot be read does not hide the others.
pub(crate) async fn run(args: ShowArgs, progress: &Progress) -> anyhow::Result<()> {
    let config = contexts::read(&args.kube)?;
    let choice = contexts::choose(&config, &args.kube)?;
    for warning in &choice.warnings {
        progress.warning(warning);
    }
    let mut reports = Vec::new();
    let mut failed = Vec::new();
    for chosen in choice.contexts {
        progress.line(&format!("Cluster \"{}\"", chosen.cluster));
        let shown = match cluster::read(&config, &chosen, &args.kube.namespace).await {
            Ok(Some(installed)) => args.what.of(&installed),
            Ok(None) => {
                progress
                    .warning(&format!("Submariner is not installed in namespace {:?}", args.kube.namespace));
                Ok(Shown::NotInstalled(true))
            }
            Err(error) => Err(error),
        };
        match shown {
            Ok(shown) => {
                if !matches!(shown, Shown::NotInstalled(_)) {
                    progress.done(args.what.title());
                }
                if args.output == Format::Table {
                    output::print(&shown.text())?;
                }
                reports.push(Report { cluster: chosen.cluster, shown });
            }
            Err(error) => {
                progress.failed(&format!("{}: {}", args.what.title(), told(&error)));
                failed.push(chosen.cluster);
            }
        }
    }
    output::print_value(&reports, args.output)?;
    if !failed.is_empty() {
        bail!("nothing to show for cluster {}", failed.join(", "));
    }
    Ok(())
}

/// A table whose rows are made from values.
fn table_of<T>(columns: &[crate::table::Column], rows: &[T], cells: impl Fn(&T) -> Vec<String>) -> Table {
    let mut table = Table::new(columns);
    for row in rows {
        table.row(cells(row));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn installed() -> Installed {
        let endpoint = |cluster: &str, ip: &str| {
            json!({"cluster_id": cluster, "cable_name": format!("submariner-cable-{cluster}"), "hostname": format!("{cluster}-gateway"),
                   "subnets": ["100.65.0.0/16", "10.1.0.0/16"], "private_ip": ip, "public_ip": "", "nat_enabled": false, "backend": "vxlan"})
        };
        let connection = |status: &str| {
            json!({"status": status, "statusMessage": "", "endpoint": endpoint("west", "172.31.2.2"), "usingIP": "172.31.2.2",
                   "latencyRTT": {"average": "1.5ms"}})
        };
        let gateway = json!({"metadata": {"name": "east-gateway"}, "status": {
            "version": "0", "haStatus": "active", "localEndpoint": endpoint("east", "172.31.1.2"), "statusFailure": "",
            "connections": [connection("connected"), connection("error")]}});
        let cluster = |id: &str, labels: serde_json::Value| {
            json!({"metadata": {"name": id, "labels": labels}, "spec": {"cluster_id": id, "service_cidr": ["100.65.0.0/16"],
                   "cluster_cidr": ["10.1.0.0/16"], "global_cidr": []}})
        };
        Installed {
            gateways: vec![serde_json::from_value(gateway).unwrap()],
            clusters: vec![
                serde_json::from_value(cluster("west", json!({"submariner-io/clusterID": "west"}))).unwrap(),
                serde_json::from_value(cluster("east", json!({}))).unwrap(),
            ],
            route_agents: Vec::new(),
        }
    }

    #[test]
    fn connections_are_shown_in_upstreams_columns() {
        let shown = What::Connections.of(&installed()).unwrap();
        insta::assert_snapshot!(shown.text(), @r"
        GATEWAY        CLUSTER   REMOTE IP    NAT   CABLE DRIVER   SUBNETS                      STATUS      RTT avg.
        east-gateway   west      172.31.2.2   no    vxlan          100.65.0.0/16, 10.1.0.0/16   connected   1.5ms
        east-gateway   west      172.31.2.2   no    vxlan          100.65.0.0/16, 10.1.0.0/16   error       1.5ms
        ");
    }

    #[test]
    fn a_remote_of_both_families_is_shown_once_for_each() {
        let mut installed = installed();
        let connections = &mut installed.gateways[0].status.connections;
        for connection in connections.iter_mut() {
            connection.endpoint.subnets.push("fd01::/48".to_owned());
            connection.endpoint.private_ips = vec!["172.31.2.2".to_owned(), "fd31::2:2".to_owned()];
        }
        connections[1].using_ip = "fd31::2:2".to_owned();
        let shown = What::Connections.of(&installed).unwrap().text();
        let ends = What::Endpoints.of(&installed).unwrap().text();
        insta::assert_snapshot!(shown + &ends, @r"
        GATEWAY        CLUSTER   REMOTE IP    NAT   CABLE DRIVER   SUBNETS                      STATUS      RTT avg.
        east-gateway   west      172.31.2.2   no    vxlan          100.65.0.0/16, 10.1.0.0/16   connected   1.5ms
        east-gateway   west      fd31::2:2    no    vxlan          fd01::/48                    error       1.5ms
        CLUSTER   ENDPOINT IP             PUBLIC IP   CABLE DRIVER   TYPE
        east      172.31.1.2                          vxlan          local
        west      172.31.2.2, fd31::2:2               vxlan          remote
        ");
    }

    #[test]
    fn each_end_is_shown_once_and_local_ones_first() {
        insta::assert_snapshot!(What::Endpoints.of(&installed()).unwrap().text(), @r"
        CLUSTER   ENDPOINT IP   PUBLIC IP   CABLE DRIVER   TYPE
        east      172.31.1.2                vxlan          local
        west      172.31.2.2                vxlan          remote
        ");
    }

    #[test]
    fn a_gateway_tells_how_many_of_its_connections_stand() {
        insta::assert_snapshot!(What::Gateways.of(&installed()).unwrap().text(), @r"
        NODE           HA STATUS   SUMMARY
        east-gateway   active      1 connections out of 2 are established
        ");
    }

    #[test]
    fn networks_are_those_of_the_own_cluster_object() {
        insta::assert_snapshot!(What::Networks.of(&installed()).unwrap().text(), @r"
        Discovered network details via Submariner:
            Service CIDRs:   [100.65.0.0/16]
            Cluster CIDRs:   [10.1.0.0/16]
        ");
    }

    #[test]
    fn long_names_are_cut_where_upstream_cuts_them() {
        let mut installed = installed();
        let (long, shown) = ("c".repeat(40), format!("{}… ", "c".repeat(23)));
        installed.gateways[0].status.connections[0].endpoint.cluster_id.clone_from(&long);
        for what in [What::Connections, What::Endpoints] {
            let text = what.of(&installed).unwrap().text();
            assert!(text.contains(&shown) && !text.contains(&long), "{text}");
        }
    }

    #[test]
    fn a_cluster_without_connections_is_an_error() {
        let mut installed = installed();
        installed.gateways.clear();
        assert_eq!(What::Connections.of(&installed).unwrap_err().to_string(), "no connections found");
    }
}

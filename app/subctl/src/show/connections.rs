//! `subctl show connections`.

use std::net::IpAddr;

use anyhow::bail;
use serde::Serialize;
use subm_api::{Connection, Gateway};
use subm_types::Family;

use super::table_of;
use crate::table::{Column, Table, yes_no};

/// A tunnel, as a gateway reports it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    gateway: String,
    cluster: String,
    #[serde(rename = "remoteIP")]
    remote_ip: String,
    nat: bool,
    cable_driver: String,
    subnets: Vec<String>,
    status: String,
    status_message: String,
    #[serde(rename = "averageRTT", skip_serializing_if = "Option::is_none")]
    average_rtt: Option<String>,
}

/// The connections of all gateways; having none is an error, as upstream has it.
pub(super) fn rows(gateways: &[Gateway]) -> anyhow::Result<Vec<Row>> {
    let of = |gateway: &Gateway| {
        let hostname = gateway.status.local_endpoint.hostname.clone();
        gateway.status.connections.iter().map(|connection| row(&hostname, connection)).collect::<Vec<_>>()
    };
    let rows: Vec<Row> = gateways.iter().flat_map(of).collect();
    if rows.is_empty() {
        bail!("no connections found");
    }
    Ok(rows)
}

fn row(gateway: &str, connection: &Connection) -> Row {
    let endpoint = &connection.endpoint;
    let published = if connection.using_nat { &endpoint.public_ip } else { &endpoint.private_ip };
    let family = connection.using_ip.parse::<IpAddr>().ok().map(Family::of);
    // A remote of both families stands here twice, each time with what is reached that way.
    let of_family = |net: &&String| {
        let address = net.split('/').next().and_then(|text| text.parse::<IpAddr>().ok());
        family.is_none_or(|family| address.map(Family::of) == Some(family))
    };
    let remote_ip = if connection.using_ip.is_empty() { published } else { &connection.using_ip };
    let average = connection.latency_rtt.as_ref().and_then(|rtt| rtt.average);
    Row {
        gateway: gateway.to_owned(),
        cluster: endpoint.cluster_id.clone(),
        remote_ip: remote_ip.clone(),
        nat: connection.using_nat,
        cable_driver: endpoint.backend.clone(),
        subnets: endpoint.subnets.iter().filter(of_family).cloned().collect(),
        status: connection.status.as_str().to_owned(),
        status_message: connection.status_message.clone(),
        average_rtt: average.map(|average| average.to_string()),
    }
}

/// The connections as upstream's columns.
pub(super) fn table(rows: &[Row]) -> Table {
    const COLUMNS: [Column; 8] = [
        Column::at_most("GATEWAY", 30),
        Column::at_most("CLUSTER", 24),
        Column::new("REMOTE IP"),
        Column::new("NAT"),
        Column::new("CABLE DRIVER"),
        Column::at_most("SUBNETS", 40),
        Column::new("STATUS"),
        Column::new("RTT avg."),
    ];
    table_of(&COLUMNS, rows, |row| {
        vec![
            row.gateway.clone(),
            row.cluster.clone(),
            row.remote_ip.clone(),
            yes_no(row.nat).to_owned(),
            row.cable_driver.clone(),
            row.subnets.join(", "),
            row.status.clone(),
            row.average_rtt.clone().unwrap_or_default(),
        ]
    })
}

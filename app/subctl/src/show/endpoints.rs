//! `subctl show endpoints`.

use std::collections::BTreeSet;

use serde::Serialize;
use subm_api::endpoint::AddressField;
use subm_api::{EndpointSpec, Gateway};
use subm_types::Family;

use super::table_of;
use crate::table::{Column, Table};

/// One end of a cable.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    #[serde(rename = "type")]
    side: Side,
    cluster: String,
    #[serde(rename = "endpointIP")]
    endpoint_ip: String,
    #[serde(rename = "publicIP")]
    public_ip: String,
    cable_driver: String,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Side {
    Local,
    Remote,
}

/// The local end of every gateway and the remote ones that it knows, each once, local ones first.
pub(super) fn rows(gateways: &[Gateway]) -> Vec<Row> {
    let local = gateways.iter().map(|gateway| row(Side::Local, &gateway.status.local_endpoint));
    let remote = gateways.iter().flat_map(|gateway| &gateway.status.connections);
    let rows: BTreeSet<Row> =
        local.chain(remote.map(|connection| row(Side::Remote, &connection.endpoint))).collect();
    rows.into_iter().filter(|row| !row.cluster.is_empty()).collect()
}

fn row(side: Side, endpoint: &EndpointSpec) -> Row {
    Row {
        side,
        cluster: endpoint.cluster_id.clone(),
        endpoint_ip: addresses(endpoint, AddressField::Private),
        public_ip: addresses(endpoint, AddressField::Public),
        cable_driver: endpoint.backend.clone(),
    }
}

/// The addresses of all families, IPv4 first.
fn addresses(endpoint: &EndpointSpec, field: AddressField) -> String {
    let each = Family::ALL.map(|family| endpoint.address(field, family));
    each.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The ends as upstream's columns.
pub(super) fn table(rows: &[Row]) -> Table {
    const COLUMNS: [Column; 5] = [
        Column::at_most("CLUSTER", 24),
        Column::new("ENDPOINT IP"),
        Column::new("PUBLIC IP"),
        Column::new("CABLE DRIVER"),
        Column::new("TYPE"),
    ];
    table_of(&COLUMNS, rows, |row| {
        let side = match row.side {
            Side::Local => "local",
            Side::Remote => "remote",
        };
        [&row.cluster, &row.endpoint_ip, &row.public_ip, &row.cable_driver, side]
            .map(|cell: &str| cell.to_owned())
            .to_vec()
    })
}

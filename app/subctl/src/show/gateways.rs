//! `subctl show gateways`.

use serde::Serialize;
use subm_api::{ConnectionStatus, Gateway, GatewayStatus};

use super::table_of;
use crate::table::{Column, Table};

/// A gateway node.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    node: String,
    ha_status: String,
    summary: String,
}

/// All gateway nodes with one sentence each on their connections.
pub(super) fn rows(gateways: &[Gateway]) -> Vec<Row> {
    let row = |gateway: &Gateway| Row {
        node: gateway.metadata.name.clone().unwrap_or_default(),
        ha_status: gateway.status.ha_status.as_str().to_owned(),
        summary: summary(&gateway.status),
    };
    gateways.iter().map(row).collect()
}

fn summary(status: &GatewayStatus) -> String {
    if !status.status_failure.is_empty() {
        return status.status_failure.clone();
    }
    let all = status.connections.len();
    let up = status.connections.iter().filter(|one| one.status == ConnectionStatus::Connected).count();
    match (up, all) {
        (_, 0) => "There are no connections".to_owned(),
        (up, all) if up == all => format!("All connections ({all}) are established"),
        (up, all) => format!("{up} connections out of {all} are established"),
    }
}

/// The gateways as upstream's columns.
pub(super) fn table(rows: &[Row]) -> Table {
    const COLUMNS: [Column; 3] =
        [Column::at_most("NODE", 30), Column::new("HA STATUS"), Column::new("SUMMARY")];
    table_of(&COLUMNS, rows, |row| vec![row.node.clone(), row.ha_status.clone(), row.summary.clone()])
}

//! Every driver in every family through everything that is between gateways.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use subm_types::{Backend, Family};

use crate::ground::{Behind, Ground, eventually};

const FAMILIES: [(&str, &[Family]); 3] =
    [("IPv4", &[Family::V4]), ("IPv6", &[Family::V6]), ("both", &Family::ALL)];

/// What is in front of the gateway of east, and of that of west.
type Between = fn(&Backend) -> [Behind; 2];

const BETWEEN: [(&str, Between); 4] = [
    ("direct", |_| [Behind::Nothing, Behind::Nothing]),
    ("NAT boxes", |_| [Behind::RandomMasquerade, Behind::PortForward]),
    ("firewalled", |driver| [Behind::Firewall(opened_for(driver)), Behind::Nothing]),
    ("load balancer", |_| [Behind::LoadBalancer, Behind::Nothing]),
];

/// VXLAN draws its source ports, so that to a firewall nothing is an answer.
fn opened_for(driver: &Backend) -> &'static [u16] {
    if *driver == Backend::Vxlan { &[4500] } else { &[] }
}

/// What there need not be.
fn is_left_out(driver: &Backend, between: &str) -> bool {
    *driver == Backend::Vxlan && matches!(between, "NAT boxes" | "load balancer")
}

fn connected(gateway: &Value) -> usize {
    let all = gateway.pointer("/status/connections").and_then(Value::as_array);
    all.map_or(0, |all| all.iter().filter(|one| one["status"] == "connected").count())
}

/// Brings two clusters up and has packets pass both ways; fails where they do not.
fn carries(driver: &Backend, families: &'static [Family], between: Between) {
    let driver = driver.clone();
    Ground::run(move |ground| {
        let [near, far] = between(&driver);
        let east = ground.gateway_behind("east", families, (&driver, near));
        let west = ground.gateway_behind("west", families, (&driver, far));
        for family in families {
            let what = format!("packets of IP{family} pass by {driver}, {near:?} and {far:?}");
            eventually(&what, || east.ping_with(&west, *family, 1000).ok());
            eventually(&what, || west.ping_with(&east, *family, 1000).ok());
        }
        for cluster in ["east", "west"] {
            eventually(&format!("{cluster} says so"), || {
                (connected(&ground.gateway_object(cluster, 1)?) == families.len()).then_some(())
            });
        }
    });
}

/// The rows of one driver, each cell after it was seen.
fn rows(driver: &Backend) -> String {
    let mut out = String::new();
    for (name, families) in FAMILIES {
        let cells: BTreeMap<usize, &str> = BETWEEN
            .iter()
            .enumerate()
            .map(|(column, (what, between))| {
                if is_left_out(driver, what) {
                    return (column, "no");
                }
                carries(driver, families, *between);
                (column, "yes")
            })
            .collect();
        let cells: Vec<&str> = cells.into_values().collect();
        writeln!(out, "| `{driver}` | {name} | {} |", cells.join(" | ")).unwrap();
    }
    out
}

/// Prints the rows; they are those of the page.
#[expect(clippy::print_stdout, reason = "who runs it reads the table")]
fn holds(driver: &Backend) {
    let rows = rows(driver);
    println!("| driver | families | direct | NAT boxes | firewalled | load balancer |\n{rows}");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cables.md");
    let page = std::fs::read_to_string(page).unwrap();
    for row in rows.lines() {
        assert!(page.lines().any(|line| line == row), "docs/cables.md has no line\n{row}");
    }
}

#[test]
fn matrix_of_vxlan_holds() {
    holds(&Backend::Vxlan);
}

#[test]
fn matrix_of_wireguard_holds() {
    holds(&Backend::Wireguard);
}
